//! RMSProp as in Graves 2013.

use kernels::UpdateRule;

use super::{Rule, State, StateArray, Step};

/// `n = alpha · n + (1 − alpha) · g²; a = alpha · a + (1 − alpha) · g; d = momentum · d − rate · g / √(n − a² + eps); W += d`
/// (Chainer's RMSpropGraves).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsPropGraves {
    /// The learning rate.
    pub rate: f64,
    /// How much of the averages stays.
    pub alpha: f64,
    /// How much of the last step stays.
    pub momentum: f64,
    /// Keeps the divisor from 0.
    pub eps: f64,
}

impl Default for RmsPropGraves {
    fn default() -> Self {
        Self { rate: 1e-4, alpha: 0.95, momentum: 0.9, eps: 1e-4 }
    }
}

impl Rule for RmsPropGraves {
    fn name(&self) -> &'static str {
        "RMSpropGraves"
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn state(&self) -> &'static [StateArray] {
        const { &[StateArray::zeros("n"), StateArray::zeros("g"), StateArray::zeros("delta")] }
    }

    fn update(&self, step: &Step, value: &mut [f32], grad: &[f32], [n, average, delta]: State<'_>) {
        let (rate, momentum, eps) = (step.rate as f32, self.momentum as f32, self.eps as f32);
        let (old, new) = (self.alpha as f32, (1.0 - self.alpha) as f32);
        let values = value.iter_mut().zip(grad).zip(n).zip(average).zip(delta);
        for ((((w, &g), n), average), delta) in values {
            *n = old * *n + new * g * g;
            *average = old * *average + new * g;
            *delta = momentum * *delta - rate * g / (*n - *average * *average + eps).sqrt();
            *w += *delta;
        }
    }

    fn on_device(&self, step: &Step) -> Option<UpdateRule> {
        let (rate, momentum, eps) = (step.rate as f32, self.momentum as f32, self.eps as f32);
        let (old, new) = (self.alpha as f32, (1.0 - self.alpha) as f32);
        Some(UpdateRule::RmsPropGraves { rate, momentum, eps, old, new })
    }
}
