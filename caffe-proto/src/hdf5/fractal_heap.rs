//! The heap that holds the links of a large group (HDF5 File Format Specification 3.0, III.G).

use super::cursor::{Cursor, Reader};
use super::error::Problem;

/// A heap's doubling table: rows of `width` blocks, the first two rows of the starting size, every
/// further row of twice the size of the row above.
pub(super) struct Heap {
    offset_bytes: u8,
    length_bytes: u8,
    width: u64,
    start: u64,
    max_direct: u64,
    root: Option<u64>,
    root_rows: u64,
}

const WHAT: &str = "fractal heap";

impl Heap {
    pub(super) fn read(reader: &Reader<'_>, address: u64) -> Result<Self, Problem> {
        let mut cursor = reader.cursor(address, WHAT)?;
        cursor.signature(*b"FRHP")?;
        cursor.version(&[0])?;
        let (_id_len, filters_len, _flags) = (cursor.u16()?, cursor.u16()?, cursor.u8()?);
        let max_object = u64::from(cursor.u32()?);
        // Huge objects' next id and tree; free space and its manager; four counts of managed objects, then
        // two each of huge and of tiny ones.
        for length in [true, false, true, false, true, true, true, true, true, true, true, true] {
            if length {
                cursor.length()?;
            } else {
                cursor.address()?;
            }
        }
        let width = u64::from(cursor.u16()?);
        let (start, max_direct) = (cursor.length()?, cursor.length()?);
        let max_bits = cursor.u16()?;
        let _rows_at_start = cursor.u16()?;
        let (root, root_rows) = (cursor.address()?, u64::from(cursor.u16()?));
        if filters_len != 0 {
            return Err(Problem::Unsupported("a group whose links are filtered".into()));
        }
        cursor.checksum()?;
        let powers = [width, start, max_direct].into_iter().all(u64::is_power_of_two);
        if !powers || start > max_direct || max_direct > 1 << 32 || max_bits > 64 || max_object > max_direct {
            return Err(Problem::Invalid(format!(
                "{WHAT} at address {address:#x}: blocks of {start} to {max_direct} bytes, {width} a row, in {max_bits} bits"
            )));
        }
        let direct_bytes = max_direct.ilog2().div_ceil(8);
        let object_bytes = max_object.max(1).ilog2() / 8 + 1;
        Ok(Self {
            offset_bytes: max_bits.div_ceil(8) as u8,
            length_bytes: direct_bytes.min(object_bytes) as u8,
            width,
            start,
            max_direct,
            root,
            root_rows,
        })
    }

    /// The object that a heap ID names.
    pub(super) fn object<'a>(&self, reader: &Reader<'a>, mut id: Cursor<'_>) -> Result<Cursor<'a>, Problem> {
        let kind = id.u8()? >> 4 & 3;
        if kind != 0 {
            return Err(Problem::Unsupported("a link whose name takes kilobytes".into()));
        }
        let offset = id.uint(self.offset_bytes)?;
        let len = id.uint(self.length_bytes)?;
        let outside =
            || Problem::Invalid(format!("{WHAT}: no block holds the {len} bytes at its offset {offset}"));

        let mut block = self.root.ok_or_else(outside)?;
        let mut rows = self.root_rows;
        let mut within = offset;
        // Each step down at least halves what a block spans, so 64 are enough for any heap.
        for _ in 0..64 {
            if rows == 0 {
                let end =
                    within.checked_add(len).filter(|&end| end <= self.max_direct).ok_or_else(outside)?;
                let mut direct = reader.cursor(block, "fractal heap direct block")?;
                direct.clone().signature(*b"FHDB")?;
                reader.spend(len)?;
                direct.skip(end - len)?;
                return direct.sub(len);
            }
            let (row, column, start) =
                self.place(within).filter(|place| place.0 < rows).ok_or_else(outside)?;
            let max_direct_rows = u64::from(self.max_direct.ilog2() - self.start.ilog2()) + 2;
            let mut indirect = reader.cursor(block, "fractal heap indirect block")?;
            indirect.signature(*b"FHIB")?;
            let entry = row * self.width + column;
            indirect
                .skip(1 + u64::from(self.offset_bytes) + (entry + 1) * u64::from(indirect.offset_size()))?;
            block = indirect.defined_address()?;
            within -= start;
            rows = if row < max_direct_rows {
                0
            } else {
                u64::from(self.block_size(row).ilog2().saturating_sub((self.start * self.width).ilog2())) + 1
            };
        }
        Err(outside())
    }

    /// The row and column of the block that holds `offset`, and the offset where that block starts.
    fn place(&self, offset: u64) -> Option<(u64, u64, u64)> {
        let row_span = self.start.checked_mul(self.width)?;
        let row = if offset < row_span { 0 } else { u64::from((offset / row_span).ilog2()) + 1 };
        let row_start = if row == 0 { 0 } else { row_span.checked_shl(row as u32 - 1)? };
        let size = self.block_size(row);
        let column = offset.checked_sub(row_start)?.checked_div(size)?;
        (column < self.width).then_some((row, column, row_start + column * size))
    }

    fn block_size(&self, row: u64) -> u64 {
        self.start.checked_shl(row.saturating_sub(1) as u32).unwrap_or(u64::MAX)
    }
}
