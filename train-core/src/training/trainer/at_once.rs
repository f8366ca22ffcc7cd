//! An iteration of one pass on a device: hooks and numbers first, then all launches together, and the loss last.

use super::Trainer;
use crate::Trainee;
use crate::error::{Error, Result};
use crate::optim::{Optimizer, Source};

impl<'b> Trainer<'b> {
    /// Whether iterations are done so: not where gradients of several passes are summed up, where nothing is recorded, or where
    /// hooks go by numbers that passes must come to first.
    pub(super) fn goes_at_once(&mut self) -> bool {
        let backend = self.trainee.backend();
        self.solver.iter_size() == 1
            && self.trainee.records()
            && !self.asks
            && self.solver.optimizer_mut().is_updated_on(backend)
    }

    /// A pass with the inputs that are there, and the update; gives the loss, and calls `meanwhile` before it waits for that. What counts is
    /// whether the device says that it has made the update. If so, the iteration is counted, even where an error is given; if
    /// not, there is an error, and nothing is counted but the pass.
    ///
    /// # Errors
    /// [`Error::Diverged`], [`Error::Layer`], [`Error::NotUpdated`], the device's.
    pub(super) fn step_at_once(&mut self, meanwhile: &mut dyn FnMut(&mut Trainee<'b>)) -> Result<f64> {
        let rate = self.solver.optimizer().rate();
        let reached = self.solver.set_rate();
        let made = self.pass_and_update(meanwhile);
        let optimizer = self.solver.optimizer_mut();
        match made {
            Ok(loss) => {
                optimizer.finish_update();
                self.solver.set_current_step(reached);
                loss
            }
            Err(error) => {
                optimizer.take_back();
                optimizer.set_rate(rate);
                Err(error)
            }
        }
    }

    /// Of an update that was made, the loss, or why there is none.
    ///
    /// # Errors
    /// Why no update was made.
    fn pass_and_update(&mut self, meanwhile: &mut dyn FnMut(&mut Trainee<'b>)) -> Result<Result<f64>> {
        let (backend, iteration) = (self.trainee.backend(), self.iteration());
        let lens = self.trainee.param_lens();
        let mut passes = Passes { trainee: &mut self.trainee, iteration, outcome: None };
        let optimizer = self.solver.optimizer_mut();
        let asked = optimizer.ask_hooks(backend, &lens, &mut passes)?;
        let loss = passes.outcome.transpose()?;
        self.asks |= asked.for_numbers();
        if !optimizer.write_update(backend, &mut self.trainee.params_as_they_are(), asked)? {
            let Some(loss) = loss else {
                unreachable!("a rule that no kernel knows has asked for numbers, and so for a pass")
            };
            meanwhile(&mut self.trainee);
            return Ok(Ok(loss));
        }
        let layout = optimizer.layout();
        if loss.is_none() && layout == self.layout && !self.trainee.is_step_refused() {
            self.trainee.step_at_once(layout, &mut |params, losses| {
                Ok(optimizer.launch_update(params, Some(losses))?)
            })?;
            meanwhile(&mut self.trainee);
            return if_made(optimizer, iteration, self.trainee.finite_loss(iteration));
        }
        // Launches that are not those of the step before: what was recorded of passes serves, and of a whole step does not.
        self.layout = layout;
        let loss = match loss {
            Some(loss) => loss,
            None => self.trainee.pass(iteration)?,
        };
        self.update.depend_on(layout);
        let trainee = &mut self.trainee;
        self.update.run(backend, &mut |_| {
            trainee.update(&mut |params, losses| Ok(optimizer.launch_update(params, Some(losses))?))
        })?;
        trainee.count_step(layout);
        meanwhile(trainee);
        if_made(optimizer, iteration, Ok(loss))
    }
}

/// The loss, or why there is none, if the device has made the update. What has kept it from that may have been told to somebody
/// else, as whoever waits for the device first is told; and what it tells may have been met since.
fn if_made(optimizer: &Optimizer, iteration: u64, loss: Result<f64>) -> Result<Result<f64>> {
    match (optimizer.is_update_made(), loss) {
        (Ok(true), loss) => Ok(loss),
        (_, Err(error)) => Err(error),
        (Ok(false), Ok(_)) => Err(Error::NotUpdated { iteration }),
        (Err(error), Ok(_)) => Err(error.into()),
    }
}

/// An iteration's passes, done when somebody asks for what they come to.
struct Passes<'t, 'b> {
    trainee: &'t mut Trainee<'b>,
    iteration: u64,
    /// The loss, once they are done.
    outcome: Option<Result<f64>>,
}

impl Passes<'_, '_> {
    fn read(&mut self, read: impl FnOnce(&Trainee<'_>) -> Result<()>) {
        let trainee = &mut *self.trainee;
        let outcome = self.outcome.get_or_insert_with(|| trainee.pass(self.iteration));
        if outcome.is_ok()
            && let Err(error) = read(trainee)
        {
            *outcome = Err(error);
        }
    }
}

impl Source for Passes<'_, '_> {
    fn value(&mut self, index: usize, values: &mut [f32]) {
        self.read(|trainee| trainee.read_param(index, values));
    }

    fn gradient(&mut self, index: usize, values: &mut [f32]) {
        self.read(|trainee| trainee.read_gradient(index, values));
    }
}
