//! What Caffe checks between layers: who makes a blob, who reads it, who shares a parameter.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::Layer;
use crate::Error;
use crate::proto::LayerParameter;

/// A top, by layer and place.
type Top = (usize, usize);

/// Checks that every bottom is made above it, and that every top has one maker.
///
/// A blob that several layers read goes to each of them as a copy (Caffe's automatic Split layers); so a layer can
/// rewrite a blob in place only when it alone reads that version. A top with a loss weight counts as read once.
///
/// # Errors
/// An unknown bottom, a top with two makers, a blob rewritten in place that others read too.
pub(super) fn check(layers: &[Layer], definitions: &[&LayerParameter]) -> Result<(), Error> {
    let mut makers: HashMap<&str, Top> = HashMap::new();
    let mut readers: HashMap<Top, Vec<&str>> = HashMap::new();
    let mut sources: Vec<Vec<Top>> = Vec::with_capacity(layers.len());
    for (index, (layer, definition)) in layers.iter().zip(definitions).enumerate() {
        let mut from = Vec::with_capacity(layer.bottoms.len());
        for (place, bottom) in layer.bottoms.iter().enumerate() {
            let Some(&maker) = makers.get(bottom.as_str()) else {
                return Err(layer.error(unknown_bottom(layers, index, place)));
            };
            readers.entry(maker).or_default().push(&layer.name);
            from.push(maker);
        }
        sources.push(from);
        for (place, top) in layer.tops.iter().enumerate() {
            makers.insert(top, (index, place));
        }
        for (top, _) in layer.tops.iter().zip(&definition.loss_weight).filter(|(_, weight)| **weight != 0.0) {
            if let Some(&maker) = makers.get(top.as_str()) {
                readers.entry(maker).or_default().push("the net's loss");
            }
        }
    }

    let mut made: HashSet<&str> = HashSet::new();
    for (layer, from) in layers.iter().zip(&sources) {
        for (place, top) in layer.tops.iter().enumerate() {
            let read_by = readers.get(from.get(place).unwrap_or(&(usize::MAX, 0)));
            if layer.is_in_place(place) && read_by.is_none_or(|names| names.len() == 1) {
                continue;
            }
            if made.insert(top) {
                continue;
            }
            return Err(layer.error(if layer.is_in_place(place) {
                format!(
                    "it rewrites `{top}` in place, which is also read by {}: give its top another name",
                    others(read_by.map_or(&[], Vec::as_slice), &layer.name)
                )
            } else {
                format!("its top `{top}` is made by an earlier layer already: give it another name")
            }));
        }
    }
    Ok(())
}

/// The blobs of a net that nobody reads once they are last written, by name, as Caffe lists them.
pub(super) fn outputs(layers: &[Layer]) -> Vec<String> {
    let mut unread = BTreeSet::new();
    for layer in layers {
        for bottom in &layer.bottoms {
            unread.remove(bottom);
        }
        unread.extend(&layer.tops);
    }
    unread.into_iter().cloned().collect()
}

/// The tops of Input layers, and bottoms that no layer above makes, in order.
pub(super) fn inputs(layers: &[Layer]) -> Vec<String> {
    let mut known: HashSet<&str> = HashSet::new();
    let mut inputs = Vec::new();
    for layer in layers {
        for bottom in &layer.bottoms {
            if known.insert(bottom) {
                inputs.push(bottom.clone());
            }
        }
        for top in &layer.tops {
            if known.insert(top) && matches!(layer.kind, super::LayerKind::Input(_)) {
                inputs.push(top.clone());
            }
        }
    }
    inputs
}

/// Finds the owner of every shared parameter: the first of its name. Rates that a sharer writes must be the owner's;
/// an owner without takes the sharer's.
///
/// # Errors
/// Sharers that write different rates.
pub(super) fn share(layers: &mut [Layer], definitions: &[&LayerParameter]) -> Result<(), Error> {
    let mut owners: BTreeMap<String, Owner> = BTreeMap::new();
    for (index, definition) in definitions.iter().enumerate() {
        for blob in 0..layers[index].params.len() {
            let Some(name) = layers[index].params[blob].name.clone() else { continue };
            let (written_lr, written_decay) =
                definition.param.get(blob).map_or((None, None), |spec| (spec.lr_mult, spec.decay_mult));
            let Some(owner) = owners.get_mut(&name) else {
                let at = (index, blob);
                owners.insert(name, Owner { at, lr_mult: written_lr, decay_mult: written_decay });
                continue;
            };
            layers[index].params[blob].owner = Some(owner.at);
            let place = format!("`{}`", layers[owner.at.0].name);
            let agree = |field: &str, owned: &mut Option<f32>, written: Option<f32>| match (*owned, written) {
                (Some(owned), Some(written)) if owned.total_cmp(&written).is_ne() => Err(format!(
                    "the shared parameter `{name}` has `{field}: {written}` here and {owned} in layer {place}: make them equal"
                )),
                (None, Some(_)) => {
                    *owned = written;
                    Ok(())
                }
                _ => Ok(()),
            };
            agree("lr_mult", &mut owner.lr_mult, written_lr)
                .and_then(|()| agree("decay_mult", &mut owner.decay_mult, written_decay))
                .map_err(|what| layers[index].error(what))?;
        }
    }
    for owner in owners.values() {
        let spec = &mut layers[owner.at.0].params[owner.at.1];
        spec.lr_mult = owner.lr_mult.unwrap_or(spec.lr_mult);
        spec.decay_mult = owner.decay_mult.unwrap_or(spec.decay_mult);
    }
    for index in 0..layers.len() {
        for blob in 0..layers[index].params.len() {
            if let Some((layer, at)) = layers[index].params[blob].owner {
                let (lr_mult, decay_mult) =
                    (layers[layer].params[at].lr_mult, layers[layer].params[at].decay_mult);
                let spec = &mut layers[index].params[blob];
                (spec.lr_mult, spec.decay_mult) = (lr_mult, decay_mult);
            }
        }
    }
    Ok(())
}

struct Owner {
    at: (usize, usize),
    lr_mult: Option<f32>,
    decay_mult: Option<f32>,
}

fn unknown_bottom(layers: &[Layer], index: usize, place: usize) -> String {
    let bottom = &layers[index].bottoms[place];
    match layers[index..].iter().find(|layer| layer.tops.contains(bottom)) {
        Some(later) if later.name != layers[index].name => format!(
            "its bottom {place}, `{bottom}`, is made by layer `{}` below it: put that layer first",
            later.name
        ),
        _ => format!(
            "its bottom {place}, `{bottom}`, is made by no layer of this phase: check the name, or add an Input layer"
        ),
    }
}

fn others(readers: &[&str], own: &str) -> String {
    let mut names: Vec<String> =
        readers.iter().filter(|name| **name != own).map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        return "another of its bottoms".to_owned();
    }
    names.dedup();
    names.join(" and ")
}
