//! How parameters follow their gradients.
//!
//! | | |
//! | --- | --- |
//! | a rule for one parameter, Caffe's or Chainer's | [`Rule`], and one struct a rule; [`rule_by_name`] |
//! | rules for a net's parameters, hooks, what is frozen | [`Optimizer`] |
//! | the learning rate over the iterations | [`LrPolicy`] |
//! | all of it from a `solver.prototxt` | [`Solver`] |
//!
//! Caffe's six solvers are rules of Chainer: SGD is [`MomentumSgd`], RMSProp [`RmsProp`], the rest have their names. Where
//! the two programs differ, both are there: [`NesterovForm`]; clipping and decay in the order in which hooks are added, which
//! [`Solver`] makes Caffe's.

mod ada_delta;
mod ada_grad;
mod adam;
mod change;
mod corrected_momentum_sgd;
mod error;
mod gradients;
mod lr_policy;
mod momentum_sgd;
mod msvag;
mod names;
mod nesterov_ag;
mod on_device;
mod operation;
mod optimizer;
mod param;
mod param_state;
mod place;
mod rms_prop;
mod rms_prop_graves;
mod rule;
mod sgd;
mod smorms3;
mod solver;
mod state;
mod work;

pub use ada_delta::AdaDelta;
pub use ada_grad::AdaGrad;
pub use adam::{Adam, Bounds};
pub use corrected_momentum_sgd::CorrectedMomentumSgd;
pub use error::Error;
pub use gradients::Gradients;
pub use lr_policy::LrPolicy;
pub use momentum_sgd::MomentumSgd;
pub use msvag::Msvag;
pub use names::{NAMES, rule_by_name};
pub use nesterov_ag::{NesterovAg, NesterovForm};
pub use optimizer::Optimizer;
pub use param::{ParamBuffers, ParamInfo, ParamView};
pub(crate) use place::Source;
pub use rms_prop::RmsProp;
pub use rms_prop_graves::RmsPropGraves;
pub use rule::{MAX_STATE, Rule, State, StateArray, Step};
pub use sgd::Sgd;
pub use smorms3::Smorms3;
pub use solver::Solver;
pub(crate) use state::{number, read_number};
