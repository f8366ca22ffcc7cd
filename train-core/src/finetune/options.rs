//! How a net is fine-tuned.

use super::Judgement;
use crate::features::FeatureCache;
use crate::hooks::Freeze;

/// How a net is fine-tuned.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many times all images are gone through.
    pub epochs: u64,
    /// Images a step.
    pub batch_size: usize,
    /// The rule, by a name that [`rule_by_name`](crate::optim::rule_by_name) knows.
    pub optimizer: String,
    /// Its learning rate; the rule's own, unless given.
    pub rate: Option<f64>,
    /// How much of each weight is added to its gradient.
    pub weight_decay: Option<f64>,
    /// The norm that gradients are scaled down to.
    pub clip: Option<f64>,
    /// What is frozen, and until when.
    pub freeze: Vec<Freeze>,
    /// Whether what frozen layers make is kept.
    pub cache: CacheMode,
    /// Where; in memory where there is no folder.
    pub cache_folder: Option<FeatureCache>,
    /// What all chance depends on.
    pub seed: u64,
    /// Whether a broken image is an error.
    pub strict: bool,
    /// Threads that read images, and that update parameters.
    pub threads: usize,
    /// How many steps there are at most between saved states; they are saved after every epoch, and every few minutes.
    pub snapshot_every: Option<u64>,
}

/// Whether what frozen layers make of each image is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// Where it can be, and saves time.
    #[default]
    Auto,
    /// It must be.
    On,
    /// Frozen layers run in every step.
    Off,
}

/// Who watches a run.
pub trait Observer {
    /// Something that should be known.
    fn note(&mut self, note: &str);

    /// So many pieces of images of all have gone through the frozen layers.
    fn features(&mut self, done: u64, total: u64);

    /// A step is done.
    fn stepped(&mut self, step: &Stepping);

    /// An epoch is done, and was judged.
    fn judged(&mut self, epoch: u64, step: &Stepping, judgement: &Judgement, is_best: bool);

    /// Whether the run shall save its state and end.
    fn is_over(&mut self) -> bool;
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stepping {
    /// Steps done.
    pub iteration: u64,
    /// Steps in all.
    pub iterations: u64,
    /// Epochs done, with a fraction.
    pub epoch: f64,
    /// The loss of the step; of an epoch, the mean.
    pub loss: f64,
    /// The part of its images that were classified right.
    pub accuracy: f64,
    /// Images a second.
    pub images_per_second: f64,
}
