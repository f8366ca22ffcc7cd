//! Scores made probabilities.

use crate::buffer::Buffer;
use crate::error::Result;
use crate::geometry::AxisGeometry;

/// Softmax and its gradient.
pub trait SoftmaxOps {
    /// `e^(x − max) / Σ e^(x − max)` along the axis of outer×axis×inner.
    fn softmax_forward(&self, geometry: &AxisGeometry, x: Option<&Buffer>, y: &mut Buffer) -> Result<()>;

    /// The gradient of [`softmax_forward`](SoftmaxOps::softmax_forward): `dx = y · (dy − Σ dy · y)`, the sum along the axis.
    fn softmax_backward(
        &self,
        geometry: &AxisGeometry,
        y: &Buffer,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()>;
}
