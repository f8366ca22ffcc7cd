//! Bounds-checked reading: nothing else in this module touches the file's bytes directly.

use std::cell::Cell;
use std::sync::Arc;

use crate::Storage;

use super::checksum::lookup3;
use super::error::Problem;

/// What every structure of one file needs to know to be read.
#[derive(Debug)]
pub(super) struct Format {
    pub(super) storage: Arc<Storage>,
    /// What addresses count from: not 0 when a user block lies before the file.
    pub(super) base: u64,
    pub(super) offset_size: u8,
    pub(super) length_size: u8,
    /// Tests of damaged files turn checksums off, to get past them.
    pub(super) verify: bool,
}

/// Reads structures at addresses, as long as its allowance of work lasts.
///
/// A hostile file can make one structure stand in many places; visited sets end cycles, and the
/// allowance ends everything else. One reader serves one operation.
pub(super) struct Reader<'a> {
    format: &'a Format,
    spent: Cell<u64>,
}

/// A position in a run of bytes that may not be left.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    what: &'static str,
    bytes: &'a [u8],
    position: usize,
    /// Where `bytes` starts in the file.
    origin: u64,
    offset_size: u8,
    length_size: u8,
    verify: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(format: &'a Format) -> Self {
        Self { format, spent: Cell::new(0) }
    }

    /// Everything from `address` to the end of the file.
    pub(super) fn cursor(&self, address: u64, what: &'static str) -> Result<Cursor<'a>, Problem> {
        self.spend(16)?;
        let bytes: &'a [u8] = &self.format.storage;
        let at = self.format.base.saturating_add(address);
        let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).ok_or(Problem::Truncated {
            what,
            at,
            needed: 1,
            left: 0,
        })?;
        Ok(Cursor {
            what,
            bytes: rest,
            position: 0,
            origin: at,
            offset_size: self.format.offset_size,
            length_size: self.format.length_size,
            verify: self.format.verify,
        })
    }

    /// The `len` bytes at `address`.
    pub(super) fn block(&self, address: u64, len: u64, what: &'static str) -> Result<Cursor<'a>, Problem> {
        let mut rest = self.cursor(address, what)?;
        self.spend(len)?;
        rest.sub(len)
    }

    /// Bytes that were read before.
    pub(super) fn over<'b>(&self, bytes: &'b [u8], what: &'static str) -> Cursor<'b> {
        let Format { offset_size, length_size, verify, .. } = *self.format;
        Cursor { what, bytes, position: 0, origin: 0, offset_size, length_size, verify }
    }

    /// Counts `bytes` of work.
    pub(super) fn spend(&self, bytes: u64) -> Result<(), Problem> {
        let limit = (self.format.storage.len() as u64).saturating_mul(4).saturating_add(1 << 25);
        let spent = self.spent.get().saturating_add(bytes);
        self.spent.set(spent);
        if spent > limit {
            return Err(Problem::Limit { what: "bytes of structures visited", found: spent, limit });
        }
        Ok(())
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8], Problem> {
        let left = self.left();
        let short = || Problem::Truncated { what: self.what, at: self.at(), needed: len, left };
        if len > left {
            return Err(short());
        }
        let end = self.position + len as usize;
        let taken = self.bytes.get(self.position..end).ok_or_else(short)?;
        self.position = end;
        Ok(taken)
    }

    /// A cursor over the next `len` bytes alone.
    pub(super) fn sub(&mut self, len: u64) -> Result<Cursor<'a>, Problem> {
        let origin = self.at();
        let bytes = self.take(len)?;
        Ok(Cursor { bytes, position: 0, origin, ..self.clone() })
    }

    /// The same bytes under another name.
    pub(super) fn named(&self, what: &'static str) -> Cursor<'a> {
        Cursor { what, ..self.clone() }
    }

    pub(super) fn skip(&mut self, len: u64) -> Result<(), Problem> {
        self.take(len).map(|_| ())
    }

    pub(super) fn u8(&mut self) -> Result<u8, Problem> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Problem> {
        Ok(self.uint(2)? as u16)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Problem> {
        Ok(self.uint(4)? as u32)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Problem> {
        self.uint(8)
    }

    /// A little-endian number of `len` bytes, 8 at most.
    pub(super) fn uint(&mut self, len: u8) -> Result<u64, Problem> {
        if len > 8 {
            return Err(Problem::Invalid(format!("{}: a number of {len} bytes", self.what)));
        }
        Ok(little(self.take(u64::from(len))?))
    }

    /// A number of the file's "size of lengths".
    pub(super) fn length(&mut self) -> Result<u64, Problem> {
        self.uint(self.length_size)
    }

    /// An address; `None` for the undefined one, all bits set.
    pub(super) fn address(&mut self) -> Result<Option<u64>, Problem> {
        let value = self.uint(self.offset_size)?;
        let undefined = u64::MAX >> (64 - 8 * u32::from(self.offset_size));
        Ok((value != undefined).then_some(value))
    }

    /// An address that must be there.
    pub(super) fn defined_address(&mut self) -> Result<u64, Problem> {
        let at = self.at();
        self.address()?.ok_or_else(|| {
            Problem::Invalid(format!(
                "{} at byte {at}: an address is undefined where one is needed",
                self.what
            ))
        })
    }

    pub(super) fn signature(&mut self, expected: [u8; 4]) -> Result<(), Problem> {
        let at = self.at();
        let found = self.take(4)?;
        if found != expected {
            return Err(Problem::Signature {
                what: self.what,
                at,
                expected: expected.escape_ascii().to_string(),
                found: found.escape_ascii().to_string(),
            });
        }
        Ok(())
    }

    /// A version byte, one of `known`.
    pub(super) fn version(&mut self, known: &[u8]) -> Result<u8, Problem> {
        let found = self.u8()?;
        if !known.contains(&found) {
            return Err(Problem::Version { what: self.what, found: u64::from(found) });
        }
        Ok(found)
    }

    /// A checksum of everything in this cursor before it.
    pub(super) fn checksum(&mut self) -> Result<(), Problem> {
        let covered = self.bytes.get(..self.position).unwrap_or_default();
        let stored = self.u32()?;
        let computed = if self.verify { lookup3(covered) } else { stored };
        if stored != computed {
            return Err(Problem::Checksum { what: self.what, at: self.origin, stored, computed });
        }
        Ok(())
    }

    pub(super) fn left(&self) -> u64 {
        (self.bytes.len() - self.position) as u64
    }

    /// Where in the file this stands.
    pub(super) fn at(&self) -> u64 {
        self.origin + self.position as u64
    }

    pub(super) fn offset_size(&self) -> u8 {
        self.offset_size
    }

    pub(super) fn length_size(&self) -> u8 {
        self.length_size
    }
}

/// The value of at most 8 little-endian bytes.
pub(super) fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}
