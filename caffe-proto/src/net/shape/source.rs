//! Layers whose tops come from outside the net.

use std::collections::BTreeMap;

use super::dims::{self, text};
use super::{Found, tops};
use crate::net::params::{DummyDataParams, ImageDataParams};
use crate::net::{Filler, Layer, LayerKind};

/// Shapes that were given, else those that the definition tells. Labels of images are one a sample.
pub(super) fn source(layer: &Layer, given: &BTreeMap<String, Vec<usize>>) -> Found {
    let mut shapes: Vec<Vec<usize>> = Vec::with_capacity(layer.tops.len());
    for (index, top) in layer.tops.iter().enumerate() {
        let shape = match given.get(top) {
            Some(shape) => Some(shape.clone()),
            None => told(layer, index, shapes.first().map(Vec::as_slice))?,
        };
        shapes.push(shape.ok_or_else(|| {
            format!("the definition does not tell the shape of `{top}`, its data do: give it as an input")
        })?);
    }
    if let LayerKind::DummyData(p) = &layer.kind {
        check_constants(p, &shapes)?;
    }
    tops(shapes)
}

/// Shapes that were given.
pub(super) fn unsupported(layer: &Layer, kind: &str, given: &BTreeMap<String, Vec<usize>>) -> Found {
    let shapes = layer.tops.iter().map(|top| given.get(top).cloned()).collect::<Option<Vec<_>>>();
    tops(shapes.ok_or_else(|| {
        format!(
            "the type `{kind}` is not supported, so the shapes of its tops are not known: give them as inputs"
        )
    })?)
}

/// `first` is the shape of the layer's first top, when this is another.
fn told(layer: &Layer, top: usize, first: Option<&[usize]>) -> Result<Option<Vec<usize>>, String> {
    let batch = |own: usize| first.and_then(|shape| shape.first().copied()).unwrap_or(own);
    Ok(match (&layer.kind, top) {
        (LayerKind::Input(p), top) => match of_top(&p.shapes, top) {
            Some(shape) => Some(dims::from_i64(shape)?),
            None => return Err("it has no shape: write one, or give it as an input".to_owned()),
        },
        (LayerKind::DummyData(p), top) => {
            of_top(&p.shapes, top).map(|shape| dims::from_i64(shape)).transpose()?
        }
        (LayerKind::MemoryData(p), 0) => Some(p.shape.to_vec()),
        (LayerKind::MemoryData(p), 1) => Some(vec![batch(p.shape[0])]),
        (LayerKind::ImageData(p), 0) => image(p),
        (LayerKind::ImageData(p), 1) => Some(vec![batch(p.batch_size)]),
        (LayerKind::Data(p), 1) => Some(vec![batch(p.batch_size)]),
        (LayerKind::WindowData(p), 1) => Some(vec![batch(p.batch_size)]),
        _ => None,
    })
}

fn of_top(shapes: &[Vec<i64>], top: usize) -> Option<&Vec<i64>> {
    if shapes.len() == 1 { shapes.first() } else { shapes.get(top) }
}

/// Known when images are resized or cropped.
fn image(p: &ImageDataParams) -> Option<Vec<usize>> {
    let [height, width] = p.transform.crop.or(p.new_size)?;
    Some(vec![p.batch_size, if p.is_color { 3 } else { 1 }, height, width])
}

/// Caffe fills constants at once, and refuses to fill nothing.
fn check_constants(p: &DummyDataParams, shapes: &[Vec<usize>]) -> Result<(), String> {
    for (top, shape) in shapes.iter().enumerate() {
        let filler = if p.fillers.len() == 1 { p.fillers.first() } else { p.fillers.get(top) };
        if matches!(filler, Some(Filler::Constant(_))) && shape.contains(&0) {
            return Err(format!("its top {top} of shape {} has no values to fill", text(shape)));
        }
    }
    Ok(())
}
