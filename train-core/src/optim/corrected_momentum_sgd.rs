//! Gradient descent with momentum, the rate outside the velocity.

use kernels::UpdateRule;

use super::{Rule, State, StateArray, Step};

/// `v = momentum · v + g; W −= rate · v` (Chainer's CorrectedMomentumSGD): a change of rate acts at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CorrectedMomentumSgd {
    /// The learning rate.
    pub rate: f64,
    /// How much of the velocity stays.
    pub momentum: f64,
}

impl Default for CorrectedMomentumSgd {
    fn default() -> Self {
        Self { rate: 0.01, momentum: 0.9 }
    }
}

impl Rule for CorrectedMomentumSgd {
    fn name(&self) -> &'static str {
        "CorrectedMomentumSGD"
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn state(&self) -> &'static [StateArray] {
        const { &[StateArray::velocity("v")] }
    }

    fn update(&self, step: &Step, value: &mut [f32], grad: &[f32], [v, ..]: State<'_>) {
        let (rate, momentum) = (step.rate as f32, self.momentum as f32);
        for ((w, &g), v) in value.iter_mut().zip(grad).zip(v) {
            *v = momentum * *v + g;
            *w -= rate * *v;
        }
    }

    fn on_device(&self, step: &Step) -> Option<UpdateRule> {
        Some(UpdateRule::CorrectedMomentumSgd { rate: step.rate as f32, momentum: self.momentum as f32 })
    }
}
