//! Images on their way into a net: read, resized, cropped, and brought to the numbers that the net was trained on.
//!
//! **To classify**, each step computes what pycaffe's `Classifier` and `Transformer` do, so that a net gives here what it gave
//! there.
//!
//! ```
//! use train_core::data::{Border, Color, Crop, Image, Mean, Transform};
//!
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/classify/");
//! let image = Image::open(format!("{folder}scene.png"), Color::Rgb)?.resized([40, 48], Border::Minimum);
//!
//! // 0..1 RGB to 0..255 BGR, less the mean: what nearly every Caffe net takes.
//! let mean = "104,117,123".parse::<Mean>()?;
//! let transformer = Transform { mean: Some(mean), ..Transform::usual(3) }.for_input([3, 32, 32])?;
//!
//! let mut input = vec![0.0; 3 * 32 * 32];
//! transformer.apply(&image, Crop::center([40, 48], [32, 32])?, &mut input);
//! # Ok::<(), train_core::data::Error>(())
//! ```
//!
//! **To train**, a [`Source`] has images and labels ([`ClassFolders`], [`ImageList`], [`LmdbImages`], [`Idx`],
//! [`MemoryImages`]), [`Images`] makes of them what Caffe's `transform_param` says, and a [`Loader`] makes batches of that in
//! threads of its own. [`Hdf5Rows`] are loaded as they are. [`DataLayer`] does all this for a data layer of a prototxt.
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use caffe_proto::net::params;
//! use caffe_proto::proto::Phase;
//! use train_core::data::{Decode, Idx, Images, Loader, LoaderOptions, Position, Preparation};
//!
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/fashion/");
//! let source = Box::new(Idx::beside(format!("{folder}t10k-sample-images-idx3-ubyte.gz"))?);
//! let transform = params::Transform {
//!     scale: 1.0 / 128.0,
//!     mirror: true,
//!     crop: Some([24, 24]),
//!     mean: params::Mean::Values(vec![73.0]),
//!     force_color: false,
//!     force_gray: false,
//! };
//! let as_it_is = Preparation { decode: Decode::AsIs, resize: None };
//! let images = Arc::new(Images::new(source, as_it_is, &transform, Phase::Train, Path::new(""))?);
//!
//! let options = LoaderOptions { seed: 1, shuffle: true, threads: 2, ..LoaderOptions::new(32) };
//! let mut loader = Loader::new(images, options, Position::default())?;
//! let batch = loader.next_batch()?;
//! assert_eq!((batch.tops[0].len(), batch.tops[1].len()), (32 * 24 * 24, 32));
//! // A snapshot keeps this; a loader that starts here goes on with the same bits.
//! assert_eq!(loader.position(), Position { epoch: 0, index: 32 });
//! # Ok::<(), train_core::data::Error>(())
//! ```

mod any;
mod caffe_transform;
mod crop;
mod datums;
mod error;
mod exif;
mod feed;
mod file;
mod folder;
mod for_layer;
mod hdf5;
mod idx;
mod image;
mod images;
mod list;
mod lmdb;
mod loader;
mod mean;
mod memory;
mod order;
mod pixels;
mod random;
mod resize;
mod resize_bytes;
mod selected;
mod source;
mod transform;

pub use any::AnySource;
pub use caffe_transform::CaffeTransform;
pub use crop::Crop;
pub use datums::LmdbImages;
pub use error::{Error, Result};
pub use feed::{Chance, Feed};
pub use folder::ClassFolders;
pub use for_layer::DataLayer;
pub use hdf5::Hdf5Rows;
pub use idx::Idx;
pub use image::{Color, Image, MAX_PIXELS};
pub use images::{Images, Preparation};
pub use list::ImageList;
pub use lmdb::{Lmdb, Record};
pub use loader::{Batch, Broken, Loader, LoaderOptions, Upcoming};
pub use mean::Mean;
pub use memory::MemoryImages;
pub use order::{Ending, Position};
pub use pixels::{Decode, Layout, Pixels};
pub use resize::Border;
pub use selected::Selected;
pub use source::{Picture, Sample, Source};
pub use transform::{Transform, Transformer};
