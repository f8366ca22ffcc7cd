//! Writing a version 1 B-tree (III.A.1), its nodes filled from the left.

use std::io::{self, Write};

use super::{Out, UNDEFINED};

/// What a tree is over.
pub(super) struct Tree<'a> {
    pub(super) node_type: u8,
    /// Children that a node has room for.
    pub(super) capacity: usize,
    pub(super) key_len: usize,
    /// The key before child `i`; for the number of children, the key after the last.
    pub(super) key: &'a dyn Fn(usize) -> Vec<u8>,
}

impl Tree<'_> {
    /// Writes the tree and returns the address of its root.
    pub(super) fn write<W: Write>(&self, out: &mut Out<W>, children: &[u64]) -> io::Result<u64> {
        out.align()?;
        let end = children.len();
        // For each child of this level: the first child of the lowest level in it, and its address.
        let mut level: Vec<(usize, u64)> = children.iter().copied().enumerate().collect();
        for height in 0_u8.. {
            let start = out.position;
            let mut above = Vec::new();
            let nodes = level.len().div_ceil(self.capacity).max(1);
            let address = |node: usize| start + node as u64 * self.node_len();
            for node in 0..nodes {
                let first = node * self.capacity;
                let last = (first + self.capacity).min(level.len());
                let mut bytes = b"TREE".to_vec();
                bytes.extend([self.node_type, height]);
                bytes.extend(((last - first) as u16).to_le_bytes());
                let left = if node == 0 { UNDEFINED } else { address(node - 1) };
                let right = if node + 1 == nodes { UNDEFINED } else { address(node + 1) };
                bytes.extend(left.to_le_bytes());
                bytes.extend(right.to_le_bytes());
                for &(child, address) in &level[first..last] {
                    bytes.extend((self.key)(child));
                    bytes.extend(address.to_le_bytes());
                }
                bytes.extend((self.key)(level.get(last).map_or(end, |next| next.0)));
                bytes.resize(self.node_len() as usize, 0);
                out.write(&bytes)?;
                above.push((level.get(first).map_or(0, |child| child.0), address(node)));
            }
            if let [(_, root)] = above[..] {
                return Ok(root);
            }
            level = above;
        }
        unreachable!("a tree of 255 levels has more children than there is memory")
    }

    fn node_len(&self) -> u64 {
        (24 + self.capacity * 8 + (self.capacity + 1) * self.key_len) as u64
    }
}
