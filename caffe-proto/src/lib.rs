//! What a Caffe file *says*: bytes and text in, one typed [`Net`](net::Net) and its [`Blob`]s out.
//!
//! Every form that Caffe has had is read: binary nets of its three generations, prototxt, `.caffemodel.h5`, mean images,
//! solver states. All come out in today's form. No maths, and no files but Caffe's own.
//!
//! ```standalone_crate
//! use std::collections::BTreeMap;
//!
//! use caffe_proto::net::{LayerKind, Net};
//! use caffe_proto::proto::NetState;
//! use caffe_proto::{open_definition, open_model};
//!
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/fashion");
//! # std::env::set_current_dir(folder).unwrap();
//! // The blobs stay in the mapped file until they are read.
//! let model = open_model("fashion.caffemodel")?;
//! let conv2 = model.layers.iter().find(|layer| layer.name == "conv2").unwrap();
//! assert_eq!(conv2.blobs[0].shape(), [32, 8, 5, 5]);
//! let first = conv2.blobs[0].to_vec()?[0];
//! assert!(first.is_finite());
//!
//! // The definition says what the blobs are, and which shapes a forward pass will have.
//! let definition = open_definition("deploy.prototxt", Default::default())?.definition.unwrap();
//! let net = Net::new(&definition, &NetState::default())?;
//! let LayerKind::Convolution(params) = &net.layer("conv2").unwrap().kind else { panic!() };
//! assert_eq!(params.group, 2);
//! let shapes = net.infer_shapes(&BTreeMap::new())?;
//! assert_eq!(shapes.blob("conv2"), Some(&[1, 32, 14, 14][..]));
//! # Ok::<(), caffe_proto::Error>(())
//! ```
//!
//! | to read | use |
//! | --- | --- |
//! | a model's blobs and definition | [`open_model`], or [`read_caffemodel`] and [`read_caffemodel_h5`] on a [`Storage`] |
//! | a definition, from a prototxt or a model | [`open_definition`] |
//! | prototxt as it stands, any message | [`text::parse`]; to write it, [`text::print`] |
//! | a mean image, a solver, a solver state | [`read_binaryproto`], [`solver::read_solver`], [`SolverState::read`] |
//! | a record of an LMDB | [`Datum::read`] |
//! | what a file is at all | [`FileKind::of`] |

mod blob;
mod caffemodel_h5;
mod datum;
mod definition;
mod error;
pub mod hdf5;
mod model;
pub mod net;
mod output;
mod payload;
pub mod proto;
mod read;
mod sniff;
pub mod solver;
mod solver_state;
mod storage;
pub mod text;
mod upgrade;
mod wire;
mod write;

pub use blob::Blob;
pub use caffemodel_h5::{Copy, read_caffemodel_h5, write_caffemodel_h5};
pub use datum::Datum;
pub use definition::{open_definition, open_model};
pub use error::Error;
pub use model::{Generation, LayerBlobs, Model};
pub use output::Output;
pub use payload::{PIECE, Payload, Sink, Source};
pub use read::{MAX_BLOBS, MAX_DEFINITION, MAX_LAYERS, read_binaryproto, read_caffemodel};
pub use sniff::{FileKind, not_a};
pub use solver_state::SolverState;
pub use storage::{Slice, Storage};
pub use upgrade::upgrade;
pub use write::{MAX_CAFFEMODEL, write_binaryproto, write_caffemodel};
