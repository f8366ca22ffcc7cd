//! AdaDelta (Zeiler 2012).

use kernels::UpdateRule;

use super::{Rule, State, StateArray, Step};

/// `G = rho · G + (1 − rho) · g²; d = √((D + eps) / (G + eps)) · g; D = rho · D + (1 − rho) · d²; W −= rate · d`.
///
/// Chainer has no rate, which is 1 then; Caffe's `momentum` is `rho`, its `delta` is `eps`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaDelta {
    /// The learning rate.
    pub rate: f64,
    /// How much of the averages stays.
    pub rho: f64,
    /// Keeps the divisor from 0.
    pub eps: f64,
}

impl Default for AdaDelta {
    fn default() -> Self {
        Self { rate: 1.0, rho: 0.95, eps: 1e-6 }
    }
}

impl Rule for AdaDelta {
    fn name(&self) -> &'static str {
        "AdaDelta"
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn state(&self) -> &'static [StateArray] {
        const { &[StateArray::zeros("msg"), StateArray::zeros("msdx")] }
    }

    fn update(&self, step: &Step, value: &mut [f32], grad: &[f32], [msg, msdx, _]: State<'_>) {
        let (rate, eps) = (step.rate as f32, self.eps as f32);
        let (old, new) = (self.rho as f32, (1.0 - self.rho) as f32);
        for (((w, &g), msg), msdx) in value.iter_mut().zip(grad).zip(msg).zip(msdx) {
            *msg = old * *msg + new * g * g;
            let d = ((*msdx + eps) / (*msg + eps)).sqrt() * g;
            *msdx = old * *msdx + new * d * d;
            *w -= rate * d;
        }
    }

    fn on_device(&self, step: &Step) -> Option<UpdateRule> {
        let (rate, eps) = (step.rate as f32, self.eps as f32);
        let (old, new) = (self.rho as f32, (1.0 - self.rho) as f32);
        Some(UpdateRule::AdaDelta { rate, eps, old, new })
    }
}
