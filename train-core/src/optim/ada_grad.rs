//! AdaGrad (Duchi et al. 2011).

use kernels::UpdateRule;

use super::{Rule, State, StateArray, Step};

/// `h += g²; W −= rate · g / (√h + eps)`, in Caffe and Chainer alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaGrad {
    /// The learning rate.
    pub rate: f64,
    /// Keeps the divisor from 0; Caffe's `delta`.
    pub eps: f64,
}

impl Default for AdaGrad {
    fn default() -> Self {
        Self { rate: 0.001, eps: 1e-8 }
    }
}

impl Rule for AdaGrad {
    fn name(&self) -> &'static str {
        "AdaGrad"
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn state(&self) -> &'static [StateArray] {
        const { &[StateArray::zeros("h")] }
    }

    fn update(&self, step: &Step, value: &mut [f32], grad: &[f32], [h, ..]: State<'_>) {
        let (rate, eps) = (step.rate as f32, self.eps as f32);
        for ((w, &g), h) in value.iter_mut().zip(grad).zip(h) {
            *h += g * g;
            *w -= rate * g / (h.sqrt() + eps);
        }
    }

    fn on_device(&self, step: &Step) -> Option<UpdateRule> {
        Some(UpdateRule::AdaGrad { rate: step.rate as f32, eps: self.eps as f32 })
    }
}
