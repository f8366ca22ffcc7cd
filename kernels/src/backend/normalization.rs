//! Arrays brought to one scale: by their neighbours (LRN), by channel (BatchNorm), by row (MVN), by pixel or image (Normalize).

use crate::buffer::Buffer;
use crate::error::Result;
use crate::geometry::{AxisGeometry, LrnGeometry, NormalizeGeometry, RowsGeometry};

/// Normalizations and their gradients.
pub trait NormalizationOps {
    /// Local response normalization: `y = x · (k + α/n · Σ x²)^−β`; within a channel the sum is over n×n pixels, its
    /// weight is α / n², and k is 1.
    fn lrn_forward(&self, geometry: &LrnGeometry, x: &Buffer, y: &mut Buffer) -> Result<()>;

    /// The gradient of [`lrn_forward`](NormalizationOps::lrn_forward); the sums are computed again from x. Windows of more than 256
    /// channels, or 56 pixels a side, are refused.
    fn lrn_backward(&self, geometry: &LrnGeometry, x: &Buffer, dy: &Buffer, dx: &mut Buffer) -> Result<()>;

    /// `y = (x − mean·f) / √(variance·f + eps)` per channel of outer×channels×inner; f is one over `weight`, one float, and 0
    /// where that is 0 (Caffe's BatchNorm keeps sums, and their weight in its third blob).
    #[expect(clippy::too_many_arguments, reason = "cuDNN's own list")]
    fn batch_normalization_forward_inference(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        mean: &Buffer,
        variance: &Buffer,
        weight: &Buffer,
        eps: f32,
        y: &mut Buffer,
    ) -> Result<()>;

    /// `y = (x − mean) / √(variance + eps)` with the batch's own mean and biased variance per channel, which are
    /// written to `mean` and `variance`.
    fn batch_normalization_forward_training(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        eps: f32,
        y: &mut Buffer,
        mean: &mut Buffer,
        variance: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`batch_normalization_forward_training`](NormalizationOps::batch_normalization_forward_training), through the
    /// statistics too: `dx = (dy − mean(dy) − y · mean(dy · y)) / √(variance + eps)`, y being computed again from x.
    #[expect(clippy::too_many_arguments, reason = "what the operation has")]
    fn batch_normalization_backward(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        mean: &Buffer,
        variance: &Buffer,
        eps: f32,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`batch_normalization_forward_inference`](NormalizationOps::batch_normalization_forward_inference):
    /// `dx = dy / √(variance·f + eps)`.
    fn batch_normalization_backward_inference(
        &self,
        geometry: &AxisGeometry,
        variance: &Buffer,
        weight: &Buffer,
        eps: f32,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// Takes each row's mean off, and divides by `√variance + eps` if `normalize_variance`: Caffe's MVN.
    fn mvn_forward(
        &self,
        geometry: &RowsGeometry,
        normalize_variance: bool,
        eps: f32,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`mvn_forward`](NormalizationOps::mvn_forward), as Caffe has it:
    /// `dx = (dy − mean(dy) − y · mean(dy · y)) / (√variance + eps)`, or without the variance `dy − mean(dy)`.
    fn mvn_backward(
        &self,
        geometry: &RowsGeometry,
        normalize_variance: bool,
        eps: f32,
        x: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// `y = x / √(Σ x² + eps) · scale`: SSD's Normalize.
    fn normalize_forward(
        &self,
        geometry: &NormalizeGeometry,
        x: &Buffer,
        scale: &Buffer,
        y: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`normalize_forward`](NormalizationOps::normalize_forward) with respect to x.
    fn normalize_backward(
        &self,
        geometry: &NormalizeGeometry,
        x: &Buffer,
        scale: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// `dscale += Σ dy · y / scale` over each channel, or over all: the gradient of a normalization's scale, as SSD has it.
    fn normalize_backward_scale(
        &self,
        geometry: &NormalizeGeometry,
        y: &Buffer,
        scale: &Buffer,
        dy: &Buffer,
        dscale: &mut Buffer,
    ) -> Result<()>;
}
