//! Golden files of h5py, damaged files, and files read back. `gen/hdf5.py` writes the golden files.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::*;
use crate::Payload;

const GOLDENS: [&str; 12] = [
    "classic",
    "latest",
    "chunks_classic",
    "chunks_latest",
    "hdf5_2",
    "pages",
    "dense",
    "order",
    "cycle",
    "user_block",
    "doubling",
    "deep",
];

fn golden(name: &str) -> Vec<u8> {
    let mut candidates =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("testdata/hdf5"));
    let folder = candidates.find(|folder| folder.is_dir()).unwrap();
    let file = std::fs::File::open(folder.join(format!("{name}.h5.gz"))).unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

fn storage(bytes: Vec<u8>) -> Arc<Storage> {
    Storage::from_vec("test.h5", bytes)
}

fn entries(bytes: Vec<u8>) -> Result<BTreeMap<String, Object>, Error> {
    let entries = File::open(storage(bytes))?.entries()?;
    Ok(entries.into_iter().map(|entry| (entry.path.join("/"), entry.object)).collect())
}

fn dataset<'a>(entries: &'a BTreeMap<String, Object>, path: &str) -> &'a Dataset {
    match &entries[path] {
        Object::Dataset(dataset) => dataset,
        other => panic!("{path} is {other:?}"),
    }
}

fn bytes_of(payload: &Payload) -> Result<Vec<u8>, crate::Error> {
    let mut bytes = Vec::new();
    payload.read(&mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    assert_eq!(bytes.len() as u64, payload.len());
    Ok(bytes)
}

fn numbers(dataset: &Dataset) -> Vec<f64> {
    let bytes = bytes_of(&dataset.payload().unwrap()).unwrap();
    let size = dataset.dtype().size().unwrap();
    let unsigned = |value: &[u8]| value.iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
    let number = |value: &[u8]| match dataset.dtype() {
        Dtype::F32 => f64::from(f32::from_le_bytes(value.try_into().unwrap())),
        Dtype::F64 => f64::from_le_bytes(value.try_into().unwrap()),
        // Whole numbers below 2048 only, and zero.
        Dtype::F16 if value == [0, 0] => 0.0,
        Dtype::F16 => {
            let bits = unsigned(value) as i32;
            (1.0 + f64::from(bits & 0x3ff) / 1024.0) * f64::from((bits >> 10 & 31) - 15).exp2()
        }
        _ => unsigned(value) as f64,
    };
    bytes.chunks_exact(size).map(number).collect()
}

/// Checks every dataset of numbers of a golden file against the rule in `gen/hdf5.py`; how many there were.
fn check_numbers(entries: &BTreeMap<String, Object>) -> usize {
    let mut checked = 0;
    for (path, object) in entries {
        let Object::Dataset(dataset) = object else { continue };
        if dataset.dtype().size().is_none() || path.contains("other") {
            continue;
        }
        let shape = dataset.shape().unwrap_or(&[0]);
        let count = shape.iter().product::<u64>();
        let expected: Vec<f64> =
            (0..count).map(|i| if path.contains("unwritten") { 7.0 } else { (i % 100) as f64 }).collect();
        assert_eq!(numbers(dataset), expected, "{path}");
        checked += 1;
    }
    checked
}

fn check_objects(entries: &BTreeMap<String, Object>, under: &str) {
    let at = |path: &str| dataset(entries, &format!("{under}{path}"));
    assert_eq!(at("types/big_f2").dtype(), &Dtype::F16);
    assert_eq!(at("types/big_u4").dtype(), &Dtype::U32);
    assert_eq!(at("types/little_i8").dtype(), &Dtype::I64);
    assert!(matches!(at("types/little_f4").payload().unwrap(), Payload::Borrowed(_)));
    assert!(matches!(at("types/big_f4").payload().unwrap(), Payload::Made(_)));
    assert!(matches!(at("compact").payload().unwrap(), Payload::Borrowed(_)));
    assert_eq!(at("scalar").shape(), Some(&[][..]));
    assert_eq!(at("scalar_int").dtype(), &Dtype::I64);
    assert_eq!(at("empty").shape(), None);
    assert_eq!(at("empty").dtype(), &Dtype::F32);
    assert!(at("empty").payload().unwrap().is_empty());
    assert_eq!(at("no_values").shape(), Some(&[0, 3][..]));
    assert_eq!(at("bool").dtype(), &Dtype::I8);
    assert_eq!(at("layers/conv1/W").shape(), Some(&[2, 1, 3, 3][..]));
    assert_eq!(at("text/variable").strings().unwrap(), ["net.caffemodel"]);
    assert_eq!(at("text/variables").strings().unwrap(), ["a", "", "dreiß\u{ed}g", &"x".repeat(40)]);
    assert_eq!(at("text/fixed").strings().unwrap(), ["net.caffemodel"]);
    assert_eq!(at("text/fixeds").strings().unwrap(), ["a", "", "ccc"]);
    assert_eq!(
        at("other_compound").payload().unwrap_err().to_string(),
        format!(
            "cannot read `/{under}other_compound` of test.h5: values of type a compound of 8 bytes: not supported"
        )
    );
    assert!(at("scalar").strings().is_err());
    let other = |path: &str| match &entries[&format!("{under}{path}")] {
        Object::Other(words) => words.clone(),
        object => panic!("{path} is {object:?}"),
    };
    assert_eq!(other("layers/soft"), "a soft link to `/layers/conv1/W`");
    assert_eq!(other("layers/external"), "a link to another file");
    assert_eq!(other("named_type"), "neither a group nor a dataset");
    assert!(matches!(entries[&format!("{under}layers/relu1")], Object::Group));
}

#[test]
fn goldens_of_each_kind_of_object_are_read() {
    for name in ["classic", "latest"] {
        let entries = entries(golden(name)).unwrap();
        check_objects(&entries, "");
        assert_eq!(check_numbers(&entries), 53, "{name}");
    }
}

#[test]
fn goldens_of_each_kind_of_chunk_are_read() {
    for name in ["chunks_classic", "chunks_latest"] {
        let entries = entries(golden(name)).unwrap();
        assert_eq!(check_numbers(&entries), 18, "{name}");
        let lzf = dataset(&entries, "other_lzf").payload().unwrap_err();
        assert_eq!(lzf.to_string(), "cannot read `/other_lzf` of test.h5: filter 32000 (lzf): not supported");
    }
    assert_eq!(check_numbers(&entries(golden("pages")).unwrap()), 1);
}

#[test]
fn chunks_in_pages_are_found() {
    let entries = entries(golden("endless_pages")).unwrap();
    let mut expected = vec![0.0; 133_200];
    for (value, number) in expected[133_190..].iter_mut().zip(1_u8..) {
        *value = f64::from(number);
    }
    assert!(numbers(dataset(&entries, "last_10")) == expected);
}

#[test]
fn goldens_of_hdf5_2_are_read() {
    let entries = entries(golden("hdf5_2")).unwrap();
    check_objects(&entries, "objects/");
    assert_eq!(check_numbers(&entries), 53 + 18);
}

#[test]
fn goldens_of_large_groups_are_read() {
    for name in ["dense", "order"] {
        let entries = entries(golden(name)).unwrap();
        assert_eq!(check_numbers(&entries), 304, "{name}");
    }
}

#[test]
fn a_user_block_is_passed_over() {
    let bytes = golden("user_block");
    assert!(File::is_hdf5(&bytes));
    assert_eq!(check_numbers(&entries(bytes).unwrap()), 1);
}

#[test]
fn a_group_that_holds_itself_is_refused() {
    let error = entries(golden("cycle")).unwrap_err().to_string();
    assert_eq!(error, "cannot read `/a/b/c` of test.h5: the group holds itself");
}

#[test]
fn one_object_on_very_many_paths_is_refused() {
    let start = Instant::now();
    let error = entries(golden("doubling")).unwrap_err().to_string();
    assert!(error.contains(": bytes of paths: "), "{error}");
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn groups_nested_without_end_are_refused() {
    let error = entries(golden("deep")).unwrap_err().to_string();
    assert!(error.ends_with(": levels of groups: 33 is above the limit of 32"), "{error}");
}

/// Opens a file and reads everything in it, whatever comes of it; fails if that takes long or much.
fn exercise(bytes: Vec<u8>, verify: bool) -> Result<(), crate::Error> {
    let len = bytes.len();
    let start = Instant::now();
    let read = || {
        let mut first_error = None;
        let mut total = 0;
        for entry in File::open_with(storage(bytes), verify)?.entries()? {
            let Object::Dataset(dataset) = entry.object else { continue };
            let mut values = || {
                if *dataset.dtype() == Dtype::Text {
                    dataset.strings()?;
                    return Ok(());
                }
                dataset.payload()?.read(&mut |piece| {
                    total += piece.len();
                    assert!(piece.len() <= crate::PIECE);
                    Ok(())
                })
            };
            if let Err(error) = values() {
                first_error.get_or_insert(error);
            }
        }
        assert!(total <= 1100 * len + (1 << 20), "{total} bytes from {len}");
        first_error.map_or(Ok(()), Err)
    };
    let result = read();
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    if let Err(error) = &result {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    result
}

#[test]
fn truncated_files_are_refused() {
    // A prime step, so that each kind of place is met in some file; 1 for all places.
    let step = std::env::var("HDF5_STEP").map_or(61, |step| step.parse().unwrap());
    for name in GOLDENS {
        let bytes = golden(name);
        for len in (0..bytes.len()).step_by(step) {
            for verify in [true, false] {
                // The last bytes may be room that nothing uses.
                let result = exercise(bytes[..len].to_vec(), verify);
                assert!(
                    result.is_err() || len * 2 > bytes.len() || name == "hdf5_2",
                    "{name} cut to {len} bytes"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("HDF5_CASES").map_or(300, |cases| cases.parse().unwrap()),
    ))]

    #[test]
    fn damaged_files_do_no_harm(
        name in 0..GOLDENS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..8),
        verify: bool,
    ) {
        let mut bytes = golden(GOLDENS[name]);
        // Most of a file is zeros that nothing reads: change what is not, or lies next to it.
        let used: Vec<usize> =
            (0..bytes.len()).filter(|&at| bytes[at] != 0 || at > 0 && bytes[at - 1] != 0).collect();
        for (index, value, kind) in changes {
            let at = used[index.index(used.len())];
            match kind {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value % 8),
                2 => bytes[at] = bytes[at].wrapping_add(1),
                _ => {
                    let end = bytes.len().min(at + 8);
                    bytes[at..end].fill(if value % 2 == 0 { 0xff } else { 0x7f });
                }
            }
        }
        let _ = exercise(bytes, verify);
    }

    #[test]
    fn what_is_written_is_read(
        shape in prop::collection::vec(0_u64..40, 0..4),
        deflate: bool,
        seed: u64,
    ) {
        let count: u64 = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| (i.wrapping_mul(seed) % 1000) as f32).collect();
        let payload = Payload::from_f32(&values);
        let bytes = written(|writer| {
            let write = if deflate { Writer::deflated } else { Writer::contiguous };
            write(writer, &["x"], &shape, &Dtype::F32, &payload)
        });
        let entries = entries(bytes).unwrap();
        let dataset = dataset(&entries, "x");
        prop_assert_eq!(dataset.shape(), Some(&shape[..]));
        prop_assert_eq!(dataset.payload().unwrap().to_f32().unwrap(), values);
    }
}

/// A file whose root header, at byte 96, is `header`, followed by nothing.
fn crafted(header: &[u8]) -> Vec<u8> {
    let mut bytes = superblock::SIGNATURE.to_vec();
    bytes.extend([0, 0, 0, 0, 0, 8, 8, 0, 4, 0, 16, 0, 0, 0, 0, 0]);
    for address in [0, u64::MAX, 4096, u64::MAX, 0, 96, 0, 0, 0] {
        bytes.extend(address.to_le_bytes());
    }
    assert_eq!(bytes.len(), 96);
    bytes.extend(header);
    bytes
}

#[test]
fn continuations_that_lead_back_are_refused() {
    let mut header = vec![1, 0, 255, 255, 1, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 16, 0, 0, 0, 0, 0];
    header.extend(112_u64.to_le_bytes());
    header.extend(24_u64.to_le_bytes());
    let error = entries(crafted(&header)).unwrap_err().to_string();
    assert_eq!(error, "cannot read `/` of test.h5: object header: two continuations lead to address 0x70");
}

#[test]
fn a_header_that_lies_about_its_size_is_refused() {
    let header = [1, 0, 255, 255, 1, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0];
    let error = entries(crafted(&header)).unwrap_err().to_string();
    assert!(error.contains("is above the limit of") || error.contains("bytes are left"), "{error}");
}

#[test]
fn values_that_the_file_cannot_hold_are_refused() {
    let payload = Payload::from_f32(&[0.0; 6]);
    for (at, huge) in [(0, 1_u64 << 60), (1, 1 << 60), (0, 1 << 40)] {
        let mut bytes = written(|writer| writer.deflated(&["x"], &[2, 3], &Dtype::F32, &payload));
        // The dataspace: rank 2, largest shape stated, then the shape.
        let place =
            bytes.windows(8).position(|window| window == [1, 2, 1, 0, 0, 0, 0, 0]).unwrap() + 8 + 8 * at;
        bytes[place..place + 8].copy_from_slice(&huge.to_le_bytes());
        let error = entries(bytes).unwrap_err().to_string();
        assert!(error.contains("`/x`") && error.contains("that a file of this size can hold"), "{error}");
    }
}

fn written(write: impl FnOnce(&mut Writer<Cursor<Vec<u8>>>) -> Result<(), Error>) -> Vec<u8> {
    let mut writer = Writer::new(Cursor::new(Vec::new())).unwrap();
    write(&mut writer).unwrap();
    writer.finish().unwrap().into_inner()
}

fn everything(writer: &mut Writer<Cursor<Vec<u8>>>) -> Result<(), Error> {
    let counted = |count: usize| Payload::from_f32(&(0..count).map(|i| (i % 100) as f32).collect::<Vec<_>>());
    writer.group(&["data", "relu1"])?;
    writer.contiguous(&["data", "conv1", "0"], &[4, 3, 5, 5], &Dtype::F32, &counted(300))?;
    writer.contiguous_with(&["data", "conv1", "1"], &[4], &Dtype::I32, |out| {
        let values = [0_i32, 1, 2, 3].map(i32::to_le_bytes).concat();
        Ok(std::io::Write::write_all(out, &values).map_err(Error::from)?)
    })?;
    writer.deflated(&["deflated", "small"], &[3, 4], &Dtype::F32, &counted(12))?;
    writer.deflated(&["deflated", "many"], &[700, 90, 3], &Dtype::F32, &counted(700 * 90 * 3))?;
    writer.deflated(&["deflated", "long"], &[1, 300_000], &Dtype::F32, &counted(300_000))?;
    writer.deflated(&["deflated", "scalar"], &[], &Dtype::I64, &Payload::from_bytes(vec![0; 8]))?;
    writer.deflated(&["deflated", "none"], &[0, 3], &Dtype::F32, &counted(0))?;
    writer.contiguous(&["none"], &[0], &Dtype::F32, &counted(0))?;
    writer.empty(&["empty"], &Dtype::F32)?;
    writer.text(&["learned_net"], "net_iter_10.caffemodel")?;
    writer.texts(&["names"], &[3], &["a", "", "dreißig"])?;
    for i in 0..1000 {
        writer.contiguous(&["many", &format!("layer_{i}")], &[], &Dtype::F32, &counted(1))?;
    }
    Ok(())
}

#[test]
fn everything_that_is_written_is_read_and_the_same_every_time() {
    let bytes = written(everything);
    assert!(bytes == written(everything));
    if let Ok(path) = std::env::var("HDF5_WRITE") {
        std::fs::write(path, &bytes).unwrap();
    }
    let entries = entries(bytes).unwrap();
    assert_eq!(check_numbers(&entries), 1009);
    assert_eq!(dataset(&entries, "data/conv1/0").shape(), Some(&[4, 3, 5, 5][..]));
    assert_eq!(dataset(&entries, "empty").shape(), None);
    assert!(matches!(entries["data/relu1"], Object::Group));
    assert_eq!(dataset(&entries, "learned_net").strings().unwrap(), ["net_iter_10.caffemodel"]);
    assert_eq!(dataset(&entries, "names").strings().unwrap(), ["a", "", "dreißig"]);
    assert_eq!(dataset(&entries, "deflated/many").chunk(), Some(&[175, 23, 1][..]));
}

#[test]
fn paths_that_cannot_be_are_refused() {
    let mut writer = Writer::new(Cursor::new(Vec::new())).unwrap();
    let one = Payload::from_f32(&[1.0]);
    writer.contiguous(&["a", "b"], &[1], &Dtype::F32, &one).unwrap();
    let mut refused =
        |path: &[&str]| writer.contiguous(path, &[1], &Dtype::F32, &one).unwrap_err().to_string();
    assert_eq!(refused(&["a", "b"]), "cannot write `/a/b` to an HDF5 file: a dataset is there already");
    assert_eq!(refused(&["a"]), "cannot write `/a` to an HDF5 file: a group is there already");
    assert_eq!(
        refused(&["a", "b", "c"]),
        "cannot write `/a/b/c` to an HDF5 file: `b` is a dataset, not a group"
    );
    assert!(refused(&["inc/3x3"]).contains("`inc/3x3` cannot be a name"));
    assert_eq!(
        writer.contiguous(&["c"], &[2], &Dtype::F32, &one).unwrap_err().to_string(),
        "cannot write `/c` to an HDF5 file: the values take 4 bytes, the shape needs 8"
    );
}

#[test]
fn groups_are_read_as_deep_as_they_are_written() {
    let (names, one) = (["g"; 33], Payload::from_f32(&[1.0]));
    let bytes = written(|writer| {
        writer.group(&names[..32])?;
        assert!(writer.group(&names).is_err());
        let path: Vec<&str> = names[..31].iter().copied().chain(["x"]).collect();
        writer.contiguous(&path, &[1], &Dtype::F32, &one)
    });
    assert_eq!(entries(bytes).unwrap().len(), 33);
}

#[test]
fn chunks_have_the_shape_that_h5py_chooses() {
    // From h5py 3.11.0, `h5py._hl.filters.guess_chunk`.
    let expected: [(&[u64], usize, &[u64]); 12] = [
        (&[3, 4, 5], 4, &[3, 4, 5]),
        (&[700, 90, 3], 4, &[175, 23, 1]),
        (&[1, 300_000], 4, &[1, 4688]),
        (&[0, 3], 4, &[512, 3]),
        (&[96, 3, 11, 11], 4, &[24, 2, 6, 6]),
        (&[4096, 9216], 4, &[64, 288]),
        (&[4096, 25088], 4, &[64, 392]),
        (&[1000, 4096], 4, &[32, 256]),
        (&[512, 512, 3, 3], 4, &[64, 128, 1, 1]),
        (&[1000], 4, &[1000]),
        (&[100_000_000], 8, &[12208]),
        (&[64, 3, 7, 7], 2, &[32, 3, 7, 7]),
    ];
    for (shape, element, chunk) in expected {
        assert_eq!(chunk_shape(shape, element), chunk, "{shape:?}");
    }
}
