//! What every rule of optimization has in common.

use std::fmt;

use kernels::UpdateRule;

use super::{Optimizer, ParamInfo};

/// The most arrays of a parameter's size that a rule may keep.
pub const MAX_STATE: usize = 3;

/// The state of a run of values: as many slices of their length as [`Rule::state`] names; the rest are empty.
pub type State<'a> = [&'a mut [f32]; MAX_STATE];

/// How one parameter follows its gradient: a pure function of values, gradient and state, which the caller keeps.
///
/// Each value depends on its own gradient and state only, so a parameter may be updated in pieces, from several threads,
/// and has the same bits afterwards.
pub trait Rule: fmt::Debug + Send + Sync {
    /// Chainer's name for it.
    fn name(&self) -> &'static str;

    /// The learning rate that it begins with.
    fn rate(&self) -> f64;

    /// The arrays that it keeps, in the order in which Caffe stores them.
    fn state(&self) -> &'static [StateArray];

    /// Moves `value`; all slices have the same length.
    fn update(&self, step: &Step, value: &mut [f32], grad: &[f32], state: State<'_>);

    /// What the kernels know it by, with the numbers of one step. Parameters in a device's memory are copied to main memory and
    /// back for a rule that they do not know.
    fn on_device(&self, step: &Step) -> Option<UpdateRule> {
        let _ = step;
        None
    }

    /// An optimizer of `params` by this rule, with clean state.
    fn setup(self, params: Vec<ParamInfo>) -> Optimizer
    where
        Self: Sized + 'static,
    {
        Optimizer::new(Box::new(self), params)
    }
}

/// One array of a rule's state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateArray {
    /// Chainer's name for it.
    pub name: &'static str,
    /// What it holds before the first update.
    pub initial: f32,
    /// Whether Chainer stores it with the other sign. Velocities are kept as Caffe has them: taken off the value.
    pub negated: bool,
}

impl StateArray {
    /// An array that begins with zeros.
    pub(crate) const fn zeros(name: &'static str) -> Self {
        Self { name, initial: 0.0, negated: false }
    }

    /// A velocity.
    pub(crate) const fn velocity(name: &'static str) -> Self {
        Self { name, initial: 0.0, negated: true }
    }
}

/// What one update of one parameter is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The learning rate, the parameter's `lr_mult` included.
    pub rate: f64,
    /// Which update of this parameter it is, from 1.
    pub t: u64,
    /// The parameter's `decay_mult`, for rules that decay values themselves.
    pub decay_mult: f64,
}
