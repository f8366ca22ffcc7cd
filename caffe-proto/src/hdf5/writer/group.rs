//! Writing groups: names in a local heap, entries in symbol table nodes, a B-tree over the nodes (III.A to D).

use std::io::{self, Write};

use super::btree::Tree;
use super::header::object_header;
use super::{Group, Node, Out};

/// Half the entries of a symbol table node.
pub(super) const LEAF_K: usize = 4;
/// Half the children of a tree node.
pub(super) const INTERNAL_K: usize = 16;

/// Where a written object is.
pub(super) struct Written {
    header: u64,
    /// The B-tree and the heap of a group.
    group: Option<(u64, u64)>,
}

impl Written {
    /// A symbol table entry (III.C).
    pub(super) fn entry(&self, name: u64, bytes: &mut Vec<u8>) {
        bytes.extend(name.to_le_bytes());
        bytes.extend(self.header.to_le_bytes());
        let (cached, tree, heap) = match self.group {
            Some((tree, heap)) => (1_u64, tree, heap),
            None => (0, 0, 0),
        };
        for value in [cached, tree, heap] {
            bytes.extend(value.to_le_bytes());
        }
    }
}

/// Writes a group after all that it holds. As deep as paths may be, which is not deep.
pub(super) fn write<W: Write>(out: &mut Out<W>, group: &Group) -> io::Result<Written> {
    let mut entries = Vec::with_capacity(group.len());
    for node in group.values() {
        entries.push(match node {
            Node::Group(inner) => write(out, inner)?,
            Node::Dataset(header) => Written { header: *header, group: None },
        });
    }

    // The heap starts with an empty name, which is the key before the first entry.
    let mut names = vec![0; 8];
    let mut offsets = Vec::with_capacity(group.len());
    for name in group.keys() {
        offsets.push(names.len() as u64);
        names.extend_from_slice(name.as_bytes());
        names.resize((names.len() / 8 + 1) * 8, 0);
    }
    let heap = write_heap(out, &names)?;

    let mut nodes = Vec::new();
    for (entries, offsets) in entries.chunks(2 * LEAF_K).zip(offsets.chunks(2 * LEAF_K)) {
        nodes.push(out.position);
        let mut bytes = b"SNOD\x01\0".to_vec();
        bytes.extend((entries.len() as u16).to_le_bytes());
        for (entry, offset) in entries.iter().zip(offsets) {
            entry.entry(*offset, &mut bytes);
        }
        bytes.resize(8 + 2 * LEAF_K * 40, 0);
        out.write(&bytes)?;
    }
    // A key is the last name of the node before it.
    let key = |node: usize| {
        let last = (node * 2 * LEAF_K).min(offsets.len()).checked_sub(1);
        last.map_or(0, |last| offsets[last]).to_le_bytes().to_vec()
    };
    let tree = Tree { node_type: 0, capacity: 2 * INTERNAL_K, key_len: 8, key: &key }.write(out, &nodes)?;

    let table = [tree.to_le_bytes(), heap.to_le_bytes()].concat();
    let header = out.position;
    out.write(&object_header(&[(0x11, 0, table)]))?;
    Ok(Written { header, group: Some((tree, heap)) })
}

/// A local heap without free space.
fn write_heap<W: Write>(out: &mut Out<W>, data: &[u8]) -> io::Result<u64> {
    /// What libhdf5 writes for an empty list of free blocks.
    const NO_FREE_BLOCK: u64 = 1;
    out.align()?;
    let address = out.position;
    let mut bytes = b"HEAP\0\0\0\0".to_vec();
    for value in [data.len() as u64, NO_FREE_BLOCK, address + 32] {
        bytes.extend(value.to_le_bytes());
    }
    out.write(&bytes)?;
    out.write(data)?;
    Ok(address)
}
