//! What can go wrong between two weight files.

use std::io;
use std::path::PathBuf;

use crate::{Dtype, Format, Shape};

/// Why weights could not be read, laid out, named or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, understood or written, or a layer of the net is at fault.
    #[error(transparent)]
    Caffe(#[from] caffe_proto::Error),
    /// There is a file under the output's name already.
    #[error("{} exists already (--force replaces it)", path.display())]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// What stands under the output's name is never replaced.
    #[error("{} is {what}: only a regular file is replaced", path.display())]
    NotReplaceable {
        /// The output.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The output could not be made.
    #[error("cannot write {}", path.display())]
    Write {
        /// The output.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A tensor of that name does not exist.
    #[error("no tensor is named `{name}`{}", near_names(near))]
    NoTensor {
        /// The name that was asked for.
        name: String,
        /// Names like it.
        near: Vec<String>,
    },
    /// Two tensors would have one name.
    #[error("two tensors are named `{name}`")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// The values are not as many as the shape needs.
    #[error("{bytes} bytes of values, shape {} of {dtype} needs {}", Shape(shape), needed(*dtype, shape))]
    Count {
        /// The type of the elements.
        dtype: Dtype,
        /// The shape.
        shape: Vec<usize>,
        /// The bytes there are.
        bytes: u64,
    },
    /// A tensor that the file's format, or the layer that it belongs to, has no place for.
    #[error("tensor `{name}`: {what}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A layer of the net, or its values, are at fault.
    #[error("layer `{layer}` ({kind}): {what}")]
    Layer {
        /// The layer's name.
        layer: String,
        /// Its type.
        kind: String,
        /// What is wrong, what was expected and found, and what to do.
        what: String,
    },
    /// Tensors that belong to no layer.
    #[error(
        "{} of the tensors {} no place in the layer {} of the definition: {} (is its type or its bias_term another?)",
        names.len(),
        if names.len() == 1 { "has" } else { "have" },
        if names.len() == 1 { "of its name" } else { "of their names" },
        list(names)
    )]
    Unclaimed {
        /// Their names.
        names: Vec<String>,
    },
    /// The file says nothing about layers, and none was given.
    #[error("{what} needs the net's definition: give it with --definition")]
    NoDefinition {
        /// What needs it.
        what: &'static str,
    },
    /// An option that the output's format has no use for.
    #[error("{option} does not apply to {format}")]
    NotApplicable {
        /// The option, as a user knows it.
        option: &'static str,
        /// The format.
        format: Format,
    },
    /// Layers that have no place in an ONNX file.
    #[error(
        "ONNX has no words for {} of the net's layers: {}",
        layers.len(),
        layers.join(", ")
    )]
    NotInOnnx {
        /// Their names, each with its type and, where that does not say it, the reason.
        layers: Vec<String>,
    },
    /// The net ends where it begins.
    #[error("the net computes nothing: an .onnx needs a layer that is neither input nor loss")]
    NothingToRun,
    /// An ONNX file is a protobuf message, whose readers take only so much.
    #[error(
        "the .onnx would take {bytes} bytes, and what reads ONNX takes at most {limit}: write a .safetensors instead"
    )]
    OnnxTooLarge {
        /// What it would take.
        bytes: u64,
        /// The most that is read.
        limit: u64,
    },
    /// The output's name does not say what to write.
    #[error(
        "{} does not say which format to write: end it in .npz, .h5, .safetensors, .onnx, .caffemodel or \
         .caffemodel.h5, or give --to",
        path.display()
    )]
    UnknownFormat {
        /// The output.
        path: PathBuf,
    },
}

impl Error {
    /// Whether the message names the file it is about. The others are about what a file holds: a layer, a tensor.
    pub fn names_file(&self) -> bool {
        match self {
            Error::Caffe(error) => error.names_file(),
            Error::Exists { .. }
            | Error::NotReplaceable { .. }
            | Error::Write { .. }
            | Error::UnknownFormat { .. } => true,
            _ => false,
        }
    }
}

/// At most eight of `names`, and how many more there are.
pub(crate) fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

fn near_names(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; there is {}", list(near)) }
}

fn needed(dtype: Dtype, shape: &[usize]) -> String {
    crate::tensor::byte_count(dtype, shape)
        .map_or_else(|| "more than any file holds".to_owned(), |bytes| bytes.to_string())
}
