//! Why a net cannot be built, filled or run.

use std::fmt;

/// What went wrong: which layer, which blob, what was expected and found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The definition is at fault.
    #[error(transparent)]
    Caffe(#[from] caffe_proto::Error),
    /// The weights are at fault.
    #[error(transparent)]
    Weights(Box<weight_io::Error>),
    /// The device has refused something that belongs to no layer.
    #[error(transparent)]
    Device(#[from] kernels::Error),
    /// The optimizer is at fault.
    #[error(transparent)]
    Optimizer(Box<crate::optim::Error>),
    /// A solver's file that cannot be followed.
    #[error("the solver cannot be followed: {what}")]
    SolverFile {
        /// What it says or lacks, and what to do.
        what: String,
    },
    /// The data are at fault.
    #[error(transparent)]
    Data(Box<crate::data::Error>),
    /// The folder or the metrics of a run cannot be written.
    #[error(transparent)]
    Run(Box<crate::run::Error>),
    /// A saved run that cannot be gone on from.
    #[error("the saved state's `{key}` {what}")]
    State {
        /// The array's name.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// Training has left the numbers.
    #[error(
        "training diverged in iteration {iteration}: {what} of layer `{layer}` ({kind}) holds values that are no numbers: \
         lower the learning rate, or clip gradients"
    )]
    Diverged {
        /// Iterations done before.
        iteration: u64,
        /// The first layer that has them, in the order of the forward pass.
        layer: String,
        /// Its type.
        kind: String,
        /// Which of its values: a parameter or a blob.
        what: String,
    },
    /// A device has left an update undone, and does not say why.
    #[error(
        "the device has left the update of iteration {iteration} undone: an operation had met a value that names nothing, such \
         as a label beyond the classes, and something else on this device was told which. Check the labels, and do the \
         step again with nothing else on the device"
    )]
    NotUpdated {
        /// Iterations done before.
        iteration: u64,
    },
    /// A layer's computation was refused: by its sizes, or by the values it met.
    #[error("layer `{layer}` ({kind})")]
    Layer {
        /// The layer's name.
        layer: String,
        /// Its type.
        kind: String,
        /// What the kernels said.
        source: kernels::Error,
    },
    /// Layers that cannot run: all there are.
    #[error("{} of the net's layers cannot run: {}", .0.len(), refusals(.0))]
    CannotRun(Vec<Refusal>),
    /// Layers through which no gradient passes, in the way of one: all there are.
    #[error("the net cannot be trained: {} of its layers pass no gradient on: {}", .0.len(), refusals(.0))]
    CannotTrain(Vec<Refusal>),
    /// There is nothing to make smaller.
    #[error("the net `{net}` has no loss: give it a loss layer, or a layer with `loss_weight`")]
    NoLoss {
        /// The net's name.
        net: String,
    },
    /// A layer's values are at fault.
    #[error("layer `{layer}` ({kind}): {what}")]
    Values {
        /// The layer's name.
        layer: String,
        /// Its type.
        kind: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Weights of another shape than the net's.
    #[error(
        "parameter {index} of layer `{layer}`: the net has shape {}, the weights have {}: rename the layer to train \
         it anew, or change the definition",
        weight_io::Shape(expected),
        weight_io::Shape(found)
    )]
    ParameterShape {
        /// The layer's name.
        layer: String,
        /// Which of its parameters.
        index: usize,
        /// The shape that the net has.
        expected: Vec<usize>,
        /// The shape that the weights have.
        found: Vec<usize>,
    },
    /// More or fewer parameters than the layer has.
    #[error(
        "layer `{layer}` has {expected} parameters, the weights hold {found} for it: rename the layer to train it anew, \
         or change the definition (is `bias_term` the same?)"
    )]
    ParameterCount {
        /// The layer's name.
        layer: String,
        /// How many the net has.
        expected: usize,
        /// How many the weights hold.
        found: usize,
    },
    /// There is no such blob to put values into.
    #[error("the net has no input `{name}`; it has {}", names(known))]
    NoInput {
        /// The name that was asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// There is no such blob to read values from.
    #[error("`{name}` is no blob that is kept; there is {}", names(known))]
    NoBlob {
        /// The name that was asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// An input of another size than the net's.
    #[error(
        "input `{name}` has shape {}, which takes {expected} values: {found} were given",
        weight_io::Shape(shape)
    )]
    InputCount {
        /// The input.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The values it takes.
        expected: usize,
        /// The values given.
        found: usize,
    },
    /// The builder was asked for a layer it cannot place.
    #[error("net `{net}`: {what}")]
    Builder {
        /// The net's name.
        net: String,
        /// What is wrong, and what to do.
        what: String,
    },
}

impl From<weight_io::Error> for Error {
    fn from(error: weight_io::Error) -> Self {
        Self::Weights(Box::new(error))
    }
}

impl From<crate::data::Error> for Error {
    fn from(error: crate::data::Error) -> Self {
        Self::Data(Box::new(error))
    }
}

impl From<crate::run::Error> for Error {
    fn from(error: crate::run::Error) -> Self {
        Self::Run(Box::new(error))
    }
}

impl From<crate::optim::Error> for Error {
    fn from(error: crate::optim::Error) -> Self {
        Self::Optimizer(Box::new(error))
    }
}

/// A layer that cannot run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The layer's name.
    pub layer: String,
    /// Its type.
    pub kind: String,
    /// Why it cannot run.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({}: {})", self.layer, self.kind, self.why)
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

fn refusals(all: &[Refusal]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn names(known: &[String]) -> String {
    if known.is_empty() {
        return "none".to_owned();
    }
    known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
