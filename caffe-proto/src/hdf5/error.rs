//! What can go wrong with a file, and on which object.

use std::io;
use std::path::PathBuf;

/// An HDF5 file that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The signature is missing.
    #[error("{} is not an HDF5 file", file.display())]
    NotHdf5 {
        /// The file.
        file: PathBuf,
    },
    /// A file that breaks the format, or uses a part of it that is not read.
    #[error("cannot read `{object}` of {}: {problem}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The path of the group or dataset inside it.
        object: String,
        /// What is wrong.
        problem: Problem,
    },
    /// An object that the format, or this writer, has no place for.
    #[error("cannot write `{object}` to an HDF5 file: {problem}")]
    Write {
        /// The path of the group or dataset.
        object: String,
        /// What is wrong.
        problem: Problem,
    },
    /// The values to write could not be read.
    #[error("cannot write the values of `{object}` to an HDF5 file")]
    Values {
        /// The path of the dataset.
        object: String,
        /// Why.
        #[source]
        source: Box<crate::Error>,
    },
    /// The disk refused.
    #[error("cannot write an HDF5 file")]
    Io(#[from] io::Error),
}

/// What is wrong with one object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A structure that reaches beyond its block or beyond the file.
    #[error("{what} at byte {at}: needs {needed} bytes, {left} are left")]
    Truncated {
        /// The structure.
        what: &'static str,
        /// Where in the file.
        at: u64,
        /// How many bytes it needs.
        needed: u64,
        /// How many there are.
        left: u64,
    },
    /// Something else lies where a structure should be.
    #[error("{what} at byte {at}: expected signature `{expected}`, found `{found}`")]
    Signature {
        /// The structure.
        what: &'static str,
        /// Where in the file.
        at: u64,
        /// The four letters that start it.
        expected: String,
        /// What is there, escaped.
        found: String,
    },
    /// A version of a structure that is not known.
    #[error("{what}: version {found} is not known")]
    Version {
        /// The structure.
        what: &'static str,
        /// Its version.
        found: u64,
    },
    /// A structure whose bytes have changed since they were written.
    #[error("{what} at byte {at}: the checksum is {stored:#010x}, the bytes give {computed:#010x}")]
    Checksum {
        /// The structure.
        what: &'static str,
        /// Where in the file.
        at: u64,
        /// The checksum in the file.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// More of something than is accepted from any file.
    #[error("{what}: {found} is above the limit of {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much, as far as it was counted.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A contradiction.
    #[error("{0}")]
    Invalid(String),
    /// A part of the format that is not read.
    #[error("{0}: not supported")]
    Unsupported(String),
}

/// A path as errors show it: on one line, whatever its names hold.
pub(super) fn shown(path: &[impl AsRef<str>]) -> String {
    let names: Vec<_> = path.iter().map(|name| name.as_ref().escape_debug().to_string()).collect();
    format!("/{}", names.join("/"))
}
