//! A step at one go: a pass forward, one back, and the update that follows, which a device does or leaves undone by itself.

use kernels::{LossTerm, clock};

use super::{Trainee, param_buffers};
use crate::error::Result;
use crate::optim::ParamBuffers;

/// Launches an update of the parameters, unless the losses are no numbers.
pub(in crate::training) type Update<'u> =
    &'u mut dyn FnMut(&mut [ParamBuffers<'_>], &[LossTerm<'_>]) -> Result<()>;

impl Trainee<'_> {
    /// A forward pass, a backward pass from cleared gradients, and `update`: launched one by one, or replayed as one recording as
    /// long as `layout`, which tells updates apart, stays the same. The loss can be read afterwards.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer), the update's, the device's.
    pub(in crate::training) fn step_at_once(&mut self, layout: u64, update: Update<'_>) -> Result<()> {
        self.backend.write(&mut self.clock, 0, &clock(self.passes))?;
        let mut replay = std::mem::take(&mut self.step);
        replay.depend_on(layout);
        let outcome = self.run(&mut replay, |trainee| {
            trainee.clear_gradients();
            trainee.pass_forward()?;
            trainee.pass_back()?;
            trainee.update(update)
        });
        self.step = replay;
        self.passes += 1;
        // As the passes and the update leave them.
        if outcome.is_ok() {
            self.cleared.fill(false);
        }
        self.count_changes();
        outcome
    }

    /// The update alone, after passes.
    pub(in crate::training) fn update(&mut self, update: Update<'_>) -> Result<()> {
        self.count_changes();
        let (blobs, params) = self.buffers.split_at_mut(self.first_param);
        let losses = self.losses.iter().filter_map(|&(value, weight)| {
            let values = blobs.get(self.plan.storage(value))?.as_ref()?;
            Some(LossTerm { values, len: self.shapes[value].iter().product(), weight })
        });
        let losses: Vec<_> = losses.collect();
        update(&mut param_buffers(params, &mut self.diffs[self.first_param..]), &losses)
    }

    /// Counts a step of this layout whose parts were done apart.
    pub(in crate::training) fn count_step(&mut self, layout: u64) {
        self.step.depend_on(layout);
        self.step.count_run();
    }

    /// Whether [`step_at_once`](Self::step_at_once) could not be recorded.
    pub(in crate::training) fn is_step_refused(&self) -> bool {
        self.step.is_refused()
    }

    /// Whether it is replayed.
    pub(in crate::training) fn is_step_recorded(&self) -> bool {
        self.step.is_recorded()
    }

    /// How many floats the buffers of each parameter's values and gradient hold.
    pub(in crate::training) fn param_lens(&mut self) -> Vec<(usize, Option<usize>)> {
        let params = self.params_as_they_are();
        params.iter().map(|param| (param.value.len(), param.grad.as_ref().map(|grad| grad.len()))).collect()
    }

    /// The parameters with whatever their gradients' memory holds.
    pub(in crate::training) fn params_as_they_are(&mut self) -> Vec<ParamBuffers<'_>> {
        let first = self.first_param;
        param_buffers(&mut self.buffers[first..], &mut self.diffs[first..])
    }

    /// Copies the values of a parameter.
    pub(in crate::training) fn read_param(&self, place: usize, values: &mut [f32]) -> Result<()> {
        self.read(self.first_param + place, values)
    }

    /// Copies the gradient of a parameter after a backward pass, where it has one.
    pub(in crate::training) fn read_gradient(&self, place: usize, values: &mut [f32]) -> Result<()> {
        match &self.diffs[self.first_param + place] {
            Some(gradient) => Ok(self.backend.read(gradient, 0, values)?),
            None => Ok(()),
        }
    }
}
