//! The values of a net's parameters: where they come from, and how they are checked.

mod fill;
mod matching;
mod store;

pub use matching::{Match, MatchReport};

pub(crate) use fill::{Stream, fill, fnv_1a};
pub(crate) use matching::{ByName, blobs_by_name, take_model};
pub(crate) use store::{Params, fits};
