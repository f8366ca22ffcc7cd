//! What a format of named tensors must do.

use std::sync::Arc;

use caffe_proto::Storage;

use crate::output::Output;
use crate::{Error, Weights};

/// A file format that holds named tensors.
pub(crate) trait Container {
    /// Lists the tensors of a file; their values stay where they are.
    fn read(&self, storage: &Arc<Storage>) -> Result<Contents, Error>;

    /// Writes the tensors.
    fn write(&self, weights: &Weights, output: &mut Output<'_>) -> Result<(), Error>;
}

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) weights: Weights,
    /// Names of what is no tensor of numbers, each with the reason. Chainer's snapshots hold such things
    /// beside the weights; among the weights they are errors.
    pub(crate) rejected: Vec<(String, String)>,
}

impl Contents {
    /// Notes that what is called `name` is no tensor.
    pub(crate) fn reject(&mut self, name: String, why: impl Into<String>) {
        self.rejected.push((name, why.into()));
    }
}
