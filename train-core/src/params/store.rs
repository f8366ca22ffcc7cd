//! Every parameter's values, by layer and place.

use std::borrow::Cow;

use caffe_proto::net::{Net, Shapes};
use caffe_proto::{Blob, Payload};

use super::{Stream, fill};
use crate::error::{Error, Result};

/// The values that parameters were given; those without are filled when they are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    given: Vec<Vec<Option<Blob>>>,
    seed: u64,
}

impl Params {
    pub(crate) fn new(net: &Net, seed: u64) -> Self {
        Self { given: net.layers.iter().map(|layer| vec![None; layer.params.len()]).collect(), seed }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Gives a layer all its parameters.
    pub(crate) fn set(&mut self, layer: usize, blobs: &[Blob]) {
        for (given, blob) in self.given[layer].iter_mut().zip(blobs) {
            *given = Some(blob.clone());
        }
    }

    /// The values of a parameter, in the shape that the net has for it. A shared parameter's are its owner's.
    pub(crate) fn value(
        &self,
        net: &Net,
        shapes: &Shapes,
        layer: usize,
        index: usize,
    ) -> Result<Cow<'_, Blob>> {
        let (owner, at) = net.layers[layer].params[index].owner.unwrap_or((layer, index));
        let expected = &shapes.layers()[layer].params[index];
        match &self.given[owner][at] {
            Some(blob) => {
                let owned = &shapes.layers()[owner].params[at];
                check(&net.layers[owner].name, at, blob, owned)?;
                Ok(if blob.shape() == expected {
                    Cow::Borrowed(blob)
                } else {
                    Cow::Owned(Blob::new(expected.clone(), blob.values().clone()))
                })
            }
            None => self.filled(net, owner, at, expected).map(Cow::Owned),
        }
    }

    /// Checks every value given against the net's shapes.
    pub(crate) fn check(&self, net: &Net, shapes: &Shapes) -> Result<()> {
        for ((layer, given), shapes) in net.layers.iter().zip(&self.given).zip(shapes.layers()) {
            for (index, (blob, expected)) in given.iter().zip(&shapes.params).enumerate() {
                if let Some(blob) = blob {
                    check(&layer.name, index, blob, expected)?;
                }
            }
        }
        Ok(())
    }

    fn filled(&self, net: &Net, layer: usize, index: usize, shape: &[usize]) -> Result<Blob> {
        let layer = &net.layers[layer];
        let mut values = vec![0.0; shape.iter().product()];
        if let Some(filler) = layer.fillers.get(index) {
            let mut random = Stream::new(self.seed, &layer.name, index);
            fill(filler, shape, &mut random, &mut values).map_err(|what| Error::Values {
                layer: layer.name.clone(),
                kind: layer.type_name.clone(),
                what: format!("its parameter {index}: {what}"),
            })?;
        }
        Ok(Blob::new(shape.to_vec(), Payload::from_f32(&values)))
    }
}

/// Whether a blob of a file fits a shape: equal, or, in the legacy form of four extents, equal but for leading ones.
pub(crate) fn fits(blob: &Blob, expected: &[usize]) -> bool {
    if !blob.is_legacy() {
        return blob.shape() == expected;
    }
    let (found, more) = (blob.shape(), blob.shape().len().checked_sub(expected.len()));
    more.is_some_and(|more| found[..more].iter().all(|&extent| extent == 1) && found[more..] == *expected)
}

fn check(layer: &str, index: usize, blob: &Blob, expected: &[usize]) -> Result<()> {
    if fits(blob, expected) {
        return Ok(());
    }
    Err(Error::ParameterShape {
        layer: layer.to_owned(),
        index,
        expected: expected.to_vec(),
        found: blob.shape().to_vec(),
    })
}
