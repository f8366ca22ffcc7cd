//! Prototxt: protobuf's text format, read into the generated messages, and written from them.
//!
//! Everything that protobuf's own C++ parser takes is taken, and what it refuses is refused, in words that
//! say where, in which layer, and what was perhaps meant. Three differences: a byte order mark is skipped, strings must be
//! UTF-8, and an empty file is an error.

mod context;
mod diagnostic;
mod lexer;
mod literal;
mod parser;
mod print;
mod scalar;
pub(crate) mod schema;
mod skip;
mod suggest;
mod wire;

pub use diagnostic::Diagnostic;
pub use print::print;

use crate::proto::{BlobProto, LayerParameter, NetParameter, SolverParameter};
use crate::{Error, FileKind, Storage, sniff};
use diagnostic::Locator;
use parser::Parser;

/// What was passed over under [`Options::lenient`].
pub type Warning = Diagnostic;

/// The longest text that is taken.
const MAX_TEXT: usize = 64 << 20;

/// How a text is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Skips fields and enum values that the schema does not have, and replaces bytes that are not UTF-8, each
    /// with a [`Warning`]. Without it they are errors.
    pub lenient: bool,
}

/// A message that a text file holds.
pub trait Root: prost::Message + Default {
    /// The message's full name in `proto/caffe.proto`.
    const MESSAGE: &'static str;
    /// What errors call the file as a whole.
    const PLACE: &'static str;
}

impl Root for NetParameter {
    const MESSAGE: &'static str = "caffe.NetParameter";
    const PLACE: &'static str = "the net";
}

impl Root for SolverParameter {
    const MESSAGE: &'static str = "caffe.SolverParameter";
    const PLACE: &'static str = "the solver";
}

impl Root for LayerParameter {
    const MESSAGE: &'static str = "caffe.LayerParameter";
    const PLACE: &'static str = "the layer";
}

impl Root for BlobProto {
    const MESSAGE: &'static str = "caffe.BlobProto";
    const PLACE: &'static str = "the blob";
}

/// Reads a net's prototxt as it stands, of whichever generation: [`crate::upgrade`] makes it today's.
///
/// # Errors
/// As [`parse`].
pub fn parse_net(text: &Storage, options: Options) -> Result<(NetParameter, Vec<Warning>), Error> {
    parse(text, options)
}

/// Reads a message from its text form.
///
/// # Errors
/// [`Error::NotAModel`] for what is no prototxt at all, [`Error::Text`] for what is wrong in one, with its
/// place, [`Error::TooLarge`] for one that no memory should be spent on.
pub fn parse<M: Root>(text: &Storage, options: Options) -> Result<(M, Vec<Warning>), Error> {
    let path = text.path();
    if text.len() > MAX_TEXT {
        let what = format!("{} bytes of text", text.len());
        return Err(Error::TooLarge { path: path.to_path_buf(), what, limit: MAX_TEXT as u64 });
    }
    match FileKind::of(text) {
        // What is strange in it, the parser says with its place.
        FileKind::Text | FileKind::Unknown => {}
        other => return Err(sniff::not_a(text, sniff::PROTOTXT, other)),
    }
    let (message, faults) =
        Parser::new(text, options).parse::<M>().map_err(|stop| stop.into_error(path, text))?;
    let mut locator = Locator::new(path, text);
    Ok((message, faults.into_iter().map(|fault| locator.locate(fault)).collect()))
}
