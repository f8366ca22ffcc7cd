//! Finding chunks through a fixed or an extensible array (HDF5 File Format Specification 3.0, VII.C and D).

use std::collections::HashSet;

use super::chunk_index::{Chunk, Request};
use super::cursor::{Cursor, Reader};
use super::error::Problem;

/// Each chunk's number in the grid, and its place in an array.
///
/// Arrays count chunks over the largest shape that the dataset may take, the axis without end, if there is
/// one, first.
pub(super) fn numbers<'a>(
    request: &Request<'a>,
) -> Result<impl Iterator<Item = (u64, u64)> + use<'a>, Problem> {
    let grid = request.grid;
    let mut order: Vec<usize> = (0..grid.dims().len()).collect();
    if let Some(endless) = request.max.iter().position(|&max| max == u64::MAX) {
        order[..=endless].rotate_right(1);
    }
    let mut strides = vec![0; order.len()];
    let mut stride = Some(1_u64);
    for &axis in order.iter().rev() {
        strides[axis] = stride.ok_or_else(|| {
            Problem::Invalid(format!("an array of chunks of shape {:?} cannot be indexed", request.max))
        })?;
        let max = request.max.get(axis).copied().unwrap_or(0).max(grid.dims()[axis]);
        stride = stride.and_then(|stride| stride.checked_mul(max.div_ceil(grid.chunk()[axis])));
    }
    Ok((0..grid.len()).map(move |number| {
        let coordinates = grid.coordinates(number);
        let place = coordinates.iter().zip(&strides).map(|(at, stride)| at.saturating_mul(*stride));
        (number, place.fold(0, u64::saturating_add))
    }))
}

pub(super) fn fixed(reader: &Reader<'_>, request: &Request<'_>, address: u64) -> Result<Vec<Chunk>, Problem> {
    let mut header = reader.cursor(address, "fixed array header")?;
    header.signature(*b"FAHD")?;
    let entry = Entry::read(&mut header, request)?;
    let page_bits = header.u8()?;
    let entries = header.length()?;
    let block = header.address()?;
    header.checksum()?;
    let Some(block) = block else { return Ok(Vec::new()) };

    let mut blocks = Blocks::new(reader);
    let pages = Pages::new(entries, page_bits, entry.size)?;
    // Signature, version, client and the header's address, then a bit for each page.
    let prefix = 6 + u64::from(header.offset_size()) + pages.bitmap;
    let mut chunks = Vec::new();
    for (number, place) in numbers(request)? {
        if place >= entries {
            return Err(Problem::Invalid(format!("chunk {place} is not among the {entries} of its array")));
        }
        let written = |page: u64| {
            let mut bits = reader.cursor(block, "fixed array data block")?;
            bits.skip(prefix - pages.bitmap + page / 8)?;
            Ok(bits.u8()? & (0x80 >> (page % 8)) != 0)
        };
        if pages.paged && !written(place / pages.entries)? {
            continue;
        }
        let cursor = blocks.entry(block, *b"FADB", prefix, &pages, place)?;
        chunks.extend(entry.chunk(cursor, number, request)?);
    }
    Ok(chunks)
}

pub(super) fn extensible(
    reader: &Reader<'_>,
    request: &Request<'_>,
    address: u64,
) -> Result<Vec<Chunk>, Problem> {
    let mut header = reader.cursor(address, "extensible array header")?;
    header.signature(*b"EAHD")?;
    let entry = Entry::read(&mut header, request)?;
    let [max_bits, inline, block_entries, block_pointers, page_bits] =
        [header.u8()?, header.u8()?, header.u8()?, header.u8()?, header.u8()?];
    for _ in 0..6 {
        header.length()?;
    }
    let index = header.address()?;
    header.checksum()?;
    let Some(index) = index else { return Ok(Vec::new()) };
    let (inline, block_entries, pointers) =
        (u64::from(inline), u64::from(block_entries), u64::from(block_pointers));
    if !block_entries.is_power_of_two() || !pointers.is_power_of_two() || max_bits > 64 {
        return Err(Problem::Invalid(format!(
            "extensible array: blocks of {block_entries} entries, {pointers} a super block, in {max_bits} bits"
        )));
    }

    let mut blocks = Blocks::new(reader);
    let address_size = u64::from(header.offset_size());
    let array_offset = u64::from(max_bits.div_ceil(8));
    let mut chunks = Vec::new();
    for (number, place) in numbers(request)? {
        let prefix = 6 + address_size;
        let Some(beyond) = place.checked_sub(inline) else {
            let mut cursor = reader.cursor(index, "extensible array index block")?;
            cursor.signature(*b"EAIB")?;
            cursor.skip(prefix - 4 + place * entry.size)?;
            chunks.extend(entry.chunk(cursor.sub(entry.size)?, number, request)?);
            continue;
        };
        // Super block s has 2^(s/2) data blocks of 2^((s+1)/2) times the smallest number of entries.
        let super_block = (beyond / block_entries).saturating_add(1).ilog2();
        let in_block = block_entries << super_block.div_ceil(2);
        let data_blocks = 1_u64 << (super_block / 2);
        let within = beyond - block_entries * ((1_u64 << super_block) - 1);
        let (data_block, at) = (within / in_block, within % in_block);
        let pages = Pages::new(in_block, page_bits, entry.size)?;

        // The index block names the first data blocks itself, and then the super blocks.
        let named_here = u64::from(2 * pointers.ilog2());
        let mut cursor = reader.cursor(index, "extensible array index block")?;
        let data_address = if u64::from(super_block) < named_here {
            // Before super block s lie 2^(s/2) - 1 + 2^((s+1)/2) - 1 data blocks.
            let before = (1_u64 << (super_block / 2)) + (1_u64 << super_block.div_ceil(2)) - 2;
            cursor.skip(prefix + inline * entry.size + (before + data_block) * address_size)?;
            cursor.address()?
        } else {
            let slot = 2 * (pointers - 1) + u64::from(super_block) - named_here;
            cursor.skip(prefix + inline * entry.size + slot * address_size)?;
            let Some(address) = cursor.address()? else { continue };
            let mut cursor = reader.cursor(address, "extensible array super block")?;
            cursor.signature(*b"EASB")?;
            let bitmaps = if pages.paged { data_blocks * pages.bitmap } else { 0 };
            let mut bits = cursor.clone();
            cursor.skip(prefix - 4 + array_offset + bitmaps + data_block * address_size)?;
            if pages.paged {
                // There is room for a whole number of bytes for each data block, but libhdf5 packs the bits of
                // all of them together.
                let page = data_block * (in_block / pages.entries) + at / pages.entries;
                bits.skip(prefix - 4 + array_offset + page / 8)?;
                if bits.u8()? & (0x80 >> (page % 8)) == 0 {
                    continue;
                }
            }
            cursor.address()?
        };
        let Some(data_address) = data_address else { continue };
        let cursor = blocks.entry(data_address, *b"EADB", prefix + array_offset, &pages, at)?;
        chunks.extend(entry.chunk(cursor, number, request)?);
    }
    Ok(chunks)
}

/// How an array keeps one chunk: its address, for filtered chunks followed by its size and filter mask.
struct Entry {
    size: u64,
}

impl Entry {
    /// Reads an array header from the version to the size of an entry.
    fn read(header: &mut Cursor<'_>, request: &Request<'_>) -> Result<Self, Problem> {
        header.version(&[0])?;
        let (client, size) = (header.u8()?, header.u8()?);
        let address = header.offset_size();
        let fits =
            if request.filtered { (address + 5..=address + 12).contains(&size) } else { size == address };
        if client != u8::from(request.filtered) || !fits {
            return Err(Problem::Invalid(format!(
                "an array of chunks has entries of {size} bytes for client {client}"
            )));
        }
        Ok(Self { size: u64::from(size) })
    }

    fn chunk(
        &self,
        mut entry: Cursor<'_>,
        number: u64,
        request: &Request<'_>,
    ) -> Result<Option<Chunk>, Problem> {
        let Some(address) = entry.address()? else { return Ok(None) };
        let (mut size, mut mask) = (request.bytes, 0);
        if request.filtered {
            size = entry.uint((self.size - 4) as u8 - entry.offset_size())?;
            mask = entry.u32()?;
        }
        Ok(Some(Chunk { number, address, size, mask }))
    }
}

/// How the entries of a data block are divided into pages, if they are.
struct Pages {
    paged: bool,
    /// Entries in the block, or in each page.
    entries: u64,
    all: u64,
    entry: u64,
    /// Bytes that hold a bit for each page.
    bitmap: u64,
}

impl Pages {
    fn new(all: u64, page_bits: u8, entry: u64) -> Result<Self, Problem> {
        if page_bits >= 32 || all > 1 << 48 {
            return Err(Problem::Invalid(format!("an array of {all} chunks in pages of 2^{page_bits}")));
        }
        let page = 1_u64 << page_bits;
        let paged = all > page;
        let bitmap = if paged { all.div_ceil(page).div_ceil(8) } else { 0 };
        Ok(Self { paged, entries: if paged { page } else { all }, all, entry, bitmap })
    }
}

/// Data blocks and pages, each checked when it is first met.
struct Blocks<'r, 'a> {
    reader: &'r Reader<'a>,
    checked: HashSet<(u64, u64)>,
}

impl<'r, 'a> Blocks<'r, 'a> {
    fn new(reader: &'r Reader<'a>) -> Self {
        Self { reader, checked: HashSet::new() }
    }

    /// The entry at a place in the data block at `address`, whose entries start after `prefix` bytes.
    fn entry(
        &mut self,
        address: u64,
        signature: [u8; 4],
        prefix: u64,
        pages: &Pages,
        place: u64,
    ) -> Result<Cursor<'a>, Problem> {
        let what = "array data block";
        let (page, within) = (place / pages.entries, place % pages.entries);
        let count = pages.entries.min(pages.all - page * pages.entries);
        let mut start = 0;
        let mut len = prefix + count * pages.entry + 4;
        if pages.paged {
            start = prefix + 4 + page * (pages.entries * pages.entry + 4);
            len = count * pages.entry + 4;
        }
        let mut block = self.reader.cursor(address, what)?;
        block.signature(signature)?;
        let mut block = self.reader.cursor(address.saturating_add(start), what)?;
        if self.checked.insert((address, page)) {
            self.reader.spend(len)?;
            let mut checked = block.clone().sub(len)?;
            checked.skip(len - 4)?;
            checked.checksum()?;
        }
        block.skip(if pages.paged { 0 } else { prefix } + within * pages.entry)?;
        block.sub(pages.entry)
    }
}
