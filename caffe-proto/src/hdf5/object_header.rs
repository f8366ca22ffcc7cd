//! The messages that describe a group or a dataset (HDF5 File Format Specification 3.0, IV.A.1).

use std::collections::HashSet;

use super::cursor::{Cursor, Reader};
use super::error::Problem;

/// The kinds of message that are looked at; all others are passed over.
pub(super) mod kind {
    pub(in crate::hdf5) const DATASPACE: u16 = 0x01;
    pub(in crate::hdf5) const LINK_INFO: u16 = 0x02;
    pub(in crate::hdf5) const DATATYPE: u16 = 0x03;
    pub(in crate::hdf5) const OLD_FILL_VALUE: u16 = 0x04;
    pub(in crate::hdf5) const FILL_VALUE: u16 = 0x05;
    pub(in crate::hdf5) const LINK: u16 = 0x06;
    pub(in crate::hdf5) const EXTERNAL_FILES: u16 = 0x07;
    pub(in crate::hdf5) const LAYOUT: u16 = 0x08;
    pub(in crate::hdf5) const FILTERS: u16 = 0x0b;
    pub(in crate::hdf5) const CONTINUATION: u16 = 0x10;
    pub(in crate::hdf5) const SYMBOL_TABLE: u16 = 0x11;
}

/// One message's kind and its bytes.
#[derive(Debug, Clone)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    body: Cursor<'a>,
    shared: bool,
}

const WHAT: &str = "object header";
/// Enough for the largest group of links that is read.
const MAX_KEPT: usize = 1 << 17;

/// Reads the messages of the object at `address` that are of a known kind, in the file's order.
pub(super) fn messages<'a>(reader: &Reader<'a>, address: u64) -> Result<Vec<Message<'a>>, Problem> {
    let mut header = Header { messages: Vec::new(), continuations: Vec::new(), prefix: Prefix::Old };
    let mut cursor = reader.cursor(address, WHAT)?;
    let first = if cursor.clone().u8()? == b'O' {
        header.read_new(reader, &mut cursor)?
    } else {
        cursor.version(&[1])?;
        cursor.skip(7)?;
        let len = u64::from(cursor.u32()?);
        cursor.skip(4)?;
        reader.spend(len)?;
        cursor.sub(len)?
    };
    header.read_block(first)?;

    let mut visited = HashSet::from([address]);
    while let Some((address, len)) = header.continuations.pop() {
        if !visited.insert(address) {
            return Err(Problem::Invalid(format!("{WHAT}: two continuations lead to address {address:#x}")));
        }
        let mut block = reader.block(address, len, "object header continuation")?;
        if let Prefix::New { .. } = header.prefix {
            block.signature(*b"OCHK")?;
            let messages = block.sub(block.left().saturating_sub(4))?;
            block.checksum()?;
            block = messages;
        }
        header.read_block(block)?;
    }
    Ok(header.messages)
}

/// The first message of a kind, its sharing resolved.
pub(super) fn find<'a>(
    reader: &Reader<'a>,
    messages: &[Message<'a>],
    kind: u16,
) -> Result<Option<Cursor<'a>>, Problem> {
    messages.iter().find(|message| message.kind == kind).map(|message| message.resolve(reader)).transpose()
}

impl<'a> Message<'a> {
    /// The bytes, wherever they are kept: a dataset may name a committed datatype instead of holding its
    /// own (IV.A.2, "Shared Message").
    pub(super) fn resolve(&self, reader: &Reader<'a>) -> Result<Cursor<'a>, Problem> {
        let mut body = self.body.named("header message");
        if !self.shared {
            return Ok(body);
        }
        let version = body.version(&[1, 2, 3])?;
        let place = body.u8()?;
        if version == 1 {
            body.skip(6)?;
        }
        if version == 3 && place != 2 {
            return Err(Problem::Unsupported("a message kept in the file's shared message heap".into()));
        }
        let address = body.defined_address()?;
        let elsewhere = messages(reader, address)?;
        match elsewhere.into_iter().find(|message| message.kind == self.kind) {
            Some(message) if !message.shared => Ok(message.body.named("header message")),
            _ => Err(Problem::Invalid(format!(
                "the object at address {address:#x} is named as holding a message that it does not hold"
            ))),
        }
    }
}

struct Header<'a> {
    messages: Vec<Message<'a>>,
    continuations: Vec<(u64, u64)>,
    prefix: Prefix,
}

/// How each message starts: version 1 or 2 of the header.
enum Prefix {
    Old,
    New { creation_order: bool },
}

impl<'a> Header<'a> {
    /// Version 2 up to the messages of its first block, which it returns.
    fn read_new(&mut self, reader: &Reader<'a>, cursor: &mut Cursor<'a>) -> Result<Cursor<'a>, Problem> {
        cursor.signature(*b"OHDR")?;
        cursor.version(&[2])?;
        let flags = cursor.u8()?;
        cursor.skip(if flags & 0x20 == 0 { 0 } else { 16 })?;
        cursor.skip(if flags & 0x10 == 0 { 0 } else { 4 })?;
        let len = cursor.uint(1 << (flags & 3))?;
        reader.spend(len)?;
        self.prefix = Prefix::New { creation_order: flags & 4 != 0 };
        let first = cursor.sub(len)?;
        cursor.checksum()?;
        Ok(first)
    }

    fn read_block(&mut self, mut block: Cursor<'a>) -> Result<(), Problem> {
        let prefix = match self.prefix {
            Prefix::Old => 8,
            Prefix::New { creation_order: false } => 4,
            Prefix::New { creation_order: true } => 6,
        };
        while block.left() >= prefix {
            let (kind, len, flags) = if let Prefix::Old = self.prefix {
                let (kind, len, flags) = (block.u16()?, block.u16()?, block.u8()?);
                block.skip(3)?;
                (kind, len, flags)
            } else {
                let (kind, len, flags) = (u16::from(block.u8()?), block.u16()?, block.u8()?);
                block.skip(prefix - 4)?;
                (kind, len, flags)
            };
            let mut body = block.sub(u64::from(len))?;
            match kind {
                kind::CONTINUATION => {
                    self.continuations.push((body.defined_address()?, body.length()?));
                }
                kind::DATASPACE..=kind::LAYOUT | kind::FILTERS | kind::SYMBOL_TABLE => {
                    self.messages.push(Message { kind, body, shared: flags & 2 != 0 });
                }
                _ => {}
            }
            let kept = self.messages.len().max(self.continuations.len());
            if kept > MAX_KEPT {
                return Err(Problem::Limit {
                    what: "messages of an object header",
                    found: kept as u64,
                    limit: MAX_KEPT as u64,
                });
            }
        }
        Ok(())
    }
}
