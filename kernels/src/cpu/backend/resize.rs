//! [`ResizeOps`] for the CPU.

use super::operands::{take, take_mut};
use crate::backend::ResizeOps;
use crate::buffer::Buffer;
use crate::cpu::{CpuBackend, resize};
use crate::error::Result;
use crate::geometry::InterpGeometry;

impl ResizeOps for CpuBackend {
    fn interp_forward(&self, geometry: &InterpGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "interp_forward";
        let [input, output] = geometry.lens(OP)?;
        let x = take(OP, "x", x, input)?;
        resize::interp(self, geometry, x, take_mut(OP, "y", y, output)?);
        Ok(())
    }

    fn interp_backward(&self, geometry: &InterpGeometry, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        const OP: &str = "interp_backward";
        let [input, output] = geometry.lens(OP)?;
        let dy = take(OP, "dy", dy, output)?;
        let dx = take_mut(OP, "dx", dx, input)?;
        resize::interp_backward(self, geometry, dy, dx);
        Ok(())
    }

    fn unpool_forward(
        &self,
        planes: u32,
        lengths: [u32; 2],
        x: &Buffer,
        mask: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "unpool_forward";
        let [from, to] = lengths.map(|length| length as usize);
        let planes = planes as usize;
        let (x, mask) = (take(OP, "x", x, planes * from)?, take(OP, "mask", mask, planes * from)?);
        resize::unpool(self, [from, to], x, mask, take_mut(OP, "y", y, planes * to)?);
        Ok(())
    }

    fn unpool_backward(
        &self,
        planes: u32,
        lengths: [u32; 2],
        mask: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "unpool_backward";
        let [from, to] = lengths.map(|length| length as usize);
        let planes = planes as usize;
        let (mask, dy) = (take(OP, "mask", mask, planes * from)?, take(OP, "dy", dy, planes * to)?);
        resize::unpool_backward(self, [from, to], mask, dy, take_mut(OP, "dx", dx, planes * from)?);
        Ok(())
    }
}
