//! An archive, written member by member.

use std::io::Write as _;

use caffe_proto::{Error, Payload};
use crc32fast::Hasher;
use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::{CENTRAL, DEFLATED, END, END64, LOCAL, LOCATOR64, STORED, ZIP64};
use crate::output::Output;

/// 1 January 1980, midnight: the first moment a zip file knows, and the same in every run.
const DATE: u16 = (1 << 5) | 1;

/// Names are UTF-8.
const UTF8: u16 = 1 << 11;

/// The value that says: look into the zip64 field.
const WIDE: u32 = 0xffff_ffff;

/// Writes members to an output, and their directory at the end.
///
/// A checksum and a deflated size are known only when the member is through: the header before it is patched then.
pub(crate) struct Writer<'a, 'b> {
    output: &'a mut Output<'b>,
    entries: Vec<Entry>,
}

struct Entry {
    name: String,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    offset: u64,
}

impl<'a, 'b> Writer<'a, 'b> {
    pub(crate) fn new(output: &'a mut Output<'b>) -> Self {
        Self { output, entries: Vec::new() }
    }

    /// Adds a member of `head` followed by the values of `payload`.
    pub(crate) fn member(
        &mut self,
        name: &str,
        head: &[u8],
        payload: &Payload,
        compress: bool,
    ) -> Result<(), Error> {
        let mut entry = Entry {
            name: name.to_owned(),
            method: if compress { DEFLATED } else { STORED },
            crc: 0,
            packed: 0,
            size: head.len() as u64 + payload.len(),
            offset: self.output.position(),
        };
        // Bytes that deflate cannot shrink grow by less than a thousandth.
        let wide = entry.size + entry.size / 1024 + 1024 >= u64::from(WIDE);
        self.output.bytes(&entry.local(wide))?;
        let start = self.output.position();
        let mut hasher = Hasher::new();
        hasher.update(head);
        if compress {
            self.deflate(head, payload, &mut hasher)?;
        } else {
            self.output.bytes(head)?;
            self.output.payload(payload, Some(&mut hasher))?;
        }
        entry.crc = hasher.finalize();
        entry.packed = self.output.position() - start;
        self.output.patch(entry.offset, &entry.local(wide))?;
        self.entries.push(entry);
        Ok(())
    }

    /// Writes the directory.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let start = self.output.position();
        for entry in &self.entries {
            self.output.bytes(&entry.central())?;
        }
        let end = self.output.position();
        let (count, size) = (self.entries.len() as u64, end - start);
        let mut record = Vec::new();
        if count >= 0xffff || end >= u64::from(WIDE) {
            record.extend(END64.to_le_bytes());
            record.extend(44u64.to_le_bytes());
            record.extend([45, 0, 45, 0]);
            record.extend([0; 8]);
            for value in [count, count, size, start] {
                record.extend(value.to_le_bytes());
            }
            record.extend(LOCATOR64.to_le_bytes());
            record.extend([0; 4]);
            record.extend(end.to_le_bytes());
            record.extend(1u32.to_le_bytes());
        }
        record.extend(END.to_le_bytes());
        record.extend([0; 4]);
        for _ in 0..2 {
            record.extend(u16::try_from(count).unwrap_or(0xffff).to_le_bytes());
        }
        record.extend(narrow(size).to_le_bytes());
        record.extend(narrow(start).to_le_bytes());
        record.extend([0; 2]);
        self.output.bytes(&record)
    }

    fn deflate(&mut self, head: &[u8], payload: &Payload, hasher: &mut Hasher) -> Result<(), Error> {
        let path = self.output.path().to_path_buf();
        let failed = |source| Error::Write { path: path.clone(), source };
        let mut encoder = DeflateEncoder::new(&mut *self.output, Compression::default());
        encoder.write_all(head).map_err(&failed)?;
        payload.read(&mut |bytes| {
            hasher.update(bytes);
            encoder.write_all(bytes).map_err(&failed)?;
            encoder.get_mut().advance(bytes.len() as u64);
            Ok(())
        })?;
        encoder.finish().map_err(&failed)?;
        Ok(())
    }
}

impl Entry {
    fn local(&self, wide: bool) -> Vec<u8> {
        let mut record = Vec::new();
        record.extend(LOCAL.to_le_bytes());
        self.common(wide, &mut record);
        let extra = if wide { 20 } else { 0u16 };
        for size in [self.packed, self.size] {
            record.extend(if wide { WIDE } else { size as u32 }.to_le_bytes());
        }
        record.extend((self.name.len() as u16).to_le_bytes());
        record.extend(extra.to_le_bytes());
        record.extend(self.name.as_bytes());
        if wide {
            record.extend(ZIP64.to_le_bytes());
            record.extend(16u16.to_le_bytes());
            record.extend(self.size.to_le_bytes());
            record.extend(self.packed.to_le_bytes());
        }
        record
    }

    fn central(&self) -> Vec<u8> {
        const UNIX: u8 = 3;
        const READABLE_FILE: u32 = 0o100_644;
        let wide = [self.size, self.packed, self.offset].into_iter().filter(|&value| narrow(value) == WIDE);
        let extra = wide.flat_map(u64::to_le_bytes).collect::<Vec<_>>();
        let mut record = Vec::new();
        record.extend(CENTRAL.to_le_bytes());
        record.extend([if extra.is_empty() { 20 } else { 45 }, UNIX]);
        self.common(!extra.is_empty(), &mut record);
        record.extend(narrow(self.packed).to_le_bytes());
        record.extend(narrow(self.size).to_le_bytes());
        record.extend((self.name.len() as u16).to_le_bytes());
        let extra_len = if extra.is_empty() { 0 } else { extra.len() as u16 + 4 };
        record.extend(extra_len.to_le_bytes());
        // No comment, the first disk, no internal attributes.
        record.extend([0; 6]);
        record.extend((READABLE_FILE << 16).to_le_bytes());
        record.extend(narrow(self.offset).to_le_bytes());
        record.extend(self.name.as_bytes());
        if !extra.is_empty() {
            record.extend(ZIP64.to_le_bytes());
            record.extend((extra.len() as u16).to_le_bytes());
            record.extend(extra);
        }
        record
    }

    /// From the version that is needed to the checksum.
    fn common(&self, wide: bool, record: &mut Vec<u8>) {
        let version: u16 = if wide { 45 } else { 20 };
        let flags = if self.name.is_ascii() { 0 } else { UTF8 };
        for value in [version, flags, self.method, 0, DATE] {
            record.extend(value.to_le_bytes());
        }
        record.extend(self.crc.to_le_bytes());
    }
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(WIDE)
}
