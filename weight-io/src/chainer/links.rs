//! From a model's blobs to Chainer's arrays.

use std::collections::{BTreeMap, HashMap};

use caffe_proto::net::{Layer, LayerKind};
use caffe_proto::proto::NetParameter;
use caffe_proto::{Blob, Model, Payload};

use super::batch_norm::Factor;
use super::slots::{Form, Layers, Slot};
use super::{BatchNorm, Conv, Options, fold, name, shared};
use crate::layout::error;
use crate::source::{Permuted, Spread, Zeros};
use crate::{Dtype, Error, Note, Tensor, Weights};

/// The arrays of `model` under Chainer's names, laid out by `definition`, and what Chainer's side does not hold.
///
/// # Errors
/// For blobs whose shape does not fit their layer, and layers of the definition without blobs. Layers that the definition
/// does not have are left out, as Caffe leaves them out, and noted.
pub fn to_links(
    definition: &NetParameter,
    model: &Model,
    options: Options,
) -> Result<(Weights, Vec<Note>), Error> {
    let layers = Layers::new(definition)?;
    let model = &*shared::filled(layers.all(), model);
    let mut links = Links { layers: &layers, options, weights: Weights::new(), notes: Notes::default() };
    let folds = links.folds();

    let strangers = model.layers.iter().filter(|blobs| !blobs.blobs.is_empty());
    let strangers = strangers.filter(|blobs| layers.find(&blobs.name).is_none());
    links.notes.strangers = strangers.map(|blobs| blobs.name.clone()).collect();
    for blobs in &model.layers {
        // A layer of the file that the definition has not, and without blobs, says nothing.
        let Some(layer) = layers.find(&blobs.name) else { continue };
        links.layer(layer, &blobs.blobs, &folds)?;
    }
    let known =
        model.layers.iter().map(|blobs| blobs.name.as_str()).collect::<std::collections::HashSet<_>>();
    for layer in layers.all() {
        if !known.contains(layer.name.as_str()) {
            links.layer(layer, &[], &folds)?;
        }
    }
    let notes = model.notes.iter().cloned().map(Note::Reader).chain(links.notes.finish()).collect();
    Ok((links.weights, notes))
}

struct Links<'a> {
    layers: &'a Layers,
    options: Options,
    weights: Weights,
    notes: Notes,
}

/// Which Scale layer goes into which BatchNorm layer, by name.
type Folds<'a> = HashMap<&'a str, &'a str>;

impl<'a> Links<'a> {
    fn folds(&mut self) -> Folds<'a> {
        let mut folds = Folds::new();
        if self.options.batchnorm == BatchNorm::Caffe {
            return folds;
        }
        let all = self.layers.all();
        for (at, layer) in all.iter().enumerate() {
            let LayerKind::BatchNorm(params) = &layer.kind else { continue };
            match fold::partner(all, at) {
                Some(scale) => {
                    folds.insert(&scale.name, &layer.name);
                }
                None if !params.scale_bias => self.notes.not_folded.push(layer.name.clone()),
                None => {}
            }
        }
        folds
    }

    fn layer(&mut self, layer: &Layer, blobs: &[Blob], folds: &Folds<'_>) -> Result<(), Error> {
        check_count(layer, blobs.len())?;
        if blobs.is_empty() {
            return Ok(());
        }
        let axes = blobs.first().filter(|blob| !blob.is_legacy()).map(|blob| blob.shape().len());
        let slots = self.layers.slots(layer, blobs.len(), axes);
        let factor = match slots.iter().position(|slot| slot.form == Form::Factor) {
            Some(at) => Some(Factor::read(&blobs[at])?),
            None => None,
        };
        for (slot, blob) in slots.iter().zip(blobs) {
            let shape = slot.need.fit(blob)?;
            let (shape, values) = match (slot.form, factor) {
                (Form::Same, _) => (shape, blob.values().clone()),
                (Form::Groups(groups), _) => self.grouped(slot, groups, shape, blob.values())?,
                (Form::Transposed, _) => {
                    let values = Permuted::transposed(4, shape[0], shape[1], blob.values().clone());
                    (vec![shape[1], shape[0]], values)
                }
                (Form::Statistic, Some(factor)) => (shape, factor.average(blob.values())),
                (Form::Factor, _) | (Form::Statistic, None) => continue,
            };
            let tensor = Tensor::new(Dtype::F32, shape, values)?;
            self.insert(layer, slot, tensor, folds)?;
        }
        if let (LayerKind::BatchNorm(params), Some(factor)) = (&layer.kind, factor) {
            // Chainer counts here how many batches a fine-tuning has seen.
            let zero = Payload::from_bytes(0i64.to_le_bytes().to_vec());
            self.weights.insert(name(&layer.name, "N"), Tensor::new(Dtype::I64, Vec::new(), zero)?)?;
            self.notes.eps.entry(params.eps.to_bits()).or_default().push(layer.name.clone());
            if factor.is_zero() {
                self.notes.no_statistics.push(layer.name.clone());
            }
        }
        if slots.iter().any(|slot| slot.key.starts_with("blob")) {
            self.notes.unnamed.push(format!("{} ({})", layer.name, layer.type_name));
        }
        Ok(())
    }

    fn insert(
        &mut self,
        layer: &Layer,
        slot: &Slot<'_>,
        tensor: Tensor,
        folds: &Folds<'_>,
    ) -> Result<(), Error> {
        let Some(normalization) = folds.get(layer.name.as_str()) else {
            return self.weights.insert(name(&layer.name, &slot.key), tensor);
        };
        if slot.key != "W" {
            return self.weights.insert(name(normalization, "beta"), tensor);
        }
        let zeros = Tensor::new(Dtype::F32, tensor.shape().to_vec(), Zeros::payload(tensor.values().len()))?;
        self.weights.insert(name(normalization, "gamma"), tensor)?;
        if matches!(&layer.kind, LayerKind::Scale(params) if !params.bias_term) {
            self.notes.beta_of_zeros.push((*normalization).to_owned());
            self.weights.insert(name(normalization, "beta"), zeros)?;
        }
        Ok(())
    }

    fn grouped(
        &self,
        slot: &Slot<'_>,
        groups: usize,
        shape: Vec<usize>,
        values: &Payload,
    ) -> Result<(Vec<usize>, Payload), Error> {
        if self.options.conv == Conv::Grouped {
            return Ok((shape, values.clone()));
        }
        if !shape[0].is_multiple_of(groups) {
            return Err(slot.need.error(format!("{} rows cannot be cut into {groups} groups", shape[0])));
        }
        let mut dense = shape;
        let rows = dense[0];
        dense[1] *= groups;
        Ok((dense, Spread::payload(rows, groups, values.clone())))
    }
}

/// What was noted of several layers.
#[derive(Default)]
struct Notes {
    eps: BTreeMap<u32, Vec<String>>,
    not_folded: Vec<String>,
    beta_of_zeros: Vec<String>,
    no_statistics: Vec<String>,
    unnamed: Vec<String>,
    strangers: Vec<String>,
}

impl Notes {
    fn finish(self) -> Vec<Note> {
        let some =
            |layers: Vec<String>, note: fn(Vec<String>) -> Note| (!layers.is_empty()).then(|| note(layers));
        let eps = self.eps.into_iter().map(|(eps, layers)| Note::Eps { eps: f32::from_bits(eps), layers });
        eps.chain(some(self.not_folded, |layers| Note::NotFolded { layers }))
            .chain(some(self.beta_of_zeros, |layers| Note::BetaOfZeros { layers }))
            .chain(some(self.no_statistics, |layers| Note::NoStatistics { layers }))
            .chain(some(self.unnamed, |layers| Note::Unnamed { layers }))
            .chain(some(self.strangers, |layers| Note::Strangers { layers }))
            .collect()
    }
}

/// Whether a layer has as many blobs as it needs.
pub(crate) fn check_count(layer: &Layer, found: usize) -> Result<(), Error> {
    let Some(needed) = Layers::blob_count(layer) else { return Ok(()) };
    // NVIDIA/caffe's form may stand under a definition that does not say so.
    let five = matches!(layer.kind, LayerKind::BatchNorm(_)) && found == 5;
    if found == needed || five {
        return Ok(());
    }
    let have = match found {
        0 => "the file holds no blobs for it".to_owned(),
        1 => "the file holds 1 blob for it".to_owned(),
        _ => format!("the file holds {found} blobs for it"),
    };
    let advice = match (&layer.kind, found) {
        (_, 0) => " (was the file saved without weights, or is the layer's name another?)",
        (LayerKind::Convolution(_) | LayerKind::Deconvolution(_) | LayerKind::InnerProduct(_), _) => {
            " (does `bias_term` in the definition say what the file has?)"
        }
        _ => "",
    };
    Err(error(layer, format!("{have}, its definition needs {needed}{advice}")))
}
