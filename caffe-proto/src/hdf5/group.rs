//! The links of a group, of the old kind and of the new
//! (HDF5 File Format Specification 3.0, IV.A.2.c, g and r).

use std::collections::HashSet;

use super::btree;
use super::cursor::{Cursor, Reader};
use super::error::Problem;
use super::fractal_heap::Heap;
use super::object_header::{Message, find, kind};

/// A name in a group and what it leads to.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) target: Target,
}

#[derive(Debug, Clone)]
pub(super) enum Target {
    /// The address of an object header.
    Object(u64),
    /// Another path, which is not followed.
    Soft(String),
    /// An object in another file, which is not followed.
    External,
    /// A kind of link that an application defined.
    Custom(u8),
}

/// How many links a group may have.
const MAX_LINKS: usize = 1 << 16;
/// How long a name may be.
const MAX_NAME: u64 = 4096;

/// Whether these are the messages of a group.
pub(super) fn is_group(messages: &[Message<'_>]) -> bool {
    messages.iter().any(|message| [kind::SYMBOL_TABLE, kind::LINK_INFO, kind::LINK].contains(&message.kind))
}

/// The links of a group in the order of their names.
pub(super) fn links(reader: &Reader<'_>, messages: &[Message<'_>]) -> Result<Vec<Link>, Problem> {
    let mut links = Links::default();
    if let Some(table) = find(reader, messages, kind::SYMBOL_TABLE)? {
        links.add_symbol_table(reader, table)?;
    }
    for message in messages.iter().filter(|message| message.kind == kind::LINK) {
        links.add_message(&message.resolve(reader)?)?;
    }
    if let Some(info) = find(reader, messages, kind::LINK_INFO)? {
        links.add_dense(reader, &info)?;
    }
    let mut links = links.0;
    links.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = links.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(Problem::Invalid(format!("two links have the name `{}`", pair[0].name.escape_debug())));
    }
    Ok(links)
}

#[derive(Default)]
struct Links(Vec<Link>);

impl Links {
    fn add(&mut self, name: &[u8], target: Target) -> Result<(), Problem> {
        let name = text(name, "link name")?;
        if name.is_empty() || name.contains('/') {
            return Err(Problem::Invalid(format!("a link has the name `{}`", name.escape_debug())));
        }
        if self.0.len() >= MAX_LINKS {
            let limit = MAX_LINKS as u64;
            return Err(Problem::Limit { what: "links of a group", found: limit + 1, limit });
        }
        self.0.push(Link { name, target });
        Ok(())
    }

    /// A group of the old kind: a version 1 B-tree of symbol table nodes, names in a local heap.
    fn add_symbol_table<'a>(&mut self, reader: &Reader<'a>, mut message: Cursor<'a>) -> Result<(), Problem> {
        let (tree, heap) = (message.defined_address()?, message.defined_address()?);
        let names = local_heap(reader, heap)?;
        let mut visited = HashSet::new();
        let key_len = u64::from(message.length_size());
        btree::visit_v1(reader, tree, 0, key_len, &mut |_key, address| {
            if !visited.insert(address) {
                return Err(Problem::Invalid(format!(
                    "symbol table node: two branches lead to address {address:#x}"
                )));
            }
            self.add_symbol_node(reader, address, &names)
        })
    }

    fn add_symbol_node(
        &mut self,
        reader: &Reader<'_>,
        address: u64,
        names: &Cursor<'_>,
    ) -> Result<(), Problem> {
        let mut node = reader.cursor(address, "symbol table node")?;
        node.signature(*b"SNOD")?;
        node.version(&[1])?;
        node.skip(1)?;
        for _ in 0..node.u16()? {
            reader.spend(40)?;
            let name = string_at(reader, names, node.uint(node.offset_size())?)?;
            let header = node.address()?;
            let cache = node.u32()?;
            node.skip(4)?;
            let mut scratch = node.sub(16)?;
            // A soft link has no object header; its path is in the heap.
            let target = match (cache, header) {
                (2, _) => {
                    let path = string_at(reader, names, u64::from(scratch.u32()?))?;
                    Target::Soft(String::from_utf8_lossy(path).into_owned())
                }
                (_, Some(header)) => Target::Object(header),
                (_, None) => {
                    return Err(Problem::Invalid(format!(
                        "link `{}` leads to no address",
                        name.escape_ascii()
                    )));
                }
            };
            self.add(name, target)?;
        }
        Ok(())
    }

    /// A group of the new kind with many links: messages in a fractal heap, found through a version 2 B-tree.
    fn add_dense<'a>(&mut self, reader: &Reader<'a>, info: &Cursor<'a>) -> Result<(), Problem> {
        let mut info = info.named("link info");
        info.version(&[0])?;
        let flags = info.u8()?;
        info.skip(if flags & 1 == 0 { 0 } else { 8 })?;
        let (Some(heap), Some(names)) = (info.address()?, info.address()?) else {
            return Ok(());
        };
        let heap = Heap::read(reader, heap)?;
        btree::visit_v2(reader, names, &[5], &mut |_type, mut record| {
            record.skip(4)?;
            self.add_message(&heap.object(reader, record)?)
        })
    }

    fn add_message(&mut self, message: &Cursor<'_>) -> Result<(), Problem> {
        let mut message = message.named("link message");
        message.version(&[1])?;
        let flags = message.u8()?;
        let link = if flags & 8 == 0 { 0 } else { message.u8()? };
        message.skip(if flags & 4 == 0 { 0 } else { 8 })?;
        message.skip(u64::from(flags & 16 != 0))?;
        let len = message.uint(1 << (flags & 3))?;
        if len > MAX_NAME {
            return Err(Problem::Limit { what: "bytes of a link name", found: len, limit: MAX_NAME });
        }
        let name = message.take(len)?;
        let target = match link {
            0 => Target::Object(message.defined_address()?),
            1 => {
                let len = u64::from(message.u16()?).min(MAX_NAME);
                Target::Soft(String::from_utf8_lossy(message.take(len)?).into_owned())
            }
            64 => Target::External,
            other => Target::Custom(other),
        };
        self.add(name, target)
    }
}

/// The data of a local heap (III.D).
fn local_heap<'a>(reader: &Reader<'a>, address: u64) -> Result<Cursor<'a>, Problem> {
    let mut cursor = reader.cursor(address, "local heap")?;
    cursor.signature(*b"HEAP")?;
    cursor.version(&[0])?;
    cursor.skip(3)?;
    let (len, _free) = (cursor.length()?, cursor.length()?);
    let data = cursor.defined_address()?;
    reader.block(data, len, "local heap data")
}

/// The bytes at `offset` up to a zero byte.
fn string_at<'a>(reader: &Reader<'a>, heap: &Cursor<'a>, offset: u64) -> Result<&'a [u8], Problem> {
    let mut cursor = heap.clone();
    cursor.skip(offset)?;
    let bytes = cursor.take(cursor.left().min(MAX_NAME + 1))?;
    let end = bytes.iter().position(|&byte| byte == 0).ok_or_else(|| {
        Problem::Invalid(format!(
            "local heap: the name at offset {offset} has no end within {} bytes",
            bytes.len()
        ))
    })?;
    reader.spend(end as u64)?;
    Ok(&bytes[..end])
}

fn text(bytes: &[u8], what: &str) -> Result<String, Problem> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Problem::Invalid(format!("{what} `{}` is not UTF-8", bytes.escape_ascii()))),
    }
}
