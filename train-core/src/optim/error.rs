//! Why parameters cannot be updated.

use crate::hooks;

/// What went wrong: which term, which parameter, what was expected and found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A solver of no type that Caffe has.
    #[error("there is no solver `{found}`: expected SGD, Nesterov, AdaGrad, RMSProp, AdaDelta or Adam")]
    SolverType {
        /// The type asked for.
        found: String,
    },
    /// An optimizer of no name that Chainer has.
    #[error("there is no optimizer `{found}`: expected one of {}", super::NAMES.join(", "))]
    Optimizer {
        /// The name asked for.
        found: String,
    },
    /// Momentum with a solver that has none.
    #[error("the solver {solver} has no momentum: remove `momentum: {found}`")]
    Momentum {
        /// The solver's type.
        solver: &'static str,
        /// The momentum asked for.
        found: f32,
    },
    /// RMSProp with a decay that is none.
    #[error("`rms_decay: {found}`: expected at least 0 and less than 1")]
    RmsDecay {
        /// The decay asked for.
        found: f32,
    },
    /// A learning-rate policy that Caffe does not have.
    #[error(
        "there is no learning-rate policy `{found}`: expected `lr_policy` to be fixed, step, exp, inv, multistep, poly or \
         sigmoid"
    )]
    Policy {
        /// The policy asked for.
        found: String,
    },
    /// A learning-rate policy without a term that it needs.
    #[error("the learning-rate policy `{policy}` needs {what}")]
    PolicyTerm {
        /// The policy.
        policy: String,
        /// What it needs.
        what: String,
    },
    /// A regularization that Caffe does not have.
    #[error("there is no regularization `{found}`: expected `regularization_type` to be L1 or L2")]
    Regularization {
        /// The type asked for.
        found: String,
    },
    /// Gradients of no passes.
    #[error("`iter_size: {found}`: expected 1 or more passes an iteration")]
    IterSize {
        /// The passes asked for.
        found: i32,
    },
    /// More or fewer parameters than the optimizer was set up with.
    #[error("the optimizer was set up with {expected} parameters, {found} were given")]
    ParamCount {
        /// How many it has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// A parameter of another size than the optimizer was set up with.
    #[error("parameter `{name}` has {expected} values; its {what} has {found}")]
    ParamLen {
        /// The parameter.
        name: String,
        /// Value or gradient.
        what: &'static str,
        /// How many values it has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// There is no such parameter.
    #[error("there is no parameter `{name}` to hook on")]
    NoParam {
        /// The name asked for.
        name: String,
    },
    /// A solver state of another solver, or another net.
    #[error(
        "the solver state has {found} history blobs, where {rule} needs {expected}: {arrays} for each of the net's {params} \
         parameters"
    )]
    HistoryCount {
        /// The rule's name.
        rule: &'static str,
        /// Arrays a parameter.
        arrays: usize,
        /// Parameters.
        params: usize,
        /// Both multiplied.
        expected: usize,
        /// Blobs there are.
        found: usize,
    },
    /// A stored array of another shape than its parameter.
    #[error(
        "`{array}` of parameter `{name}` has shape {}, the parameter has {}",
        weight_io::Shape(found),
        weight_io::Shape(expected)
    )]
    StateShape {
        /// The parameter.
        name: String,
        /// Which of its arrays.
        array: String,
        /// The parameter's shape.
        expected: Vec<usize>,
        /// The array's.
        found: Vec<usize>,
    },
    /// An optimizer state without something it must have.
    #[error("the optimizer state has no `{key}`: was it saved by another optimizer, or of another net?")]
    NoState {
        /// The missing name.
        key: String,
    },
    /// An optimizer state with something other than a number.
    #[error("`{key}` of the optimizer state is no whole number")]
    StateNumber {
        /// The name.
        key: String,
    },
    /// A stored array that cannot be read.
    #[error(transparent)]
    Caffe(#[from] caffe_proto::Error),
    /// A stored tensor that cannot be read.
    #[error(transparent)]
    Weights(#[from] weight_io::Error),
    /// A device that fails.
    #[error(transparent)]
    Device(#[from] kernels::Error),
    /// A hook that has no meaning for these parameters.
    #[error(transparent)]
    Hook(#[from] hooks::Error),
}
