//! Where everything starts (HDF5 File Format Specification 3.0, II.A).

use std::sync::Arc;

use crate::Storage;

use super::cursor::{Format, Reader};
use super::error::Problem;

/// The eight bytes that mark an HDF5 file.
pub(super) const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// The file's sizes and base, and the address of the root group's object header.
pub(super) struct Superblock {
    pub(super) format: Format,
    pub(super) root: u64,
}

/// Where the signature lies: at 0, or after a user block of 512, 1024, 2048, … bytes.
pub(super) fn find(bytes: &[u8]) -> Option<u64> {
    let starts = std::iter::once(0).chain((9..usize::BITS).map(|power| 1_usize << power));
    starts
        .take_while(|&start| start < bytes.len())
        .find(|&start| bytes[start..].starts_with(&SIGNATURE))
        .map(|start| start as u64)
}

pub(super) fn read(storage: Arc<Storage>, start: u64, verify: bool) -> Result<Superblock, Problem> {
    // Addresses count from where the signature is, whatever base address is stated: a user block may have been
    // put before a file, or cut off, without rewriting it. libhdf5 does the same.
    let mut format = Format { storage, base: start, offset_size: 8, length_size: 8, verify };
    let version = Reader::new(&format).block(8, 1, "superblock")?.version(&[0, 1, 2, 3])?;
    let sizes = if version < 2 { 13 } else { 9 };
    let mut cursor = Reader::new(&format).block(sizes, 2, "superblock")?;
    let (offset_size, length_size) = (cursor.u8()?, cursor.u8()?);
    for size in [offset_size, length_size] {
        if ![2, 4, 8].contains(&size) {
            return Err(Problem::Unsupported(format!("addresses or lengths of {size} bytes")));
        }
    }
    (format.offset_size, format.length_size) = (offset_size, length_size);

    let reader = Reader::new(&format);
    let mut cursor = reader.cursor(0, "superblock")?;
    let root = if version < 2 {
        cursor.skip(if version == 0 { 24 } else { 28 })?;
        cursor.skip(5 * u64::from(offset_size))?;
        cursor.defined_address()?
    } else {
        cursor.skip(12)?;
        cursor.skip(3 * u64::from(offset_size))?;
        let root = cursor.defined_address()?;
        cursor.checksum()?;
        root
    };
    Ok(Superblock { format, root })
}
