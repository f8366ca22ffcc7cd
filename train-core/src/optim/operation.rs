//! What hooks do to gradients.

use kernels::{GradientChange, GradientStep};

use super::change::Change;

/// One thing that is done to the gradients of one parameter or several, counted as the optimizer's.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operation {
    /// A change of one parameter's.
    Change(usize, Change),
    /// `g *= threshold / |G|` where the L2 norm `|G|` of all of them is above the threshold.
    Clip { params: Vec<usize>, threshold: f64 },
    /// `g = (g + decay · W) · |W| / (eps + |g| + decay · |W|)`, parameter by parameter; only the decay where `|W|` is not above
    /// the threshold.
    Lars { params: Vec<usize>, threshold: f64, decay: f64, eps: f64 },
}

impl Operation {
    /// The same for the kernels; `place` is where among their tensors a parameter is.
    pub(super) fn on_device(&self, place: impl Fn(usize) -> usize) -> GradientStep {
        let tensors = |params: &[usize]| params.iter().map(|&param| place(param)).collect();
        match *self {
            Self::Change(param, change) => GradientStep::Change(place(param), change.into()),
            Self::Clip { ref params, threshold } => {
                GradientStep::Clip { tensors: tensors(params), threshold }
            }
            Self::Lars { ref params, threshold, decay, eps } => {
                GradientStep::Lars { tensors: tensors(params), threshold, decay, eps }
            }
        }
    }
}

impl From<Change> for GradientChange {
    fn from(change: Change) -> Self {
        match change {
            Change::Scale(factor) => Self::Scale(factor),
            Change::AddValue(rate) => Self::AddValue(rate),
            Change::AddSign(rate) => Self::AddSign(rate),
            Change::Clamp(lower, upper) => Self::Clamp(lower, upper),
            Change::Add(noise) => Self::AddNoise(noise.on_device()),
        }
    }
}
