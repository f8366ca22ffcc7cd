//! The two kinds of B-tree (HDF5 File Format Specification 3.0, III.A).

use std::collections::HashSet;

use super::cursor::{Cursor, Reader};
use super::error::Problem;

/// Visits the leaves' children of a version 1 tree in order: the key before each, and its address.
pub(super) fn visit_v1<'a>(
    reader: &Reader<'a>,
    root: u64,
    node_type: u8,
    key_len: u64,
    each: &mut dyn FnMut(Cursor<'a>, u64) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let what = "version 1 B-tree node";
    let mut visited = HashSet::new();
    // Addresses still to visit, the next one last, with the level that the parent leaves them.
    let mut waiting = vec![(root, None)];
    while let Some((address, expected)) = waiting.pop() {
        if !visited.insert(address) {
            return Err(Problem::Invalid(format!("{what}: two branches lead to address {address:#x}")));
        }
        let mut cursor = reader.cursor(address, what)?;
        cursor.signature(*b"TREE")?;
        let (found_type, level, entries) = (cursor.u8()?, cursor.u8()?, cursor.u16()?);
        if found_type != node_type || expected.is_some_and(|expected| expected != level) {
            return Err(Problem::Invalid(format!(
                "{what} at address {address:#x}: type {found_type} at level {level} where type {node_type} at level {} belongs",
                expected.unwrap_or(level)
            )));
        }
        cursor.address()?;
        cursor.address()?;
        let entry = key_len + u64::from(cursor.offset_size());
        reader.spend(u64::from(entries) * entry)?;
        let first = waiting.len();
        for _ in 0..entries {
            let key = cursor.sub(key_len)?;
            let child = cursor.defined_address()?;
            match level.checked_sub(1) {
                None => each(key, child)?,
                Some(below) => waiting.push((child, Some(below))),
            }
        }
        waiting[first..].reverse();
    }
    Ok(())
}

/// Visits all records of a version 2 tree whose type is one of `types`, in no particular order; each is
/// handed over with the tree's record type.
pub(super) fn visit_v2<'a>(
    reader: &Reader<'a>,
    header: u64,
    types: &[u8],
    each: &mut dyn FnMut(u8, Cursor<'a>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut cursor = reader.cursor(header, "version 2 B-tree header")?;
    cursor.signature(*b"BTHD")?;
    cursor.version(&[0])?;
    let record_type = cursor.u8()?;
    let (node_size, record_size, depth) = (cursor.u32()?, cursor.u16()?, cursor.u16()?);
    cursor.skip(2)?;
    let (root, root_records) = (cursor.address()?, cursor.u16()?);
    cursor.length()?;
    cursor.checksum()?;
    if !types.contains(&record_type) {
        return Err(Problem::Unsupported(format!("a version 2 B-tree of records of type {record_type}")));
    }
    let Some(root) = root else { return Ok(()) };
    let tree = Tree::new(node_size, record_size, depth, cursor.offset_size())?;

    let mut visited = HashSet::new();
    let mut waiting = vec![(root, root_records, depth)];
    while let Some((address, records, level)) = waiting.pop() {
        if !visited.insert(address) {
            return Err(Problem::Invalid(format!(
                "version 2 B-tree node: two branches lead to address {address:#x}"
            )));
        }
        // The checksum follows what is used, not the node's end.
        let pointers = if level == 0 { 0 } else { (u64::from(records) + 1) * tree.pointer_size(level) };
        let used = 6 + u64::from(records) * u64::from(record_size) + pointers + 4;
        let mut node = reader.block(address, used, "version 2 B-tree node")?;
        let mut check = node.clone();
        check.skip(used - 4)?;
        check.checksum()?;
        node.signature(if level == 0 { *b"BTLF" } else { *b"BTIN" })?;
        node.version(&[0])?;
        if node.u8()? != record_type {
            return Err(Problem::Invalid(format!(
                "version 2 B-tree node at address {address:#x}: not of the tree's type {record_type}"
            )));
        }
        for _ in 0..records {
            each(record_type, node.sub(u64::from(record_size))?)?;
        }
        for _ in 0..if level == 0 { 0 } else { u32::from(records) + 1 } {
            let child = node.defined_address()?;
            let child_records = node.uint(tree.records_size)?;
            node.skip(u64::from(tree.total_sizes[usize::from(level) - 1]))?;
            waiting.push((child, u16::try_from(child_records).unwrap_or(u16::MAX), level - 1));
        }
    }
    Ok(())
}

/// The sizes of the numbers in a version 2 tree, which follow from how many records a node can hold.
struct Tree {
    offset_size: u8,
    records_size: u8,
    /// By the level of the node that is pointed to: the bytes of "total number of records" below it.
    total_sizes: Vec<u8>,
}

impl Tree {
    fn new(node_size: u32, record_size: u16, depth: u16, offset_size: u8) -> Result<Self, Problem> {
        const MAX_DEPTH: u16 = 16;
        if depth > MAX_DEPTH {
            return Err(Problem::Limit {
                what: "levels of a version 2 B-tree",
                found: depth.into(),
                limit: MAX_DEPTH.into(),
            });
        }
        let invalid = || {
            Problem::Invalid(format!(
                "version 2 B-tree: records of {record_size} bytes do not fit in nodes of {node_size}"
            ))
        };
        let room = u64::from(node_size).checked_sub(10).ok_or_else(invalid)?;
        let record = u64::from(record_size);
        let in_leaf = room.checked_div(record).filter(|&records| records > 0).ok_or_else(invalid)?;
        let mut tree = Tree { offset_size, records_size: bytes_for(in_leaf), total_sizes: vec![0] };
        let mut total = in_leaf;
        for level in 1..=depth {
            let pointer = tree.pointer_size(level);
            let here = room.checked_sub(pointer).ok_or_else(invalid)? / (record + pointer);
            total = (here + 1).saturating_mul(total).saturating_add(here);
            tree.total_sizes.push(bytes_for(total));
        }
        Ok(tree)
    }

    /// The bytes of a pointer in a node at `level`, 1 or more.
    fn pointer_size(&self, level: u16) -> u64 {
        let total = self.total_sizes.get(usize::from(level) - 1).copied().unwrap_or(8);
        u64::from(self.offset_size) + u64::from(self.records_size) + u64::from(total)
    }
}

/// How many bytes a number up to `limit` takes.
fn bytes_for(limit: u64) -> u8 {
    (limit.max(1).ilog2() / 8 + 1) as u8
}
