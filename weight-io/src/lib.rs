//! Weights between formats: names, layouts and files.
//!
//! [`Weights::open`] reads a file of any format. What a Caffe model holds comes under the names that Chainer gives
//! it, laid out by the definition inside the file; no value is read before it is asked for.
//!
//! ```standalone_crate
//! # use caffe_proto::{Blob, LayerBlobs, Model, Payload, Storage, text};
//! # use weight_io::{Conversion, Format, Opened};
//! use weight_io::Weights;
//!
//! # let folder = tempfile::tempdir()?;
//! # std::env::set_current_dir(folder.path())?;
//! # let definition = "name: 'tiny' layer { name: 'conv1' type: 'Convolution' bottom: 'data' top: 'conv1'
//! #     convolution_param { num_output: 2 kernel_size: 1 group: 2 } }";
//! # let (definition, _) = text::parse_net(&Storage::from_vec("", definition.into()), text::Options::default())?;
//! # let blobs = vec![
//! #     Blob::new(vec![2, 1, 1, 1], Payload::from_f32(&[3.0, 4.0])),
//! #     Blob::new(vec![2], Payload::from_f32(&[0.5, -0.5])),
//! # ];
//! # let layers = vec![LayerBlobs { name: "conv1".into(), blobs }];
//! # let model = Model { definition: Some(definition), layers, ..Model::default() };
//! # Conversion::to(Format::Caffemodel).save_model(&model, "tiny.caffemodel".as_ref(), &mut |_, _| ())?;
//! let source = Weights::open("tiny.caffemodel")?;             // no prototxt needed
//! let w = source.get("conv1/W")?;
//! let b = source.get("conv1/b")?;
//! assert_eq!((w.shape(), w.to_f32()?), (&[2, 1, 1, 1][..], vec![3.0, 4.0]));
//! assert_eq!(b.to_f32()?, [0.5, -0.5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Conversion`] writes a file of any format: whole or not at all, the same bytes every time, in little memory. What
//! the result does not hold comes back as [`Note`]s.
//!
//! ```standalone_crate
//! # use caffe_proto::{Blob, LayerBlobs, Model, Payload, Storage, text};
//! use weight_io::chainer::{Conv, Options};
//! use weight_io::{Conversion, Format, Opened, Weights};
//!
//! # let folder = tempfile::tempdir()?;
//! # std::env::set_current_dir(folder.path())?;
//! # let definition = "name: 'tiny' layer { name: 'conv1' type: 'Convolution' bottom: 'data' top: 'conv1'
//! #     convolution_param { num_output: 2 kernel_size: 1 group: 2 bias_term: false } }";
//! # let (definition, _) = text::parse_net(&Storage::from_vec("", definition.into()), text::Options::default())?;
//! # let blobs = vec![Blob::new(vec![2, 1, 1, 1], Payload::from_f32(&[3.0, 4.0]))];
//! # let layers = vec![LayerBlobs { name: "conv1".into(), blobs }];
//! # let model = Model { definition: Some(definition), layers, ..Model::default() };
//! # Conversion::to(Format::Caffemodel).save_model(&model, "tiny.caffemodel".as_ref(), &mut |_, _| ())?;
//! let layout = Options { conv: Conv::Dense, ..Options::default() };   // as Chainer's CaffeFunction has it
//! let conversion = Conversion { layout, ..Conversion::to(Format::Npz) };
//! conversion.run(&Opened::open("tiny.caffemodel")?, "tiny.npz".as_ref(), &mut |_done, _total| ())?;
//! assert_eq!(Weights::open("tiny.npz")?.get("conv1/W")?.to_f32()?, [3.0, 0.0, 0.0, 4.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # From safetensors to PyTorch
//!
//! A `.safetensors` file made with a definition at hand says in its metadata what each layer is, so that Python can
//! build the modules and give them their tensors. With `--batchnorm folded` a BatchNorm has the Scale behind it:
//!
//! ```python
//! import json, torch
//! from safetensors import safe_open
//!
//! with safe_open("net.safetensors", "pt") as file:
//!     layers = json.loads(file.metadata()["layers"])
//!     tensors = {name: file.get_tensor(name) for name in file.keys()}
//!
//! def module(kind, own, layer):
//!     bias = "b" in own
//!     if "kernel" in layer and kind != "Pooling":
//!         at = [tuple(layer[key]) for key in ("kernel", "stride", "pad")]
//!         how = dict(groups=layer["group"], bias=bias, dilation=tuple(layer["dilation"]))
//!         if kind == "Deconvolution":
//!             return torch.nn.ConvTranspose2d(len(own["W"]), layer["num_output"], *at, **how)
//!         return torch.nn.Conv2d(own["W"].shape[1] * layer["group"], layer["num_output"], *at, **how)
//!     if kind == "InnerProduct":
//!         return torch.nn.Linear(own["W"].shape[1], layer["num_output"], bias)
//!     if kind == "BatchNorm":
//!         return torch.nn.BatchNorm2d(len(own["avg_mean"]), layer["eps"], affine="gamma" in own)
//!     return torch.nn.PReLU(own["W"].numel()) if kind == "PReLU" else torch.nn.Identity()
//!
//! modules = {}
//! rename = dict(W="weight", b="bias", gamma="weight", beta="bias", avg_mean="running_mean", avg_var="running_var")
//! for layer in layers:
//!     own = {key: tensors[layer["name"] + "/" + key] for key in layer["tensors"]}
//!     made = modules[layer["name"]] = module(layer["type"], own, layer).eval()
//!     made.load_state_dict({rename[key]: own[key] for key in own if key in rename}, strict=False)
//! ```
#![forbid(unsafe_code)]

mod atomic;
pub mod chainer;
mod compare;
mod container;
mod error;
mod format;
mod hdf5;
mod layout;
mod modules;
mod note;
mod npy;
mod npz;
mod onnx;
mod opened;
mod output;
mod prefix;
mod safetensors;
mod save;
mod shape;
mod source;
mod tensor;
mod weights;
mod zip;

pub use atomic::{WriteOptions, write_file};
pub use compare::{Comparison, Difference, Tolerance, compare};
pub use error::Error;
pub use format::Format;
pub use note::Note;
pub use npy::open_npy;
pub use opened::Opened;
pub use output::Progress;
pub use save::Conversion;
pub use shape::Shape;
pub use tensor::{Dtype, Tensor};
pub use weights::Weights;
