//! Any generation of a net made into today's form, in the five steps and in the order of real Caffe.
//!
//! 1. V0 layers to V1: their `padding` layers go into the layers that read them (`padding.rs`), the one message
//!    of all parameters into one for each type (`v0.rs`).
//! 2. The image fields of V1 data layers into `transform_param` (`data.rs`).
//! 3. V1 layers to V2: types by name, `blobs_lr` and its like into `param` (`v1.rs`).
//! 4. `input`, with its shapes, to an `Input` layer (`input.rs`).
//! 5. Learning rates of BatchNorm's statistics to zero.
//!
//! A layer's blobs travel beside it. What has no place in the new form is dropped where real Caffe drops it,
//! and told of in [`Model::notes`].

mod blobs;
mod data;
mod fields;
mod input;
mod padding;
mod v0;
mod v1;

use std::path::Path;

use crate::proto::{LayerParameter, NetParameter};
use crate::{Blob, Error, Generation, LayerBlobs, Model};

/// Makes a net of any generation into today's form.
///
/// `blobs` holds those of each layer in `layers` or `layer`, whichever the net has, for a reader that keeps
/// them out of the definition; or nothing at all. Those in the definition itself are taken out of it and put behind them.
/// `path` is the file that errors name.
///
/// # Errors
/// [`Error::Definition`] and [`Error::Layer`] for what real Caffe refuses too: `layers` beside `layer`, unknown V0
/// types, `padding` in front of a layer that cannot pad; and where it would read past an end:
/// inputs without their dimensions. [`Error::Layer`] also for a blob whose values are not as many as its shape needs.
///
/// # Panics
/// When `blobs` is not empty and not as long as the net has layers.
pub fn upgrade(path: &Path, mut net: NetParameter, blobs: Vec<Vec<Blob>>) -> Result<Model, Error> {
    let refuse = |what: String| Error::Definition { path: path.to_path_buf(), what };
    let mut notes = Vec::new();
    let old = std::mem::take(&mut net.layers);
    let new = std::mem::take(&mut net.layer);
    let generation = match (old.as_slice(), new.as_slice()) {
        ([], _) => Generation::V2,
        (_, []) if old.iter().any(|layer| layer.layer.is_some()) => Generation::V0,
        (_, []) => Generation::V1,
        _ => {
            let what = "the net has layers of both forms, `layers` and `layer`: rewrite those in `layers`, such as \
                        `layers { type: RELU }`, as `layer { type: \"ReLU\" }`";
            return Err(refuse(what.to_owned()));
        }
    };
    let mut layers = if old.is_empty() {
        let mut layers = carried(new, blobs);
        for layer in &mut layers {
            let inline = std::mem::take(&mut layer.layer.blobs);
            let owner = (layer.layer.name(), layer.layer.r#type());
            layer.blobs.extend(blobs::from_proto(&inline, owner, &mut notes)?);
        }
        layers
    } else {
        let mut layers = carried(old, blobs);
        if generation == Generation::V0 {
            net = v0::upgrade_net(net, &mut notes);
            layers = v0::upgrade_layers(layers, &net.input, &mut notes)?;
        } else {
            v1::take_inline_blobs(&mut layers, &mut notes)?;
        }
        data::upgrade(&mut layers);
        v1::upgrade(layers, &mut notes)
    };
    input::upgrade(&mut net, &mut layers, &mut notes).map_err(refuse)?;
    for layer in &mut layers {
        freeze_statistics(&mut layer.layer);
    }
    let (definition, blobs) = layers.into_iter().map(|layer| (layer.layer, layer.blobs)).unzip();
    net.layer = definition;
    let named = |(layer, blobs): (&LayerParameter, _)| LayerBlobs { name: layer.name().to_owned(), blobs };
    let layers = net.layer.iter().zip::<Vec<_>>(blobs).map(named).collect();
    Ok(Model { layers, definition: Some(net), generation, notes })
}

/// A layer of some generation and its blobs.
#[derive(Debug, Default)]
struct Carried<L> {
    layer: L,
    blobs: Vec<Blob>,
}

fn carried<L>(layers: Vec<L>, mut blobs: Vec<Vec<Blob>>) -> Vec<Carried<L>> {
    if blobs.is_empty() {
        blobs.resize_with(layers.len(), Vec::new);
    }
    assert_eq!(layers.len(), blobs.len(), "as many lists of blobs as layers");
    layers.into_iter().zip(blobs).map(|(layer, blobs)| Carried { layer, blobs }).collect()
}

/// Before BatchNorm updated its three statistics by itself, its layers were given three `param` to hold
/// them still; whatever rates those have, they must be zero now.
fn freeze_statistics(layer: &mut LayerParameter) {
    if layer.r#type() == "BatchNorm" && layer.param.len() == 3 {
        for param in &mut layer.param {
            param.lr_mult = Some(0.0);
            param.decay_mult = Some(0.0);
        }
    }
}

/// `` layer `conv1` (conv) `` for a note.
fn label(name: &str, kind: &str) -> String {
    match (name, kind) {
        ("", "") => "a layer without name and type".to_owned(),
        (name, "") => format!("layer `{name}`"),
        (name, kind) => format!("layer `{name}` ({kind})"),
    }
}
