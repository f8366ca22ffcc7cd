//! Forward and backward passes: given to the backend step by step, or replayed from what was recorded of one.

use kernels::clock;

use super::{At, Trainee};
use crate::error::Result;
use crate::layers::Flow;
use crate::replay::{Replay, Run};

impl Trainee<'_> {
    /// Runs the net once.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) for values that a layer cannot work on, such as a label that names no class.
    pub fn forward(&mut self) -> Result<()> {
        self.backend.write(&mut self.clock, 0, &clock(self.passes))?;
        let mut replay = std::mem::take(&mut self.forward);
        let outcome = self.run(&mut replay, Self::pass_forward);
        self.forward = replay;
        self.passes += 1;
        outcome
    }

    /// Computes the gradients of the last forward pass. Those of parameters are added to what there is.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer).
    pub fn backward(&mut self) -> Result<()> {
        let of_params = &self.cleared[self.first_param..];
        let is_cleared = of_params.iter().all(|&cleared| cleared);
        let is_mixed = !is_cleared && of_params.contains(&true);
        // What a forward pass that goes by numbers in main memory leaves there, a backward pass may go by.
        if is_mixed || !self.forward.is_recorded() {
            self.backward[usize::from(is_cleared)].count_run();
            return self.pass_back();
        }
        let mut replay = std::mem::take(&mut self.backward[usize::from(is_cleared)]);
        let outcome = self.run(&mut replay, |trainee| {
            trainee.cleared[trainee.first_param..].fill(is_cleared);
            trainee.pass_back()
        });
        self.backward[usize::from(is_cleared)] = replay;
        // As a pass leaves them.
        self.cleared.fill(false);
        outcome
    }

    /// Whether what is launched on a device is recorded, where that can be.
    pub(in crate::training) fn records(&self) -> bool {
        !self.unrecorded
    }

    /// Whether a step's passes are replayed from recordings, on a device: from one each, or from that of a whole step.
    pub fn is_recorded(&self) -> bool {
        let is_apart = self.forward.is_recorded() && self.backward.iter().any(Replay::is_recorded);
        is_apart || self.step.is_recorded()
    }

    /// A pass forward, and one back unless the first has left the numbers; gives the loss.
    ///
    /// # Errors
    /// [`Error::Diverged`](crate::Error::Diverged) with this count of iterations; those of the passes.
    pub(in crate::training) fn pass(&mut self, iteration: u64) -> Result<f64> {
        self.forward()?;
        let loss = self.finite_loss(iteration)?;
        self.backward()?;
        Ok(loss)
    }

    /// The loss of the last forward pass, which must be a number.
    pub(in crate::training) fn finite_loss(&self, iteration: u64) -> Result<f64> {
        let loss = self.loss()?;
        if loss.is_finite() { Ok(loss) } else { Err(self.diverged(iteration)?) }
    }

    /// Does a pass, or replays it.
    pub(super) fn run(
        &mut self,
        replay: &mut Replay,
        mut pass: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        if self.unrecorded {
            return pass(self);
        }
        replay.run(self.backend, &mut |run| {
            match run {
                Run::Once => {}
                // What layers make of what learns is in the recording.
                Run::Recording => self.count_changes(),
                // Nothing of what layers have noted as made is.
                Run::AfterRefusal => self.versions.iter_mut().for_each(|version| *version += 1),
            }
            pass(self)
        })
    }

    pub(super) fn pass_forward(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        let backend = self.backend;
        backend.enter(&mut || {
            let nothing = Flow::default();
            outcome = (0..self.operations.len()).try_for_each(|at| {
                let (operations, frame) = self.frame(At::Step(at), &nothing);
                operations[at].run(frame)
            });
        });
        outcome
    }

    pub(super) fn pass_back(&mut self) -> Result<()> {
        for &(value, weight) in &self.losses {
            let (storage, len) = (self.plan.storage(value), self.plan.values[value].capacity);
            if let Some(gradient) = &mut self.diffs[self.places[storage]] {
                self.backend.fill(gradient, len, weight)?;
            }
        }
        let mut outcome = Ok(());
        let backend = self.backend;
        let flows = std::mem::take(&mut self.flows);
        backend.enter(&mut || {
            let reached = (0..self.operations.len()).rev().filter(|&at| flows.reaches(at));
            outcome = { reached }.try_for_each(|at| {
                let (operations, frame) = self.frame(At::Step(at), &flows.steps[at]);
                operations[at].differentiate(frame)
            });
        });
        self.flows = flows;
        outcome?;
        // What no gradient reached.
        for (gradient, cleared) in self.diffs.iter_mut().zip(&mut self.cleared) {
            if let (true, Some(gradient)) = (std::mem::take(cleared), gradient) {
                self.backend.fill(gradient, gradient.len(), 0.0)?;
            }
        }
        Ok(())
    }

    /// Passes are done as they come until they are recorded anew.
    pub(super) fn forget_recordings(&mut self) {
        self.forward.forget();
        self.backward.iter_mut().for_each(Replay::forget);
        self.step.forget();
    }
}
