//! What is done to each chunk before it is written (HDF5 File Format Specification 3.0, IV.A.2.l), undone.

use flate2::{Decompress, FlushDecompress, Status};

use super::checksum::fletcher32;
use super::cursor::Cursor;
use super::error::Problem;

/// The filters of a dataset, in the order in which they were applied.
#[derive(Debug, Clone, Default)]
pub(super) struct Pipeline {
    filters: Vec<Filter>,
}

#[derive(Debug, Clone)]
enum Filter {
    Deflate,
    /// Bytes of a value, which were put apart.
    Shuffle(usize),
    Fletcher32,
    /// One that cannot be undone, in words.
    Other(String),
}

/// Undoes a pipeline, chunk after chunk, in the same memory.
pub(super) struct Decoder<'a> {
    pipeline: &'a Pipeline,
    inflate: Decompress,
    spare: Vec<u8>,
}

/// libhdf5's own limit.
const MAX_FILTERS: u8 = 32;

impl Pipeline {
    /// Reads the message; `element` is the bytes a value takes.
    pub(super) fn read(message: &Cursor<'_>, element: usize) -> Result<Self, Problem> {
        let mut cursor = message.named("filter pipeline");
        let version = cursor.version(&[1, 2])?;
        let count = cursor.u8()?;
        if count > MAX_FILTERS {
            return Err(Problem::Limit { what: "filters", found: count.into(), limit: MAX_FILTERS.into() });
        }
        cursor.skip(if version == 1 { 6 } else { 0 })?;
        let mut filters = Vec::new();
        for _ in 0..count {
            let id = cursor.u16()?;
            let name_len = if version == 1 || id >= 256 { cursor.u16()? } else { 0 };
            let (_flags, values) = (cursor.u16()?, cursor.u16()?);
            let name = cursor.take(u64::from(name_len))?;
            let mut parameters = cursor.sub(4 * u64::from(values))?;
            // Version 1 keeps everything at multiples of 8 bytes.
            cursor.skip(if version == 1 && values % 2 == 1 { 4 } else { 0 })?;
            filters.push(match id {
                1 => Filter::Deflate,
                2 => Filter::Shuffle(if values == 0 { element } else { parameters.u32()? as usize }),
                3 => Filter::Fletcher32,
                _ => Filter::Other(describe(id, name)),
            });
        }
        Ok(Self { filters })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// An error that names the first filter that cannot be undone.
    pub(super) fn check(&self) -> Result<(), Problem> {
        for filter in &self.filters {
            if let Filter::Other(words) = filter {
                return Err(Problem::Unsupported(format!("filter {words}")));
            }
        }
        Ok(())
    }
}

impl<'a> Decoder<'a> {
    pub(super) fn new(pipeline: &'a Pipeline) -> Self {
        Self { pipeline, inflate: Decompress::new(true), spare: Vec::new() }
    }

    /// Undoes every filter whose bit in `mask` is clear; `chunk` is filled with exactly `len` bytes.
    pub(super) fn decode(
        &mut self,
        stored: &[u8],
        mask: u32,
        len: usize,
        chunk: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        chunk.clear();
        let mut first = true;
        // Checksums between the filters may make intermediate results a little longer.
        let limit = len + 4 * self.pipeline.filters.len();
        for (at, filter) in self.pipeline.filters.iter().enumerate().rev() {
            if mask >> at & 1 == 1 {
                continue;
            }
            let input = if first { stored } else { chunk.as_slice() };
            match filter {
                Filter::Deflate => inflate(&mut self.inflate, input, limit, &mut self.spare)?,
                Filter::Shuffle(size) => unshuffle(input, *size, &mut self.spare),
                Filter::Fletcher32 => {
                    let data = verified(input)?;
                    self.spare.clear();
                    self.spare.extend_from_slice(data);
                }
                Filter::Other(words) => return Err(Problem::Unsupported(format!("filter {words}"))),
            }
            std::mem::swap(chunk, &mut self.spare);
            first = false;
        }
        if first {
            if stored.len() == len {
                chunk.extend_from_slice(stored);
            } else {
                return Err(wrong_size(stored.len(), len));
            }
        }
        if chunk.len() == len { Ok(()) } else { Err(wrong_size(chunk.len(), len)) }
    }
}

fn describe(id: u16, name: &[u8]) -> String {
    let known = match id {
        4 => "szip",
        5 => "n-bit",
        6 => "scale-offset",
        32000 => "lzf",
        32001 => "blosc",
        32004 => "lz4",
        32008 => "bitshuffle",
        32013 => "zfp",
        32015 => "zstd",
        _ => "",
    };
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    match (known, name) {
        ("", []) => format!("{id}"),
        ("", name) => format!("{id} (`{}`)", name[..name.len().min(64)].escape_ascii()),
        (known, _) => format!("{id} ({known})"),
    }
}

fn inflate(state: &mut Decompress, input: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Problem> {
    state.reset(true);
    out.clear();
    // A chunk that inflates to more than it should is found out by one byte of room too many.
    out.reserve_exact(limit + 1);
    let status = state
        .decompress_vec(input, out, FlushDecompress::Finish)
        .map_err(|error| Problem::Invalid(format!("a deflated chunk is damaged: {error}")))?;
    if status == Status::StreamEnd {
        return Ok(());
    }
    Err(Problem::Invalid(if out.len() > limit {
        format!("a deflated chunk holds more than the {limit} bytes that belong to it")
    } else {
        "a deflated chunk is cut short".into()
    }))
}

fn unshuffle(input: &[u8], size: usize, out: &mut Vec<u8>) {
    let values = input.len().checked_div(size).unwrap_or(0);
    out.clear();
    if size < 2 || values < 2 {
        out.extend_from_slice(input);
        return;
    }
    out.resize(input.len(), 0);
    let whole = values * size;
    for (byte, plane) in input[..whole].chunks_exact(values).enumerate() {
        for (value, &from) in out[..whole].chunks_exact_mut(size).zip(plane) {
            value[byte] = from;
        }
    }
    out[whole..].copy_from_slice(&input[whole..]);
}

/// The data before a checksum, which must be right.
fn verified(input: &[u8]) -> Result<&[u8], Problem> {
    let Some((data, stored)) = input.split_last_chunk::<4>() else {
        return Err(Problem::Invalid(format!(
            "a chunk of {} bytes has no room for its checksum",
            input.len()
        )));
    };
    let (stored, computed) = (u32::from_le_bytes(*stored), fletcher32(data));
    if stored != computed {
        return Err(Problem::Invalid(format!(
            "a chunk is damaged: its Fletcher checksum is {stored:#010x}, the bytes give {computed:#010x}"
        )));
    }
    Ok(data)
}

fn wrong_size(found: usize, expected: usize) -> Problem {
    Problem::Invalid(format!("a chunk holds {found} bytes, expected {expected}"))
}
