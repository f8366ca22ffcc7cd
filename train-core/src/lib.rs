//! Caffe nets that run: a [`Network`] is a definition with its parameters; an [`Executor`] is one made ready on a device.
//!
//! A net comes from a prototxt, or is written in Rust. Weights come from a file of any format, by layer name.
//!
//! ```
//! use kernels::CpuBackend;
//! use train_core::{Match, NetBuilder, Options};
//! use weight_io::Weights;
//!
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/fashion/");
//! let source = Weights::open(format!("{folder}fashion.caffemodel"))?; // no prototxt needed
//!
//! let mut net = NetBuilder::new("fashion")
//!     .input("data", [1, 1, 28, 28])
//!     .convolution("conv1", 16, 5).pad(2).relu() // input channels are inferred, never written
//!     .max_pool(3).stride(2).lrn(5, 1e-4, 0.75)
//!     .convolution("conv2", 32, 5).pad(2).group(2).relu().max_pool(3).stride(2)
//!     .convolution("conv3", 32, 3).pad(1).relu().max_pool(3).stride(2)
//!     .inner_product("fc4", 64).relu().dropout(0.5)
//!     .inner_product("fc5", 10)
//!     .softmax()
//!     .build()?;
//! let report = net.initialise_from(&source, Match::ByName)?;
//! assert_eq!(report.matched, ["conv1", "conv2", "conv3", "fc4", "fc5"]);
//!
//! let cpu = CpuBackend::new(1)?;
//! let mut executor = net.executor(&cpu, &Options::default())?;
//! let probabilities = &executor.run(&[("data", &[0.25; 28 * 28])])?["softmax1"];
//! assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Before anything is computed, a [`Plan`] decides what runs and where its results are: BatchNorm and Scale go into the
//! convolution before them, activations and the sum of a residual block are computed on a product's way out, blobs take
//! over the memory of those that are used up, and a net with layers that cannot run is refused with all their names.
//! A second forward pass allocates nothing.
//!
//! A [`Trainee`] is a net in training: it computes gradients, down to the lowest layer that learns, and no others. How
//! parameters follow them is in [`optim`]; what is frozen, decays or is clipped, in [`hooks`]; what a
//! training run leaves in its folder, in [`run`].
#![forbid(unsafe_code)]

mod builder;
pub mod data;
mod error;
mod executor;
pub mod features;
pub mod finetune;
pub mod hooks;
mod layers;
mod network;
pub mod optim;
mod params;
mod plan;
mod replay;
pub mod run;
pub mod session;
pub mod surgery;
mod training;

pub use builder::NetBuilder;
pub use error::{Error, Refusal, Result};
pub use executor::{Executor, StepInfo};
pub use network::Network;
pub use params::{Match, MatchReport};
pub use plan::{Options, Plan};
pub use training::{Stepped, Trainee, Trainer, TrainingMemory, TrainingOptions};
