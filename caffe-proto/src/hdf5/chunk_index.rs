//! Finding chunks: the indexes other than arrays (HDF5 File Format Specification 3.0, III.A and VII).

use super::array_index;
use super::btree;
use super::cursor::Reader;
use super::error::Problem;
use super::grid::Grid;
use super::layout::{Chunked, Index};

/// Where one chunk is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    /// Its number in the grid, in C order.
    pub(super) number: u64,
    pub(super) address: u64,
    /// Bytes it takes in the file.
    pub(super) size: u64,
    /// Filters that it skipped, a bit each.
    pub(super) mask: u32,
}

/// A dataset's chunks, as far as an index needs to know them.
pub(super) struct Request<'a> {
    pub(super) layout: &'a Chunked,
    pub(super) grid: &'a Grid,
    /// How far each axis may grow.
    pub(super) max: &'a [u64],
    pub(super) filtered: bool,
    /// Bytes of a chunk before filters.
    pub(super) bytes: u64,
}

/// All chunks that were ever written, in the order of their numbers.
pub(super) fn chunks(reader: &Reader<'_>, request: &Request<'_>) -> Result<Vec<Chunk>, Problem> {
    let Some(address) = request.layout.address else { return Ok(Vec::new()) };
    let bytes = request.bytes;
    let mut chunks = match request.layout.index {
        Index::BtreeV1 => from_btree_v1(reader, request, address)?,
        Index::BtreeV2 => from_btree_v2(reader, request, address)?,
        Index::Single { filtered } => {
            if request.grid.len() > 1 {
                return Err(Problem::Invalid(format!("one chunk is stored of {}", request.grid.len())));
            }
            let (size, mask) = filtered.unwrap_or((bytes, 0));
            vec![Chunk { number: 0, address, size, mask }]
        }
        Index::Implicit => array_index::numbers(request)?
            .map(|(number, at)| {
                let address = at.checked_mul(bytes).and_then(|offset| address.checked_add(offset));
                let address = address.ok_or_else(|| Problem::Invalid(format!("chunk {at} lies nowhere")))?;
                Ok(Chunk { number, address, size: bytes, mask: 0 })
            })
            .collect::<Result<_, Problem>>()?,
        Index::FixedArray => array_index::fixed(reader, request, address)?,
        Index::ExtensibleArray => array_index::extensible(reader, request, address)?,
    };
    chunks.sort_unstable_by_key(|chunk| chunk.number);
    if let Some(pair) = chunks.windows(2).find(|pair| pair[0].number == pair[1].number) {
        return Err(Problem::Invalid(format!(
            "the chunk at {:?} is stored twice",
            request.grid.coordinates(pair[0].number)
        )));
    }
    Ok(chunks)
}

fn from_btree_v1(reader: &Reader<'_>, request: &Request<'_>, address: u64) -> Result<Vec<Chunk>, Problem> {
    let rank = request.grid.dims().len();
    let mut chunks = Vec::new();
    btree::visit_v1(reader, address, 1, 8 + 8 * (rank as u64 + 1), &mut |mut key, address| {
        let (size, mask) = (u64::from(key.u32()?), key.u32()?);
        let mut coordinates = Vec::with_capacity(rank);
        for &chunk in request.grid.chunk() {
            let offset = key.u64()?;
            if offset % chunk != 0 {
                return Err(Problem::Invalid(format!(
                    "a chunk starts at {offset}, not at a multiple of {chunk}"
                )));
            }
            coordinates.push(offset / chunk);
        }
        push(&mut chunks, request, &coordinates, address, size, mask)
    })?;
    Ok(chunks)
}

fn from_btree_v2(reader: &Reader<'_>, request: &Request<'_>, address: u64) -> Result<Vec<Chunk>, Problem> {
    let rank = request.grid.dims().len();
    let mut chunks = Vec::new();
    btree::visit_v2(reader, address, &[10, 11], &mut |record_type, mut record| {
        let address = record.address()?;
        let (mut size, mut mask) = (request.bytes, 0);
        if record_type == 11 {
            let size_len = record.left().checked_sub(4 + 8 * rank as u64).unwrap_or(u64::MAX);
            size = record.uint(u8::try_from(size_len).unwrap_or(u8::MAX))?;
            mask = record.u32()?;
        }
        let coordinates = (0..rank).map(|_| record.u64()).collect::<Result<Vec<_>, _>>()?;
        match address {
            Some(address) => push(&mut chunks, request, &coordinates, address, size, mask),
            None => Ok(()),
        }
    })?;
    Ok(chunks)
}

/// Adds a chunk, unless it lies outside the array, as chunks may that were written before it shrank.
fn push(
    chunks: &mut Vec<Chunk>,
    request: &Request<'_>,
    coordinates: &[u64],
    address: u64,
    size: u64,
    mask: u32,
) -> Result<(), Problem> {
    let Some(number) = request.grid.number(coordinates) else { return Ok(()) };
    if chunks.len() as u64 >= request.grid.len() {
        return Err(Problem::Invalid(format!(
            "more than the {} chunks that belong here are stored",
            request.grid.len()
        )));
    }
    chunks.push(Chunk { number, address, size, mask });
    Ok(())
}
