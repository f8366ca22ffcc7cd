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
