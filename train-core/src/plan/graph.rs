//! From layers to steps and values.

use std::collections::{BTreeMap, HashMap};

use caffe_proto::net::{Layer, LayerKind as K, LayerShapes, Net, Shapes};
use kernels::Activation;

use super::{Options, Plan, Step, Value, ValueId};
use crate::error::{Error, Refusal, Result};
use crate::layers;

/// The steps of a net as it is written, nothing fused, no memory assigned.
///
/// # Errors
/// As [`Plan::new`].
pub(super) fn build(net: &Net, shapes: &Shapes, options: &Options) -> Result<Plan> {
    let mut graph = Graph::default();
    let mut refused = Vec::new();
    for (index, (layer, shapes)) in net.layers.iter().zip(shapes.layers()).enumerate() {
        if let Some(why) = graph.refusal(layer, shapes) {
            refused.push(Refusal { layer: layer.name.clone(), kind: layer.type_name.clone(), why });
        }
        graph.add(index, layer, shapes);
    }
    if !refused.is_empty() {
        return Err(Error::CannotRun(refused));
    }
    graph.finish(net, options)
}

/// Makes the parameters values, one of each that is shared.
pub(super) fn add_params(net: &Net, shapes: &Shapes, plan: &mut Plan) {
    // A learned array changes from pass to pass.
    let (learned, constants) = std::mem::take(&mut plan.constants)
        .into_iter()
        .partition::<Vec<_>, _>(|step| matches!(net.layers[step.layer].kind, K::Parameter { .. }));
    plan.constants = constants;
    plan.steps.splice(0..0, learned);
    let mut values = HashMap::new();
    for (index, (layer, shapes)) in net.layers.iter().zip(shapes.layers()).enumerate() {
        for (at, (spec, shape)) in layer.params.iter().zip(&shapes.params).enumerate() {
            if spec.owner.is_none() {
                values.insert((index, at), plan.values.len());
                plan.values.push(Value {
                    shape: shape.clone(),
                    capacity: shape.iter().product(),
                    root: plan.values.len(),
                    pinned: true,
                    kept: false,
                    storage: usize::MAX,
                });
            }
        }
    }
    for step in plan.steps.iter_mut().chain(&mut plan.constants) {
        let params = net.layers[step.layer].params.iter().enumerate();
        step.params = params.map(|(at, spec)| values[&spec.owner.unwrap_or((step.layer, at))]).collect();
    }
}

/// The name that Caffe gives the top of a loss that names none.
const AUTOMATIC: &str = "(automatic)";

#[derive(Default)]
struct Graph<'a> {
    values: Vec<Value>,
    steps: Vec<Step>,
    constants: Vec<Step>,
    inputs: Vec<(String, ValueId)>,
    /// The latest value of each name.
    current: HashMap<&'a str, ValueId>,
    /// Values whose shape the data decide.
    open: Vec<ValueId>,
    /// The memory that Caffe has each value in, by number.
    memories: Vec<usize>,
}

impl<'a> Graph<'a> {
    fn refusal(&self, layer: &Layer, shapes: &LayerShapes) -> Option<String> {
        if let Some(why) = layers::refusal(layer, shapes) {
            return Some(why);
        }
        let open = layer
            .bottoms
            .iter()
            .find(|name| self.current.get(name.as_str()).is_some_and(|value| self.open.contains(value)))?;
        Some(format!("its bottom `{open}` has a size that the data decide, and only outputs of a net may"))
    }

    fn add(&mut self, index: usize, layer: &'a Layer, shapes: &LayerShapes) {
        // A bottom that nobody makes is an input: only nets that were not filtered have those.
        let bottoms: Vec<ValueId> = layer
            .bottoms
            .iter()
            .zip(&shapes.bottoms)
            .map(|(name, shape)| match self.current.get(name.as_str()) {
                Some(&value) => value,
                None => self.input(name, shape),
            })
            .collect();
        if layer.is_given() {
            for (name, shape) in layer.tops.iter().zip(&shapes.tops) {
                self.input(name, shape);
            }
            return;
        }
        let memory = bottoms.first().map(|&bottom| self.memories[bottom]);
        let in_place = layer.bottoms.first().is_some_and(|bottom| layer.tops.first() == Some(bottom));
        if layers::is_alias(layer) {
            for (name, shape) in layer.tops.iter().zip(&shapes.tops) {
                let value = self.value(shape, shape.iter().product());
                self.values[value].root = self.values[bottoms[0]].root;
                if let Some(memory) = memory.filter(|_| in_place || layers::shares_memory(layer)) {
                    self.memories[value] = memory;
                }
                self.current.insert(name, value);
            }
            return;
        }
        let rewritten = memory.filter(|_| in_place);
        let sharing = rewritten.map_or_else(Vec::new, |memory| self.names_of(memory));
        let constant = layers::is_constant(&layer.kind);
        let mut tops = Vec::with_capacity(shapes.tops.len());
        for (top, shape) in shapes.tops.iter().enumerate() {
            let value = self.value(shape, layers::capacity(layer, shapes, top));
            self.values[value].pinned = constant;
            if !shapes.exact {
                self.open.push(value);
            }
            let name = layer.tops.get(top).map_or(AUTOMATIC, String::as_str);
            self.current.insert(name, value);
            tops.push(value);
        }
        if let Some(memory) = rewritten {
            self.memories[tops[0]] = memory;
            // Caffe's Split, Reshape and Flatten share their bottom's memory: what is written under one name is seen under
            // all.
            for (name, value) in sharing.into_iter().filter(|(name, _)| *name != layer.tops[0]) {
                let shape = self.values[value].shape.clone();
                let seen = self.value(&shape, self.values[value].capacity);
                self.values[seen].root = tops[0];
                self.memories[seen] = memory;
                self.current.insert(name, seen);
            }
        }
        let step = Step {
            layer: index,
            folded: Vec::new(),
            fused: Vec::new(),
            activation: Activation::Identity,
            accumulate: None,
            bottoms,
            tops,
            params: Vec::new(),
        };
        match () {
            () if step.tops.is_empty() => {}
            () if constant => self.constants.push(step),
            () => self.steps.push(step),
        }
    }

    /// The names that stand for values in this memory.
    fn names_of(&self, memory: usize) -> Vec<(&'a str, ValueId)> {
        let current = self.current.iter().filter(|&(_, &value)| self.memories[value] == memory);
        current.map(|(&name, &value)| (name, value)).collect()
    }

    fn input(&mut self, name: &'a str, shape: &[usize]) -> ValueId {
        let value = self.value(shape, shape.iter().product());
        self.values[value].pinned = true;
        self.inputs.push((name.to_owned(), value));
        self.current.insert(name, value);
        value
    }

    fn value(&mut self, shape: &[usize], capacity: usize) -> ValueId {
        let id = self.values.len();
        self.values.push(Value {
            shape: shape.to_vec(),
            capacity,
            root: id,
            pinned: false,
            kept: false,
            storage: usize::MAX,
        });
        self.memories.push(id);
        id
    }

    fn finish(mut self, net: &Net, options: &Options) -> Result<Plan> {
        let all: BTreeMap<&str, ValueId> = self.current.iter().map(|(&name, &value)| (name, value)).collect();
        let mut outputs = net.outputs.clone();
        outputs.extend(all.contains_key(AUTOMATIC).then(|| AUTOMATIC.to_owned()));
        let mut kept = BTreeMap::new();
        if options.all_blobs {
            kept.extend(all.iter().map(|(&name, &value)| (name.to_owned(), value)));
        }
        for name in outputs.iter().chain(&options.keep) {
            let Some(&value) = all.get(name.as_str()) else {
                let known = all.keys().map(|&name| name.to_owned()).collect();
                return Err(Error::NoBlob { name: name.clone(), known });
            };
            kept.insert(name.clone(), value);
        }
        for &value in kept.values() {
            let root = self.values[value].root;
            self.values[root].kept = true;
        }
        Ok(Plan {
            values: self.values,
            steps: self.steps,
            constants: self.constants,
            storages: Vec::new(),
            kept,
            inputs: self.inputs,
            outputs,
        })
    }
}
