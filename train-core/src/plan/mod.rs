//! What runs, in which order, and where its results are: decided once, before anything is computed.
//!
//! A blob that is rewritten in place is, here, a new *value* under the old name; whether it also takes the old one's
//! memory is decided last. So a fused, aliased or reordered write can never be seen by a layer that reads the old values.

mod fuse;
mod graph;
mod memory;

use std::collections::BTreeMap;

use caffe_proto::net::{Net, Shapes};
use kernels::Activation;

use crate::error::Result;

pub(crate) use memory::GradientMemory;

/// What a forward pass should keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Every blob can be read afterwards, as Caffe has it. Otherwise the net's outputs can, and memory is reused.
    pub all_blobs: bool,
    /// Blobs that can be read afterwards besides the net's outputs.
    pub keep: Vec<String>,
}

/// An array at one time of the forward pass, by number.
pub(crate) type ValueId = usize;

/// A static plan of a forward pass.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) values: Vec<Value>,
    /// In the order they run.
    pub(crate) steps: Vec<Step>,
    /// Run once, when the executor is made: their results depend on no input.
    pub(crate) constants: Vec<Step>,
    /// The floats of each buffer.
    pub(crate) storages: Vec<usize>,
    /// Blobs that can be read after the pass.
    pub(crate) kept: BTreeMap<String, ValueId>,
    /// Blobs that whoever runs the net gives, in the net's order.
    pub(crate) inputs: Vec<(String, ValueId)>,
    pub(crate) outputs: Vec<String>,
}

/// An array that a step makes or an input brings.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) shape: Vec<usize>,
    /// The most floats it can have.
    pub(crate) capacity: usize,
    /// The value whose floats these are under another shape: itself, unless the layer in between computes nothing.
    pub(crate) root: ValueId,
    /// Whether it keeps its memory from one pass to the next.
    pub(crate) pinned: bool,
    /// Whether it is read after the pass.
    pub(crate) kept: bool,
    /// Which buffer it is in. Only a root's counts.
    pub(crate) storage: usize,
}

/// One layer that computes, with those that are computed along with it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) layer: usize,
    /// BatchNorm, Scale and Bias layers that follow and are folded into the layer's parameters.
    pub(crate) folded: Vec<usize>,
    /// Layers of activation or addition that follow and are computed on the results' way out.
    pub(crate) fused: Vec<usize>,
    pub(crate) activation: Activation,
    /// The value that the results are added to, in its own memory.
    pub(crate) accumulate: Option<ValueId>,
    pub(crate) bottoms: Vec<ValueId>,
    pub(crate) tops: Vec<ValueId>,
    /// In training, the layer's parameters, which are values like others; else none.
    pub(crate) params: Vec<ValueId>,
}

impl Plan {
    /// Plans a forward pass of `net`.
    ///
    /// # Errors
    /// [`Error::CannotRun`](crate::Error::CannotRun) with every layer that cannot run;
    /// [`Error::NoBlob`](crate::Error::NoBlob) for a blob to be kept that the net has not.
    pub fn new(net: &Net, shapes: &Shapes, options: &Options) -> Result<Self> {
        let mut plan = graph::build(net, shapes, options)?;
        fuse::fuse(net, &mut plan);
        memory::assign(net, &mut plan);
        Ok(plan)
    }

    /// Plans a forward pass whose every value stays, for a backward pass: nothing is fused, no memory is shared, and
    /// parameters are values, the last ones, in the order of [`ParamInfo::all_of`](crate::optim::ParamInfo::all_of).
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub(crate) fn for_training(net: &Net, shapes: &Shapes) -> Result<Self> {
        let options = Options { all_blobs: true, keep: Vec::new() };
        let mut plan = graph::build(net, shapes, &options)?;
        graph::add_params(net, shapes, &mut plan);
        memory::assign_each(&mut plan);
        Ok(plan)
    }

    /// Floats that blobs take at most at a time, inputs and constants included.
    pub fn blob_floats(&self) -> usize {
        self.storages.iter().sum()
    }

    /// How many layers compute something in each pass.
    pub fn step_count(&self) -> usize {
        self.steps.len()
    }

    pub(crate) fn root(&self, value: ValueId) -> ValueId {
        self.values[value].root
    }

    pub(crate) fn storage(&self, value: ValueId) -> usize {
        self.values[self.root(value)].storage
    }
}
