//! A bar for what takes longer than half a second, on a terminal only.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter work shows nothing: a bar that flashes by only disturbs.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a bar shows of bytes.
const BYTES: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// And of other things.
const COUNT: &str = "{msg} {wide_bar} {pos}/{len} {per_sec} {eta}";

/// Bytes, or other things, done of a total.
pub(crate) struct Progress {
    bar: ProgressBar,
    begun: Instant,
    what: &'static str,
    template: &'static str,
    quiet: bool,
}

impl Progress {
    /// Work called `what` begins.
    pub(crate) fn new(what: &'static str, quiet: bool) -> Self {
        Self::with(BYTES, what, quiet)
    }

    /// The same of things that are counted.
    pub(crate) fn counting(what: &'static str, quiet: bool) -> Self {
        Self::with(COUNT, what, quiet)
    }

    /// So many of `total` are done.
    pub(crate) fn report(&mut self, done: u64, total: u64) {
        if self.bar.is_hidden() && !self.quiet && self.begun.elapsed() >= PATIENCE {
            self.bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template(self.template) {
                self.bar.set_style(style);
            }
            self.bar.set_message(self.what);
            self.quiet = self.bar.is_hidden();
        }
        self.bar.set_position(done);
    }

    /// Prints something beside the bar.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    fn with(template: &'static str, what: &'static str, quiet: bool) -> Self {
        Self { bar: ProgressBar::hidden(), begun: Instant::now(), what, template, quiet }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
