//! One layer on its way into the graph.

use caffe_proto::Payload;
use caffe_proto::net::Layer;

use super::attribute;
use super::extent::{Around, Extent};
use super::graph::Graph;
use super::proto::AttributeProto;
use super::proto::tensor_proto::DataType;
use crate::Error;

/// A layer, what it reads, and the graph that it goes to.
pub(super) struct Step<'a> {
    pub(super) graph: &'a mut Graph,
    pub(super) layer: &'a Layer,
    /// The values that its bottoms are.
    pub(super) bottoms: Vec<String>,
    pub(super) around: &'a Around,
    pub(super) params: Vec<Param>,
}

/// A parameter blob.
#[derive(Clone, Debug)]
pub(super) struct Param {
    /// Its name in the graph.
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) values: Payload,
}

/// Why a layer does not go into the graph.
#[derive(Debug)]
pub(super) enum Fault {
    /// ONNX, or this program, has no words for it; the reason, where the layer's type alone is none.
    Refused(String),
    /// Something is wrong with its blobs.
    Failed(Error),
}

/// The values that a layer's tops are.
pub(super) type Made = Result<Vec<String>, Fault>;

impl Step<'_> {
    /// Adds a node with one output.
    pub(super) fn node(&mut self, kind: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        self.nodes(kind, inputs, attributes, 1).swap_remove(0)
    }

    /// Adds a node with so many outputs.
    pub(super) fn nodes(
        &mut self,
        kind: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
        outputs: usize,
    ) -> Vec<String> {
        self.graph.node(&self.layer.name, kind, inputs, attributes, outputs)
    }

    /// The value of the first bottom.
    pub(super) fn bottom(&self) -> String {
        self.bottoms[0].clone()
    }

    /// The extents of the first bottom.
    pub(super) fn extents(&self) -> &[Extent] {
        &self.around.bottoms[0]
    }

    /// How many axes the first bottom has.
    pub(super) fn axes(&self) -> usize {
        self.extents().len()
    }

    /// An axis of the first bottom, counted from the front. Shape inference has made sure of it.
    pub(super) fn axis(&self, axis: i32) -> usize {
        if axis < 0 { self.axes() - axis.unsigned_abs() as usize } else { axis as usize }
    }

    /// A constant of one value.
    pub(super) fn scalar(&mut self, value: f32) -> String {
        self.floats(Vec::new(), &[value])
    }

    /// A constant.
    pub(super) fn floats(&mut self, dims: Vec<usize>, values: &[f32]) -> String {
        let name = format!("{}/constant", self.layer.name);
        self.graph.constant(&name, DataType::Float, dims, Payload::from_f32(values))
    }

    /// A constant list of whole numbers.
    pub(super) fn ints(&mut self, values: &[i64]) -> String {
        let name = format!("{}/constant", self.layer.name);
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.graph.constant(&name, DataType::Int64, vec![values.len()], Payload::from_bytes(bytes))
    }

    /// A parameter blob as it is.
    pub(super) fn param(&mut self, index: usize) -> String {
        let shape = self.params[index].shape.clone();
        self.param_as(index, &shape)
    }

    /// A parameter blob under another shape.
    pub(super) fn param_as(&mut self, index: usize, dims: &[usize]) -> String {
        let param = &self.params[index];
        self.graph.weight(&param.name, dims, &param.values)
    }

    /// `value` under another shape.
    pub(super) fn reshape(&mut self, value: &str, from: &[Extent], to: &[Extent]) -> Result<String, Fault> {
        if from == to {
            return Ok(value.to_owned());
        }
        let open = to.iter().filter(|extent| matches!(extent, Extent::Batch(_))).count();
        let empty = to.contains(&Extent::Fixed(0));
        if open > 1 || open == 1 && empty {
            return Err(refused("its shape follows the batch in more than one way"));
        }
        let dims = to.iter().map(|extent| match extent {
            Extent::Fixed(extent) => *extent as i64,
            Extent::Batch(_) => -1,
        });
        let dims = dims.collect::<Vec<_>>();
        let shape = self.ints(&dims);
        let attributes = if empty { vec![attribute::int("allowzero", 1)] } else { Vec::new() };
        Ok(self.node("Reshape", &[value, &shape], attributes))
    }

    /// `value` plus `term`, or itself.
    pub(super) fn plus(&mut self, value: String, term: f32) -> String {
        if term == 0.0 {
            return value;
        }
        let term = self.scalar(term);
        self.node("Add", &[&value, &term], Vec::new())
    }

    /// `value` times `factor`, or itself.
    pub(super) fn times(&mut self, value: String, factor: f32) -> String {
        if factor == 1.0 {
            return value;
        }
        let factor = self.scalar(factor);
        self.node("Mul", &[&value, &factor], Vec::new())
    }

    /// `value` as another type.
    pub(super) fn cast(&mut self, value: &str, kind: DataType) -> String {
        self.node("Cast", &[value], vec![attribute::int("to", kind as i64)])
    }

    /// A reduction of `value` over `axes`.
    pub(super) fn reduce(&mut self, kind: &str, value: &str, axes: &[usize], keep: bool) -> String {
        let axes = axes.iter().map(|&axis| axis as i64).collect::<Vec<_>>();
        let axes = self.ints(&axes);
        self.node(kind, &[value, &axes], vec![attribute::flag("keepdims", keep)])
    }

    /// `value` between `start` and `end` along an axis.
    pub(super) fn slice(&mut self, value: &str, start: &[i64], end: &[i64], axes: &[i64]) -> String {
        let [start, end, axes] = [start, end, axes].map(|list| self.ints(list));
        self.node("Slice", &[value, &start, &end, &axes], Vec::new())
    }
}

/// An extent that does not follow the batch.
pub(super) fn fixed(extent: Extent) -> Result<usize, Fault> {
    match extent {
        Extent::Fixed(extent) => Ok(extent),
        Extent::Batch(_) => Err(refused("its arithmetic follows the batch")),
    }
}

pub(super) fn refused(why: &str) -> Fault {
    Fault::Refused(why.to_owned())
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<caffe_proto::Error> for Fault {
    fn from(error: caffe_proto::Error) -> Self {
        Self::Failed(error.into())
    }
}
