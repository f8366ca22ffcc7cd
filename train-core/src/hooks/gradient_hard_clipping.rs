//! Bounds on each gradient.

use super::Hook;
use crate::optim::Gradients;

/// `g` is kept between both bounds, value by value (Chainer's GradientHardClipping).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientHardClipping {
    lower: f32,
    upper: f32,
}

impl GradientHardClipping {
    /// Gradients of at least `lower` and at most `upper`.
    pub fn new(lower: f32, upper: f32) -> Self {
        Self { lower, upper }
    }
}

impl Hook for GradientHardClipping {
    fn name(&self) -> &'static str {
        "GradientHardClipping"
    }

    fn before_update(&mut self, gradients: &mut Gradients<'_, '_>) {
        for index in gradients.indices() {
            gradients.clamp(index, self.lower, self.upper);
        }
    }
}
