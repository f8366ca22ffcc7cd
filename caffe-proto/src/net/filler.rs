//! How a new parameter gets its first values.

use crate::proto::{FillerParameter, filler_parameter};

/// A filler with its numbers; what it needs of a shape is told by [`Filler::check`].
#[derive(Clone, Debug, PartialEq)]
pub enum Filler {
    /// One value everywhere.
    Constant(f32),
    /// Evenly drawn.
    Uniform {
        /// The least.
        min: f32,
        /// The greatest.
        max: f32,
    },
    /// Normally drawn.
    Gaussian {
        /// The mean.
        mean: f32,
        /// The standard deviation.
        std: f32,
        /// How many inputs of an output are not zero, on average; `None` for all.
        sparse: Option<usize>,
    },
    /// Positive, each output's summing to one.
    PositiveUnitball,
    /// Evenly drawn within ±√(3/n).
    Xavier(Fan),
    /// Normally drawn with variance 2/n.
    Msra(Fan),
    /// The kernel of bilinear enlarging; square, 4 axes.
    Bilinear,
    /// A fork's: only who must fill a parameter needs to know it.
    Other(String),
}

/// What n is in the fillers that go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// Inputs of an output: count / axis 0.
    In,
    /// Outputs of an input: count / axis 1.
    Out,
    /// The mean of both.
    Average,
}

impl Filler {
    /// Whether Caffe could fill a blob of `shape`, or the rule that is broken.
    pub fn check(&self, shape: &[usize]) -> Result<(), String> {
        let fault = match self {
            Self::Other(_) => return Ok(()),
            _ if shape.contains(&0) => "there is nothing to fill".to_owned(),
            Self::Uniform { min, max } if min > max || min.is_nan() || max.is_nan() => {
                format!("`min` {min} is above `max` {max}")
            }
            Self::Gaussian { std, .. } if *std <= 0.0 || std.is_nan() => {
                format!("`std` is {std} and must be above 0")
            }
            Self::Gaussian { sparse: Some(_), .. } | Self::Xavier(_) | Self::Msra(_) if shape.is_empty() => {
                "it needs one axis or more".to_owned()
            }
            Self::PositiveUnitball if shape.len() > 4 => "it takes 4 axes at most".to_owned(),
            Self::Bilinear if shape.len() != 4 || shape[2] != shape[3] => {
                "bilinear kernels have 4 axes and are square".to_owned()
            }
            _ => return Ok(()),
        };
        Err(format!("the filler {self:?} cannot fill a blob of shape {}: {fault}", super::shape::text(shape)))
    }

    /// Caffe's default: zeros.
    pub(super) fn zero() -> Self {
        Self::Constant(0.0)
    }

    /// The filler that `given` describes, `default` where there is none.
    pub(super) fn resolve(given: Option<&FillerParameter>, default: Self) -> Result<Self, String> {
        let Some(given) = given else { return Ok(default) };
        let fan = || match given.variance_norm() {
            filler_parameter::VarianceNorm::FanIn => Fan::In,
            filler_parameter::VarianceNorm::FanOut => Fan::Out,
            filler_parameter::VarianceNorm::Average => Fan::Average,
        };
        let kind = given.r#type();
        let sparse = given.sparse();
        if sparse != -1 && (kind != "gaussian" || sparse < -1) {
            return Err(format!(
                "the filler `{kind}` has `sparse: {sparse}`; only `gaussian` takes it, 0 or more"
            ));
        }
        Ok(match kind {
            "constant" => Self::Constant(given.value()),
            "uniform" => Self::Uniform { min: given.min(), max: given.max() },
            "gaussian" => {
                Self::Gaussian { mean: given.mean(), std: given.std(), sparse: usize::try_from(sparse).ok() }
            }
            "positive_unitball" => Self::PositiveUnitball,
            "xavier" => Self::Xavier(fan()),
            "msra" => Self::Msra(fan()),
            "bilinear" => Self::Bilinear,
            other => Self::Other(other.to_owned()),
        })
    }
}
