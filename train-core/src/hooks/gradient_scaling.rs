//! A factor of all gradients.

use super::Hook;
use crate::optim::Gradients;

/// `g *= factor`: Caffe's division by `iter_size`, or the reverse of a scaled loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientScaling {
    factor: f32,
}

impl GradientScaling {
    /// Gradients times `factor`.
    pub fn new(factor: f32) -> Self {
        Self { factor }
    }
}

impl Hook for GradientScaling {
    fn name(&self) -> &'static str {
        "GradientScaling"
    }

    fn before_update(&mut self, gradients: &mut Gradients<'_, '_>) {
        for index in gradients.indices() {
            gradients.scale(index, self.factor);
        }
    }
}
