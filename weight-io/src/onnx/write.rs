//! An ONNX file's bytes: protobuf around weights that are not copied.

use caffe_proto::{Output as _, Payload};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::graph::{Graph, Tensor};
use super::proto::{GraphProto, ModelProto, OperatorSetIdProto, TensorProto};
use crate::Error;
use crate::output::Output;

/// What readers of protobuf take: they count a message's bytes in an `int`.
const MOST: u64 = i32::MAX as u64;

/// The operators' version.
pub(super) const OPSET: i64 = 18;

/// The file's version: the first that may hold that of the operators.
const IR: i64 = 8;

const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;
const RAW_DATA: u32 = 9;

/// The bytes of a model around its weights.
pub(crate) struct Bytes<'a> {
    head: Vec<u8>,
    graph: GraphBytes<'a>,
    tail: Vec<u8>,
}

impl<'a> Bytes<'a> {
    /// The bytes of `graph`.
    ///
    /// # Errors
    /// [`Error::OnnxTooLarge`] when no reader would take them.
    pub(crate) fn new(graph: &'a Graph) -> Result<Self, Error> {
        let head = ModelProto {
            ir_version: Some(IR),
            producer_name: Some("rebrew".to_owned()),
            producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            ..ModelProto::default()
        };
        let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) };
        let tail = ModelProto { opset_import: vec![opset], ..ModelProto::default() };
        let bytes =
            Self { head: head.encode_to_vec(), graph: GraphBytes::new(graph), tail: tail.encode_to_vec() };
        let len = bytes.len();
        if len > MOST { Err(Error::OnnxTooLarge { bytes: len, limit: MOST }) } else { Ok(bytes) }
    }

    /// Writes them.
    ///
    /// # Errors
    /// What `output` or the weights' sources report.
    pub(crate) fn write(&self, output: &mut Output<'_>) -> Result<(), caffe_proto::Error> {
        output.bytes(&self.head)?;
        output.bytes(&key(GRAPH, self.graph.len()))?;
        self.graph.write(output)?;
        output.bytes(&self.tail)
    }

    fn len(&self) -> u64 {
        (self.head.len() + self.tail.len()) as u64 + delimited_len(GRAPH, self.graph.len())
    }
}

struct GraphBytes<'a> {
    /// Fields that come before the initializers by number, and those that come after.
    before: Vec<u8>,
    after: Vec<u8>,
    tensors: Vec<TensorBytes<'a>>,
}

impl<'a> GraphBytes<'a> {
    fn new(graph: &'a Graph) -> Self {
        let before =
            GraphProto { node: graph.nodes.clone(), name: Some(graph.name.clone()), ..GraphProto::default() };
        let after = GraphProto {
            input: graph.inputs.clone(),
            output: graph.outputs.clone(),
            ..GraphProto::default()
        };
        Self {
            before: before.encode_to_vec(),
            after: after.encode_to_vec(),
            tensors: graph.tensors.iter().map(TensorBytes::new).collect(),
        }
    }

    fn len(&self) -> u64 {
        let tensors = self.tensors.iter().map(|tensor| delimited_len(INITIALIZER, tensor.len())).sum::<u64>();
        (self.before.len() + self.after.len()) as u64 + tensors
    }

    fn write(&self, output: &mut Output<'_>) -> Result<(), caffe_proto::Error> {
        output.bytes(&self.before)?;
        for tensor in &self.tensors {
            output.bytes(&key(INITIALIZER, tensor.len()))?;
            tensor.write(output)?;
        }
        output.bytes(&self.after)
    }
}

/// A tensor's bytes before its values, which come last.
struct TensorBytes<'a> {
    head: Vec<u8>,
    values: &'a Payload,
}

impl<'a> TensorBytes<'a> {
    fn new(tensor: &'a Tensor) -> Self {
        let head = TensorProto {
            dims: tensor.dims.iter().map(|&dim| dim as i64).collect(),
            data_type: Some(tensor.kind as i32),
            name: Some(tensor.name.clone()),
            raw_data: None,
        };
        let mut head = head.encode_to_vec();
        head.extend(key(RAW_DATA, tensor.values.len()));
        Self { head, values: &tensor.values }
    }

    fn len(&self) -> u64 {
        self.head.len() as u64 + self.values.len()
    }

    fn write(&self, output: &mut Output<'_>) -> Result<(), caffe_proto::Error> {
        output.bytes(&self.head)?;
        output.write_payload(self.values)
    }
}

/// The key and length of a field.
fn key(number: u32, content: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut bytes);
    encode_varint(content, &mut bytes);
    bytes
}

/// What a length-delimited field takes with its key and length. All numbers here are below 16: a key of one byte.
fn delimited_len(number: u32, content: u64) -> u64 {
    (encoded_len_varint(u64::from(number) << 3) + encoded_len_varint(content)) as u64 + content
}
