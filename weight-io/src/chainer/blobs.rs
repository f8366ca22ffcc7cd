//! From Chainer's arrays to a model's blobs.

use std::collections::{HashMap, HashSet};

use caffe_proto::net::{Layer, LayerKind};
use caffe_proto::proto::NetParameter;
use caffe_proto::{Blob, Generation, LayerBlobs, Model, Payload};

use super::batch_norm::Factor;
use super::slots::{Form, Layers, Slot};
use super::{fold, name};
use crate::layout::error;
use crate::source::{Blocks, Permuted};
use crate::{Dtype, Error, Note, Tensor, Weights};

/// The blobs that `weights` give the layers of `definition`, and what was changed on the way.
///
/// # Errors
/// For layers whose arrays are missing or of another shape, for arrays that belong to no layer, and for a dense array
/// that is not zero where a group convolution has nothing.
pub fn to_blobs(definition: &NetParameter, weights: &Weights) -> Result<(Model, Vec<Note>), Error> {
    let layers = Layers::new(definition)?;
    let mut blobs = Blobs { layers: &layers, weights, claimed: HashSet::new(), converted: Vec::new() };
    let folds = blobs.folds();
    let mut made: HashMap<&str, Vec<Blob>> = HashMap::new();
    let mut all = Vec::with_capacity(layers.all().len());
    for layer in layers.all() {
        // Layers of one name are one layer in different phases.
        let own = match made.get(layer.name.as_str()) {
            Some(own) if Some(own.len()) == Layers::blob_count(layer) => own.clone(),
            Some(_) => Vec::new(),
            None => {
                let own = blobs.layer(layer, folds.get(layer.name.as_str()).copied())?;
                made.insert(&layer.name, own.clone());
                own
            }
        };
        all.push(LayerBlobs { name: layer.name.clone(), blobs: own });
    }
    let strangers = blobs.strangers()?;
    let converted = (!blobs.converted.is_empty()).then_some(Note::Converted { tensors: blobs.converted });
    let notes = strangers.into_iter().chain(converted).collect();
    let model = Model {
        definition: Some(definition.clone()),
        layers: all,
        generation: Generation::V2,
        notes: Vec::new(),
    };
    Ok((model, notes))
}

struct Blobs<'a> {
    layers: &'a Layers,
    weights: &'a Weights,
    claimed: HashSet<String>,
    converted: Vec<String>,
}

impl<'a> Blobs<'a> {
    /// The Scale layers whose values are `gamma` and `beta` of a BatchNorm's link, with that link.
    fn folds(&self) -> HashMap<&'a str, &'a str> {
        let all = self.layers.all();
        let pairs = all.iter().enumerate().filter_map(|(at, layer)| Some((fold::partner(all, at)?, layer)));
        pairs
            .filter(|(_, layer)| self.weights.find(&name(&layer.name, "gamma")).is_some())
            .map(|(scale, layer)| (scale.name.as_str(), layer.name.as_str()))
            .collect()
    }

    fn layer(&mut self, layer: &Layer, folded: Option<&str>) -> Result<Vec<Blob>, Error> {
        let count = match Layers::blob_count(layer) {
            Some(count) => count,
            None => self.count_unnamed(&layer.name),
        };
        if count == 0 {
            return Ok(Vec::new());
        }
        let axes = self.weights.find(&name(&layer.name, "W")).map(|tensor| tensor.shape().len());
        let mut blobs = Vec::with_capacity(count);
        for slot in self.layers.slots(layer, count, axes) {
            if let (LayerKind::BatchNorm(params), Form::Factor) = (&layer.kind, slot.form) {
                blobs.push(Factor::converged(params).blob());
                continue;
            }
            let name = match folded {
                Some(link) => name(link, if slot.key == "W" { "gamma" } else { "beta" }),
                None => name(&layer.name, &slot.key),
            };
            blobs.push(self.blob(layer, &slot, &name)?);
        }
        match (&layer.kind, folded) {
            (LayerKind::BatchNorm(_), _) => self.claim_batch_count(layer)?,
            (LayerKind::Scale(params), Some(link)) if !params.bias_term => {
                self.claim_zero_beta(layer, link)?;
            }
            _ => {}
        }
        Ok(blobs)
    }

    fn blob(&mut self, layer: &Layer, slot: &Slot<'_>, name: &str) -> Result<Blob, Error> {
        let Some(tensor) = self.weights.find(name) else {
            let near = self.weights.get(name).err().map(|error| error.to_string()).unwrap_or_default();
            return Err(error(layer, format!("its {} is missing: {near}", slot.need.what)));
        };
        self.claimed.insert(name.to_owned());
        if !tensor.dtype().is_float() {
            return Err(error(
                layer,
                format!("its {} `{name}` is of type {}, not float", slot.need.what, tensor.dtype()),
            ));
        }
        if tensor.dtype() != Dtype::F32 {
            self.converted.push(format!("{name} ({})", tensor.dtype()));
        }
        let values = tensor.f32_values();
        let (shape, values) = match (slot.form, &layer.kind) {
            (Form::Groups(groups), _) => ungroup(slot, groups, tensor, values, name)?,
            (Form::Transposed, _) if tensor.shape().len() == 2 => {
                let (rows, columns) = (tensor.shape()[0], tensor.shape()[1]);
                (vec![columns, rows], Permuted::transposed(4, rows, columns, values))
            }
            (Form::Statistic, LayerKind::BatchNorm(params)) => {
                (tensor.shape().to_vec(), Factor::converged(params).sum(values))
            }
            _ => (tensor.shape().to_vec(), values),
        };
        if slot.need.matches(&shape) {
            Ok(Blob::new(shape, values))
        } else {
            Err(slot.need.mismatch(&shape, &format!("`{name}`")))
        }
    }

    /// Chainer's count of batches has no place in Caffe.
    fn claim_batch_count(&mut self, layer: &Layer) -> Result<(), Error> {
        let name = name(&layer.name, "N");
        if let Some(tensor) = self.weights.find(&name) {
            if tensor.count() != 1 {
                return Err(error(
                    layer,
                    format!("`{name}` is {tensor}, Chainer's count of batches is one number"),
                ));
            }
            self.claimed.insert(name);
        }
        Ok(())
    }

    /// A Scale without bias has no place for a beta that is not zero.
    fn claim_zero_beta(&mut self, layer: &Layer, link: &str) -> Result<(), Error> {
        let name = name(link, "beta");
        if let Some(tensor) = self.weights.find(&name) {
            if !tensor.is_zero()? {
                return Err(error(
                    layer,
                    format!("`{name}` is not zero, and the layer has no bias: set `bias_term: true`"),
                ));
            }
            self.claimed.insert(name);
        }
        Ok(())
    }

    /// How many arrays a layer of unknown type has.
    fn count_unnamed(&self, layer: &str) -> usize {
        let most = self.weights.len();
        (0..most)
            .take_while(|index| self.weights.find(&name(layer, &format!("blob{index}"))).is_some())
            .count()
    }

    /// Arrays of layers that the definition does not have, which Caffe passes over.
    ///
    /// # Errors
    /// [`Error::Unclaimed`] for arrays of layers that it has, and that no blob is made of.
    fn strangers(&self) -> Result<Option<Note>, Error> {
        let layers = self.layers.all().iter().map(|layer| layer.name.as_str()).collect::<HashSet<_>>();
        let known = |name: &str| name.match_indices('/').any(|(at, _)| layers.contains(&name[..at]));
        let names = self.weights.iter().map(|(name, _)| name).filter(|name| !self.claimed.contains(*name));
        let (unclaimed, strangers) = names.map(str::to_owned).partition::<Vec<_>, _>(|name| known(name));
        if !unclaimed.is_empty() {
            return Err(Error::Unclaimed { names: unclaimed });
        }
        Ok((!strangers.is_empty()).then_some(Note::Strangers { layers: strangers }))
    }
}

/// The grouped form of weights in whichever layout they come.
fn ungroup(
    slot: &Slot<'_>,
    groups: usize,
    tensor: &Tensor,
    values: Payload,
    name: &str,
) -> Result<(Vec<usize>, Payload), Error> {
    let shape = tensor.shape();
    let [first, second, kernel @ ..] = shape else {
        return Err(slot.need.mismatch(shape, &format!("`{name}`")));
    };
    let (first, second) = (*first, *second);
    if let Some((shape, values)) = depthwise(slot, groups, first, second, kernel, &values) {
        return Ok((shape, values));
    }
    // The fork's depthwise layer has as many groups as the dense array has channels.
    let groups = match &slot.need.layer.kind {
        LayerKind::DepthwiseConvolution(_) => second,
        _ => groups,
    };
    let grouped = [&[first, second / groups.max(1)], kernel].concat();
    let fits_as_it_is = slot.need.matches(shape);
    let divides = groups > 1 && second.is_multiple_of(groups) && first.is_multiple_of(groups);
    if !divides || !slot.need.matches(&grouped) || values.is_empty() {
        return Ok((shape.to_vec(), values));
    }
    let off_block = Blocks::off_block(first, groups, &values)?;
    if off_block.count == 0 {
        return Ok((grouped, Blocks::payload(first, groups, values)));
    }
    // Where the definition leaves the number of channels open, both layouts may fit: this one is grouped.
    if fits_as_it_is {
        return Ok((shape.to_vec(), values));
    }
    Err(slot.need.error(format!(
        "`{name}` is dense, and {} of its values between the {groups} groups are not zero, the largest {:e}: it has no grouped \
         form",
        off_block.count, off_block.largest
    )))
}

/// Weights of Chainer's `DepthwiseConvolution2D`: multiplier × channels × kernel.
fn depthwise(
    slot: &Slot<'_>,
    groups: usize,
    multiplier: usize,
    channels: usize,
    kernel: &[usize],
    values: &Payload,
) -> Option<(Vec<usize>, Payload)> {
    let (LayerKind::Convolution(params) | LayerKind::DepthwiseConvolution(params)) = &slot.need.layer.kind
    else {
        return None;
    };
    let is_depthwise =
        matches!(slot.need.layer.kind, LayerKind::DepthwiseConvolution(_)) || groups == channels;
    if !is_depthwise || multiplier == params.num_output || multiplier * channels != params.num_output {
        return None;
    }
    let area = kernel.iter().product();
    let values = Permuted::payload(4, &[multiplier, channels, area], &[1, 0, 2], values.clone());
    Some(([&[params.num_output, 1], kernel].concat(), values))
}
