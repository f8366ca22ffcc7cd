//! `rebrew plot filters`: a layer's kernels as one picture.

use std::collections::HashSet;
use std::io::{self, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};

use weight_io::chainer::Options;
use weight_io::{Error, Shape, Tensor, Weights, WriteOptions, write_file};

use super::sheet::{Norm, Sheet};
use crate::convert::{blobs, open};
use crate::failure::Failure;
use crate::{Answer, notes};

/// Draw the kernels of a layer as one PNG
///
/// Kernels of three input channels are tiles in colour; of one, tiles in grey; of another number, a row for each filter
/// with a grey tile for each of its input channels. An inner product's weights are a grey matrix, a row for each output.
/// Middle grey is 0, and the largest absolute value of all kernels is black or white, so that signs and sizes compare.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A file of weights, of any format
    model: PathBuf,
    /// The layer
    layer: String,
    /// The picture to write, a .png
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The net's definition, a prototxt; without it the one inside the caffemodel serves
    #[arg(long, value_name = "PROTOTXT")]
    definition: Option<PathBuf>,
    /// Which of the layer's parameters, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    index: usize,
    /// Make each filter's own largest absolute value black or white
    #[arg(long)]
    per_filter: bool,
    /// Take three input channels for red, green, blue; Caffe's nets have blue, green, red
    #[arg(long)]
    rgb: bool,
    /// How many pixels wide and high a value is drawn; so that the picture has about 800, unless given
    #[arg(long, value_name = "N")]
    scale: Option<NonZero<usize>>,
    /// Skip prototxt fields that nobody knows, with a warning
    #[arg(long)]
    lenient: bool,
    /// Replace an existing output
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(arguments: &Arguments, quiet: bool) -> Result<Answer, Failure> {
    if !arguments.output.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
        let output = arguments.output.display();
        return Err(Failure::Message(format!("a PNG is written: end {output} in .png")));
    }
    let weights = weights(arguments, quiet)?;
    let (name, tensor) = find(&weights, &arguments.model, &arguments.layer, arguments.index)?;
    let values = tensor.to_f32().map_err(|error| Failure::within(&arguments.model, error))?;
    let norm = if arguments.per_filter { Norm::Filter } else { Norm::Sheet };
    let sheet = Sheet::new(tensor.shape(), &values, norm, !arguments.rgb).ok_or_else(|| {
        Failure::Message(format!(
            "{}: `{name}` has shape {}: kernels have 4 axes, the weights of an inner product 2",
            arguments.model.display(),
            Shape(tensor.shape())
        ))
    })?;
    notes::print(sheet.notes(), quiet);
    let scale = arguments.scale.map_or_else(|| sheet.usual_scale(), NonZero::get);
    let png = sheet.png(scale).map_err(Failure::Message)?;
    write_file(&arguments.output, &png.bytes, WriteOptions { force: arguments.force, sync: false })?;
    if !quiet {
        let shape = Shape(tensor.shape());
        let output = arguments.output.display();
        writeln!(io::stdout().lock(), "{name} {shape} → {output} ({}×{} pixels)", png.width, png.height)?;
    }
    Ok(Answer::Yes)
}

/// The file's tensors by name, or by number where nothing names them.
fn weights(arguments: &Arguments, quiet: bool) -> Result<Weights, Failure> {
    let opened = open(&arguments.model, arguments.definition.as_deref(), arguments.lenient, quiet)?;
    let failed = |error| Failure::within(&arguments.model, error);
    match opened.weights(Options::default()) {
        Ok((weights, _)) => Ok(weights),
        Err(Error::NoDefinition { .. }) => blobs(&opened).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// The parameter of a layer.
fn find<'a>(
    weights: &'a Weights,
    path: &Path,
    layer: &str,
    index: usize,
) -> Result<(&'a str, &'a Tensor), Failure> {
    let own = weights.iter().filter(|(name, _)| layer_of(name) == layer).collect::<Vec<_>>();
    if let Some(found) = own.get(index) {
        return Ok(*found);
    }
    let path = path.display();
    Err(Failure::Message(if own.is_empty() {
        let known = layers(weights, layer);
        if known.is_empty() {
            format!("{path}: no layer has kernels")
        } else {
            format!("{path}: no layer `{layer}` has parameters; there is {}", notes::list(&known))
        }
    } else {
        let names = own.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
        format!(
            "{path}: layer `{layer}` has no parameter {index}; counted from 0 it has {}",
            notes::list(&names)
        )
    }))
}

/// The layers that have something to draw, those most like `wanted` first.
fn layers(weights: &Weights, wanted: &str) -> Vec<String> {
    let mut layers = match weights.get(&format!("{wanted}/W")) {
        Err(Error::NoTensor { near, .. }) => near.iter().map(|name| layer_of(name).to_owned()).collect(),
        _ => Vec::new(),
    };
    let all = weights.iter().filter(|(_, tensor)| matches!(tensor.shape().len(), 2 | 4));
    layers.extend(all.map(|(name, _)| layer_of(name).to_owned()));
    let drawn = |layer: &str| {
        weights.iter().any(|(name, tensor)| layer_of(name) == layer && matches!(tensor.shape().len(), 2 | 4))
    };
    let mut seen = HashSet::new();
    layers.retain(|layer| drawn(layer) && seen.insert(layer.clone()));
    layers
}

/// The layer that a tensor is of: names of layers may have slashes too.
fn layer_of(tensor: &str) -> &str {
    let layer = tensor.strip_suffix("/bias/b").or_else(|| tensor.rsplit_once('/').map(|(layer, _)| layer));
    layer.unwrap_or(tensor)
}
