//! Why a net cannot be made one that is fine-tuned.

use crate::hooks::Near;

/// What is in the way, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The definition is at fault.
    #[error(transparent)]
    Caffe(#[from] caffe_proto::Error),
    /// There is no layer of this name.
    #[error("there is no layer `{layer}` to replace; {near}")]
    NoLayer {
        /// The name that was asked for.
        layer: String,
        /// What may have been meant.
        near: Near,
    },
    /// A layer whose outputs have no number of their own.
    #[error(
        "layer `{layer}` is {kind}: only InnerProduct and Convolution layers can be given another number of outputs, here {near}"
    )]
    NoOutputs {
        /// The layer.
        layer: String,
        /// Its type.
        kind: String,
        /// Those that can.
        near: String,
    },
    /// A layer that is asked for twice, or for no outputs.
    #[error("cannot replace layer `{layer}`: {what}")]
    Replacement {
        /// The layer.
        layer: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A layer from which no way leads to a score.
    #[error("layer `{layer}` leads to none of the net's outputs, so nothing would be learned by it")]
    LeadsNowhere {
        /// The layer.
        layer: String,
    },
    /// A net without outputs.
    #[error("the net has no layer whose outputs could be scores of classes: name one with --replace LAYER=N")]
    NoHead,
    /// The layer to be replaced cannot be told.
    #[error(
        "the data have {classes} classes, and which layer makes the scores `{scores}` is not clear: it is {found}: name those \
         to replace with --replace LAYER={classes}"
    )]
    WhichHead {
        /// How many classes there are.
        classes: usize,
        /// The blob that the old loss or Softmax read.
        scores: String,
        /// The layers it may be.
        found: String,
    },
    /// The images' input cannot be told.
    #[error("the net has {} inputs that lead to its outputs, {}: expected one, for images", .0.len(), quoted(.0))]
    Inputs(Vec<String>),
    /// A net that reads nothing.
    #[error("no input leads to the net's outputs: expected one, for images")]
    NoInput,
}

pub(super) fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
