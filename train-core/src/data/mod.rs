//! Images on their way into a net: read, resized, cropped, and brought to the numbers that the net was trained on.
//!
//! What each step computes is what pycaffe's `Classifier` and `Transformer` do, so that a net gives here what it gave there.
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

mod crop;
mod error;
mod image;
mod mean;
mod resize;
mod transform;

pub use crop::Crop;
pub use error::{Error, Result};
pub use image::{Color, Image, MAX_PIXELS};
pub use mean::Mean;
pub use resize::Border;
pub use transform::{Transform, Transformer};
