//! What optimizers and gradients that add up need of BLAS's first level.

use crate::buffer::Buffer;
use crate::error::Result;

/// Arrays as vectors.
pub trait VectorOps {
    /// `y += α · x` for the first `len` elements.
    fn axpy(&self, alpha: f32, len: usize, x: &Buffer, y: &mut Buffer) -> Result<()>;

    /// `y = α · y` for the first `len` elements.
    fn scale_tensor(&self, alpha: f32, len: usize, y: &mut Buffer) -> Result<()>;

    /// Σ x² over the first `len` elements: what clipping by a global norm needs.
    fn sum_of_squares(&self, len: usize, x: &Buffer) -> Result<f64>;
}
