//! Layer-wise rates (You et al. 2017).

use super::Hook;
use crate::optim::Gradients;

/// `g = (g + decay · W) · |W| / (eps + |g| + decay · |W|)`, parameter by parameter; where `|W|` is not above the threshold, only
/// the decay is added (Chainer's GradientLARS).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientLars {
    /// The norm of values below which the gradient keeps its size.
    pub threshold: f64,
    /// The weight decay.
    pub weight_decay: f64,
    /// Keeps the divisor from 0.
    pub eps: f64,
}

impl Default for GradientLars {
    fn default() -> Self {
        Self { threshold: 1e-2, weight_decay: 0.0, eps: 1e-9 }
    }
}

impl Hook for GradientLars {
    fn name(&self) -> &'static str {
        "GradientLARS"
    }

    fn before_update(&mut self, gradients: &mut Gradients<'_, '_>) {
        gradients.scale_by_norms(self.threshold, self.weight_decay, self.eps);
    }
}
