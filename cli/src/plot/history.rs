//! What happened in a run, by what it is drawn as.

use std::collections::HashSet;
use std::path::Path;

use train_core::run::{LayerOutput, Metric, RunFolder, read_metrics};

use crate::failure::Failure;

/// A run's metrics, sorted by kind, each in the order of time.
#[derive(Default)]
pub(crate) struct History {
    /// The run's name.
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) validations: Vec<Validated>,
    pub(crate) outputs: Vec<(u64, Vec<LayerOutput>)>,
    pub(crate) thawed: Vec<(u64, Vec<String>)>,
    pub(crate) resumed: Vec<u64>,
    /// Images that could not be used, as (name, what is wrong): each once, however often it was met.
    pub(crate) broken: Vec<(String, String)>,
}

/// A step, or the mean of some.
pub(crate) struct Step {
    pub(crate) iteration: u64,
    pub(crate) epoch: f64,
    pub(crate) loss: f64,
    pub(crate) accuracy: f64,
    pub(crate) rate: f64,
    pub(crate) images_per_second: f64,
}

/// The validation images, judged.
pub(crate) struct Validated {
    pub(crate) iteration: u64,
    pub(crate) epoch: f64,
    pub(crate) loss: f64,
    pub(crate) accuracy: f64,
    pub(crate) seconds: f64,
}

impl History {
    /// Reads the folder of a run, or a file of metrics alone.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let metrics = if path.is_dir() || !path.exists() {
            read_metrics(&RunFolder::open(path)?.metrics())?
        } else {
            read_metrics(path)?
        };
        Ok(Self::of(name(path), metrics))
    }

    fn of(name: String, metrics: Vec<Metric>) -> Self {
        let mut history = Self { name, ..Self::default() };
        let mut met = HashSet::new();
        for metric in metrics {
            match metric {
                Metric::Step { iteration, epoch, loss, accuracy, rate, images_per_second } => {
                    history.steps.push(Step { iteration, epoch, loss, accuracy, rate, images_per_second });
                }
                Metric::Validation { iteration, epoch, loss, accuracy, seconds, .. } => {
                    history.validations.push(Validated { iteration, epoch, loss, accuracy, seconds });
                }
                Metric::Outputs { iteration, layers } => history.outputs.push((iteration, layers)),
                Metric::Thawed { iteration, layers } => history.thawed.push((iteration, layers)),
                Metric::Resumed { iteration } => history.resumed.push(iteration),
                Metric::Broken { name, what } if met.insert(name.clone()) => {
                    history.broken.push((name, what));
                }
                // Snapshots, images that were met before, and what later versions may add.
                _ => {}
            }
        }
        history
    }

    /// How many steps were done.
    pub(crate) fn iterations(&self) -> u64 {
        let steps = self.steps.iter().map(|step| step.iteration);
        steps.chain(self.validations.iter().map(|check| check.iteration)).max().unwrap_or(0)
    }

    /// How many epochs, as far as that is known.
    pub(crate) fn epochs(&self) -> Option<f64> {
        self.moments().map(|(_, epoch)| epoch).reduce(f64::max)
    }

    /// Where an iteration is in the epochs: between those before and behind it whose epoch is known.
    pub(crate) fn epoch_at(&self, iteration: u64) -> f64 {
        let (mut before, mut behind) = ((0, 0.0), None);
        for (at, epoch) in self.moments() {
            if at <= iteration && at >= before.0 {
                before = (at, epoch);
            } else if at > iteration && behind.is_none_or(|(known, _)| at < known) {
                behind = Some((at, epoch));
            }
        }
        let (from, to) = match behind {
            Some(behind) => (before, behind),
            None => ((0, 0.0), before),
        };
        if to.0 == from.0 {
            return to.1;
        }
        from.1 + (to.1 - from.1) * (iteration as f64 - from.0 as f64) / (to.0 as f64 - from.0 as f64)
    }

    /// The validation with the highest accuracy, of equals the one with the lowest loss: what finetune keeps as the best.
    pub(crate) fn best(&self) -> Option<&Validated> {
        let known = self.validations.iter().filter(|check| check.accuracy.is_finite());
        known.reduce(|best, check| {
            let better = (check.accuracy, -check.loss) > (best.accuracy, -best.loss);
            if better { check } else { best }
        })
    }

    /// How long steps and validations took, in seconds, as far as the metrics tell it.
    pub(crate) fn seconds(&self, batch_size: u64) -> f64 {
        let mut last = 0;
        let mut seconds = 0.0;
        for step in &self.steps {
            let images = step.iteration.saturating_sub(last).saturating_mul(batch_size) as f64;
            last = step.iteration;
            if step.images_per_second > 0.0 {
                seconds += images / step.images_per_second;
            }
        }
        let checks = self.validations.iter().map(|check| check.seconds);
        seconds + checks.filter(|seconds| seconds.is_finite()).sum::<f64>()
    }

    /// The median of how many images a second went through.
    pub(crate) fn images_per_second(&self) -> Option<f64> {
        let rates = self.steps.iter().map(|step| step.images_per_second).filter(|rate| rate.is_finite());
        let mut rates = rates.collect::<Vec<_>>();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied()
    }

    /// Whether there is nothing to draw.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.validations.is_empty()
    }

    /// Iterations whose epoch is known.
    fn moments(&self) -> impl Iterator<Item = (u64, f64)> {
        let steps = self.steps.iter().map(|step| (step.iteration, step.epoch));
        let checks = self.validations.iter().map(|check| (check.iteration, check.epoch));
        steps.chain(checks).filter(|(_, epoch)| epoch.is_finite())
    }
}

/// What a run is called: its folder's or file's name.
fn name(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = if full.is_dir() { full.file_name() } else { full.file_stem() };
    name.unwrap_or(full.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(iteration: u64, epoch: f64) -> Metric {
        Metric::Step { iteration, epoch, loss: 1.0, accuracy: 0.5, rate: 0.1, images_per_second: 100.0 }
    }

    fn check(iteration: u64, accuracy: f64) -> Metric {
        let epoch = iteration as f64 / 10.0;
        Metric::Validation { iteration, epoch, loss: 1.0, accuracy, images: 9, seconds: 2.0 }
    }

    #[test]
    fn iterations_have_their_place_in_the_epochs() {
        let history = History::of("a".to_owned(), vec![step(10, 1.0), step(15, f64::NAN), step(20, 3.0)]);
        let epochs = [0, 5, 10, 15, 20, 40].map(|iteration| history.epoch_at(iteration));
        assert_eq!(epochs, [0.0, 0.5, 1.0, 2.0, 3.0, 6.0]);
        assert_eq!((history.iterations(), history.epochs()), (20, Some(3.0)));
        let unknown = History::of("a".to_owned(), vec![step(10, f64::NAN)]);
        assert_eq!((unknown.epochs(), unknown.epoch_at(5)), (None, 0.0));
    }

    #[test]
    fn the_first_of_the_best_and_all_of_the_time() {
        let metrics = vec![
            step(4, 0.4),
            check(5, f64::NAN),
            step(10, 1.0),
            check(10, 0.75),
            check(20, 0.5),
            check(30, 0.75),
        ];
        let history = History::of("a".to_owned(), metrics);
        assert_eq!(history.best().unwrap().iteration, 10);
        assert_eq!(history.seconds(50), 4.0 * 0.5 + 6.0 * 0.5 + 4.0 * 2.0);
        assert!(History::default().best().is_none());
    }

    #[test]
    fn a_broken_image_counts_once() {
        let broken = |name: &str| Metric::Broken { name: name.to_owned(), what: "empty".to_owned() };
        let history = History::of("a".to_owned(), vec![broken("x"), broken("y"), broken("x")]);
        assert_eq!(history.broken.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x", "y"]);
    }
}
