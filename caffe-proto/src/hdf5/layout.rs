//! Where a dataset's values are (HDF5 File Format Specification 3.0, IV.A.2.i).

use std::ops::Range;

use super::cursor::Cursor;
use super::error::Problem;

#[derive(Debug, Clone)]
pub(super) enum Layout {
    /// Inside the object header, at these bytes of the file.
    Compact(Range<u64>),
    /// In one piece; at no address when nothing was ever written.
    Contiguous {
        address: Option<u64>,
        size: Option<u64>,
    },
    Chunked(Chunked),
    /// Put together from other datasets.
    Virtual,
}

#[derive(Debug, Clone)]
pub(super) struct Chunked {
    pub(super) chunk: Vec<u64>,
    /// Bytes of a value, as the layout states them.
    pub(super) element: u64,
    pub(super) index: Index,
    /// `None` when nothing was ever written.
    pub(super) address: Option<u64>,
    /// Chunks that reach beyond the array skip the filters.
    pub(super) unfiltered_edges: bool,
}

/// How chunks are found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Index {
    BtreeV1,
    /// There is but one, filtered if its size is stated.
    Single {
        filtered: Option<(u64, u32)>,
    },
    /// They lie one after the other.
    Implicit,
    FixedArray,
    ExtensibleArray,
    BtreeV2,
}

pub(super) fn read(message: &Cursor<'_>) -> Result<Layout, Problem> {
    let mut cursor = message.named("data layout");
    let version = cursor.version(&[1, 2, 3, 4, 5])?;
    if version < 3 {
        return read_old(cursor);
    }
    match cursor.u8()? {
        0 => {
            let len = u64::from(cursor.u16()?);
            compact(&mut cursor, len)
        }
        1 => Ok(Layout::Contiguous { address: cursor.address()?, size: Some(cursor.length()?) }),
        2 if version == 3 => {
            let rank = cursor.u8()?;
            let address = cursor.address()?;
            let (chunk, element) = chunk_shape(&mut cursor, rank, 4)?;
            let index = Index::BtreeV1;
            Ok(Layout::Chunked(Chunked { chunk, element, index, address, unfiltered_edges: false }))
        }
        2 => {
            let (flags, rank, size) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
            let (chunk, element) = chunk_shape(&mut cursor, rank, size)?;
            let index = match cursor.u8()? {
                1 if flags & 2 == 0 => Index::Single { filtered: None },
                1 => Index::Single { filtered: Some((cursor.length()?, cursor.u32()?)) },
                2 => Index::Implicit,
                // What follows shapes an index when it is made; its header repeats it.
                3 => {
                    cursor.skip(1)?;
                    Index::FixedArray
                }
                4 => {
                    cursor.skip(5)?;
                    Index::ExtensibleArray
                }
                5 => {
                    cursor.skip(6)?;
                    Index::BtreeV2
                }
                other => return Err(Problem::Unsupported(format!("a chunk index of type {other}"))),
            };
            let address = cursor.address()?;
            Ok(Layout::Chunked(Chunked { chunk, element, index, address, unfiltered_edges: flags & 1 != 0 }))
        }
        3 => Ok(Layout::Virtual),
        other => Err(Problem::Unsupported(format!("a data layout of class {other}"))),
    }
}

/// Versions 1 and 2.
fn read_old(mut cursor: Cursor<'_>) -> Result<Layout, Problem> {
    let (rank, class) = (cursor.u8()?, cursor.u8()?);
    cursor.skip(5)?;
    let address = if class == 0 { None } else { cursor.address()? };
    match class {
        0 => {
            cursor.skip(4 * u64::from(rank))?;
            let len = u64::from(cursor.u32()?);
            compact(&mut cursor, len)
        }
        1 => Ok(Layout::Contiguous { address, size: None }),
        2 => {
            let (chunk, element) = chunk_shape(&mut cursor, rank, 4)?;
            let index = Index::BtreeV1;
            Ok(Layout::Chunked(Chunked { chunk, element, index, address, unfiltered_edges: false }))
        }
        other => Err(Problem::Unsupported(format!("a data layout of class {other}"))),
    }
}

fn compact(cursor: &mut Cursor<'_>, len: u64) -> Result<Layout, Problem> {
    let start = cursor.at();
    cursor.skip(len)?;
    Ok(Layout::Compact(start..start + len))
}

/// The chunk's shape, and the bytes of a value, which count as one more axis.
fn chunk_shape(cursor: &mut Cursor<'_>, rank: u8, size: u8) -> Result<(Vec<u64>, u64), Problem> {
    let mut chunk = (0..rank).map(|_| cursor.uint(size)).collect::<Result<Vec<_>, _>>()?;
    let element = chunk.pop().ok_or_else(|| Problem::Invalid("a chunk has no axes".into()))?;
    Ok((chunk, element))
}
