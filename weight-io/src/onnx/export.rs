//! From a net and its weights to a graph.

use std::collections::{BTreeMap, HashMap, HashSet};

use caffe_proto::net::{Layer, LayerKind, Net};
use caffe_proto::proto::{LayerParameter, NetParameter, NetState};
use caffe_proto::{Blob, Model};

use super::extent::{self, Around, Extent};
use super::graph::Graph;
use super::layers;
use super::plan::{Fate, Plan, check_inputs};
use super::step::{Fault, Param, Step};
use crate::chainer::{check_count, fold, named};
use crate::layout::Need;
use crate::{Error, Note};

/// The graph of `definition` in the TEST phase with the weights of `model`, and what was left out.
///
/// # Errors
/// [`Error::NotInOnnx`] naming every layer that cannot go into the file; [`Error::Layer`] for layers that read data, and
/// for blobs that do not fit; and what is wrong with the definition.
pub(crate) fn export(definition: &NetParameter, model: &Model) -> Result<(Graph, Vec<Note>), Error> {
    let net = Net::new(definition, &NetState::default());
    check_inputs(&Net::unfiltered(definition)?, net.as_ref().ok())?;
    let net = net?;
    let plan = Plan::new(&net);
    let shapes = net.infer_shapes(&BTreeMap::new())?;
    if plan.outputs.is_empty()
        && !plan.fates.iter().any(|fate| matches!(fate, Fate::Softmax { .. } | Fate::Sigmoid))
    {
        return Err(Error::NothingToRun);
    }
    let unused = unused(definition, model);
    let noted = |(graph, notes): (Graph, Vec<Note>)| (graph, [unused.clone(), notes].concat());
    if let Some(around) = extent::with_batch(&net, &shapes) {
        match Export::new(&net, model, &plan, &around)?.run() {
            // What a batch of any size is in the way of may do with a fixed one.
            Err(Error::NotInOnnx { .. }) => {}
            done => return done.map(noted),
        }
    }
    Export::new(&net, model, &plan, &extent::fixed(&shapes))?.run().map(noted)
}

/// Blobs of layers that the definition has not, which Caffe passes over too.
fn unused(definition: &NetParameter, model: &Model) -> Vec<Note> {
    let known = definition.layer.iter().map(LayerParameter::name).collect::<HashSet<_>>();
    let strangers =
        model.layers.iter().filter(|own| !own.blobs.is_empty() && !known.contains(own.name.as_str()));
    let layers = strangers.map(|own| own.name.clone()).collect::<Vec<_>>();
    if layers.is_empty() { Vec::new() } else { vec![Note::Unused { layers }] }
}

struct Export<'a> {
    net: &'a Net,
    plan: &'a Plan,
    around: &'a [Around],
    params: Vec<Vec<Param>>,
    graph: Graph,
    /// What each blob is at this point.
    current: HashMap<&'a str, Value>,
    /// How often each blob will still be written.
    writers: HashMap<&'a str, usize>,
    /// BatchNorm layers that the Scale layer at this index completes.
    folds: HashMap<usize, usize>,
    inputs: HashSet<&'a str>,
    refused: Vec<String>,
    left_out: Vec<String>,
}

#[derive(Clone, Debug)]
struct Value {
    name: String,
    extents: Vec<Extent>,
}

impl<'a> Export<'a> {
    fn new(net: &'a Net, model: &Model, plan: &'a Plan, around: &'a [Around]) -> Result<Self, Error> {
        let params = params(net, model, plan, around)?;
        let folds = (0..net.layers.len()).filter(|&at| !layers::uses_batch_statistics(&net.layers[at]));
        let folds = folds.filter(|&at| around[at].bottoms.first().is_some_and(|bottom| bottom.len() > 1));
        let folds = folds.filter_map(|at| {
            let scale = fold::partner(&net.layers, at)?;
            Some((net.layers.iter().position(|layer| std::ptr::eq(layer, scale))?, at))
        });
        let mut export = Self {
            folds: folds.collect(),
            net,
            plan,
            around,
            params,
            graph: Graph::new(&net.name),
            current: HashMap::new(),
            writers: HashMap::new(),
            inputs: HashSet::new(),
            refused: Vec::new(),
            left_out: Vec::new(),
        };
        for (at, layer) in net.layers.iter().enumerate() {
            for (top, name) in layer.tops.iter().enumerate() {
                export.graph.reserve(name);
                if plan.fates[at] == Fate::Kept && !export.is_alias(at) {
                    *export.writers.entry(name).or_default() += 1;
                }
                if matches!(layer.kind, LayerKind::Input(_)) {
                    export.inputs.insert(name);
                    if plan.read.contains(name) {
                        let extents = around[at].tops[top].clone();
                        export.graph.input(name, &extents);
                        export.current.insert(name, Value { name: name.clone(), extents });
                    }
                }
            }
        }
        Ok(export)
    }

    fn run(mut self) -> Result<(Graph, Vec<Note>), Error> {
        let mut ends = Vec::new();
        for at in 0..self.net.layers.len() {
            let layer = &self.net.layers[at];
            match self.plan.fates[at] {
                Fate::Kept if matches!(layer.kind, LayerKind::Input(_)) => {}
                Fate::Kept => self.layer(at)?,
                Fate::Dropped => {
                    self.left_out.push(format!("{} ({})", layer.name, layer.type_name));
                }
                Fate::Softmax { .. } | Fate::Sigmoid => ends.extend(self.end(at)),
            }
        }
        if !self.refused.is_empty() {
            return Err(Error::NotInOnnx { layers: self.refused });
        }
        for blob in &self.plan.outputs {
            let Some(value) = self.current.get(blob.as_str()).cloned() else { continue };
            ends.push(self.named(blob, value));
        }
        for Value { name, extents } in &ends {
            self.graph.output(name, extents);
        }
        let left_out = (!self.left_out.is_empty()).then_some(Note::LeftOut { layers: self.left_out });
        Ok((self.graph, left_out.into_iter().collect()))
    }

    /// Whether the layer's tops are its bottom, or a value that a later layer makes.
    fn is_alias(&self, at: usize) -> bool {
        matches!(self.net.layers[at].kind, LayerKind::Dropout { .. } | LayerKind::Split)
            || self.folds.values().any(|&normalization| normalization == at)
    }

    fn layer(&mut self, at: usize) -> Result<(), Error> {
        let layer = &self.net.layers[at];
        let bottoms = self.bottoms(at);
        let Some(bottoms) = bottoms else { return Ok(()) };
        let mut names = bottoms.iter().map(|value| value.name.clone()).collect::<Vec<_>>();
        if self.is_alias(at) {
            for top in &layer.tops {
                self.current.insert(top, bottoms[0].clone());
            }
            return Ok(());
        }
        let start = self.graph.nodes.len();
        let normalization = self.folds.get(&at).copied();
        let mut params = self.params[at].clone();
        if let Some(normalization) = normalization {
            params = [self.params[normalization].clone(), params].concat();
        }
        let maker = &self.net.layers[normalization.unwrap_or(at)];
        let mut step = Step {
            graph: &mut self.graph,
            layer: maker,
            bottoms: std::mem::take(&mut names),
            around: &self.around[at],
            params,
        };
        let made = if !self.around[at].exact && layer.tops.iter().any(|top| self.plan.read.contains(top)) {
            Err(Fault::Refused("how many rows it gives, the data say, and a layer reads them".to_owned()))
        } else {
            layers::convert(&mut step)
        };
        match made {
            Ok(values) => {
                for (top, (name, value)) in layer.tops.iter().zip(values).enumerate() {
                    let wanted = self.wanted(name, &layer.name);
                    let name_of = if self.graph.rename(start, &value, &wanted) { wanted } else { value };
                    let extents = self.around[at].tops[top].clone();
                    self.current.insert(name, Value { name: name_of, extents });
                }
            }
            Err(Fault::Failed(error)) => return Err(error),
            Err(Fault::Refused(why)) => self.refuse(layer, &why),
        }
        Ok(())
    }

    /// The values that a layer reads; `None` behind a layer that was refused.
    fn bottoms(&mut self, at: usize) -> Option<Vec<Value>> {
        let layer = &self.net.layers[at];
        let found = layer.bottoms.iter().map(|bottom| self.current.get(bottom.as_str()).cloned());
        let found = found.collect::<Option<Vec<_>>>();
        if found.is_none() {
            // The tops take the place of what would be there, so that every layer behind is looked at.
            let step = Step {
                graph: &mut Graph::default(),
                layer,
                bottoms: vec![String::from("?"); layer.bottoms.len()],
                around: &self.around[at],
                params: self.params[at].clone(),
            };
            self.try_out(at, step);
        }
        found
    }

    /// Looks only whether a layer could be said.
    fn try_out(&mut self, at: usize, mut step: Step<'_>) {
        let layer = &self.net.layers[at];
        if self.is_alias(at) || self.folds.contains_key(&at) {
            return;
        }
        if let Err(Fault::Refused(why)) = layers::convert(&mut step) {
            self.refuse(layer, &why);
        }
    }

    fn refuse(&mut self, layer: &Layer, why: &str) {
        let reason = if why.is_empty() { String::new() } else { format!(": {why}") };
        self.refused.push(format!("`{}` ({}{reason})", layer.name, layer.type_name));
    }

    /// What a value of the blob is to be called: as the blob, if it is the last.
    fn wanted(&mut self, blob: &'a str, layer: &str) -> String {
        let left = self.writers.entry(blob).or_default();
        *left = left.saturating_sub(1);
        if *left == 0 && !self.inputs.contains(blob) {
            return blob.to_owned();
        }
        self.graph.fresh(&format!("{blob}/{layer}"))
    }

    /// `value` under the name of the output that it is.
    fn named(&mut self, blob: &str, value: Value) -> Value {
        let is_input = self.inputs.contains(blob);
        if value.name == blob && !is_input || is_input && !self.inputs.contains(value.name.as_str()) {
            return value;
        }
        let name = if is_input { self.graph.fresh(blob) } else { blob.to_owned() };
        let start = self.graph.nodes.len();
        let made = self.graph.node(blob, "Identity", &[&value.name], Vec::new(), 1).swap_remove(0);
        self.graph.rename(start, &made, &name);
        Value { name, ..value }
    }

    /// The end that a loss has in a deploy net.
    fn end(&mut self, at: usize) -> Option<Value> {
        let layer = &self.net.layers[at];
        let bottom = self.current.get(layer.bottoms[0].as_str())?.clone();
        let (kind, attributes) = match self.plan.fates[at] {
            Fate::Softmax { axis } => ("Softmax", vec![super::attribute::int("axis", i64::from(axis))]),
            _ => ("Sigmoid", Vec::new()),
        };
        self.left_out.push(format!("{} ({}, of which the {kind} stays)", layer.name, layer.type_name));
        let start = self.graph.nodes.len();
        let made = self.graph.node(&layer.name, kind, &[&bottom.name], attributes, 1).swap_remove(0);
        let name = self.graph.fresh(layer.tops.get(1).map_or("prob", |_| layer.tops[1].as_str()));
        self.graph.rename(start, &made, &name);
        Some(Value { name, ..bottom })
    }
}

/// The parameter blobs of every kept layer, under the shapes that it needs.
fn params(net: &Net, model: &Model, plan: &Plan, around: &[Around]) -> Result<Vec<Vec<Param>>, Error> {
    let find = |name: &str| model.layers.iter().find(|own| own.name == name && !own.blobs.is_empty());
    let mut all = Vec::with_capacity(net.layers.len());
    for (at, layer) in net.layers.iter().enumerate() {
        if plan.fates[at] != Fate::Kept || layer.kind.blob_count(layer.bottoms.len()).is_none() {
            all.push(Vec::new());
            continue;
        }
        // A sharer's blobs are the owner's, and some files leave them out.
        let own = find(&layer.name).map_or(&[][..], |own| own.blobs.as_slice());
        let count = if own.is_empty() { layer.params.len() } else { own.len() };
        let slots = named(layer, count, None);
        let mut params = Vec::with_capacity(count);
        for (index, slot) in slots.into_iter().enumerate() {
            let owner = layer.params.get(index).and_then(|spec| spec.owner);
            let (holder, blob): (&Layer, Option<&Blob>) = match owner {
                Some((owner, blob)) => {
                    let holder = &net.layers[owner];
                    (
                        holder,
                        find(&holder.name).and_then(|own| own.blobs.get(blob)).or_else(|| own.get(index)),
                    )
                }
                None => (layer, own.get(index)),
            };
            let Some(blob) = blob else { break };
            let shape = around[at].params.get(index).map(|shape| shape.iter().copied().map(Some).collect());
            let shape = Need { layer, what: slot.need.what, shape: shape.or(slot.need.shape) }.fit(blob)?;
            let index = owner.map_or(index, |(_, blob)| blob);
            let key = if holder.name == layer.name {
                slot.key
            } else {
                named(holder, index + 1, None).swap_remove(index).key
            };
            params.push(Param {
                name: format!("{}/{key}", holder.name),
                shape,
                values: blob.values().clone(),
            });
        }
        check_count(layer, params.len())?;
        all.push(params);
    }
    Ok(all)
}
