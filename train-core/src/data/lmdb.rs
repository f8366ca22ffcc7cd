//! The data base LMDB, read only: what Caffe keeps its training images in.
//!
//! A file is pages of one size. The first two are meta pages, of which the newer counts; the records lie in a B+tree of
//! branch and leaf pages, in the order of their keys, and those too long for a leaf in runs of overflow pages. The numbers
//! are as the writing machine had them: those of little-endian 64-bit machines are read, data version 1. Nothing is
//! locked: a data base that another program writes to at the same time may look damaged.
//!
//! No file, however damaged, makes reading panic, hang, or take more memory than the file's own size.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use caffe_proto::Storage;

use super::{Error, Result};

/// An open data base: the place of every record, in the order of the keys.
#[derive(Debug)]
pub struct Lmdb {
    storage: Arc<Storage>,
    page_size: usize,
    /// Where each record's node begins in the file.
    nodes: Vec<u64>,
    /// About how many bytes of the map have come into this program's memory.
    touched: AtomicUsize,
}

/// A key and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// What the newer meta page says.
#[derive(Debug)]
struct Meta {
    page_size: usize,
    flags: u16,
    depth: u16,
    entries: u64,
    root: u64,
    last_page: u64,
    transaction: u64,
}

const MAGIC: [u8; 4] = 0xbeef_c0de_u32.to_le_bytes();
/// Of a page: number, padding, flags, bounds of the free space.
const PAGE_HEADER: usize = 16;
/// Of a node: two halves of a size, flags, the key's length.
const NODE_HEADER: usize = 8;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;
/// The root of an empty tree.
const NO_PAGE: u64 = u64::MAX;
/// The deepest tree that LMDB itself walks.
const MAX_DEPTH: u16 = 32;
/// A node cannot be shorter, its entry in the page's table included.
const LEAST_ENTRY: u64 = (NODE_HEADER + 2) as u64;
/// Several records for one key: Caffe writes none.
const DUPLICATES: u16 = 0x04;
/// Pages of the map are given back to the system when this many bytes were touched.
const RELEASE: usize = 64 << 20;
/// What the system maps beside a page that is touched.
const AROUND: usize = 64 << 10;

impl Lmdb {
    /// Opens the data base in a folder, or a file of one. Its tree is walked once; the records are not looked at.
    ///
    /// # Errors
    /// When there is none, it was written on another kind of machine, is cut short, or its tree is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Self::read(Storage::open(path)?);
        }
        let file = path.join("data.mdb");
        if !file.exists() {
            return Err(Error::Source { path: path.to_path_buf(), what: no_data(path) });
        }
        Self::read(Storage::open(file)?)
    }

    /// The same of a file that is open.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(storage: Arc<Storage>) -> Result<Self> {
        let path = storage.path().to_path_buf();
        Self::of(storage).map_err(|what| Error::Source { path, what })
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The record at `index` in the order of the keys.
    ///
    /// # Errors
    /// In words, when this one is damaged; others may be whole.
    ///
    /// # Panics
    /// When there is no such record.
    pub fn record(&self, index: usize) -> std::result::Result<Record<'_>, String> {
        let record = self.node(self.nodes[index] as usize);
        if let Ok(record) = record {
            self.touch(record.value.len());
        }
        record
    }

    fn of(storage: Arc<Storage>) -> std::result::Result<Self, String> {
        let meta = meta(&storage)?;
        let needed = meta.last_page.checked_add(1).and_then(|pages| pages.checked_mul(meta.page_size as u64));
        if needed.is_none_or(|needed| needed > storage.len() as u64) {
            let needed =
                needed.map_or_else(|| "more than any file has".to_owned(), |bytes| bytes.to_string());
            return Err(format!("the LMDB is cut short: {} bytes of {needed}", storage.len()));
        }
        if meta.flags & DUPLICATES != 0 {
            return Err("the LMDB holds several records for one key, which Caffe does not write".to_owned());
        }
        if meta.entries > storage.len() as u64 / LEAST_ENTRY {
            return Err(format!("the LMDB is damaged: {} records cannot be in it", meta.entries));
        }
        let mut lmdb = Self {
            storage,
            page_size: meta.page_size,
            nodes: Vec::with_capacity(meta.entries as usize),
            touched: AtomicUsize::new(0),
        };
        if meta.root != NO_PAGE {
            lmdb.walk(&meta).map_err(|what| format!("the LMDB is damaged: {what}"))?;
        }
        if lmdb.nodes.len() as u64 != meta.entries {
            let found = lmdb.nodes.len();
            return Err(format!("the LMDB is damaged: it says {} records and holds {found}", meta.entries));
        }
        Ok(lmdb)
    }

    /// Finds every leaf's nodes. No page is met twice in a tree, which is what keeps a damaged one from going on for ever.
    fn walk(&mut self, meta: &Meta) -> std::result::Result<(), String> {
        if meta.depth == 0 || meta.depth > MAX_DEPTH {
            return Err(format!("its tree is {} pages deep", meta.depth));
        }
        let mut left = self.storage.len() / self.page_size;
        // The pages on the way to here, each with its next child.
        let mut open: Vec<(u64, usize)> = vec![(meta.root, 0)];
        while let Some(&(page, child)) = open.last() {
            let is_leaf = open.len() == usize::from(meta.depth);
            let nodes = self.table(page, if is_leaf { LEAF } else { BRANCH })?;
            if child == 0 {
                left = left.checked_sub(1).ok_or("its tree runs in a circle")?;
            }
            if is_leaf {
                if self.nodes.len() + nodes.len() > meta.entries as usize {
                    return Err(format!("it holds more than the {} records that it says", meta.entries));
                }
                self.nodes.extend(nodes);
                self.touch(self.page_size);
                open.pop();
            } else if let Some(&node) = nodes.get(child) {
                let next = self.child(page, node)?;
                if let Some(top) = open.last_mut() {
                    top.1 += 1;
                }
                open.push((next, 0));
            } else {
                open.pop();
            }
        }
        Ok(())
    }

    /// Where the nodes of a page begin in the file.
    fn table(&self, page: u64, kind: u16) -> std::result::Result<Vec<u64>, String> {
        let start = self.start(page).ok_or_else(|| format!("page {page} is outside the file"))?;
        let bytes = &self.storage[start..start + self.page_size];
        let flags = u16_at(bytes, 10);
        if flags & (BRANCH | LEAF | OVERFLOW | 0x28) != kind {
            let wanted = if kind == LEAF { "leaf" } else { "branch" };
            return Err(format!("page {page} is no {wanted} of its tree (flags {flags:#x})"));
        }
        let lower = usize::from(u16_at(bytes, 12));
        if lower < PAGE_HEADER || lower > self.page_size || lower % 2 != 0 {
            return Err(format!("page {page} has a table of {lower} bytes"));
        }
        let (table, _) = bytes[PAGE_HEADER..lower].as_chunks::<2>();
        Ok(table.iter().map(|&at| (start + usize::from(u16::from_le_bytes(at))) as u64).collect())
    }

    fn child(&self, page: u64, node: u64) -> std::result::Result<u64, String> {
        let end = (page as usize + 1) * self.page_size;
        let bytes = self.storage[..end].get(node as usize..node as usize + NODE_HEADER);
        let bytes = bytes.ok_or_else(|| format!("a node of page {page} is outside it"))?;
        Ok(u64::from(u32_at(bytes, 0)) | u64::from(u16_at(bytes, 4)) << 32)
    }

    fn node(&self, start: usize) -> std::result::Result<Record<'_>, String> {
        const ELSEWHERE: u16 = 0x01;
        let page_end = start - start % self.page_size + self.page_size;
        let outside = || "the record's node is outside its page".to_owned();
        let bytes = self.storage.get(start..page_end).ok_or_else(outside)?;
        // A node cannot lie in its page's header.
        if start % self.page_size < PAGE_HEADER || bytes.len() < NODE_HEADER {
            return Err(outside());
        }
        let len = u32_at(bytes, 0) as usize;
        let flags = u16_at(bytes, 4);
        let (_, rest) = bytes.split_at(NODE_HEADER);
        let (key, rest) = rest.split_at_checked(usize::from(u16_at(bytes, 6))).ok_or_else(outside)?;
        let value = match flags {
            0 => rest.get(..len).ok_or_else(outside)?,
            ELSEWHERE => {
                let page =
                    rest.first_chunk::<8>().map(|&page| u64::from_le_bytes(page)).ok_or_else(outside)?;
                self.overflow(page, len)?
            }
            _ => {
                return Err(format!("the record is no value, but a data base of its own (flags {flags:#x})"));
            }
        };
        Ok(Record { key, value })
    }

    fn overflow(&self, page: u64, len: usize) -> std::result::Result<&[u8], String> {
        let start =
            self.start(page).ok_or_else(|| format!("the record's page {page} is outside the file"))?;
        let header = &self.storage[start..start + PAGE_HEADER];
        if u16_at(header, 10) & (BRANCH | LEAF | OVERFLOW) != OVERFLOW {
            return Err(format!("the record's page {page} holds something else"));
        }
        let there = (u32_at(header, 12) as usize).saturating_mul(self.page_size);
        if len > there.saturating_sub(PAGE_HEADER) {
            return Err(format!("the record's {len} bytes do not fit into its {there} bytes of pages"));
        }
        let start = start + PAGE_HEADER;
        let value = start.checked_add(len).and_then(|end| self.storage.get(start..end));
        value.ok_or_else(|| format!("the record's {len} bytes from page {page} on end outside the file"))
    }

    /// Where a page with its content begins: the meta pages have none.
    fn start(&self, page: u64) -> Option<usize> {
        let pages = self.storage.len() / self.page_size;
        (2..pages as u64).contains(&page).then(|| page as usize * self.page_size)
    }

    /// Counts bytes that were looked at, and when they are many, lets go of the map's pages: the system has them still.
    fn touch(&self, len: usize) {
        if self.touched.fetch_add(len + AROUND, Ordering::Relaxed) > RELEASE {
            self.touched.store(0, Ordering::Relaxed);
            self.storage.slice(0..self.storage.len()).release();
        }
    }
}

fn meta(storage: &Storage) -> std::result::Result<Meta, String> {
    // The size of a page, and so the place of the second meta page, is what the first says; if that one is damaged, one of
    // the usual sizes.
    let first = meta_at(storage, 0);
    let sizes = match &first {
        Ok(meta) => vec![meta.page_size],
        Err(_) => (9..=15).map(|bits| 1 << bits).collect(),
    };
    let second =
        sizes.into_iter().filter_map(|at| meta_at(storage, at).ok().filter(|meta| meta.page_size == at));
    match (first, second.max_by_key(|meta| meta.transaction)) {
        (Ok(first), Some(second)) if second.transaction > first.transaction => Ok(second),
        (Ok(first), _) => Ok(first),
        (Err(_), Some(second)) => Ok(second),
        (Err(what), None) => Err(what),
    }
}

fn meta_at(storage: &Storage, start: usize) -> std::result::Result<Meta, String> {
    const LEN: usize = 152;
    let end = start + LEN;
    let bytes = storage.get(start..end).ok_or("this is no LMDB: the file is too short")?;
    let magic: [u8; 4] = [16, 17, 18, 19].map(|at| bytes[at]);
    if magic != MAGIC {
        let swapped = magic.iter().eq(MAGIC.iter().rev());
        return Err(if swapped || bytes[12..16] == MAGIC {
            "this LMDB was written on a big-endian or 32-bit machine: convert it there, with mdb_dump, and here with \
             mdb_load"
                .to_owned()
        } else {
            "this is no LMDB: its mark is missing".to_owned()
        });
    }
    let version = u32_at(bytes, 20);
    if version != 1 {
        return Err(format!("this LMDB has data version {version}: 1 is read"));
    }
    // The tree of free pages is at 40; the size of a page stands where other trees have a padding.
    let page_size = u32_at(bytes, 40) as usize;
    if !page_size.is_power_of_two() || !(512..=32768).contains(&page_size) {
        return Err(format!("the LMDB is damaged: it says pages of {page_size} bytes"));
    }
    let tree = &bytes[88..136];
    Ok(Meta {
        page_size,
        flags: u16_at(tree, 4),
        depth: u16_at(tree, 6),
        entries: u64_at(tree, 32),
        root: u64_at(tree, 40),
        last_page: u64_at(bytes, 136),
        transaction: u64_at(bytes, 144),
    })
}

fn no_data(folder: &Path) -> String {
    if folder.join("CURRENT").exists() {
        "this is a LevelDB, which is not read: convert it to LMDB".to_owned()
    } else {
        "there is no LMDB in this folder: expected a file data.mdb".to_owned()
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([0, 1, 2, 3].map(|byte| bytes[at + byte]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|byte| bytes[at + byte]))
}
