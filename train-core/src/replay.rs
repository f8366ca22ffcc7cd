//! Work that is the same in every step: recorded once, and done at one go from there on.

use kernels::{Backend, Recording};

use crate::error::Result;

/// Runs before a recording is tried, of which the first allocates what is missing.
const FIRST_RUNS: u32 = 1;

/// Tries: a first may meet a kernel that was never used before.
const TRIES: u32 = 2;

/// Work that was recorded, or will be, or cannot be.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    recording: Option<Recording>,
    runs: u32,
    refusals: u32,
    /// What it depends on.
    key: u64,
}

/// What the work is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// To be done.
    Once,
    /// To be recorded: what later runs might need is to be in it.
    Recording,
    /// To be done after all: what the run before it left to the device was not done.
    AfterRefusal,
}

impl Replay {
    /// Begins anew, because something is not as it was.
    pub(crate) fn forget(&mut self) {
        *self = Self { key: self.key, ..Self::default() };
    }

    /// Begins anew if `key` is not that of before.
    pub(crate) fn depend_on(&mut self, key: u64) {
        if self.key != key {
            *self = Self { key, ..Self::default() };
        }
    }

    /// Counts a run that was done without it.
    pub(crate) fn count_run(&mut self) {
        self.runs = self.runs.saturating_add(1);
    }

    /// Whether it was tried as often as it may be, and could not be recorded.
    pub(crate) fn is_refused(&self) -> bool {
        self.refusals >= TRIES
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.recording.is_some()
    }

    /// Does the work: as `work` gives it to the backend, or as it was recorded.
    ///
    /// # Errors
    /// Those of `work`, and the device's.
    pub(crate) fn run(
        &mut self,
        backend: &dyn Backend,
        work: &mut dyn FnMut(Run) -> Result<()>,
    ) -> Result<()> {
        if let Some(recording) = &self.recording {
            return Ok(backend.replay(recording)?);
        }
        if self.runs < FIRST_RUNS || self.is_refused() {
            self.count_run();
            return work(Run::Once);
        }
        let mut outcome = None;
        match (backend.record(&mut || outcome = Some(work(Run::Recording))), outcome) {
            (Ok(recording), Some(Ok(()))) => {
                backend.replay(&recording)?;
                self.recording = Some(recording);
                Ok(())
            }
            // A backend that records nothing.
            (_, None) => {
                self.refusals = TRIES;
                work(Run::Once)
            }
            // If it was an error of the work's own, it comes again.
            _ => {
                self.refusals += 1;
                work(Run::AfterRefusal)
            }
        }
    }
}
