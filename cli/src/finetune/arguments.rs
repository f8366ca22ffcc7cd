//! What `rebrew finetune` is told.

use std::num::NonZero;
use std::path::PathBuf;

use clap::ValueEnum;
use train_core::finetune::CacheMode;
use train_core::hooks::{Freeze, Until};
use train_core::surgery::Replacement;

use crate::device;
use crate::failure::Failure;

/// Train a net on images of your own, from the weights of another
///
/// The definition may be a deploy net, a training net, or a .caffemodel: its data layers, losses and Softmax are taken out,
/// and its last layer, or those of --replace, are made anew for the classes of --data and learn ten times as fast as the
/// others. What --freeze matches does not change by a bit; below the lowest layer that learns, the net runs once an image,
/// and what it makes is kept in ~/.cache/rebrew (or $REBREW_CACHE) for this run and the next.
///
/// RUN is a folder: best.caffemodel and deploy.prototxt are for `rebrew classify`; `rebrew plot curves` and `rebrew report`
/// show how it went. Ctrl-C saves, and the same command with --resume goes on to the same bits.
///
/// Exit codes: 0, all epochs are done; 1, it was broken off, and --resume goes on; 2, it could not run.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The net: a prototxt, or a .caffemodel, whose weights are taken then
    pub(super) definition: PathBuf,
    /// The weights to begin with, of any format; without any, and none beside the definition, from scratch
    #[arg(short, long, value_name = "FILE")]
    pub(super) weights: Option<PathBuf>,
    /// Begin from scratch, whatever weights there are beside the definition
    #[arg(long, conflicts_with = "weights")]
    pub(super) from_scratch: bool,
    /// Images to learn from: a folder with a folder for each class; a list (`path label` a line, or of HDF5 files); an LMDB;
    /// an IDX file with its labels beside it
    #[arg(short, long, value_name = "PATH")]
    pub(super) data: PathBuf,
    /// Images to judge by, of the same kinds; a tenth of the others is held out, unless given
    #[arg(long, value_name = "PATH")]
    pub(super) val_data: Option<PathBuf>,
    /// The classes to take, by their numbers in the data, as in 0,2,5; they are numbered anew in this order
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub(super) classes: Option<Vec<usize>>,
    /// The names of the classes in the data, one a line
    #[arg(long, value_name = "FILE")]
    pub(super) labels: Option<PathBuf>,
    /// Take so many images of each class, the first
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<NonZero<usize>>,
    /// Make a layer anew, with so many outputs; the last one, when the data have other classes, unless given
    #[arg(long, value_name = "LAYER=N", value_parser = replacement)]
    pub(super) replace: Vec<Replacement>,
    /// How many times as fast as the others layers learn that are made anew
    #[arg(long, value_name = "X", default_value_t = 10.0)]
    pub(super) head_lr_mult: f32,
    /// Freeze layers: whole names or globs, as in `conv*` or `inception_[34]?/**`
    #[arg(long, value_name = "GLOB")]
    freeze: Vec<String>,
    /// Thaw what --freeze matches after so many epochs
    #[arg(long, value_name = "EPOCH", requires = "freeze")]
    freeze_until: Option<u64>,
    /// Freeze by a list, as in `conv5@2ep, conv4@500it, conv[1-3]`: layers, and when they are thawed
    #[arg(long, value_name = "TEXT")]
    freeze_schedule: Option<String>,
    /// The rule: adam, sgd, momentumsgd, nesterovag, adamw, rmsprop, …, with Chainer's defaults
    #[arg(long, value_name = "RULE", default_value = "adam")]
    pub(super) optimizer: String,
    /// The learning rate; the rule's own, unless given
    #[arg(long, value_name = "X")]
    pub(super) lr: Option<f64>,
    /// How much of each weight is added to its gradient
    #[arg(long, value_name = "X")]
    pub(super) weight_decay: Option<f64>,
    /// Scale gradients down to this norm
    #[arg(long, value_name = "NORM")]
    pub(super) clip: Option<f64>,
    /// How many times to go through the images
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(super) epochs: u64,
    /// Images a step
    #[arg(long, value_name = "N", default_value = "32")]
    pub(super) batch_size: NonZero<usize>,
    /// Whether what frozen layers make of each image is kept
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) cache_features: Cache,
    /// What all chance depends on
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// End at the first image that cannot be read, instead of naming it and taking another
    #[arg(long)]
    pub(super) strict: bool,
    /// What is subtracted from images: a .binaryproto, a .npy, or numbers in BGR order, as in 104,117,123; as the definition's
    /// data layer says, unless given
    #[arg(long, value_name = "FILE|NUMBERS")]
    pub(super) mean: Option<String>,
    /// The factor of what is left then
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) input_scale: Option<f32>,
    /// The size that image files are resized to; the net's input, unless given
    #[arg(long, value_name = "H,W", value_parser = crate::classify::dims)]
    pub(super) image_dims: Option<[usize; 2]>,
    /// The size that is cut from them: anywhere to learn from, the middle to judge by; the net's input, unless given
    #[arg(long, value_name = "H,W", value_parser = crate::classify::dims)]
    pub(super) crop: Option<[usize; 2]>,
    /// Mirror half of the images, drawn by chance
    #[arg(long)]
    pub(super) mirror: bool,
    /// Save the state after so many steps too, beside every epoch and every few minutes
    #[arg(long, value_name = "STEPS")]
    pub(super) snapshot_every: Option<u64>,
    /// The folder for everything that comes of it
    #[arg(short, long, value_name = "RUN")]
    pub(super) output: PathBuf,
    /// Go on with the run in that folder
    #[arg(long)]
    pub(super) resume: bool,
    /// Replace the run in that folder
    #[arg(long, conflicts_with = "resume")]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) device: device::Arguments,
    /// Skip prototxt fields that nobody knows, with a warning
    #[arg(long)]
    pub(super) lenient: bool,
    /// Print a summary as JSON at the end, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Cache {
    /// Where it can be, and saves time
    Auto,
    /// It must be
    On,
    /// Frozen layers run in every step
    Off,
}

impl From<Cache> for CacheMode {
    fn from(cache: Cache) -> Self {
        match cache {
            Cache::Auto => Self::Auto,
            Cache::On => Self::On,
            Cache::Off => Self::Off,
        }
    }
}

impl Arguments {
    /// What is frozen.
    pub(super) fn freeze(&self) -> Result<Vec<Freeze>, Failure> {
        let mut all = Vec::new();
        if !self.freeze.is_empty() {
            let freeze = Freeze::layers(&self.freeze);
            all.push(match self.freeze_until {
                Some(epoch) => freeze.until(Until::Epoch(epoch)),
                None => freeze,
            });
        }
        if let Some(text) = &self.freeze_schedule {
            all.push(Freeze::schedule(text).map_err(|error| Failure::Because(Box::new(error)))?);
        }
        Ok(all)
    }

    /// When that is thawed, for who reads it.
    pub(super) fn thaw(&self) -> Option<String> {
        let until = self.freeze_until.map(|epoch| {
            let parts = self.freeze.iter().map(|glob| format!("{glob}@{epoch}ep"));
            parts.collect::<Vec<_>>().join(", ")
        });
        match (until, &self.freeze_schedule) {
            (Some(until), Some(schedule)) => Some(format!("{until}, {schedule}")),
            (until, schedule) => until.or_else(|| schedule.clone()),
        }
    }
}

/// `fc8=10`
fn replacement(text: &str) -> Result<Replacement, String> {
    let parts = text.rsplit_once('=').filter(|(layer, _)| !layer.is_empty());
    let outputs = parts.and_then(|(layer, outputs)| Some((layer, outputs.trim().parse().ok()?)));
    let (layer, outputs) = outputs.ok_or("expected a layer and its new number of outputs, as in fc8=10")?;
    Ok(Replacement::new(layer, outputs))
}
