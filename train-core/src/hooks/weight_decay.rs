//! L2 regularization.

use super::Hook;
use crate::optim::Gradients;

/// `g += rate · decay_mult · W` (Chainer's WeightDecay, Caffe's `L2`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightDecay {
    rate: f64,
}

impl WeightDecay {
    /// Decay by `rate`.
    pub fn new(rate: f64) -> Self {
        Self { rate }
    }
}

impl Hook for WeightDecay {
    fn name(&self) -> &'static str {
        "WeightDecay"
    }

    fn before_update(&mut self, gradients: &mut Gradients<'_, '_>) {
        for index in gradients.indices() {
            let rate = self.rate as f32 * gradients.info(index).decay_mult;
            if rate != 0.0 {
                gradients.add_value(index, rate);
            }
        }
    }
}
