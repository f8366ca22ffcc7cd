//! Functions of one number, as `cu/activation.cu` takes them.

use super::DeviceBackend;
use super::call::{Parameter, Target};
use super::memory::DeviceBuffer;
use super::source::ACTIVATION;
use crate::activation::Activation;
use crate::error::Result;

/// The number of a function in `cu/activation.cu`, and its terms.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Function {
    number: u32,
    terms: [f32; 3],
}

// SAFETY: `Activation` of cu/activation.cu.
unsafe impl Parameter for Function {}

impl Function {
    /// The function itself.
    pub(crate) fn of(activation: Activation) -> Self {
        let (number, terms) = match activation {
            Activation::Identity => (0, [0.0; 3]),
            Activation::Relu => (1, [0.0; 3]),
            Activation::LeakyRelu { slope } => (2, [slope, 0.0, 0.0]),
            Activation::Relu6 => (3, [0.0, 6.0, 1.0]),
            Activation::Clip { low, high } => (3, [low, high, 0.0]),
            Activation::Elu { alpha } => (4, [alpha, 0.0, 0.0]),
            Activation::Sigmoid => (5, [0.0; 3]),
            Activation::Tanh => (6, [0.0; 3]),
            Activation::AbsVal => (7, [0.0; 3]),
            Activation::Bnll => (8, [0.0; 3]),
            Activation::Power { power, scale, shift } => (9, [power, scale, shift]),
            // base^(shift + scale·x) = base^shift · e^(ln base · scale · x).
            Activation::Exp { base, scale, shift } => {
                let (log_base, factor) =
                    if base < 0.0 { (1.0, shift.exp()) } else { (base.ln(), base.powf(shift)) };
                (10, [factor, log_base * scale, 0.0])
            }
            Activation::Log { base, scale, shift } => {
                (11, [if base < 0.0 { 1.0 } else { 1.0 / base.ln() }, scale, shift])
            }
            Activation::Swish { beta } => (12, [beta, 0.0, 0.0]),
            Activation::Threshold { threshold } => (13, [threshold, 0.0, 0.0]),
        };
        Self { number, terms }
    }

    /// Its derivative where that is the same everywhere.
    #[expect(clippy::float_cmp, reason = "only the exact exponent has the short form")]
    pub(crate) fn constant_derivative(activation: Activation) -> Option<f32> {
        match activation {
            Activation::Identity => Some(1.0),
            Activation::Power { power, scale, .. } if power == 1.0 || power * scale == 0.0 => {
                Some(power * scale)
            }
            _ => None,
        }
    }
}

impl DeviceBackend {
    /// `y = activation(x)`; in place without x.
    pub(super) fn activate(
        &self,
        activation: Activation,
        len: usize,
        x: Option<&DeviceBuffer>,
        y: &Target<'_>,
    ) -> Result<()> {
        if activation == Activation::Identity && x.is_none() {
            return Ok(());
        }
        let function = Function::of(activation);
        let call = self.call(&ACTIVATION, "activation_forward").value(&function).count(len);
        call.input_or(x, y).output(y, len).over(len)
    }

    /// What of an activation could not be done on the way out.
    pub(super) fn apply(&self, rest: Activation, len: usize, y: &Target<'_>) -> Result<()> {
        self.activate(rest, len, None, y)
    }
}
