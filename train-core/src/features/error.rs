//! Why features cannot be kept.

use std::io;
use std::path::PathBuf;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The net is at fault.
    #[error(transparent)]
    Net(Box<crate::Error>),
    /// The data are at fault.
    #[error(transparent)]
    Data(Box<crate::data::Error>),
    /// The cache's folder or a file in it cannot be written.
    #[error("cannot write features to {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is more than the cache may hold.
    #[error("{needed} bytes of features are more than {limit}, which is all that is kept")]
    TooLarge {
        /// What they would take.
        needed: u64,
        /// What there may be.
        limit: u64,
    },
    /// Whoever asked for them wants them no more.
    #[error("computing the features was broken off")]
    Stopped,
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        Self::Net(Box::new(error))
    }
}

impl From<crate::data::Error> for Error {
    fn from(error: crate::data::Error) -> Self {
        Self::Data(Box::new(error))
    }
}
