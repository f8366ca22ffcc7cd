//! What happens around an update: freezing, decay, clipping.
//!
//! Hooks on an [`Optimizer`](crate::optim::Optimizer) act in the order in which they were added, each on all parameters
//! that are not frozen, so decay before clipping and clipping before decay are both to be had; hooks on single parameters
//! act after all of them. That is Chainer's order. Frozen parameters are seen by no hook: they do not decay, and do not
//! count in the norm that clipping goes by.

mod error;
mod freeze;
mod gradient_clipping;
mod gradient_hard_clipping;
mod gradient_lars;
mod gradient_noise;
mod gradient_scaling;
mod hook;
mod lasso;
mod near;
mod pattern;
mod schedule;
mod weight_decay;

pub use error::{Error, Near};
pub use freeze::Freeze;
pub use gradient_clipping::GradientClipping;
pub use gradient_hard_clipping::GradientHardClipping;
pub use gradient_lars::GradientLars;
pub use gradient_noise::{GradientNoise, Noise};
pub use gradient_scaling::GradientScaling;
pub use hook::{Hook, Moment, Trainable};
pub use lasso::Lasso;
pub use pattern::Pattern;
pub use schedule::Until;
pub use weight_decay::WeightDecay;

pub(crate) use near::near;
