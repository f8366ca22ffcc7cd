//! What a run writes: models, its state, how images were judged.

use std::path::Path;

use caffe_proto::net::{LayerKind, Net};
use caffe_proto::proto::NetParameter;
use caffe_proto::{LayerBlobs, Model, Payload};
use weight_io::{Conversion, Dtype, Format, Tensor, Weights, WriteOptions};

use super::{Error, Judgement, Result, Sets, pictures};
use crate::data::Position;
use crate::run::{Filters, MOST_MISTAKES, RunFolder, Validation};

/// A run's place and its best result, beside the net's and the solver's state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) position: Position,
    /// Whether frozen features came from a cache.
    pub(super) is_cached: bool,
    pub(super) best: Best,
}

/// The best judgement so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Best {
    pub(super) accuracy: f64,
    pub(super) loss: f64,
    /// After how many epochs; 0 when there was none.
    pub(super) epoch: u64,
}

impl Best {
    pub(super) const NONE: Self = Self { accuracy: f64::NEG_INFINITY, loss: f64::INFINITY, epoch: 0 };
}

const PLACE: &str = "run/place";

/// Files are on the disk before their names are.
const WRITE: WriteOptions = WriteOptions { force: true, sync: true };

/// Puts a run's place into its state, and the state into a file.
pub(super) fn save_state(state: &Weights, place: Place, path: &Path) -> Result<()> {
    let mut state = state.clone();
    let words = [
        place.position.epoch,
        place.position.index as u64,
        u64::from(place.is_cached),
        place.best.accuracy.to_bits(),
        place.best.loss.to_bits(),
        place.best.epoch,
    ];
    let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    state.insert(PLACE, Tensor::new(Dtype::I64, vec![words.len()], Payload::from_bytes(bytes))?)?;
    let conversion = Conversion { write: WRITE, ..Conversion::to(Format::Npz) };
    Ok(conversion.save_weights(&state, path, &mut |_, _| ())?)
}

/// Reads what [`save_state`] wrote.
pub(super) fn read_state(path: &Path) -> Result<(Weights, Place)> {
    let state = Weights::open(path)?;
    let mut bytes = Vec::new();
    state.get(PLACE)?.values().read(&mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    let (words, _) = bytes.as_chunks::<8>();
    let words = words.iter().map(|&word| u64::from_le_bytes(word)).collect::<Vec<_>>();
    let [epoch, index, is_cached, accuracy, loss, best] = words[..] else {
        let what = "is no place in a run".to_owned();
        return Err(crate::Error::State { key: PLACE.to_owned(), what }.into());
    };
    let position = Position { epoch, index: index as usize };
    let best = Best { accuracy: f64::from_bits(accuracy), loss: f64::from_bits(loss), epoch: best };
    Ok((state, Place { position, is_cached: is_cached != 0, best }))
}

/// A count in a state.
pub(super) fn read_count(state: &Weights, key: &str) -> Result<u64> {
    let mut bytes = Vec::new();
    state.get(key)?.values().read(&mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    match bytes.first_chunk::<8>() {
        Some(&count) if bytes.len() == 8 => Ok(u64::from_le_bytes(count)),
        _ => Err(crate::Error::State { key: key.to_owned(), what: "is no count".to_owned() }.into()),
    }
}

/// Blobs of `newer` where it has the layer, of `older` elsewhere.
pub(super) fn overlaid(older: &Model, newer: &Model) -> Model {
    let mut model = older.clone();
    for layer in &mut model.layers {
        if let Some(newer) = newer.layers.iter().find(|newer| newer.name == layer.name) {
            layer.blobs.clone_from(&newer.blobs);
        }
    }
    model
}

/// Writes a model with its definition.
pub(super) fn save_model(definition: &NetParameter, parameters: &Model, path: &Path) -> Result<()> {
    let blobs = |name: &str| {
        let layer = parameters.layers.iter().find(|layer| layer.name == name);
        layer.map(|layer| layer.blobs.clone()).unwrap_or_default()
    };
    let layers = definition
        .layer
        .iter()
        .map(|layer| LayerBlobs { name: layer.name().to_owned(), blobs: blobs(layer.name()) });
    let model = Model { definition: Some(definition.clone()), layers: layers.collect(), ..Model::default() };
    let conversion = Conversion { write: WRITE, ..Conversion::to(Format::Caffemodel) };
    Ok(conversion.save_model(&model, path, &mut |_, _| ())?)
}

/// Writes how each image was judged, with pictures of the surest mistakes in the place of those that there are.
pub(super) fn save_judgement(
    folder: &RunFolder,
    epoch: u64,
    sets: &Sets,
    outputs: usize,
    judgement: &Judgement,
) -> Result<()> {
    let mut images = judgement.images.clone();
    let mut mistakes = (0..images.len()).filter(|&at| !images[at].is_right()).collect::<Vec<_>>();
    mistakes.sort_by(|&a, &b| images[b].probability.total_cmp(&images[a].probability));
    mistakes.truncate(MOST_MISTAKES);
    for (index, &at) in mistakes.iter().enumerate() {
        let name = RunFolder::mistake_name(index);
        let Some(path) = folder.mistake(&name) else { continue };
        if pictures::write(sets.validation.source(), judgement.samples[at], &path)? {
            images[at].picture = Some(name);
        }
    }
    let mut classes = sets.classes.clone();
    // The net may have more outputs than the data have classes.
    (classes.len()..outputs).for_each(|class| classes.push(class.to_string()));
    for index in mistakes.len()..MOST_MISTAKES {
        // Of an epoch before, when there were more; where there is none, that is as it should be.
        let _ = folder.mistake(&RunFolder::mistake_name(index)).map(std::fs::remove_file);
    }
    Validation { epoch: epoch as f64, classes, images }.write(&folder.validation())?;
    Ok(())
}

/// The net's first convolution.
pub(super) fn first_convolution(net: &Net) -> Option<String> {
    let is_first = |kind: &LayerKind| matches!(kind, LayerKind::Convolution(_));
    net.layers.iter().find(|layer| is_first(&layer.kind)).map(|layer| layer.name.clone())
}

/// Writes a layer's weights before and after.
pub(super) fn save_filters(layer: &str, before: &Model, after: &Model, path: &Path) -> Result<()> {
    let tensor = |model: &Model| -> Result<Option<Tensor>> {
        let Some(layer) = model.layers.iter().find(|found| found.name == layer) else { return Ok(None) };
        let Some(blob) = layer.blobs.first() else { return Ok(None) };
        let values = blob.to_vec().map_err(Error::from)?;
        Ok(Some(Tensor::from_f32(blob.shape().to_vec(), &values)?))
    };
    if let (Some(before), Some(after)) = (tensor(before)?, tensor(after)?) {
        Filters { before, after }.write(path)?;
    }
    Ok(())
}
