//! Gradient descent with momentum.

use kernels::UpdateRule;

use super::{Rule, State, StateArray, Step};

/// `v = momentum · v + rate · g; W −= v`: Caffe's SGD and Chainer's MomentumSGD, the rate inside the velocity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MomentumSgd {
    /// The learning rate.
    pub rate: f64,
    /// How much of the velocity stays.
    pub momentum: f64,
}

impl Default for MomentumSgd {
    fn default() -> Self {
        Self { rate: 0.01, momentum: 0.9 }
    }
}

impl Rule for MomentumSgd {
    fn name(&self) -> &'static str {
        "MomentumSGD"
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
            *v = momentum * *v + rate * g;
            *w -= *v;
        }
    }

    fn on_device(&self, step: &Step) -> Option<UpdateRule> {
        Some(UpdateRule::MomentumSgd { rate: step.rate as f32, momentum: self.momentum as f32 })
    }
}
