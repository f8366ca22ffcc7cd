//! What can be wrong with a Caffe file.

use std::io;
use std::path::PathBuf;

use crate::hdf5;

use crate::text::Diagnostic;

/// Why a file could not be read, understood or written: which file, which layer, which blob, what was expected
/// and found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened or mapped.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder, a pipe or a device stands where a file was expected.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Writing failed.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are not of any format this program knows.
    #[error("{}: {what}", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What it looks like, and what to do.
        what: String,
    },
    /// The bytes break the format's own rules.
    #[error("{}: {what} (at byte {offset})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The rule that is broken, with the layer and blob where known.
        what: String,
        /// Where.
        offset: u64,
    },
    /// The file would need more memory or time than any real model does.
    #[error("{}: {what}; no real model comes near the limit of {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What there is too much of, with the number.
        what: String,
        /// The most that is taken.
        limit: u64,
    },
    /// An HDF5 file is at fault.
    #[error(transparent)]
    Hdf5(#[from] hdf5::Error),
    /// A prototxt is wrong at one place.
    #[error("{0}")]
    Text(Box<Diagnostic>),
    /// A net or solver contradicts itself, or lacks what it needs.
    #[error("{}: {what}", path.display())]
    Definition {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A layer of the net is at fault.
    #[error("layer `{layer}` ({kind}): {what}")]
    Layer {
        /// The layer's name.
        layer: String,
        /// Its type.
        kind: String,
        /// What is wrong, what was expected, and what to do.
        what: String,
    },
}

impl Error {
    /// Whether the message names the file it is about. The others are about what a file holds: a layer, a dataset to write.
    pub fn names_file(&self) -> bool {
        !matches!(
            self,
            Error::Layer { .. } | Error::Hdf5(hdf5::Error::Write { .. } | hdf5::Error::Values { .. })
        )
    }
}
