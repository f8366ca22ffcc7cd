//! RMSProp (Tieleman and Hinton 2012).

use kernels::UpdateRule;

use super::{Rule, State, StateArray, Step};

/// `h = alpha · h + (1 − alpha) · g²; W −= rate · g / (√h + eps)`, in Caffe and Chainer alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// The learning rate.
    pub rate: f64,
    /// How much of the average stays; Caffe's `rms_decay`.
    pub alpha: f64,
    /// Keeps the divisor from 0; Caffe's `delta`.
    pub eps: f64,
    /// Divides by `√(h + eps)` instead (Chainer's option).
    pub eps_inside_sqrt: bool,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { rate: 0.01, alpha: 0.99, eps: 1e-8, eps_inside_sqrt: false }
    }
}

impl Rule for RmsProp {
    fn name(&self) -> &'static str {
        "RMSprop"
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn state(&self) -> &'static [StateArray] {
        const { &[StateArray::zeros("ms")] }
    }

    fn update(&self, step: &Step, value: &mut [f32], grad: &[f32], [ms, ..]: State<'_>) {
        let (rate, eps) = (step.rate as f32, self.eps as f32);
        let (old, new) = (self.alpha as f32, (1.0 - self.alpha) as f32);
        let (inside, outside) = if self.eps_inside_sqrt { (eps, 0.0) } else { (0.0, eps) };
        for ((w, &g), ms) in value.iter_mut().zip(grad).zip(ms) {
            *ms = old * *ms + new * g * g;
            *w -= rate * g / ((*ms + inside).sqrt() + outside);
        }
    }

    fn on_device(&self, step: &Step) -> Option<UpdateRule> {
        let (rate, eps) = (step.rate as f32, self.eps as f32);
        let (old, new) = (self.alpha as f32, (1.0 - self.alpha) as f32);
        Some(UpdateRule::RmsProp { rate, eps, old, new, eps_inside_sqrt: self.eps_inside_sqrt })
    }
}
