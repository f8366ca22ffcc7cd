//! Gradient descent.

use kernels::UpdateRule;

use super::{Rule, State, StateArray, Step};

/// `W −= rate · g` (Chainer's SGD). Caffe's SGD is [`MomentumSgd`](super::MomentumSgd).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// The learning rate.
    pub rate: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { rate: 0.01 }
    }
}

impl Rule for Sgd {
    fn name(&self) -> &'static str {
        "SGD"
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn state(&self) -> &'static [StateArray] {
        &[]
    }

    fn update(&self, step: &Step, value: &mut [f32], grad: &[f32], _: State<'_>) {
        let rate = step.rate as f32;
        for (w, &g) in value.iter_mut().zip(grad) {
            *w -= rate * g;
        }
    }

    fn on_device(&self, step: &Step) -> Option<UpdateRule> {
        Some(UpdateRule::Sgd { rate: step.rate as f32 })
    }
}
