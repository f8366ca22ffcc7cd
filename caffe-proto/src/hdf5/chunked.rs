//! Reading chunked values a band at a time.

use crate::{PIECE, Sink};

use super::chunk_index::{self, Chunk, Request};
use super::cursor::{Format, Reader};
use super::error::Problem;
use super::filters::{Decoder, Pipeline};
use super::grid::Grid;
use super::layout::Chunked;

/// Everything needed to read one chunked dataset.
pub(super) struct Bands<'a> {
    pub(super) format: &'a Format,
    pub(super) layout: &'a Chunked,
    pub(super) grid: Grid,
    pub(super) max: &'a [u64],
    pub(super) filters: &'a Pipeline,
    pub(super) element: usize,
    /// What values that were never written are, as the file stores them; empty for zero.
    pub(super) fill: &'a [u8],
    /// Reverse the bytes of each value.
    pub(super) swap: bool,
}

/// A damaged file, or what the receiver of the values returned.
pub(super) enum Stopped {
    Problem(Problem),
    Sink(crate::Error),
}

impl From<Problem> for Stopped {
    fn from(problem: Problem) -> Self {
        Stopped::Problem(problem)
    }
}

impl Bands<'_> {
    /// Hands all values to `sink`, in C order and in little-endian.
    pub(super) fn read(&self, sink: &mut Sink<'_>) -> Result<(), Stopped> {
        let reader = Reader::new(self.format);
        let chunk_bytes = self.grid.chunk_values() * self.element;
        let chunks = chunk_index::chunks(
            &reader,
            &Request {
                layout: self.layout,
                grid: &self.grid,
                max: self.max,
                filtered: !self.filters.is_empty(),
                bytes: chunk_bytes as u64,
            },
        )?;
        let mut chunks = chunks.into_iter().peekable();
        let mut decoder = Decoder::new(self.filters);
        let (mut band, mut decoded) = (Vec::new(), Vec::new());
        for number in 0..self.grid.bands() {
            let range = self.grid.band_chunks(number);
            band.clear();
            band.resize(self.grid.band_values(number) * self.element, 0);
            if self.fill.iter().any(|&byte| byte != 0) {
                for value in band.chunks_exact_mut(self.element) {
                    value.copy_from_slice(self.fill);
                }
            }
            while let Some(chunk) = chunks.next_if(|chunk| range.contains(&chunk.number)) {
                self.decode(&chunk, chunk_bytes, &mut decoder, &mut decoded).map_err(|problem| {
                    let place = self.grid.coordinates(chunk.number);
                    Problem::Invalid(format!("chunk {place:?} at address {:#x}: {problem}", chunk.address))
                })?;
                self.grid.runs(chunk.number, |run| {
                    let from = run.in_chunk * self.element;
                    let to = run.in_band * self.element;
                    let len = run.values * self.element;
                    band[to..to + len].copy_from_slice(&decoded[from..from + len]);
                });
            }
            if self.swap {
                swap(&mut band, self.element);
            }
            band.chunks(PIECE).try_for_each(&mut *sink).map_err(Stopped::Sink)?;
        }
        Ok(())
    }

    fn decode(
        &self,
        chunk: &Chunk,
        bytes: usize,
        decoder: &mut Decoder<'_>,
        decoded: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        // Nothing that filters add is larger; a chunk that is could take long and give little.
        let limit = (bytes + bytes / 8 + 256) as u64;
        if chunk.size > limit {
            return Err(Problem::Limit { what: "bytes of a filtered chunk", found: chunk.size, limit });
        }
        let stored = Reader::new(self.format).cursor(chunk.address, "chunk")?.take(chunk.size)?;
        let unfiltered = self.layout.unfiltered_edges && self.grid.is_partial(chunk.number);
        decoder.decode(stored, if unfiltered { u32::MAX } else { chunk.mask }, bytes, decoded)
    }
}

/// Reverses the bytes of each value.
pub(super) fn swap(values: &mut [u8], element: usize) {
    values.chunks_exact_mut(element).for_each(<[u8]>::reverse);
}
