//! Which weights go to which layer.

use std::collections::{BTreeMap, HashSet};

use caffe_proto::net::{Net, Shapes};
use caffe_proto::proto::{LayerParameter, NetParameter};
use caffe_proto::{Blob, LayerBlobs, Model};
use weight_io::{Weights, chainer};

use super::Params;
use super::store::fits;
use crate::error::{Error, Result};

/// How weights are given to layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Match {
    /// Those of a layer's name, as Caffe does it. Another shape or another number of parameters is an error.
    #[default]
    ByName,
    /// Those of a layer's name that fit it. Layers that they do not fit are filled anew, and reported.
    ByNameAndShape,
}

/// What matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchReport {
    /// Layers that were given their parameters.
    pub matched: Vec<String>,
    /// Layers with parameters for which there are no weights of that name: their fillers fill them.
    pub missing: Vec<String>,
    /// Layers whose weights do not fit, and why: their fillers fill them.
    pub misfits: Vec<(String, String)>,
    /// Layers, or tensors that are of no layer, among the weights that the net has not.
    pub unused: Vec<String>,
}

/// What weights under Chainer's names come to for the layers of a definition.
pub(crate) struct ByName {
    /// The blobs of layers.
    pub(crate) model: Model,
    /// Names that belong to no layer.
    pub(crate) unused: Vec<String>,
    /// Layers whose weights could not be laid out, and why: none where that is an error.
    pub(crate) misfits: Vec<(String, String)>,
}

/// Gives the blobs of `model` to the layers of the same name.
pub(crate) fn take_model(
    net: &Net,
    shapes: Option<&Shapes>,
    params: &mut Params,
    model: &Model,
    by: Match,
) -> Result<MatchReport> {
    let mut report = MatchReport::default();
    let mut sources: BTreeMap<&str, &[Blob]> = BTreeMap::new();
    for LayerBlobs { name, blobs } in model.layers.iter().filter(|layer| !layer.blobs.is_empty()) {
        sources.entry(name).or_insert(blobs);
    }
    let mut accepted = Vec::new();
    let mut seen = HashSet::new();
    for (index, layer) in net.layers.iter().enumerate() {
        if layer.params.is_empty() || !seen.insert(layer.name.as_str()) {
            continue;
        }
        let Some(blobs) = sources.get(layer.name.as_str()) else {
            report.missing.push(layer.name.clone());
            continue;
        };
        let fault =
            fault(&layer.name, layer.params.len(), blobs, shapes.map(|all| &all.layers()[index].params));
        match (fault, by) {
            (None, _) => {
                accepted.push((index, *blobs));
                report.matched.push(layer.name.clone());
            }
            (Some(error), Match::ByName) => return Err(error),
            (Some(error), Match::ByNameAndShape) => {
                report.misfits.push((layer.name.clone(), error.to_string()));
            }
        }
    }
    report.unused = sources.into_keys().filter(|name| !seen.contains(name)).map(str::to_owned).collect();
    for (index, blobs) in accepted {
        params.set(index, blobs);
    }
    Ok(report)
}

/// The blobs that `weights`, under Chainer's names, hold for the layers of `definition`.
pub(crate) fn blobs_by_name(definition: &NetParameter, weights: &Weights, by: Match) -> Result<ByName> {
    let units = units(definition, weights);
    let mut unused = Vec::new();
    let mut owned: Vec<Weights> = vec![Weights::new(); units.len()];
    for (name, tensor) in weights.iter() {
        match units.iter().position(|unit| unit.owns(name)) {
            Some(unit) => owned[unit].insert(name, tensor.clone())?,
            None => unused.push(name.to_owned()),
        }
    }
    let mut misfits = Vec::new();
    let mut model = Model::default();
    for (unit, weights) in units.iter().zip(&owned).filter(|(_, weights)| !weights.is_empty()) {
        let part = NetParameter { layer: unit.layers.clone(), ..NetParameter::default() };
        match (chainer::to_blobs(&part, weights), by) {
            (Ok((blobs, _)), _) => model.layers.extend(blobs.layers),
            (Err(error), Match::ByName) => return Err(error.into()),
            (Err(error), Match::ByNameAndShape) => {
                misfits.push((unit.layers[0].name().to_owned(), error.to_string()));
            }
        }
    }
    Ok(ByName { model, unused, misfits })
}

/// A layer, with the Scale behind it if that one's values are in the layer's own link.
struct Unit {
    layers: Vec<LayerParameter>,
}

impl Unit {
    fn owns(&self, tensor: &str) -> bool {
        self.layers.iter().any(|layer| {
            tensor.strip_prefix(layer.name()).and_then(|rest| rest.strip_prefix('/')).is_some_and(is_key)
        })
    }
}

fn units(definition: &NetParameter, weights: &Weights) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for layer in &definition.layer {
        let behind = (layer.r#type() == "Scale" && layer.bottom.len() == 1).then(|| {
            units.iter_mut().find(|unit| {
                let [norm] = unit.layers.as_slice() else { return false };
                norm.r#type() == "BatchNorm"
                    && norm.top.first() == layer.bottom.first()
                    && weights.find(&format!("{}/gamma", norm.name())).is_some()
                    && weights.find(&format!("{}/W", layer.name())).is_none()
            })
        });
        match behind.flatten() {
            Some(unit) => unit.layers.push(layer.clone()),
            None => units.push(Unit { layers: vec![layer.clone()] }),
        }
    }
    units
}

/// Whether what follows a layer's name is one of the names that a link's arrays have: layer names may hold slashes too.
fn is_key(rest: &str) -> bool {
    const KEYS: [&str; 19] = [
        "W",
        "b",
        "avg_mean",
        "avg_var",
        "N",
        "gamma",
        "beta",
        "bias/b",
        "scale",
        "W_xc",
        "b_c",
        "W_xc_static",
        "W_hc",
        "W_xh",
        "b_h",
        "W_xh_static",
        "W_hh",
        "W_ho",
        "b_o",
    ];
    KEYS.contains(&rest)
        || rest
            .strip_prefix("blob")
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn fault(layer: &str, count: usize, blobs: &[Blob], shapes: Option<&Vec<Vec<usize>>>) -> Option<Error> {
    if blobs.len() != count {
        return Some(Error::ParameterCount { layer: layer.to_owned(), expected: count, found: blobs.len() });
    }
    let (index, (blob, expected)) =
        blobs.iter().zip(shapes?).enumerate().find(|(_, (blob, expected))| !fits(blob, expected))?;
    Some(Error::ParameterShape {
        layer: layer.to_owned(),
        index,
        expected: expected.clone(),
        found: blob.shape().to_vec(),
    })
}
