//! The new definitions, put together.

use std::collections::BTreeSet;

use caffe_proto::net::Net;
use caffe_proto::proto::{
    BlobShape, FillerParameter, InputParameter, LayerParameter, NetParameter, NetStateRule, ParamSpec, Phase,
};

use super::error::quoted;
use super::{ImageInput, Result, Wish};
use crate::run::Replaced;

/// A net that can be fine-tuned.
#[derive(Clone, Debug)]
pub struct Operated {
    /// The net that is trained: an Input layer for images and labels, and losses. Of the layers that the old net had in one
    /// phase only, each has a rule.
    pub train_val: NetParameter,
    /// The net that classifies: an Input layer, and a Softmax.
    pub deploy: NetParameter,
    /// The blob of the images.
    pub input: String,
    /// The blob of the labels.
    pub label: String,
    /// The blob of the scores that count: N×classes, or N×classes×1×1.
    pub scores: String,
    /// The blob of the share of right labels.
    pub accuracy: String,
    /// The layers that have another number of outputs.
    pub replaced: Vec<Replaced>,
    /// All layers that do not take the weights there are for them.
    pub anew: Vec<String>,
    /// What was left out or made anew, and why.
    pub notes: Vec<String>,
}

/// What the new definitions are made of. Layers are places in the old one.
pub(super) struct Parts<'a> {
    pub(super) definition: &'a NetParameter,
    pub(super) train: Vec<usize>,
    pub(super) test: Vec<usize>,
    pub(super) deploy: Vec<usize>,
    pub(super) net: &'a Net,
    pub(super) input: &'a ImageInput,
    pub(super) heads: Vec<Head>,
    pub(super) replaced: Vec<Replaced>,
    pub(super) reset: Vec<String>,
    /// Name and top.
    pub(super) softmax: Option<(String, String)>,
    pub(super) notes: Vec<String>,
}

/// Scores that are learned.
pub(super) struct Head {
    pub(super) scores: String,
    /// The old loss's name.
    pub(super) loss: Option<String>,
    pub(super) weight: f32,
    pub(super) is_main: bool,
}

pub(super) fn assemble(
    parts: &Parts<'_>,
    wish: &Wish,
    has_weights: &dyn Fn(&str) -> bool,
) -> Result<Operated> {
    let mut notes = parts.notes.clone();
    let mut anew: Vec<String> = parts.replaced.iter().map(|replaced| replaced.layer.clone()).collect();
    anew.extend(parts.reset.iter().cloned());
    let mut filled = Vec::new();
    let mut layers = Vec::new();
    for (place, layer) in parts.definition.layer.iter().enumerate() {
        let (in_train, in_test) = (parts.train.contains(&place), parts.test.contains(&place));
        if !in_train && !in_test {
            continue;
        }
        let mut layer = layer.clone();
        layer.include.clear();
        layer.exclude.clear();
        if in_train != in_test {
            let phase = if in_train { Phase::Train } else { Phase::Test };
            layer.include.push(NetStateRule { phase: Some(phase.into()), ..NetStateRule::default() });
        }
        let name = layer.name().to_owned();
        let has_params = parts.net.layer(&name).is_some_and(|layer| !layer.params.is_empty());
        if anew.contains(&name) {
            if let Some(replaced) = parts.replaced.iter().find(|replaced| replaced.layer == name) {
                set_outputs(&mut layer, replaced.outputs as u32);
            }
            let params = parts.net.layer(&name).map_or(0, |layer| layer.params.len());
            learn_faster(&mut layer, params, wish.head_lr_mult);
            start_anew(&mut layer);
        } else if has_params && !has_weights(&name) {
            start_anew(&mut layer);
            filled.push(name);
        }
        layers.push((place, layer));
    }
    filled.dedup();
    if !filled.is_empty() {
        notes.push(format!("without weights, filled anew: {}", quoted(&filled)));
    }

    let mut names = Names::of(layers.iter().map(|(_, layer)| layer));
    let label = names.blob(&parts.input.label);
    let (input, batch) = (&parts.input.blob, wish.batch_size);
    let input_name = names.layer(if parts.input.layer.is_empty() { input } else { &parts.input.layer });
    let sample = |batch: usize| [&[batch], wish.input.as_slice()].concat();
    let images = (input.as_str(), sample(batch));
    let mut train_val = vec![input_layer(&input_name, &[images, (&label, vec![batch])])];
    let mut deploy = vec![input_layer(&input_name, &[(input, sample(1))])];
    for (place, layer) in layers {
        if parts.deploy.contains(&place) {
            deploy.push(LayerParameter { include: Vec::new(), ..layer.clone() });
        }
        train_val.push(layer);
    }
    let (mut scores, mut accuracy) = (String::new(), String::new());
    for head in &parts.heads {
        let name = names.layer(head.loss.as_deref().unwrap_or("loss"));
        let top = names.blob(&name);
        let mut loss = end(&name, "SoftmaxWithLoss", &[&head.scores, &label], &top);
        if head.weight != 1.0 {
            loss.loss_weight.push(head.weight);
        }
        train_val.push(loss);
        if head.is_main {
            scores.clone_from(&head.scores);
            let name = names.layer("accuracy");
            accuracy = names.blob(&name);
            train_val.push(end(&name, "Accuracy", &[&head.scores, &label], &accuracy));
        }
    }
    let (name, top) = parts.softmax.clone().unwrap_or_else(|| ("prob".to_owned(), "prob".to_owned()));
    let top = if top == scores { "prob".to_owned() } else { top };
    let mut deployed = Names::of(&deploy);
    let (name, top) = (deployed.layer(&name), deployed.blob(&top));
    deploy.push(end(&name, "Softmax", &[&scores], &top));

    let net = |layer| NetParameter { name: parts.definition.name.clone(), layer, ..NetParameter::default() };
    Ok(Operated {
        train_val: net(train_val),
        deploy: net(deploy),
        input: input.clone(),
        label,
        scores,
        accuracy,
        replaced: parts.replaced.clone(),
        anew,
        notes,
    })
}

fn input_layer(name: &str, tops: &[(&str, Vec<usize>)]) -> LayerParameter {
    let shape =
        |(_, shape): &(&str, Vec<usize>)| BlobShape { dim: shape.iter().map(|&size| size as i64).collect() };
    LayerParameter {
        name: Some(name.to_owned()),
        r#type: Some("Input".to_owned()),
        top: tops.iter().map(|(top, _)| (*top).to_owned()).collect(),
        input_param: Some(Box::new(InputParameter { shape: tops.iter().map(shape).collect() })),
        ..LayerParameter::default()
    }
}

fn end(name: &str, kind: &str, bottoms: &[&str], top: &str) -> LayerParameter {
    LayerParameter {
        name: Some(name.to_owned()),
        r#type: Some(kind.to_owned()),
        bottom: bottoms.iter().map(|&bottom| bottom.to_owned()).collect(),
        top: vec![top.to_owned()],
        ..LayerParameter::default()
    }
}

fn set_outputs(layer: &mut LayerParameter, outputs: u32) {
    if let Some(product) = &mut layer.inner_product_param {
        product.num_output = Some(outputs);
    }
    if let Some(conv) = &mut layer.convolution_param {
        conv.num_output = Some(outputs);
    }
}

/// A layer that is made anew shares its parameters with no other, and none of them is held.
fn learn_faster(layer: &mut LayerParameter, params: usize, factor: f32) {
    if layer.r#type() == "BatchNorm" {
        return;
    }
    layer.param.resize_with(params, ParamSpec::default);
    for param in &mut layer.param {
        param.name = None;
        let own = if param.lr_mult() == 0.0 { 1.0 } else { param.lr_mult() };
        param.lr_mult = Some(own * factor);
    }
}

/// A deploy net has no fillers, and zeros do not learn; statistics of nothing are no statistics.
fn start_anew(layer: &mut LayerParameter) {
    let filler = |kind: &str| FillerParameter { r#type: Some(kind.to_owned()), ..FillerParameter::default() };
    let kind = layer.r#type().to_owned();
    if let Some(product) = &mut layer.inner_product_param {
        product.weight_filler.get_or_insert_with(|| filler("xavier"));
    }
    if let Some(conv) = &mut layer.convolution_param
        && kind != "Im2col"
    {
        conv.weight_filler.get_or_insert_with(|| filler("msra"));
    }
    if let Some(recurrent) = &mut layer.recurrent_param {
        recurrent.weight_filler.get_or_insert_with(|| filler("xavier"));
    }
    if let Some(norm) = &mut layer.batch_norm_param {
        norm.use_global_stats = None;
    }
}

/// Names that are taken.
struct Names {
    layers: BTreeSet<String>,
    blobs: BTreeSet<String>,
}

impl Names {
    fn of<'l>(layers: impl IntoIterator<Item = &'l LayerParameter>) -> Self {
        let mut names = Self { layers: BTreeSet::new(), blobs: BTreeSet::new() };
        for layer in layers {
            names.layers.insert(layer.name().to_owned());
            names.blobs.extend(layer.top.iter().cloned());
        }
        names
    }

    fn layer(&mut self, wanted: &str) -> String {
        free(&mut self.layers, wanted)
    }

    fn blob(&mut self, wanted: &str) -> String {
        free(&mut self.blobs, wanted)
    }
}

/// `wanted`, or with a line behind it where that is taken.
fn free(taken: &mut BTreeSet<String>, wanted: &str) -> String {
    let mut name = wanted.to_owned();
    while taken.contains(&name) {
        name.push('_');
    }
    taken.insert(name.clone());
    name
}
