//! M-SVAG (Balles and Hennig 2018).

use kernels::UpdateRule;

use super::{Rule, State, StateArray, Step};

/// Momentum, each value's step made smaller by the gradient's estimated variance (Chainer's MSVAG).
///
/// `m` and `v` are Adam's moments with one `beta`, both divided by `1 − beta^t`; `s = (v − m²) / (1 − rho)`, where
/// `rho = (1 − beta)² (1 − beta^2t) / ((1 − beta^t)² (1 − beta²))`, at most .9999; `f = m² / (m² + rho · s)`, within 0 and 1;
/// `W −= eta · (rate · f · m + weight_decay_rate · W)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Msvag {
    /// The learning rate.
    pub rate: f64,
    /// How much of the moments stays.
    pub beta: f64,
    /// A factor of the whole step, decay included.
    pub eta: f64,
    /// How much of the value is taken off in each step, whatever the gradient.
    pub weight_decay_rate: f64,
}

impl Default for Msvag {
    fn default() -> Self {
        Self { rate: 0.1, beta: 0.9, eta: 1.0, weight_decay_rate: 0.0 }
    }
}

impl Rule for Msvag {
    fn name(&self) -> &'static str {
        "MSVAG"
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn state(&self) -> &'static [StateArray] {
        const { &[StateArray::zeros("m"), StateArray::zeros("v")] }
    }

    fn update(&self, step: &Step, value: &mut [f32], grad: &[f32], [m, v, _]: State<'_>) {
        let Numbers { rate, new, seen, unbiased, rho, eta, decay } = Numbers::new(self, step);
        for (((w, &g), m), v) in value.iter_mut().zip(grad).zip(m).zip(v) {
            *m += new * (g - *m);
            *v += new * (g * g - *v);
            let (mean, square) = (*m / seen, *v / seen);
            let mean2 = mean * mean;
            let variance = (square - mean2) / unbiased;
            let factor = mean2 / (mean2 + rho * variance);
            // NaN where both are 0, as at a gradient that has always been 0.
            let factor = if factor.is_nan() { 0.0 } else { factor.clamp(0.0, 1.0) };
            *w -= eta * (rate * mean * factor + decay * *w);
        }
    }

    fn on_device(&self, step: &Step) -> Option<UpdateRule> {
        let Numbers { rate, new, seen, unbiased, rho, eta, decay } = Numbers::new(self, step);
        Some(UpdateRule::Msvag { rate, new, seen, unbiased, rho, eta, decay })
    }
}

/// The numbers of one step, rounded as they are used.
struct Numbers {
    rate: f32,
    new: f32,
    seen: f32,
    unbiased: f32,
    rho: f32,
    eta: f32,
    decay: f32,
}

impl Numbers {
    fn new(rule: &Msvag, step: &Step) -> Self {
        let (beta, power) = (rule.beta, rule.beta.powf(step.t as f64));
        let rho =
            (1.0 - beta).powi(2) * (1.0 - power * power) / ((1.0 - power).powi(2) * (1.0 - beta * beta));
        let rho = rho.min(0.9999);
        Self {
            rate: step.rate as f32,
            new: (1.0 - beta) as f32,
            seen: (1.0 - power) as f32,
            unbiased: (1.0 - rho) as f32,
            rho: rho as f32,
            eta: rule.eta as f32,
            decay: (rule.weight_decay_rate * step.decay_mult) as f32,
        }
    }
}
