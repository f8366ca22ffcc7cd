use crate::error::{Error, Result};

/// A function of one number, applied to each element.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// x.
    #[default]
    Identity,
    /// max(x, 0).
    Relu,
    /// max(x, 0) + slope · min(x, 0).
    LeakyRelu {
        /// What negative values are multiplied by.
        slope: f32,
    },
    /// min(max(x, 0), 6).
    Relu6,
    /// max(low, min(x, high)).
    Clip {
        /// The least result.
        low: f32,
        /// The largest result.
        high: f32,
    },
    /// x where x > 0, else α(eˣ − 1).
    Elu {
        /// α.
        alpha: f32,
    },
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// |x|.
    AbsVal,
    /// log(1 + eˣ), Caffe's "binomial normal log likelihood".
    Bnll,
    /// (shift + scale · x) ^ power.
    Power {
        /// The exponent.
        power: f32,
        /// Multiplies x.
        scale: f32,
        /// Is added to it.
        shift: f32,
    },
    /// base ^ (shift + scale · x).
    Exp {
        /// The base; −1 stands for e.
        base: f32,
        /// Multiplies x.
        scale: f32,
        /// Is added to it.
        shift: f32,
    },
    /// log_base(shift + scale · x).
    Log {
        /// The base; −1 stands for e.
        base: f32,
        /// Multiplies x.
        scale: f32,
        /// Is added to it.
        shift: f32,
    },
    /// x / (1 + e^(−βx)).
    Swish {
        /// β.
        beta: f32,
    },
    /// 1 where x > threshold, else 0.
    Threshold {
        /// The threshold.
        threshold: f32,
    },
}

/// From what an activation's gradient is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradientFrom {
    /// It does not depend on either.
    Neither,
    /// Its input.
    Input,
    /// Its output.
    Output,
    /// Its input, or its output: both give the same.
    Either,
}

impl Activation {
    /// What [`activation_backward`](crate::ActivationOps::activation_backward) must be given; `None` where there is no gradient, as
    /// Caffe has it. (Of Elu it is the output on the understanding that α is not negative.)
    pub fn gradient_from(self) -> Option<GradientFrom> {
        Some(match self {
            Self::Threshold { .. } => return None,
            Self::Identity => GradientFrom::Neither,
            Self::Power { power, scale, .. } if power == 1.0 || power * scale == 0.0 => GradientFrom::Neither,
            Self::Relu | Self::Relu6 => GradientFrom::Either,
            Self::LeakyRelu { slope } if slope >= 0.0 => GradientFrom::Either,
            Self::Elu { .. } | Self::Sigmoid | Self::Tanh | Self::Exp { .. } => GradientFrom::Output,
            _ => GradientFrom::Input,
        })
    }

    /// Whether there is a gradient, and the array from which it is computed.
    pub(crate) fn check_backward(self, op: &'static str, source: bool) -> Result<()> {
        match self.gradient_from() {
            None => Err(Error::geometry(op, format!("{self:?} has no gradient"))),
            Some(GradientFrom::Neither) => Ok(()),
            Some(_) if source => Ok(()),
            Some(from) => Err(Error::geometry(op, format!("{self:?} needs its {from:?}"))),
        }
    }
}
