//! The values of a blob or tensor: where they are, and how they are read a piece at a time.
//!
//! Nothing here holds a whole array unless it was made in memory: values that lie in a file as they are
//! needed stay there ([`Payload::Borrowed`]), and values that must be decoded, inflated, converted or
//! expanded are made while they are read ([`Source`]).

use std::fmt;
use std::sync::Arc;

use crate::{Error, Slice};

/// How many bytes a [`Source`] hands over at a time, at most.
pub const PIECE: usize = 1 << 16;

/// Receives the bytes of an array in order, each call a whole number of values.
pub type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Error> + 'a;

/// An array's values as little-endian bytes in C order.
#[derive(Clone)]
pub enum Payload {
    /// They lie in a file (or in memory) exactly so.
    Borrowed(Slice),
    /// They are made as they are read.
    Made(Arc<dyn Source>),
}

/// Makes an array's values as they are read, in pieces of at most [`PIECE`] bytes or so.
pub trait Source: fmt::Debug + Send + Sync {
    /// How many bytes [`Source::read`] will hand over in all.
    fn len(&self) -> u64;

    /// Hands every byte to `sink`, in order. May be called again, and gives the same bytes again.
    ///
    /// # Errors
    /// When the bytes behind it cannot be decoded, or what `sink` returned.
    fn read(&self, sink: &mut Sink<'_>) -> Result<(), Error>;

    /// Whether there are no values at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Payload {
    /// Values held in memory.
    pub fn from_f32(values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        Self::from_bytes(bytes)
    }

    /// Little-endian bytes held in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Payload::Borrowed(crate::Storage::from_vec("memory", bytes).slice(0..len))
    }

    /// How many bytes the values take.
    pub fn len(&self) -> u64 {
        match self {
            Payload::Borrowed(slice) => slice.len() as u64,
            Payload::Made(source) => source.len(),
        }
    }

    /// Whether there are no values at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands every byte to `sink`, in order, in pieces that fit a cache.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn read(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
        match self {
            Payload::Borrowed(slice) => slice.chunks(PIECE).try_for_each(sink),
            Payload::Made(source) => source.read(sink),
        }
    }

    /// Gathers the values as `f32`. For small arrays and for those who need them all at once.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn to_f32(&self) -> Result<Vec<f32>, Error> {
        let mut values = Vec::with_capacity(usize::try_from(self.len() / 4).unwrap_or(0).min(1 << 28));
        self.read(&mut |bytes| {
            values.extend(bytes.as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value)));
            Ok(())
        })?;
        Ok(values)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Payload::Borrowed(slice) => slice.fmt(f),
            Payload::Made(source) => source.fmt(f),
        }
    }
}
