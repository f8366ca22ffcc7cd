//! Fine-tuning: from a definition, weights and images to a folder with a net for other classes.
//!
//! [`prepare`] finds out what there is: it takes the net apart ([`surgery`](crate::surgery)), opens the images, brings them
//! to the net's input, and gives the layers their weights. [`Finetune`] trains it, epoch by epoch, and keeps everything in
//! a [`RunFolder`](crate::run::RunFolder): what is frozen is computed once ([`features`](crate::features)), and a run that
//! was broken off goes on to the same bits.

mod data;
mod error;
mod judge;
mod keep;
mod options;
mod pictures;
mod prepare;
mod resume;
mod run;
mod stage;

pub use data::Sets;
pub use error::{Error, Result};
pub use judge::Judgement;
pub use options::{CacheMode, Observer, Options, Stepping};
pub use prepare::{Given, ImageOptions, Prepared, Request, prepare};
pub use run::{Finetune, Outcome};
