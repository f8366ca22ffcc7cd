//! What happens in a run: on the terminal in the words of Caffe's log, which tools that read those know, and as JSON lines.

use std::path::Path;
use std::time::Instant;

use caffe_proto::proto::SolverParameter;
use train_core::Error;
use train_core::run::{Metric, MetricsWriter};
use train_core::session::{Event, Output, Session, StepEvent, TestEvent};

use crate::failure::Failure;
use crate::progress::Progress;
use crate::table::printable;

/// Prints and records a run.
pub(crate) struct Log {
    metrics: Option<MetricsWriter>,
    progress: Progress,
    end: u64,
    quiet: bool,
    since: Instant,
    samples: usize,
    steps: u64,
}

impl Log {
    /// Of a run that goes on after `resumed` iterations, if it does.
    pub(crate) fn new(
        solver: &SolverParameter,
        metrics: Option<&Path>,
        resumed: Option<u64>,
        quiet: bool,
    ) -> Result<Self, Failure> {
        let metrics = match (metrics, resumed) {
            (Some(path), Some(iteration)) if path.is_file() => Some(MetricsWriter::resume(path, iteration)?),
            (Some(path), _) => Some(MetricsWriter::create(path)?),
            (None, _) => None,
        };
        Ok(Self {
            metrics,
            progress: Progress::counting("training", quiet),
            end: u64::try_from(solver.max_iter()).unwrap_or(0),
            quiet,
            since: Instant::now(),
            samples: 0,
            steps: 0,
        })
    }

    /// Says what is trained.
    pub(crate) fn begin(&self, session: &Session<'_>) {
        let trainer = session.trainer();
        let frozen = trainer.solver().optimizer().frozen_layers();
        let params = trainer.trainee().infos();
        let learning =
            params.iter().zip(trainer.solver().optimizer().frozen()).filter(|(_, frozen)| !**frozen);
        let values: usize = learning.clone().map(|(info, _)| info.shape.iter().product::<usize>()).sum();
        self.line(&format!(
            "training {} of {} parameters, {values} values, from iteration {} to {}",
            learning.count(),
            params.len(),
            trainer.iteration(),
            self.end
        ));
        if !frozen.is_empty() {
            self.line(&format!("frozen: {}", frozen.join(", ")));
        }
    }

    /// Something happened.
    pub(crate) fn tell(&mut self, event: &Event) -> Result<(), Error> {
        match event {
            Event::Step(step) => self.step(step),
            Event::Test(test) => self.test(test),
            Event::Snapshot(weights, state) => {
                self.line(&format!("Snapshotting to {}, {}", weights.display(), state.display()));
                Ok(())
            }
            Event::Broken(broken) => {
                self.line(&format!("not used: {}: {}", broken.name, broken.what));
                self.record(&Metric::Broken { name: broken.name.clone(), what: broken.what.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&mut self) {
        self.progress = Progress::counting("training", true);
    }

    fn step(&mut self, step: &StepEvent) -> Result<(), Error> {
        self.samples += step.samples;
        self.steps += 1;
        self.progress.report(step.iteration + u64::from(!step.last), self.end);
        if !step.display {
            return Ok(());
        }
        let seconds = self.since.elapsed().as_secs_f64();
        let rate = if step.last || seconds == 0.0 {
            String::new()
        } else {
            format!(
                " ({:.4} iter/s, {:.1} samples/s)",
                self.steps as f64 / seconds,
                self.samples as f64 / seconds
            )
        };
        self.line(&format!("Iteration {}{rate}, loss = {}", step.iteration, number(step.loss)));
        self.outputs("Train", &step.outputs);
        self.line(&format!("Iteration {}, lr = {}", step.iteration, step.rate));
        let accuracy = step.outputs.iter().find(|output| output.name.contains("accuracy"));
        let images_per_second = self.samples as f64 / seconds;
        (self.since, self.samples, self.steps) = (Instant::now(), 0, 0);
        if step.last {
            return Ok(());
        }
        self.record(&Metric::Step {
            iteration: step.iteration + 1,
            epoch: step.epoch,
            loss: step.loss,
            accuracy: accuracy.map_or(f64::NAN, |output| f64::from(output.value)),
            rate: f64::from(step.rate),
            images_per_second,
        })
    }

    fn test(&mut self, test: &TestEvent) -> Result<(), Error> {
        self.line(&format!("Iteration {}, Testing net (#{})", test.iteration, test.net));
        if let Some(loss) = test.loss {
            self.line(&format!("Test loss: {}", number(loss)));
        }
        self.outputs("Test", &test.outputs);
        self.since = Instant::now();
        (self.samples, self.steps) = (0, 0);
        let accuracy = test.outputs.iter().find(|output| output.name.contains("accuracy"));
        let losses = test.outputs.iter().filter(|output| output.loss_weight != 0.0);
        let loss: f64 = losses.map(|output| f64::from(output.value * output.loss_weight)).sum();
        if test.net > 0 {
            return Ok(());
        }
        self.record(&Metric::Validation {
            iteration: test.iteration,
            epoch: test.epoch,
            loss,
            accuracy: accuracy.map_or(f64::NAN, |output| f64::from(output.value)),
            images: 0,
            seconds: f64::NAN,
        })
    }

    fn outputs(&self, kind: &str, outputs: &[Output]) {
        for (at, Output { name, value, loss_weight }) in outputs.iter().enumerate() {
            let loss = if *loss_weight == 0.0 {
                String::new()
            } else {
                format!(" (* {loss_weight} = {} loss)", number(f64::from(value * loss_weight)))
            };
            self.line(&format!("    {kind} net output #{at}: {name} = {}{loss}", number(f64::from(*value))));
        }
    }

    fn record(&mut self, metric: &Metric) -> Result<(), Error> {
        match &mut self.metrics {
            Some(writer) => Ok(writer.write(metric)?),
            None => Ok(()),
        }
    }

    fn line(&self, text: &str) {
        if !self.quiet {
            self.progress.suspend(|| println!("{}", printable(text)));
        }
    }
}

/// Six digits, as C++ prints them.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let exponent = magnitude.log10().floor() as i32;
    if (-5..6).contains(&exponent) {
        let digits = usize::try_from(5 - exponent).unwrap_or(0);
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{value:e}")
    }
}
