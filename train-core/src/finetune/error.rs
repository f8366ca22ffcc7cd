//! Why a net cannot be fine-tuned.

use weight_io::Shape;

/// What is in the way, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The net is at fault, or training has left the numbers.
    #[error(transparent)]
    Net(Box<crate::Error>),
    /// The net cannot be given other heads.
    #[error(transparent)]
    Surgery(Box<crate::surgery::Error>),
    /// The data are at fault.
    #[error(transparent)]
    Data(Box<crate::data::Error>),
    /// Features cannot be kept.
    #[error(transparent)]
    Features(#[from] crate::features::Error),
    /// The run's folder is at fault.
    #[error(transparent)]
    Run(#[from] crate::run::Error),
    /// A file cannot be written or read.
    #[error(transparent)]
    Weights(#[from] weight_io::Error),
    /// The size of images cannot be told.
    #[error(
        "the definition does not tell the size of the images that `{input}` takes: give it with --crop H,W, or with \
         --image-dims H,W for images that are taken whole"
    )]
    NoSize {
        /// The input.
        input: String,
    },
    /// Images of another kind than the net's.
    #[error("the net takes {} at `{input}`, the images of {data} are {}", Shape(expected), Shape(found))]
    ImageShape {
        /// The input.
        input: String,
        /// What it takes: channels, height, width.
        expected: Vec<usize>,
        /// What the images are.
        found: Vec<usize>,
        /// Where they are.
        data: String,
    },
    /// A mean file of the definition that is not there.
    #[error(
        "layer `{layer}` subtracts the mean in {file}, which is not there: give it with --mean, as a file or as numbers"
    )]
    NoMean {
        /// The data layer.
        layer: String,
        /// The file.
        file: String,
    },
    /// A label that names no class.
    #[error(
        "{sample} is of class {label}, and the net has {classes} outputs, so classes are 0 to {}: replace the last layer \
         with one of more outputs, or check the data",
        classes - 1
    )]
    Label {
        /// The sample.
        sample: String,
        /// Its class.
        label: i32,
        /// How many there are.
        classes: usize,
    },
    /// Scores that are no row of classes.
    #[error(
        "the scores `{blob}` are {} for one image, expected one score a class: with images of another size (--crop) the net \
         makes one row of them",
        Shape(shape)
    )]
    Scores {
        /// The blob.
        blob: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Weights of another net.
    #[error("none of the weights is of a layer of this net")]
    OtherWeights,
    /// Weights that do not fit.
    #[error("the weights of layer `{layer}` do not fit it: {what}")]
    Misfit {
        /// The layer.
        layer: String,
        /// Why.
        what: String,
    },
    /// Nothing is left to learn.
    #[error("every layer with parameters is frozen: nothing would learn")]
    AllFrozen,
    /// Too few images.
    #[error("{data}: {what}")]
    TooFew {
        /// Where they are.
        data: String,
        /// What is missing.
        what: String,
    },
    /// Class names that are not as many as classes.
    #[error("{found} names of classes are given, and the data have {classes} classes")]
    ClassNames {
        /// How many names.
        found: usize,
        /// How many classes.
        classes: usize,
    },
    /// Features were asked for that cannot be kept.
    #[error("--cache-features on: {why}")]
    NoCache {
        /// Why not.
        why: String,
    },
    /// Nothing to go on from.
    #[error(
        "{folder} has no state to go on from: the run was broken off before the first was saved; start it anew (--force)"
    )]
    NoState {
        /// The run's folder.
        folder: String,
    },
    /// A run that was begun otherwise.
    #[error(
        "cannot go on: {what} was {old} when the run was begun, and is {new} now; give the same, or start anew (--force)"
    )]
    Changed {
        /// Which setting.
        what: &'static str,
        /// As it was.
        old: String,
        /// As it is.
        new: String,
    },
    /// Divergence, with where the last whole state is.
    #[error("{what}; the last good state is in {state}")]
    Diverged {
        /// What the trainer said.
        what: Box<crate::Error>,
        /// The file.
        state: String,
    },
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;

impl From<crate::optim::Error> for Error {
    fn from(error: crate::optim::Error) -> Self {
        crate::Error::from(error).into()
    }
}

impl From<crate::hooks::Error> for Error {
    fn from(error: crate::hooks::Error) -> Self {
        crate::optim::Error::from(error).into()
    }
}

impl From<caffe_proto::Error> for Error {
    fn from(error: caffe_proto::Error) -> Self {
        crate::Error::from(error).into()
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        Self::Net(Box::new(error))
    }
}

impl From<crate::data::Error> for Error {
    fn from(error: crate::data::Error) -> Self {
        Self::Data(Box::new(error))
    }
}

impl From<crate::surgery::Error> for Error {
    fn from(error: crate::surgery::Error) -> Self {
        Self::Surgery(Box::new(error))
    }
}
