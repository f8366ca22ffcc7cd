//! V0's `padding` layers, folded into the convolutions and poolings that read them.

use std::collections::HashMap;

use super::{Carried, label};
use crate::Error;
use crate::proto::{V0LayerParameter, V1LayerParameter};

type Layer = Carried<V1LayerParameter>;

/// Takes the padding layers out, and gives their `pad` and their bottom to those that read them.
///
/// # Errors
/// As real Caffe: when a bottom is made by no layer, a padding layer does not lead from one blob to one blob, or is
/// read by a layer that cannot pad.
pub(super) fn fold(
    layers: Vec<Layer>,
    inputs: &[String],
    notes: &mut Vec<String>,
) -> Result<Vec<Layer>, Error> {
    // Of each blob the padding layer that makes it; none for one of the net's inputs or an ordinary layer.
    let mut makers: HashMap<String, Option<usize>> =
        inputs.iter().map(|input| (input.clone(), None)).collect();
    let mut paddings: Vec<Padding> = Vec::new();
    let mut kept = Vec::with_capacity(layers.len());
    for mut layer in layers {
        let v0 = Facts::of(layer.layer.layer.as_deref());
        for index in 0..layer.layer.bottom.len() {
            let Some(&maker) = makers.get(&layer.layer.bottom[index]) else {
                let what =
                    format!("its bottom `{}` is made by no layer in front of it", layer.layer.bottom[index]);
                return Err(v0.error(what));
            };
            let Some(padding) = maker.map(|index| &mut paddings[index]) else { continue };
            padding.used = true;
            let fault = if !matches!(v0.kind.as_str(), "conv" | "pool") {
                "a `padding` layer can only be read by `conv` and `pool` layers"
            } else if layer.layer.bottom.len() != 1 {
                "a layer that reads a `padding` layer has one bottom"
            } else if padding.bottoms.len() != 1 || padding.tops != 1 {
                "the `padding` layer that it reads must have one bottom and one top"
            } else {
                ""
            };
            if !fault.is_empty() {
                return Err(v0.error(format!("{fault}; it reads `{}`", padding.name)));
            }
            layer.layer.bottom[index].clone_from(&padding.bottoms[0]);
            layer.layer.layer.get_or_insert_default().pad = Some(padding.pad);
        }
        let is_padding = v0.kind == "padding";
        let maker = is_padding.then_some(paddings.len());
        makers.extend(layer.layer.top.iter().map(|top| (top.clone(), maker)));
        if is_padding {
            if !layer.blobs.is_empty() {
                notes.push(format!("{}: its blobs are dropped with it", label(&v0.name, &v0.kind)));
            }
            let (bottoms, tops) = (layer.layer.bottom, layer.layer.top.len());
            paddings.push(Padding { name: v0.name, bottoms, tops, pad: v0.pad, used: false });
        } else {
            kept.push(layer);
        }
    }
    let unused = paddings.iter().filter(|padding| !padding.used);
    notes.extend(
        unused.map(|padding| format!("{}: dropped, as no layer reads it", label(&padding.name, "padding"))),
    );
    Ok(kept)
}

/// A padding layer that is taken out.
struct Padding {
    name: String,
    bottoms: Vec<String>,
    tops: usize,
    pad: u32,
    used: bool,
}

/// What is needed of a layer while its other parts change.
struct Facts {
    name: String,
    kind: String,
    pad: u32,
}

impl Facts {
    fn of(layer: Option<&V0LayerParameter>) -> Self {
        let text = |field: fn(&V0LayerParameter) -> &str| layer.map(field).unwrap_or_default().to_owned();
        Self {
            name: text(V0LayerParameter::name),
            kind: text(V0LayerParameter::r#type),
            pad: layer.map_or(0, V0LayerParameter::pad),
        }
    }

    fn error(&self, what: String) -> Error {
        Error::Layer { layer: self.name.clone(), kind: self.kind.clone(), what }
    }
}
