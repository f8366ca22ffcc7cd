//! The points at which a hook may act.

use std::fmt;

use super::Error;
use crate::optim::{Gradients, ParamInfo};

/// Something that acts on the plan, before updates, or after iterations. Every method does nothing of itself.
pub trait Hook: fmt::Debug + Send {
    /// Its name, for messages.
    fn name(&self) -> &'static str;

    /// Called once, with all parameters that the hook is to be on.
    ///
    /// # Errors
    /// When it has no meaning for them.
    fn check(&self, params: &[ParamInfo]) -> Result<(), Error> {
        let _ = params;
        Ok(())
    }

    /// Says what is frozen at a moment. Called whenever an iteration or an epoch has been counted.
    fn plan(&self, moment: Moment, trainable: &mut Trainable<'_>) {
        let _ = (moment, trainable);
    }

    /// Whether [`plan`](Self::plan) may say something else at a later moment.
    fn changes_after(&self, moment: Moment) -> bool {
        let _ = moment;
        false
    }

    /// Changes gradients before they are followed. On a device it may be called before the passes are done, which asking for numbers does;
    /// should they fail, there is no update.
    fn before_update(&mut self, gradients: &mut Gradients<'_, '_>) {
        let _ = gradients;
    }

    /// Called when an iteration has been counted.
    fn after_iteration(&mut self, moment: Moment) {
        let _ = moment;
    }

    /// The seed of what it draws, which snapshots keep.
    fn seed(&self) -> Option<u64> {
        None
    }

    /// Draws as a hook with this seed.
    fn set_seed(&mut self, seed: u64) {
        let _ = seed;
    }
}

impl<H: Hook + ?Sized> Hook for Box<H> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn check(&self, params: &[ParamInfo]) -> Result<(), Error> {
        (**self).check(params)
    }

    fn plan(&self, moment: Moment, trainable: &mut Trainable<'_>) {
        (**self).plan(moment, trainable);
    }

    fn changes_after(&self, moment: Moment) -> bool {
        (**self).changes_after(moment)
    }

    fn before_update(&mut self, gradients: &mut Gradients<'_, '_>) {
        (**self).before_update(gradients);
    }

    fn after_iteration(&mut self, moment: Moment) {
        (**self).after_iteration(moment);
    }

    fn seed(&self) -> Option<u64> {
        (**self).seed()
    }

    fn set_seed(&mut self, seed: u64) {
        (**self).set_seed(seed);
    }
}

/// How far training has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Moment {
    /// Epochs done.
    pub epoch: u64,
    /// Iterations done.
    pub iteration: u64,
}

/// Which parameters are trained, and which hooks have frozen.
#[derive(Debug)]
pub struct Trainable<'a> {
    params: &'a [ParamInfo],
    frozen: Vec<bool>,
}

impl<'a> Trainable<'a> {
    pub(crate) fn new(params: &'a [ParamInfo]) -> Self {
        Self { params, frozen: vec![false; params.len()] }
    }

    /// All parameters.
    pub fn params(&self) -> &'a [ParamInfo] {
        self.params
    }

    /// Whether a parameter, by index, is frozen so far.
    pub fn is_frozen(&self, index: usize) -> bool {
        self.frozen[index]
    }

    /// Freezes a parameter, by index.
    pub fn freeze(&mut self, index: usize) {
        self.frozen[index] = true;
    }

    pub(crate) fn into_frozen(self) -> Vec<bool> {
        self.frozen
    }
}
