//! A set of named tensors.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;

use crate::{Error, Tensor};

/// Tensors by name, in the order of the file or net they come from.
///
/// Names are Chainer's: `conv1/W`, `conv1/b`, `bn1/avg_mean`, `scale1/bias/b`.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    tensors: IndexMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
}

impl Weights {
    /// No tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a file of any format, told by its content: a Caffe model's weights come with Chainer's names, group
    /// convolutions as they are and BatchNorm apart from Scale.
    ///
    /// # Errors
    /// When the file is no model, is damaged, or holds blobs that do not fit their layers.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        crate::Opened::open(path)?.into_weights()
    }

    /// Adds a tensor at the end.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when there is one of that name.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) -> Result<(), Error> {
        let name = name.into();
        if self.tensors.contains_key(&name) {
            return Err(Error::Duplicate { name });
        }
        self.tensors.insert(name, tensor);
        Ok(())
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    /// [`Error::NoTensor`], with the names most like it.
    pub fn get(&self, name: &str) -> Result<&Tensor, Error> {
        self.find(name).ok_or_else(|| Error::NoTensor { name: name.to_owned(), near: self.near(name) })
    }

    /// The tensor called `name`, if there is one.
    pub fn find(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The tensor called `name`, with the name as it is held here.
    pub(crate) fn entry(&self, name: &str) -> Option<(&str, &Tensor)> {
        self.tensors.get_key_value(name).map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The tensors with their names, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// How many bytes the values of all tensors take.
    pub fn byte_count(&self) -> u64 {
        self.tensors.values().map(|tensor| tensor.values().len()).sum()
    }

    /// What the file says about itself: a safetensors file's `__metadata__`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Sets what a safetensors file will say about itself.
    pub fn set_metadata(&mut self, metadata: BTreeMap<String, String>) {
        self.metadata = metadata;
    }

    /// The same tensors under the names that `rename` gives; those that it gives none are left out.
    pub(crate) fn renamed(&self, rename: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let mut renamed = Self { tensors: IndexMap::new(), metadata: self.metadata.clone() };
        for (name, tensor) in self.iter() {
            if let Some(name) = rename(name) {
                renamed.insert(name, tensor.clone())?;
            }
        }
        Ok(renamed)
    }

    /// Up to five names that share the most with `name`.
    fn near(&self, name: &str) -> Vec<String> {
        let mut near = self
            .tensors
            .keys()
            .map(|candidate| (likeness(name, candidate), candidate))
            .filter(|(likeness, _)| *likeness > 0)
            .collect::<Vec<_>>();
        // The sort is stable: of equals, the earlier in the file is first.
        near.sort_by_key(|(likeness, _)| std::cmp::Reverse(*likeness));
        near.into_iter().take(5).map(|(_, candidate)| candidate.clone()).collect()
    }
}

/// How many bytes two names have in common at either end, and nothing when that is too little to be a slip.
fn likeness(wanted: &str, candidate: &str) -> usize {
    let common = |pairs: &mut dyn Iterator<Item = (u8, u8)>| pairs.take_while(|(a, b)| a == b).count();
    let (a, b) = (wanted.to_ascii_lowercase(), candidate.to_ascii_lowercase());
    let front = common(&mut a.bytes().zip(b.bytes()));
    let back = common(&mut a.bytes().rev().zip(b.bytes().rev()));
    let shared = front.max(back);
    if shared * 2 >= a.len().min(b.len()) { shared } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> Weights {
        let mut weights = Weights::new();
        for name in ["conv1/W", "conv1/b", "fc8/W"] {
            weights.insert(name, Tensor::from_f32(vec![1], &[1.0]).unwrap()).unwrap();
        }
        weights
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_like_it() {
        let error = weights().get("conv1/w2").unwrap_err();
        assert_eq!(error.to_string(), "no tensor is named `conv1/w2`; there is `conv1/W`, `conv1/b`");
        let error = weights().get("ip").unwrap_err();
        assert_eq!(error.to_string(), "no tensor is named `ip`");
    }

    #[test]
    fn a_name_is_taken_once() {
        let again = weights().insert("fc8/W", Tensor::from_f32(vec![], &[1.0]).unwrap()).unwrap_err();
        assert_eq!(again.to_string(), "two tensors are named `fc8/W`");
    }

    #[test]
    fn values_must_be_as_many_as_the_shape_needs() {
        let error = Tensor::from_f32(vec![2, 3], &[1.0]).unwrap_err();
        assert_eq!(error.to_string(), "4 bytes of values, shape 2×3 of float32 needs 24");
    }
}
