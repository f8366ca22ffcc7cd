//! Cuts a net above its frozen layers.

use std::collections::BTreeSet;

use caffe_proto::net::params::PoolMethod;
use caffe_proto::net::{LayerKind as K, Net};
use caffe_proto::proto::{
    BatchNormParameter, BlobShape, InputParameter, LayerParameter, NetParameter, NetState, Phase,
};

use crate::Network;
use crate::error::Result;
use crate::optim::ParamInfo;
use crate::surgery::{Graph, Operated};

/// A net in two: what is frozen at its beginning, and what follows.
#[derive(Clone, Debug)]
pub struct Split {
    /// The frozen part, with an Input layer for images; to be run in the phase TEST. `None` where nothing is cut off.
    pub prefix: Option<NetParameter>,
    /// Why nothing is.
    pub why_not: Option<String>,
    /// The lowest layer that is not: it learns, or its statistics change.
    pub lowest: Option<String>,
    /// The layers that are cut off.
    pub layers: Vec<String>,
    /// The blobs where the net is cut: the images' where nothing is cut off.
    pub blobs: Vec<String>,
    /// What follows, with an Input layer for those blobs and the labels.
    pub train: NetParameter,
    /// The same up to the scores, for judging; to be run in the phase TEST.
    pub test: NetParameter,
    /// The blob of the images.
    pub input: String,
    /// Samples a batch.
    pub batch_size: usize,
}

/// Whether each layer is at work: it learns, depends on chance, or follows on one that does.
struct Work {
    is_at_work: Vec<bool>,
}

impl Split {
    /// Cuts the net that `operated` is, where the parameters marked in `frozen` (those of
    /// [`ParamInfo::all_of`](crate::optim::ParamInfo::all_of)) do not learn.
    ///
    /// # Errors
    /// When the net cannot be built.
    pub fn new(operated: &Operated, frozen: &[bool], batch_size: usize) -> Result<Self> {
        match Self::cut(operated, frozen, batch_size)? {
            Ok(split) => Ok(split),
            Err(why) => Ok(Self::whole(operated, batch_size, why)),
        }
    }

    /// The net in one piece.
    pub fn whole(operated: &Operated, batch_size: usize, why_not: impl Into<String>) -> Self {
        let input = operated.train_val.layer[0].clone();
        let deploy = &operated.deploy.layer;
        let mut test = vec![with_batch(&deploy[0], batch_size)];
        test.extend(deploy[1..deploy.len() - 1].iter().cloned());
        let mut train = vec![with_batch(&input, batch_size)];
        train.extend(operated.train_val.layer[1..].iter().cloned());
        Self {
            prefix: None,
            why_not: Some(why_not.into()),
            lowest: None,
            layers: Vec::new(),
            blobs: vec![operated.input.clone()],
            train: net(&operated.train_val, train),
            test: net(&operated.train_val, test),
            input: operated.input.clone(),
            batch_size,
        }
    }

    fn cut(
        operated: &Operated,
        frozen: &[bool],
        batch_size: usize,
    ) -> Result<std::result::Result<Self, String>> {
        let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
        let network = Network::new(operated.train_val.clone(), &state)?;
        let (net_in_phase, shapes) = (network.net(), network.shapes()?);
        let graph = Graph::new(net_in_phase);
        let infos = ParamInfo::all_of(net_in_phase, &shapes);
        let work = Work::new(&graph, &infos, frozen, &operated.label);
        let is_prefix = |index: usize| !work.is_at_work[index] && !graph.layer(index).is_given();
        let layers = (0..net_in_phase.layers.len()).filter(|&index| is_prefix(index)).collect::<Vec<_>>();
        if !layers.iter().any(|&index| !graph.layer(index).params.is_empty()) {
            return Ok(Err("no layer at the net's beginning is frozen".to_owned()));
        }
        let mut values = BTreeSet::new();
        for index in (0..net_in_phase.layers.len()).filter(|&index| work.is_at_work[index]) {
            values.extend(graph.makers[index].iter().copied().filter(|&(maker, _)| is_prefix(maker)));
            let images = graph.makers[index].iter().find(|&&value| graph.blob(value) == operated.input);
            if images.is_some_and(|&value| graph.is_given(value)) {
                return Ok(Err(format!(
                    "layer `{}`, which is not frozen, reads the images too",
                    graph.layer(index).name
                )));
            }
        }
        let mut blobs = Vec::new();
        for &value in &values {
            let name = graph.blob(value).to_owned();
            let shape = shapes.layers()[value.0].tops[value.1].clone();
            if shape.first() != Some(&batch_of(&operated.train_val)) {
                return Ok(Err(format!(
                    "`{name}` is {}, which is no row an image",
                    weight_io::Shape(&shape)
                )));
            }
            if blobs.iter().any(|(other, _)| *other == name) {
                return Ok(Err(format!("`{name}` is two blobs of one name")));
            }
            blobs.push((name, shape[1..].to_vec()));
        }
        let names: BTreeSet<String> = layers.iter().map(|&index| graph.layer(index).name.clone()).collect();
        let in_prefix = |layer: &&LayerParameter| names.contains(layer.name());
        let Some(test) = test_net(operated, &names, &blobs, batch_size) else {
            return Ok(Err("the net has other layers when it is tested".to_owned()));
        };
        let at_work = |index: &usize| work.is_at_work[*index] && !graph.layer(*index).params.is_empty();
        let lowest =
            (0..net_in_phase.layers.len()).find(at_work).map(|index| graph.layer(index).name.clone());
        let definition = &operated.train_val;
        let chosen = net_in_phase.layers.iter().enumerate().filter(|(index, _)| is_prefix(*index));
        let chosen = chosen.filter_map(|(_, layer)| {
            let of_phase = |found: &&LayerParameter| found.name() == layer.name && is_of(found, Phase::Train);
            definition.layer.iter().find(of_phase).map(still)
        });
        let images = with_batch(&operated.deploy.layer[0], batch_size);
        let prefix = std::iter::once(images).chain(chosen).collect();
        let rest = definition.layer[1..].iter().filter(|layer| !in_prefix(layer)).cloned();
        let mut tops = blobs.clone();
        tops.push((operated.label.clone(), Vec::new()));
        let train =
            std::iter::once(input_layer(&definition.layer[0], &tops, batch_size)).chain(rest).collect();
        Ok(Ok(Self {
            prefix: Some(net(definition, prefix)),
            why_not: None,
            lowest,
            layers: layers.iter().map(|&index| graph.layer(index).name.clone()).collect(),
            blobs: blobs.into_iter().map(|(name, _)| name).collect(),
            train: net(definition, train),
            test,
            input: operated.input.clone(),
            batch_size,
        }))
    }
}

impl Work {
    fn new(graph: &Graph<'_>, infos: &[ParamInfo], frozen: &[bool], label: &str) -> Self {
        let net = graph.net;
        let learns = learns(net, infos, frozen);
        let mut is_at_work = Vec::with_capacity(net.layers.len());
        // Whether a layer follows on the images.
        let mut follows = vec![false; net.layers.len()];
        for (index, layer) in net.layers.iter().enumerate() {
            let makers = &graph.makers[index];
            follows[index] = layer.is_given() || makers.iter().any(|&(maker, _)| follows[maker]);
            let reads_label = makers.iter().any(|&value| graph.is_given(value) && graph.blob(value) == label);
            let own = learns[index]
                || reads_label
                || !follows[index]
                || match &layer.kind {
                    K::BatchNorm(norm) => !holds(layer, infos, frozen) && norm.use_global_stats != Some(true),
                    K::Pooling(pooling) => pooling.method == PoolMethod::Stochastic,
                    kind => kind.is_loss() || matches!(kind, K::Accuracy(_)),
                };
            let behind = makers.iter().any(|&(maker, _)| is_at_work[maker]);
            is_at_work.push(!layer.is_given() && (own || behind));
        }
        let mut work = Self { is_at_work };
        work.leave_last_dropouts(graph);
        work
    }

    /// A Dropout behind which nothing frozen has parameters drops for what learns.
    fn leave_last_dropouts(&mut self, graph: &Graph<'_>) {
        for index in (0..self.is_at_work.len()).rev() {
            if self.is_at_work[index] || !matches!(graph.layer(index).kind, K::Dropout { .. }) {
                continue;
            }
            let ahead = graph.ahead(index);
            let still = (0..ahead.len()).filter(|&other| ahead[other] && !self.is_at_work[other]);
            let still = still.collect::<Vec<_>>();
            if still.iter().all(|&other| graph.layer(other).params.is_empty()) {
                self.is_at_work[index] = true;
                for other in still {
                    self.is_at_work[other] = true;
                }
            }
        }
    }
}

/// Whether a parameter of each layer learns.
fn learns(net: &Net, infos: &[ParamInfo], frozen: &[bool]) -> Vec<bool> {
    let mut owners = Vec::new();
    for (index, layer) in net.layers.iter().enumerate() {
        let own = layer.params.iter().enumerate().filter(|(_, spec)| spec.owner.is_none());
        owners.extend(own.map(|(at, _)| (index, at)));
    }
    let learned = |place: (usize, usize)| {
        let at = owners.iter().position(|&owner| owner == place);
        at.is_some_and(|at| !frozen[at] && infos[at].lr_mult != 0.0)
    };
    let of_layer = |(index, layer): (usize, &caffe_proto::net::Layer)| {
        let mut params = layer.params.iter().enumerate();
        params.any(|(at, spec)| learned(spec.owner.unwrap_or((index, at))))
    };
    net.layers.iter().enumerate().map(of_layer).collect()
}

/// Whether a hook holds all of a layer's parameters.
fn holds(layer: &caffe_proto::net::Layer, infos: &[ParamInfo], frozen: &[bool]) -> bool {
    let mut own = infos.iter().zip(frozen).filter(|(info, _)| info.layer == layer.name).peekable();
    own.peek().is_some() && own.all(|(_, frozen)| *frozen)
}

/// What is left of the net that judges; `None` when it does not begin at the cut.
fn test_net(
    operated: &Operated,
    prefix: &BTreeSet<String>,
    blobs: &[(String, Vec<usize>)],
    batch_size: usize,
) -> Option<NetParameter> {
    let deploy = &operated.deploy.layer;
    let rest = deploy[1..deploy.len() - 1].iter().filter(|layer| !prefix.contains(layer.name()));
    let rest = rest.cloned().collect::<Vec<_>>();
    let mut known: BTreeSet<&str> = blobs.iter().map(|(name, _)| name.as_str()).collect();
    for layer in &rest {
        if layer.bottom.iter().any(|bottom| !known.contains(bottom.as_str())) {
            return None;
        }
        known.extend(layer.top.iter().map(String::as_str));
    }
    let input = input_layer(&deploy[0], blobs, batch_size);
    Some(net(&operated.train_val, std::iter::once(input).chain(rest).collect()))
}

/// A layer as it is when nothing in it changes.
fn still(layer: &LayerParameter) -> LayerParameter {
    let mut layer = LayerParameter { include: Vec::new(), ..layer.clone() };
    if layer.r#type() == "BatchNorm" {
        let params = layer.batch_norm_param.get_or_insert_with(|| Box::new(BatchNormParameter::default()));
        params.use_global_stats = Some(true);
    }
    layer
}

fn is_of(layer: &LayerParameter, phase: Phase) -> bool {
    layer.include.is_empty() || layer.include.iter().any(|rule| rule.phase() == phase)
}

fn batch_of(definition: &NetParameter) -> usize {
    let input = definition.layer.first().and_then(|layer| layer.input_param.as_ref());
    let size = input.and_then(|input| input.shape.first()).and_then(|shape| shape.dim.first());
    size.map_or(0, |&size| size as usize)
}

fn with_batch(input: &LayerParameter, batch_size: usize) -> LayerParameter {
    let mut input = input.clone();
    for shape in input.input_param.iter_mut().flat_map(|input| &mut input.shape) {
        if let Some(size) = shape.dim.first_mut() {
            *size = batch_size as i64;
        }
    }
    input
}

fn input_layer(like: &LayerParameter, tops: &[(String, Vec<usize>)], batch_size: usize) -> LayerParameter {
    let shape = |(_, shape): &(String, Vec<usize>)| BlobShape {
        dim: std::iter::once(batch_size).chain(shape.iter().copied()).map(|size| size as i64).collect(),
    };
    LayerParameter {
        top: tops.iter().map(|(top, _)| top.clone()).collect(),
        input_param: Some(Box::new(InputParameter { shape: tops.iter().map(shape).collect() })),
        ..like.clone()
    }
}

fn net(like: &NetParameter, layer: Vec<LayerParameter>) -> NetParameter {
    NetParameter { name: like.name.clone(), layer, ..NetParameter::default() }
}
