//! Convolutions, their two gradients, and the windows that they see.

use super::Epilogue;
use crate::buffer::Buffer;
use crate::error::Result;
use crate::geometry::ConvGeometry;
use crate::prepared::{BackwardData, Convolution};

/// Convolutions and their gradients.
pub trait ConvolutionOps {
    /// Chooses an algorithm and packs the weights, O×(I/G)×kernel, for it; they are not needed afterwards.
    fn convolution_prepare(&self, geometry: &ConvGeometry, weights: &Buffer) -> Result<Convolution>;

    /// Packs other weights in place of those of before, without allocating: in training they change with every step.
    fn convolution_repack(&self, prepared: &mut Convolution, weights: &Buffer) -> Result<()>;

    /// Cross-correlation, as Caffe's Convolution: x is N×I×spatial, y N×O×spatial.
    fn convolution_forward(
        &self,
        prepared: &Convolution,
        x: &Buffer,
        epilogue: &Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;

    /// Chooses an algorithm for the gradient of a convolution with respect to its input, and packs the forward weights,
    /// O×(I/G)×kernel, for it.
    fn convolution_backward_data_prepare(
        &self,
        geometry: &ConvGeometry,
        weights: &Buffer,
    ) -> Result<BackwardData>;

    /// Packs other weights in place of those of before, without allocating: of a convolution or a deconvolution.
    fn convolution_backward_data_repack(&self, prepared: &mut BackwardData, weights: &Buffer) -> Result<()>;

    /// `dx = ∂y/∂x · dy`, or `dx += ` that, of a convolution or a deconvolution: dy is N×O×spatial, dx N×I×spatial.
    fn convolution_backward_data(
        &self,
        prepared: &BackwardData,
        dy: &Buffer,
        accumulate: bool,
        dx: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;

    /// Floats of workspace that [`convolution_backward_filter`](ConvolutionOps::convolution_backward_filter) needs.
    fn convolution_backward_filter_workspace_len(&self, geometry: &ConvGeometry) -> usize;

    /// `dw = Σ dy · x`, or `dw += ` that, over all images and output pixels; dw is O×(I/G)×kernel.
    fn convolution_backward_filter(
        &self,
        geometry: &ConvGeometry,
        x: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dw: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;

    /// Lays every window of x, N×C×spatial, out as a column: y is N×(C·taps)×output pixels (Caffe's Im2col; groups
    /// and output channels do not matter).
    fn im2col(&self, geometry: &ConvGeometry, x: &Buffer, y: &mut Buffer) -> Result<()>;

    /// The gradient of [`im2col`](ConvolutionOps::im2col), Caffe's col2im: each pixel of dx gets the sum of its copies'.
    fn im2col_backward(&self, geometry: &ConvGeometry, dy: &Buffer, dx: &mut Buffer) -> Result<()>;
}
