//! What a user should be told of a conversion that went well.

use std::fmt;

use crate::error::list;

/// Something that the result does not hold, or holds in another way.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Note {
    /// Chainer's files hold no eps: whoever builds the net must give it.
    Eps {
        /// Added to the variance.
        eps: f32,
        /// The BatchNorm layers that use it.
        layers: Vec<String>,
    },
    /// BatchNorm layers without a Scale layer of their own, left as they are.
    NotFolded {
        /// Their names.
        layers: Vec<String>,
    },
    /// BatchNorm+Scale pairs of which the Scale has no bias: a beta of zeros was written.
    BetaOfZeros {
        /// The BatchNorm layers.
        layers: Vec<String>,
    },
    /// BatchNorm statistics whose scale factor is zero, read as zeros, as Caffe does.
    NoStatistics {
        /// The BatchNorm layers.
        layers: Vec<String>,
    },
    /// Layers whose blobs have no Chainer name: written as `blob0`, `blob1`, ….
    Unnamed {
        /// The layers, each with its type.
        layers: Vec<String>,
    },
    /// Layers with blobs that the definition does not have, left out.
    Strangers {
        /// Their names.
        layers: Vec<String>,
    },
    /// A common first part of all names was taken off.
    Prefix {
        /// The part.
        prefix: String,
    },
    /// Tensors that are no weights, passed over.
    PassedOver {
        /// What they are.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// Values of another type, converted to Caffe's float32.
    Converted {
        /// The tensors, each with its type.
        tensors: Vec<String>,
    },
    /// Layers that a net which only infers is without.
    LeftOut {
        /// The layers, each with its type.
        layers: Vec<String>,
    },
    /// Layers of the file that the definition does not have.
    Unused {
        /// Their names.
        layers: Vec<String>,
    },
    /// Something that the reader of a file noted.
    Reader(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Eps { eps, layers } => write!(
                f,
                "the file does not hold eps: give {eps:?} for {} when you build the net in Chainer, whose default is 2e-05",
                list(layers)
            ),
            Note::NotFolded { layers } => {
                write!(f, "not folded, as no Scale layer follows on the same blob: {}", list(layers))
            }
            Note::BetaOfZeros { layers } => {
                write!(f, "folded with a beta of zeros, as the Scale layer has no bias: {}", list(layers))
            }
            Note::NoStatistics { layers } => {
                write!(f, "statistics of scale factor 0 read as zeros, as Caffe does: {}", list(layers))
            }
            Note::Unnamed { layers } => {
                write!(
                    f,
                    "no Chainer link is like these layers, their blobs are named blob0, blob1, …: {}",
                    list(layers)
                )
            }
            Note::Strangers { layers } => {
                write!(f, "left out, as the definition does not have their layers: {}", list(layers))
            }
            Note::Prefix { prefix } => write!(f, "all names begin with `{prefix}`: taken off"),
            Note::PassedOver { what, count } => write!(f, "{count} tensors of {what} passed over"),
            Note::Converted { tensors } => write!(f, "converted to float32: {}", list(tensors)),
            Note::LeftOut { layers } => write!(f, "left out, as in a deploy net: {}", list(layers)),
            Note::Unused { layers } => {
                write!(f, "the definition has no use for these layers of the file: {}", list(layers))
            }
            Note::Reader(text) => f.write_str(text),
        }
    }
}
