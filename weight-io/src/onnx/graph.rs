//! A graph while it is built: nodes, weights and the names that are taken.

use std::collections::{HashMap, HashSet};

use caffe_proto::Payload;

use super::extent::Extent;
use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::{Dimension, dimension};
use super::proto::{AttributeProto, NodeProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto};

/// A graph. Its weights stay where they are until it is written.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(super) name: String,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) tensors: Vec<Tensor>,
    pub(super) inputs: Vec<ValueInfoProto>,
    pub(super) outputs: Vec<ValueInfoProto>,
    values: HashSet<String>,
    labels: HashSet<String>,
    weights: HashMap<(String, Vec<usize>), String>,
}

/// A constant.
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) kind: DataType,
    pub(super) dims: Vec<usize>,
    pub(super) values: Payload,
}

impl Graph {
    pub(super) fn new(name: &str) -> Self {
        // ONNX has no graph without a name.
        let name = if name.is_empty() { "net" } else { name };
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// How many bytes the weights take.
    pub(crate) fn byte_count(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.values.len()).sum()
    }

    /// Keeps a name for the value that is to have it.
    pub(super) fn reserve(&mut self, name: &str) {
        self.values.insert(name.to_owned());
    }

    /// A name for a value that no other has: `name`, or that with a number.
    pub(super) fn fresh(&mut self, name: &str) -> String {
        unused(&mut self.values, name)
    }

    /// Adds a node of `layer` with so many outputs; gives their names.
    pub(super) fn node(
        &mut self,
        layer: &str,
        kind: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
        outputs: usize,
    ) -> Vec<String> {
        let label = unused(&mut self.labels, &format!("{layer}/{kind}"));
        let outputs = (0..outputs).map(|_| self.fresh(&format!("{layer}/{kind}"))).collect::<Vec<_>>();
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: outputs.clone(),
            name: Some(label),
            op_type: Some(kind.to_owned()),
            attribute: attributes,
        });
        outputs
    }

    /// Gives the value `from`, which a node from `start` on makes, the name `to`. Whether there is such a node.
    pub(super) fn rename(&mut self, start: usize, from: &str, to: &str) -> bool {
        let nodes = &mut self.nodes[start..];
        if !nodes.iter().any(|node| node.output.iter().any(|name| name == from)) {
            return false;
        }
        for node in nodes {
            for name in node.input.iter_mut().chain(&mut node.output).filter(|name| *name == from) {
                to.clone_into(name);
            }
        }
        true
    }

    /// Adds a constant.
    pub(super) fn constant(
        &mut self,
        name: &str,
        kind: DataType,
        dims: Vec<usize>,
        values: Payload,
    ) -> String {
        let name = self.fresh(name);
        self.tensors.push(Tensor { name: name.clone(), kind, dims, values });
        name
    }

    /// Adds a parameter blob under a shape that holds as many values; once, however often it is asked for.
    pub(super) fn weight(&mut self, name: &str, dims: &[usize], values: &Payload) -> String {
        let key = (name.to_owned(), dims.to_vec());
        if let Some(found) = self.weights.get(&key) {
            return found.clone();
        }
        let name = self.constant(name, DataType::Float, dims.to_vec(), values.clone());
        self.weights.insert(key, name.clone());
        name
    }

    pub(super) fn input(&mut self, name: &str, extents: &[Extent]) {
        self.inputs.push(value(name, extents));
    }

    pub(super) fn output(&mut self, name: &str, extents: &[Extent]) {
        self.outputs.push(value(name, extents));
    }
}

/// `name`, or with the first number that makes it another than all in `taken`.
fn unused(taken: &mut HashSet<String>, name: &str) -> String {
    let mut free = name.to_owned();
    let mut number = 2_usize;
    while !taken.insert(free.clone()) {
        free = format!("{name}_{number}");
        number += 1;
    }
    free
}

fn value(name: &str, extents: &[Extent]) -> ValueInfoProto {
    let dimension = |&extent: &Extent| Dimension {
        value: Some(match extent {
            Extent::Fixed(extent) => dimension::Value::DimValue(extent as i64),
            Extent::Batch(1) => dimension::Value::DimParam("N".to_owned()),
            Extent::Batch(times) => dimension::Value::DimParam(format!("{times}*N")),
        }),
    };
    let shape = TensorShapeProto { dim: extents.iter().map(dimension).collect() };
    let tensor = type_proto::Tensor { elem_type: Some(DataType::Float as i32), shape: Some(shape) };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}
