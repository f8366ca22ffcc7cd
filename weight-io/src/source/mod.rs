//! Values that are made while they are read: expanded, gathered, transposed, converted, scaled.
//!
//! Each of these reads what is behind it a piece at a time and hands on a piece at a time.

mod constant;
mod element;
mod groups;
mod permute;
mod scaled;
mod swapped;
mod whole;
mod widened;

pub(crate) use constant::Zeros;
pub(crate) use element::Element;
pub(crate) use groups::{Blocks, Spread};
pub(crate) use permute::Permuted;
pub(crate) use scaled::{Operation, Scaled};
pub(crate) use swapped::Swapped;
pub(crate) use whole::Whole;
pub(crate) use widened::Widened;

use caffe_proto::{Error, PIECE, Sink};

/// Gathers small runs of bytes into pieces before it hands them on.
pub(crate) struct Gather<'a, 'b> {
    piece: Vec<u8>,
    sink: &'a mut Sink<'b>,
}

impl<'a, 'b> Gather<'a, 'b> {
    pub(crate) fn new(sink: &'a mut Sink<'b>) -> Self {
        Self { piece: Vec::with_capacity(PIECE), sink }
    }

    /// Adds `bytes`: whole elements.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.piece.len() + bytes.len() > PIECE {
            self.flush()?;
            if bytes.len() >= PIECE {
                return bytes.chunks(PIECE).try_for_each(&mut *self.sink);
            }
        }
        self.piece.extend_from_slice(bytes);
        Ok(())
    }

    /// Adds `count` zero bytes: whole elements.
    pub(crate) fn push_zeros(&mut self, count: u64) -> Result<(), Error> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut left = count;
        while left > 0 {
            let run = left.min(ZEROS.len() as u64) as usize;
            self.push(&ZEROS[..run])?;
            left -= run as u64;
        }
        Ok(())
    }

    /// Hands on what is left.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        if !self.piece.is_empty() {
            (self.sink)(&self.piece)?;
            self.piece.clear();
        }
        Ok(())
    }
}
