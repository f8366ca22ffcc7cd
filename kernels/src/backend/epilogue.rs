//! What a product does on its way out.

use crate::activation::Activation;
use crate::buffer::Buffer;

/// What happens to the sums of a convolution or an inner product on their way out, as in cuDNN's
/// `cudnnConvolutionBiasActivationForward`: `y = activation(sum + bias (+ y))`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// One float an output channel.
    pub bias: Option<&'a Buffer>,
    /// Whether the output's old value is added: the shortcut of a residual block.
    pub accumulate: bool,
    /// What is done last.
    pub activation: Activation,
}
