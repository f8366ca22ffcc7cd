//! A bar for what takes longer than half a second, on a terminal only.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter work shows nothing: a bar that flashes by only disturbs.
const PATIENCE: Duration = Duration::from_millis(500);

/// Bytes done of a total.
pub(crate) struct Progress {
    bar: ProgressBar,
    begun: Instant,
    what: &'static str,
    quiet: bool,
}

impl Progress {
    /// Work called `what` begins.
    pub(crate) fn new(what: &'static str, quiet: bool) -> Self {
        Self { bar: ProgressBar::hidden(), begun: Instant::now(), what, quiet }
    }

    /// So many bytes of `total` are done.
    pub(crate) fn report(&mut self, done: u64, total: u64) {
        if self.bar.is_hidden() && !self.quiet && self.begun.elapsed() >= PATIENCE {
            self.bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            if let Ok(style) =
                ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
            {
                self.bar.set_style(style);
            }
            self.bar.set_message(self.what);
            self.quiet = self.bar.is_hidden();
        }
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
