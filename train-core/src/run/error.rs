//! Why a run's folder cannot be written or read.

use std::io;
use std::path::PathBuf;

/// What went wrong: which file, which line, what was expected and found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder that cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that cannot be put in place.
    #[error(transparent)]
    Put(#[from] weight_io::Error),
    /// A file that does not say what it should.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A line that does not say what it should.
    #[error("{}, line {line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A folder that no training run has written.
    #[error("{} is no folder of a training run: {what}", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// A folder that a training run has written.
    #[error("{} holds a training run already: `{found}` (--resume continues it, --force replaces it)", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
        /// What it holds of it.
        found: &'static str,
    },
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;
