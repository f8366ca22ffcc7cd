//! What can go wrong before a kernel runs. Once one runs, nothing can, but for values that name nothing.

use crate::backend::Site;
use crate::cpu::Isa;

/// Why an operation was refused: nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The threads could not be started.
    #[error("cannot start {count} threads")]
    Threads {
        /// How many were asked for.
        count: usize,
        /// What the system said.
        source: rayon::ThreadPoolBuildError,
    },
    /// This machine lacks the instructions asked for.
    #[error("this machine has no {isa:?} instructions")]
    Unavailable {
        /// The set asked for.
        isa: Isa,
    },
    /// There is not that much memory.
    #[error("cannot allocate {bytes} bytes")]
    Memory {
        /// How much was asked for.
        bytes: usize,
    },
    /// A buffer holds less than the geometry needs.
    #[error("{op}: {operand} holds {found} floats, the geometry needs {needed}")]
    TooShort {
        /// The operation.
        op: &'static str,
        /// Which of its operands.
        operand: &'static str,
        /// Floats needed.
        needed: usize,
        /// Floats there.
        found: usize,
    },
    /// A buffer to be written is a shared, read-only one.
    #[error("{op}: {operand} is read-only memory")]
    ReadOnly {
        /// The operation.
        op: &'static str,
        /// Which of its operands.
        operand: &'static str,
    },
    /// A buffer's floats do not begin at a multiple of four bytes.
    #[error("{op}: {operand} is not aligned: copy it to a buffer of its own")]
    Unaligned {
        /// The operation.
        op: &'static str,
        /// Which of its operands.
        operand: &'static str,
    },
    /// A buffer is not in the memory of the device that is to use it.
    #[error("{op}: {operand} is not in this device's memory")]
    Elsewhere {
        /// The operation.
        op: &'static str,
        /// Which of its operands.
        operand: &'static str,
    },
    /// A kernel could not be compiled or started, or did what it must not.
    #[error("{file}: kernel `{kernel}`: {what}")]
    Kernel {
        /// Its name.
        kernel: &'static str,
        /// The file that it is in.
        file: String,
        /// What the compiler, the driver or the emulator says.
        what: String,
    },
    /// A device cannot be used.
    #[error("cannot use {device}: {what}")]
    Device {
        /// Which.
        device: String,
        /// Why, and what to do.
        what: String,
    },
    /// What should have been recorded cannot be: none of it was done, and nothing is kept of it.
    #[error("cannot record: {what}. Nothing of it was done")]
    Unrecordable {
        /// What in it.
        what: &'static str,
    },
    /// A label names no class.
    #[error("{op}: a label is {value}, and there are {classes} classes: 0 to {}", classes.saturating_sub(1))]
    Label {
        /// The operation.
        op: &'static str,
        /// Who asked for it.
        site: Site,
        /// The first such label.
        value: f32,
        /// How many classes there are.
        classes: u32,
    },
    /// An index names no row of a table.
    #[error("{op}: index {value} names none of {rows} rows")]
    Index {
        /// The operation.
        op: &'static str,
        /// Who asked for it.
        site: Site,
        /// The first such index.
        value: f32,
        /// How many rows there are.
        rows: u32,
    },
    /// The sizes contradict each other.
    #[error("{op}: {what}")]
    Geometry {
        /// The operation.
        op: &'static str,
        /// The contradiction, with the numbers.
        what: String,
    },
}

impl Error {
    /// Who asked for the operation that met a value that names nothing.
    pub fn site(&self) -> Option<Site> {
        match self {
            Self::Label { site, .. } | Self::Index { site, .. } => Some(*site),
            _ => None,
        }
    }

    /// A [`Error::Geometry`].
    pub(crate) fn geometry(op: &'static str, what: impl Into<String>) -> Self {
        Self::Geometry { op, what: what.into() }
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
