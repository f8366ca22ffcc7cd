//! L1 regularization.

use super::Hook;
use crate::optim::Gradients;

/// `g += rate · decay_mult · sign W` (Chainer's Lasso, Caffe's `L1`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lasso {
    rate: f64,
}

impl Lasso {
    /// Decay by `rate`.
    pub fn new(rate: f64) -> Self {
        Self { rate }
    }
}

impl Hook for Lasso {
    fn name(&self) -> &'static str {
        "Lasso"
    }

    fn before_update(&mut self, gradients: &mut Gradients<'_, '_>) {
        for index in gradients.indices() {
            let rate = self.rate as f32 * gradients.info(index).decay_mult;
            if rate != 0.0 {
                gradients.add_sign(index, rate);
            }
        }
    }
}
