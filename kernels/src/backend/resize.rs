//! Planes made larger or smaller.

use crate::buffer::Buffer;
use crate::error::Result;
use crate::geometry::InterpGeometry;

/// Resizes of planes and their gradients.
pub trait ResizeOps {
    /// Bilinear resize that maps corners to corners: DeepLab's Interp.
    fn interp_forward(&self, geometry: &InterpGeometry, x: &Buffer, y: &mut Buffer) -> Result<()>;

    /// The gradient of [`interp_forward`](ResizeOps::interp_forward).
    fn interp_backward(&self, geometry: &InterpGeometry, dy: &Buffer, dx: &mut Buffer) -> Result<()>;

    /// Puts each element of `planes` planes of `lengths[0]` floats, the output of a pooling, back where the pooling's
    /// mask says, into planes of `lengths[1]` floats that are zero elsewhere: SegNet's Upsample. A place that is no
    /// element of the plane is left out.
    fn unpool_forward(
        &self,
        planes: u32,
        lengths: [u32; 2],
        x: &Buffer,
        mask: &Buffer,
        y: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`unpool_forward`](ResizeOps::unpool_forward): element i gets that of the place where it went.
    fn unpool_backward(
        &self,
        planes: u32,
        lengths: [u32; 2],
        mask: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;
}
