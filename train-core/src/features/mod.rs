//! What frozen layers make of each image, computed once.
//!
//! Below the lowest layer that learns, a net makes the same of an image in every epoch. That part is cut off ([`Split`]): the
//! inference executor runs it, folded and fused, and its results are kept in a file ([`FeatureCache`]) which is mapped into
//! memory and found again by the next run that has the same layers, weights, transform and images. Dropout within it is off;
//! one that is its very end stays with what learns.
//!
//! A file is used when its checksum says that it is whole; one that is being written has another name. The folder is
//! `~/.cache/rebrew/features`, or `features` in the folder that `REBREW_CACHE` names; the files that were not used for
//! longest go when together they are larger than [`MOST_BYTES`].

mod compute;
mod error;
mod feed;
mod file;
mod fingerprint;
mod folder;
mod split;
mod views;

pub use compute::{Prefix, Work};
pub use error::{Error, Result};
pub use feed::FeatureFeed;
pub use file::Features;
pub use fingerprint::Fingerprint;
pub use folder::{FeatureCache, MOST_BYTES};
pub use split::Split;
pub use views::Views;
