//! One layer of a net.

use super::filler::Filler;
use super::resolve;
use super::{LayerKind, counts};
use crate::Error;
use crate::proto::{self, LayerParameter, Phase};

/// A layer with its type's parameters resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its name. Names need not be unique: weights go to the first layer of a name.
    pub name: String,
    /// Its type as the file writes it.
    pub type_name: String,
    /// Its type.
    pub kind: LayerKind,
    /// The phase it runs in: its own, or the net's.
    pub phase: Phase,
    /// The blobs it reads.
    pub bottoms: Vec<String>,
    /// The blobs it makes. One that has the name of the bottom in the same place is that bottom, rewritten.
    pub tops: Vec<String>,
    /// One for each parameter blob; of an unsupported layer, those written.
    pub params: Vec<ParamSpec>,
    /// How each parameter blob is filled when no weights are loaded: one for each of `params`, but of an unsupported
    /// layer none.
    pub fillers: Vec<Filler>,
    /// The weight of each top in the net's loss, 0 for tops that are none; an automatic top of a loss included.
    pub loss_weight: Vec<f32>,
    /// Whether the gradient goes on to each bottom: empty (Caffe decides), or one a bottom.
    pub propagate_down: Vec<bool>,
}

/// How a parameter is shared and how fast it learns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParamSpec {
    /// Parameters of one name are one parameter; `None` is shared with nobody.
    pub name: Option<String>,
    /// How alike the shapes of sharers must be.
    pub share_mode: ShareMode,
    /// The factor of the learning rate: 0 is frozen.
    pub lr_mult: f32,
    /// The factor of the weight decay.
    pub decay_mult: f32,
    /// The layer and blob, by index, that own the values when an earlier layer has the same `name`.
    pub owner: Option<(usize, usize)>,
}

/// How alike the shapes of sharers must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShareMode {
    /// The same.
    #[default]
    Strict,
    /// The same number of values.
    Permissive,
}

impl Layer {
    /// How many tops it makes, the automatic one of a loss included.
    pub fn top_count(&self) -> usize {
        if self.tops.is_empty() && self.kind.is_loss() { 1 } else { self.tops.len() }
    }

    /// Whether whoever runs the net gives its tops: it reads data, or is of an unknown type and has no bottom.
    pub fn is_given(&self) -> bool {
        match self.kind {
            LayerKind::DummyData(_) => false,
            LayerKind::Unsupported(_) => self.bottoms.is_empty(),
            _ => self.kind.is_source(),
        }
    }

    /// Whether the top of this index is the bottom of the same index, rewritten.
    pub fn is_in_place(&self, top: usize) -> bool {
        matches!((self.bottoms.get(top), self.tops.get(top)), (Some(bottom), Some(name)) if bottom == name)
    }

    /// The error of this layer that `what` describes.
    pub fn error(&self, what: impl Into<String>) -> Error {
        Error::Layer { layer: self.name.clone(), kind: self.type_name.clone(), what: shortened(what.into()) }
    }

    /// Resolves a definition without a look at the graph around it.
    pub(super) fn resolve(layer: &LayerParameter, phase: Phase) -> Result<Self, Error> {
        let (kind, fillers) = resolve::kind(layer).map_err(|what| error(layer, what))?;
        let mut resolved = Self {
            name: layer.name().to_owned(),
            type_name: layer.r#type().to_owned(),
            phase: if layer.phase.is_some() { layer.phase() } else { phase },
            bottoms: layer.bottom.clone(),
            tops: layer.top.clone(),
            params: Vec::new(),
            fillers,
            loss_weight: Vec::new(),
            propagate_down: layer.propagate_down.clone(),
            kind,
        };
        resolved.params = param_specs(layer, &resolved.kind);
        resolved.loss_weight = loss_weights(layer, &resolved);
        Ok(resolved)
    }

    /// What Caffe checks when it puts the layer into a net.
    pub(super) fn check(&self, layer: &LayerParameter) -> Result<(), Error> {
        counts::check(self).map_err(|what| self.error(what))?;
        let propagate = self.propagate_down.len();
        if propagate != 0 && propagate != self.bottoms.len() {
            return Err(self.error(format!(
                "`propagate_down` is given {propagate} times for {} bottoms: give it once a bottom, or not at all",
                self.bottoms.len()
            )));
        }
        if let Some(blobs) = self.kind.blob_count(self.bottoms.len())
            && layer.param.len() > blobs
        {
            return Err(self.error(format!(
                "`param` is given {} times, and this layer has {blobs} parameter blobs: remove {}",
                layer.param.len(),
                layer.param.len() - blobs
            )));
        }
        self.check_batch_norm(layer)?;
        self.check_loss_weight(layer)
    }

    fn check_batch_norm(&self, layer: &LayerParameter) -> Result<(), Error> {
        let LayerKind::BatchNorm(params) = &self.kind else { return Ok(()) };
        match layer.param.iter().position(|param| param.lr_mult() != 0.0) {
            Some(at) if !params.scale_bias => Err(self.error(format!(
                "`param` {at} has `lr_mult: {}`; the statistics are not learned: set it to 0 or remove it",
                layer.param[at].lr_mult()
            ))),
            _ => Ok(()),
        }
    }

    fn check_loss_weight(&self, layer: &LayerParameter) -> Result<(), Error> {
        let (given, tops) = (layer.loss_weight.len(), self.top_count());
        if matches!(self.kind, LayerKind::SoftmaxWithLoss(_)) && tops == 2 {
            return Err(self.error(
                "it has 2 tops, which no Caffe can build: remove the second, and take probabilities from a Softmax layer",
            ));
        }
        let implied = given == 0 && self.kind.is_loss() && tops != 1;
        if implied || (given != 0 && given != tops) {
            return Err(self.error(format!(
                "`loss_weight` is given {given} times for {tops} tops: give it once a top{}",
                if implied { "" } else { ", or not at all" }
            )));
        }
        Ok(())
    }
}

/// The error of a layer not yet resolved.
pub(super) fn error(layer: &LayerParameter, what: String) -> Error {
    Error::Layer { layer: layer.name().to_owned(), kind: layer.r#type().to_owned(), what: shortened(what) }
}

/// A file can have lists of any length; an error shows so much of one.
fn shortened(what: String) -> String {
    const MOST: usize = 1000;
    match what.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &what[..end]),
        None => what,
    }
}

/// One for each blob. The statistics of a BatchNorm have rates of 0 unless written, and NVIDIA/caffe sets those of all
/// five blobs itself.
fn param_specs(layer: &LayerParameter, kind: &LayerKind) -> Vec<ParamSpec> {
    let count = kind.blob_count(layer.bottom.len()).unwrap_or(layer.param.len());
    let default = proto::ParamSpec::default();
    (0..count)
        .map(|blob| {
            let given = layer.param.get(blob);
            let spec = given.unwrap_or(&default);
            let (lr_mult, decay_mult) = match kind {
                LayerKind::BatchNorm(p) if p.scale_bias => {
                    if blob < 3 {
                        (0.0, 0.0)
                    } else {
                        (1.0, 1.0)
                    }
                }
                LayerKind::BatchNorm(_) if given.is_none() => (0.0, 1.0),
                _ => (spec.lr_mult(), spec.decay_mult()),
            };
            ParamSpec {
                name: spec.name.clone().filter(|name| !name.is_empty()),
                share_mode: match spec.share_mode() {
                    proto::param_spec::DimCheckMode::Strict => ShareMode::Strict,
                    proto::param_spec::DimCheckMode::Permissive => ShareMode::Permissive,
                },
                lr_mult,
                decay_mult,
                owner: None,
            }
        })
        .collect()
}

fn loss_weights(layer: &LayerParameter, resolved: &Layer) -> Vec<f32> {
    let mut weights = layer.loss_weight.clone();
    if weights.is_empty() && resolved.kind.is_loss() {
        weights.push(1.0);
    }
    weights.resize(resolved.top_count(), 0.0);
    weights
}
