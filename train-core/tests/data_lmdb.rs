//! Damaged LMDBs: an error, or records that are broken one by one; never a panic, a hang, or memory without end.

use std::io::Cursor;

use caffe_proto::Storage;
use lmdb_writer::{LmdbWriter, PAGE};
use train_core::data::Lmdb;

#[path = "support/lmdb_writer.rs"]
mod lmdb_writer;

/// Where meta pages have the tree's depth, its records, its root, the last page and the transaction.
const DEPTH: usize = 94;
const ENTRIES: usize = 120;
const ROOT: usize = 128;
const LAST_PAGE: usize = 136;
const TRANSACTION: usize = 144;
/// Of both meta pages.
const METAS: [usize; 2] = [0, PAGE];

#[test]
fn what_was_written_is_read() {
    for count in [0, 1, 2, 100, 400] {
        let lmdb = open(small(count)).unwrap();
        assert_eq!((lmdb.len(), lmdb.is_empty()), (count, count == 0));
        for index in 0..count {
            let record = lmdb.record(index).unwrap();
            assert_eq!(
                (record.key, record.value),
                (&key(index)[..], &value(index)[..]),
                "record {index} of {count}"
            );
        }
    }
}

#[test]
fn the_newer_meta_page_counts() {
    let mut bytes = small(100);
    // The older one's tree is of no account.
    bytes[ROOT..ROOT + 8].fill(0x77);
    assert_eq!(open(bytes.clone()).unwrap().len(), 100);
    // Nor is a meta page that is damaged.
    bytes[16..20].fill(0);
    assert_eq!(open(bytes.clone()).unwrap().len(), 100);
    bytes[PAGE + 16..PAGE + 20].fill(0);
    assert_eq!(message(bytes), "test.mdb: this is no LMDB: its mark is missing");
}

#[test]
fn other_machines_and_versions_are_named() {
    let mut version = small(1);
    for meta in METAS {
        version[meta + 20] = 2;
    }
    assert_eq!(message(version), "test.mdb: this LMDB has data version 2: 1 is read");
    let mut swapped = small(1);
    for meta in METAS {
        swapped[meta + 16..meta + 20].reverse();
    }
    assert!(message(swapped).contains("big-endian or 32-bit machine"));
    assert_eq!(message(b"SQLite".to_vec()), "test.mdb: this is no LMDB: the file is too short");
}

#[test]
fn a_file_that_is_cut_short_is_refused() {
    let bytes = small(200);
    for pages in 0..bytes.len() / PAGE {
        for len in [pages * PAGE, pages * PAGE + 1234] {
            let error = message(bytes[..len].to_vec());
            assert!(error.contains("cut short") || error.contains("no LMDB"), "{len}: {error}");
        }
    }
}

#[test]
fn a_tree_that_runs_in_a_circle_ends() {
    let bytes = small(400);
    let root = number(&bytes[PAGE + ROOT..]);
    // Every child of the root is the root, at every depth.
    for depth in [2, 3, 4, 32] {
        let mut circle = bytes.clone();
        for meta in METAS {
            circle[meta + DEPTH] = depth;
        }
        for node in nodes(&bytes, root) {
            circle[node..node + 4].copy_from_slice(&(root as u32).to_le_bytes());
        }
        let error = message(circle);
        assert!(error.contains("damaged"), "{depth}: {error}");
    }
    // Two children are the same page: there are more records than there can be, or fewer pages.
    let mut twice = bytes.clone();
    let children = nodes(&bytes, root);
    twice.copy_within(children[0]..children[0] + 4, children[1]);
    let error = message(twice);
    assert!(error.contains("damaged"), "{error}");
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let bytes = small(100);
    let with = |at: usize, value: u64| {
        let mut bytes = bytes.clone();
        for meta in METAS {
            bytes[meta + at..meta + at + 8].copy_from_slice(&value.to_le_bytes());
        }
        message(bytes)
    };
    assert_eq!(
        with(ROOT, 1 << 50),
        "test.mdb: the LMDB is damaged: page 1125899906842624 is outside the file"
    );
    assert!(with(ROOT, 0).contains("page 0 is outside the file"));
    assert!(with(ENTRIES, u64::MAX).contains("18446744073709551615 records cannot be in it"));
    assert!(with(ENTRIES, 99).contains("more than the 99 records"));
    assert!(with(ENTRIES, 101).contains("it says 101 records and holds 100"));
    assert!(with(LAST_PAGE, u64::MAX).contains("cut short"));
    assert!(with(LAST_PAGE, u64::MAX / 2).contains("cut short"));
    let mut older = bytes.clone();
    older[TRANSACTION] = 9;
    assert_eq!(open(older).unwrap().len(), 100);
}

#[test]
fn a_record_that_is_damaged_leaves_the_others() {
    let bytes = small(40);
    let lmdb = open(bytes.clone()).unwrap();
    let long = (0..40).find(|&index| value(index).len() > PAGE).unwrap();
    let at = bytes.windows(key(long).len()).position(|window| window == key(long)).unwrap();
    let after_key = at + key(long).len();
    for (place, damage) in
        [(after_key, 0xff), (after_key, 1), (at - 8, 0xff), (at - 5, 0x7f), (at - 4, 2), (at - 1, 0xff)]
    {
        let mut damaged = bytes.clone();
        damaged[place] = damage;
        let damaged = open(damaged).unwrap();
        let broken = (0..40).filter(|&index| damaged.record(index) != lmdb.record(index)).collect::<Vec<_>>();
        assert_eq!(broken, [long], "{place} is {damage}");
    }
}

#[test]
fn any_damage_is_an_error_or_broken_records() {
    let bytes = small(120);
    let mut random = 12_345_u64;
    let mut draw = |end: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % end
    };
    for _ in 0..20_000 {
        let mut damaged = bytes.clone();
        for _ in 0..=draw(4) {
            // Half of the damage where it hurts: at the beginnings of pages.
            let page = draw(bytes.len() / PAGE) * PAGE;
            let at = page + if draw(2) == 0 { draw(160) } else { draw(PAGE) };
            damaged[at] = [0, 1, 0xff, 0x7f, 0x80, draw(256) as u8][draw(6)];
        }
        if let Ok(lmdb) = open(damaged) {
            for index in 0..lmdb.len() {
                let _ = lmdb.record(index);
            }
        }
    }
}

fn open(bytes: Vec<u8>) -> Result<Lmdb, String> {
    Lmdb::read(Storage::from_vec("test.mdb", bytes)).map_err(|error| error.to_string())
}

fn message(bytes: Vec<u8>) -> String {
    open(bytes).unwrap_err()
}

/// Long keys make a deep tree of few records; every ninth value is longer than a page.
fn small(count: usize) -> Vec<u8> {
    let mut lmdb = LmdbWriter::new(Cursor::new(Vec::new())).unwrap();
    for index in 0..count {
        lmdb.put(&key(index), &value(index)).unwrap();
    }
    lmdb.finish().unwrap().into_inner()
}

fn key(index: usize) -> Vec<u8> {
    format!("{index:08}{}", ".".repeat(300)).into_bytes()
}

fn value(index: usize) -> Vec<u8> {
    let len = if index % 9 == 4 { 5000 } else { 30 + index };
    (0..len).map(|at| (at * 7 + index) as u8).collect()
}

/// Where the nodes of a page are.
fn nodes(bytes: &[u8], page: u64) -> Vec<usize> {
    let start = page as usize * PAGE;
    let lower = usize::from(u16::from_le_bytes([bytes[start + 12], bytes[start + 13]]));
    let (table, _) = bytes[start + 16..start + lower].as_chunks::<2>();
    table.iter().map(|&at| start + usize::from(u16::from_le_bytes(at))).collect()
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().unwrap())
}
