//! A bound on the norm of all gradients together.

use super::Hook;
use crate::optim::Gradients;

/// `g *= threshold / |G|` where the L2 norm `|G|` of all gradients is above the threshold (Chainer's GradientClipping, Caffe's
/// `clip_gradients`). Frozen parameters do not count in the norm, as in Caffe. A norm that is NaN changes nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientClipping {
    threshold: f64,
}

impl GradientClipping {
    /// Clipping to a norm of `threshold`.
    pub fn new(threshold: f64) -> Self {
        Self { threshold }
    }
}

impl Hook for GradientClipping {
    fn name(&self) -> &'static str {
        "GradientClipping"
    }

    fn before_update(&mut self, gradients: &mut Gradients<'_, '_>) {
        gradients.clip(self.threshold);
    }
}
