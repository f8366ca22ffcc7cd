//! Why a command could not run: one message, causes included.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What ends a command with exit code 2.
pub(crate) enum Failure {
    /// A crate's error, printed with all its causes.
    Because(Box<dyn Error>),
    /// The same for an error that does not say which file it is about.
    In(PathBuf, Box<dyn Error>),
    /// A message of the command's own.
    Message(String),
    /// Standard output cannot be written.
    Print(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Message(message) => f.write_str(message),
            Failure::Print(error) => write!(f, "cannot print the result: {error}"),
            Failure::Because(error) => f.write_str(&chain(error.as_ref())),
            Failure::In(path, error) => write!(f, "{}: {}", path.display(), chain(error.as_ref())),
        }
    }
}

impl Failure {
    /// An error about the file at `path`, which is named once.
    pub(crate) fn within(path: &Path, error: impl Into<weight_io::Error>) -> Self {
        let error = error.into();
        if error.names_file() {
            Failure::Because(Box::new(error))
        } else {
            Failure::In(path.to_path_buf(), Box::new(error))
        }
    }

    /// An error about the net or the weights in the file at `path`.
    pub(crate) fn of_net(path: &Path, error: train_core::Error) -> Self {
        match error {
            train_core::Error::Caffe(error) => Self::within(path, error),
            train_core::Error::Weights(error) => Self::within(path, *error),
            other => Failure::In(path.to_path_buf(), Box::new(other)),
        }
    }
}

impl From<train_core::Error> for Failure {
    fn from(error: train_core::Error) -> Self {
        Failure::Because(Box::new(error))
    }
}

impl From<train_core::data::Error> for Failure {
    fn from(error: train_core::data::Error) -> Self {
        Failure::Because(Box::new(error))
    }
}

impl From<train_core::run::Error> for Failure {
    fn from(error: train_core::run::Error) -> Self {
        Failure::Because(Box::new(error))
    }
}

impl From<train_core::finetune::Error> for Failure {
    fn from(error: train_core::finetune::Error) -> Self {
        Failure::Because(Box::new(error))
    }
}

impl From<kernels::Error> for Failure {
    fn from(error: kernels::Error) -> Self {
        Failure::Because(Box::new(error))
    }
}

impl From<caffe_proto::Error> for Failure {
    fn from(error: caffe_proto::Error) -> Self {
        Failure::Because(Box::new(error))
    }
}

impl From<weight_io::Error> for Failure {
    fn from(error: weight_io::Error) -> Self {
        Failure::Because(Box::new(error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Print(error)
    }
}

/// An error and its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.extend([": ", &error.to_string()]);
        cause = error.source();
    }
    text
}
