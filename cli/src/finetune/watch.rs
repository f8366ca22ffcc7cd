//! What is shown of a run: a bar on a terminal, a line an epoch.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use train_core::finetune::{Judgement, Observer, Stepping};

use crate::interrupt::Interrupt;
use crate::notes;
use crate::progress::Progress;

const BAR: &str = "{msg} {wide_bar} {pos}/{len} {eta}";
const HEADING: &str = "epoch    loss    right  val. loss  val. right  images/s";

/// Watches a run.
pub(super) struct Watch {
    interrupt: Interrupt,
    quiet: bool,
    json: bool,
    features: Option<Progress>,
    bar: Option<ProgressBar>,
    heading_is_due: bool,
    /// Images a second, over some steps.
    speed: f64,
    failed: Option<io::Error>,
}

impl Watch {
    pub(super) fn new(interrupt: Interrupt, quiet: bool, json: bool) -> Self {
        Self {
            interrupt,
            quiet,
            json,
            features: None,
            bar: None,
            heading_is_due: true,
            speed: 0.0,
            failed: None,
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(self) -> io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.failed.map_or(Ok(()), Err)
    }

    fn beside_bar(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Observer for Watch {
    fn note(&mut self, note: &str) {
        self.beside_bar(|| notes::print(&[note], self.quiet));
    }

    fn features(&mut self, done: u64, total: u64) {
        let quiet = self.quiet;
        let progress = self.features.get_or_insert_with(|| Progress::counting("computing features", quiet));
        progress.report(done, total);
        if done == total {
            self.features = None;
        }
    }

    fn stepped(&mut self, step: &Stepping) {
        const KEPT: f64 = 0.9;
        self.speed = if self.speed == 0.0 {
            step.images_per_second
        } else {
            KEPT * self.speed + (1.0 - KEPT) * step.images_per_second
        };
        if self.quiet {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(step.iterations), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template(BAR) {
                bar.set_style(style);
            }
            bar.set_position(step.iteration);
            bar.reset_eta();
            bar
        });
        bar.set_position(step.iteration);
        bar.set_message(format!(
            "loss {:.4}, {:.1}% right, {:.0} images/s",
            step.loss,
            100.0 * step.accuracy,
            self.speed
        ));
    }

    fn judged(&mut self, epoch: u64, step: &Stepping, judgement: &Judgement, is_best: bool) {
        if self.json || self.quiet {
            return;
        }
        let line = format!(
            "{epoch:>5}  {:>6.4}  {:>6.2}%  {:>9.4}  {:>9.2}%  {:>8.0}{}",
            step.loss,
            100.0 * step.accuracy,
            judgement.loss,
            100.0 * judgement.accuracy,
            self.speed,
            if is_best { "  best" } else { "" }
        );
        let heading = std::mem::take(&mut self.heading_is_due);
        let mut outcome = Ok(());
        self.beside_bar(|| {
            let mut out = io::stdout().lock();
            if heading {
                outcome = writeln!(out, "{HEADING}");
            }
            outcome = std::mem::replace(&mut outcome, Ok(())).and_then(|()| writeln!(out, "{line}"));
        });
        if let Err(error) = outcome {
            self.failed.get_or_insert(error);
        }
    }

    fn is_over(&mut self) -> bool {
        self.failed.is_some() || self.interrupt.is_wanted()
    }
}
