//! Transposed convolutions.

use super::Epilogue;
use crate::buffer::Buffer;
use crate::error::Result;
use crate::geometry::ConvGeometry;
use crate::prepared::{BackwardData, Deconvolution};

/// Deconvolutions and their gradients; that with respect to the input is computed by
/// [`convolution_backward_data`](super::ConvolutionOps::convolution_backward_data).
pub trait DeconvolutionOps {
    /// Packs the weights, I×(O/G)×kernel, of a deconvolution; they are not needed afterwards.
    fn deconvolution_prepare(&self, geometry: &ConvGeometry, weights: &Buffer) -> Result<Deconvolution>;

    /// Packs other weights in place of those of before, without allocating.
    fn deconvolution_repack(&self, prepared: &mut Deconvolution, weights: &Buffer) -> Result<()>;

    /// The transpose of a convolution, as Caffe's Deconvolution: x is N×I×spatial, y N×O×spatial.
    fn deconvolution_forward(
        &self,
        prepared: &Deconvolution,
        x: &Buffer,
        epilogue: &Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;

    /// [`convolution_backward_data_prepare`](super::ConvolutionOps::convolution_backward_data_prepare) of a deconvolution: what it
    /// gives is used by the same operations.
    fn deconvolution_backward_data_prepare(
        &self,
        geometry: &ConvGeometry,
        weights: &Buffer,
    ) -> Result<BackwardData>;

    /// Floats of workspace that [`deconvolution_backward_filter`](DeconvolutionOps::deconvolution_backward_filter) needs.
    fn deconvolution_backward_filter_workspace_len(&self, geometry: &ConvGeometry) -> usize;

    /// `dw = Σ x · dy`, or `dw += ` that, of a deconvolution; dw is I×(O/G)×kernel.
    fn deconvolution_backward_filter(
        &self,
        geometry: &ConvGeometry,
        x: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dw: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()>;
}
