//! Writes LMDBs, so that tests can have damaged and large ones.

use std::io::{Result, Seek, SeekFrom, Write};

/// Of the pages that it writes.
pub(crate) const PAGE: usize = 4096;
const HEADER: usize = 16;
/// The longest node that lies in a leaf.
const MOST: usize = (((PAGE - HEADER) / 2) & !1) - 2;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;

/// A writer of records that come in the order of their keys.
pub(crate) struct LmdbWriter<W> {
    out: W,
    next_page: u64,
    open: Page,
    leaves: Vec<(Vec<u8>, u64)>,
    counts: [u64; 3],
    entries: u64,
}

/// The nodes of a page to be.
#[derive(Default)]
struct Page {
    first_key: Vec<u8>,
    nodes: Vec<Vec<u8>>,
    used: usize,
}

impl<W: Write + Seek> LmdbWriter<W> {
    pub(crate) fn new(mut out: W) -> Result<Self> {
        out.write_all(&[0; 2 * PAGE])?;
        Ok(Self { out, next_page: 2, open: Page::default(), leaves: Vec::new(), counts: [0; 3], entries: 0 })
    }

    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.entries += 1;
        let is_long = 8 + key.len() + value.len() > MOST;
        let mut node = node_header(value.len() as u64, u16::from(is_long), key);
        if is_long {
            let pages = (HEADER + value.len()).div_ceil(PAGE);
            let start = self.allot(pages);
            self.counts[2] += pages as u64;
            let mut run = page_header(start, OVERFLOW);
            run.extend((pages as u32).to_le_bytes());
            run.extend(value);
            run.resize(pages * PAGE, 0);
            self.out.write_all(&run)?;
            node.extend(start.to_le_bytes());
        } else {
            node.extend(value);
        }
        if !self.open.fits(&node) {
            self.end_leaf()?;
        }
        self.open.push(key, node);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<W> {
        if !self.open.nodes.is_empty() {
            self.end_leaf()?;
        }
        let mut depth = u16::from(!self.leaves.is_empty());
        let mut level = std::mem::take(&mut self.leaves);
        while level.len() > 1 {
            depth += 1;
            let mut above = Vec::new();
            let mut page = Page::default();
            for (key, child) in level {
                // The first key of a branch is not written: it is below all others.
                let written = if page.nodes.is_empty() { &[][..] } else { &key };
                let node = node_header(child & 0xffff_ffff, (child >> 32) as u16, written);
                if page.fits(&node) {
                    page.push(&key, node);
                } else {
                    above.push(self.write(&std::mem::take(&mut page), BRANCH)?);
                    page.push(&key, node_header(child & 0xffff_ffff, (child >> 32) as u16, &[]));
                }
            }
            above.push(self.write(&page, BRANCH)?);
            level = above;
        }
        let root = level.first().map_or(u64::MAX, |(_, page)| *page);
        for (number, transaction) in [(0, 0), (1, 1)] {
            self.out.seek(SeekFrom::Start(number * PAGE as u64))?;
            let meta = self.meta(number, transaction, depth, root);
            self.out.write_all(&meta)?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn meta(&self, number: u64, transaction: u64, depth: u16, root: u64) -> Vec<u8> {
        let mut meta = page_header(number, 8);
        meta.extend(0_u32.to_le_bytes());
        meta.extend(0xbeef_c0de_u32.to_le_bytes());
        meta.extend(1_u32.to_le_bytes());
        meta.extend(0_u64.to_le_bytes());
        meta.extend((self.next_page * PAGE as u64).to_le_bytes());
        let [branches, leaves, overflows] = self.counts;
        let free = (PAGE as u32, 0, [0, 0, 0, 0, u64::MAX]);
        let main = (0, depth, [branches, leaves, overflows, self.entries, root]);
        for (padding, depth, numbers) in [free, main] {
            meta.extend(padding.to_le_bytes());
            meta.extend(0_u16.to_le_bytes());
            meta.extend(depth.to_le_bytes());
            meta.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        meta.extend((self.next_page - 1).to_le_bytes());
        meta.extend(transaction.to_le_bytes());
        meta
    }

    fn end_leaf(&mut self) -> Result<()> {
        let page = std::mem::take(&mut self.open);
        let leaf = self.write(&page, LEAF)?;
        self.leaves.push(leaf);
        Ok(())
    }

    fn write(&mut self, page: &Page, flags: u16) -> Result<(Vec<u8>, u64)> {
        self.counts[usize::from(flags == LEAF)] += 1;
        let number = self.allot(1);
        let mut upper = PAGE;
        let mut bytes = page_header(number, flags);
        bytes.resize(PAGE, 0);
        for (at, node) in page.nodes.iter().enumerate() {
            upper -= node.len().next_multiple_of(2);
            bytes[upper..upper + node.len()].copy_from_slice(node);
            bytes[HEADER + 2 * at..][..2].copy_from_slice(&(upper as u16).to_le_bytes());
        }
        let lower = HEADER + 2 * page.nodes.len();
        bytes[12..14].copy_from_slice(&(lower as u16).to_le_bytes());
        bytes[14..16].copy_from_slice(&(upper as u16).to_le_bytes());
        self.out.write_all(&bytes)?;
        Ok((page.first_key.clone(), number))
    }

    fn allot(&mut self, pages: usize) -> u64 {
        let first = self.next_page;
        self.next_page += pages as u64;
        first
    }
}

impl Page {
    fn fits(&self, node: &[u8]) -> bool {
        self.used + node.len().next_multiple_of(2) + 2 <= PAGE - HEADER
    }

    fn push(&mut self, key: &[u8], node: Vec<u8>) {
        if self.nodes.is_empty() {
            self.first_key = key.to_vec();
        }
        self.used += node.len().next_multiple_of(2) + 2;
        self.nodes.push(node);
    }
}

fn page_header(number: u64, flags: u16) -> Vec<u8> {
    let mut header = number.to_le_bytes().to_vec();
    header.extend([0, 0]);
    header.extend(flags.to_le_bytes());
    header
}

fn node_header(size: u64, flags: u16, key: &[u8]) -> Vec<u8> {
    let mut node = (size as u32).to_le_bytes().to_vec();
    node.extend(flags.to_le_bytes());
    node.extend((key.len() as u16).to_le_bytes());
    node.extend(key);
    node
}
