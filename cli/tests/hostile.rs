//! Files made to hurt: each gets one line of error within a second, in a quarter of a gigabyte.

#![cfg(unix)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// What the program may take beside the file's own map.
const MEMORY: u64 = 256 << 20;
/// A debug build on a busy machine is slower than what users run, by less than this.
const SLOWNESS: u32 = 10;

#[test]
fn nothing_but_empty_layers() {
    let folder = tempfile::tempdir().unwrap();
    for (generation, layer) in [("v2", &[0xa2, 0x06, 0x00][..]), ("v1", &[0x12, 0x00])] {
        let path = folder.path().join(format!("{generation}.caffemodel"));
        fs::write(&path, layer.repeat((64 << 20) / layer.len())).unwrap();
        refused(&path, "the net has more than 10000 layers");
    }
}

#[test]
fn nothing_but_empty_rules() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.caffemodel");
    let rules = [0x42, 0x00].repeat(32 << 20);
    fs::write(&path, delimited(100, &rules)).unwrap();
    refused(&path, "the definition, without blobs, takes more than 4 MiB");
}

#[test]
fn a_blob_of_2_to_the_60() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.caffemodel");
    let dims = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    let blob = delimited(7, &delimited(1, &dims));
    fs::write(&path, layer("conv1", &[delimited(7, &blob)].concat())).unwrap();
    refused(
        &path,
        "layer `conv1`, blob 0: shape 1152921504606846976 needs 1152921504606846976 values, 0 are there",
    );
}

#[test]
fn ten_thousand_deep() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("deep.prototxt");
    fs::write(&text, "layer { convolution_param { weight_filler { ".to_owned() + &"x { ".repeat(10_000))
        .unwrap();
    refused(&text, "deep.prototxt:1:");
    let lenient = run(&["inspect", "--lenient", text.to_str().unwrap()]);
    one_line(&lenient);

    let binary = folder.path().join("deep.caffemodel");
    let mut nested = Vec::new();
    for _ in 0..10_000 {
        nested = delimited(106, &nested);
    }
    fs::write(&binary, layer("deep", &nested)).unwrap();
    // Fields of a message that has no such field are passed over: a net of one layer, without end or error.
    let output = run(&["inspect", binary.to_str().unwrap()]);
    assert!(output.status.code().is_some_and(|code| code == 0 || code == 2), "{output:?}");

    let groups = folder.path().join("groups.caffemodel");
    fs::write(&groups, layer("deep", &[0xfb, 0x7f].repeat(10_000))).unwrap();
    refused(&groups, "layer `deep`: ");
}

#[test]
fn a_model_cut_at_every_thousandth_byte() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["fashion.caffemodel", "fashion.caffemodel.h5"] {
        let whole = fs::read(testdata("fashion").join(name)).unwrap();
        for length in (0..whole.len()).step_by(if cfg!(debug_assertions) { 7_000 } else { 1_000 }) {
            let path = folder.path().join(name);
            fs::write(&path, &whole[..length]).unwrap();
            let output = run(&["inspect", path.to_str().unwrap()]);
            // A net may be cut between two layers: then it is a smaller net.
            if output.status.code() != Some(0) {
                one_line(&output);
            }
        }
    }
}

#[test]
fn an_archive_that_grows_a_thousandfold() {
    const VALUES: u32 = 128 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.npz");
    fs::write(&path, zeros_in_an_archive("conv1/W.npy", VALUES)).unwrap();
    assert!(fs::metadata(&path).unwrap().len() * 1000 < u64::from(VALUES) * 4);
    let target = folder.path().join("out.safetensors");
    let output = run(&["convert", path.to_str().unwrap(), "-o", target.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let written = fs::metadata(&target).unwrap().len();
    assert!((0..256).contains(&(written - 4 * u64::from(VALUES))), "{written}");
}

#[test]
fn an_array_whose_header_lies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lies.npz");
    let honest = zeros_in_an_archive("conv1/W.npy", 1000);
    let at = honest.windows(4).position(|window| window == b"1000");
    // The header is deflated without compression, so that its text is in the file.
    let at = at.expect("the shape in the file");
    let mut lying = honest.clone();
    lying[at..at + 4].copy_from_slice(b"9999");
    fs::write(&path, &lying).unwrap();
    refused(&path, "conv1/W");
}

#[test]
fn an_hdf5_group_that_holds_itself() {
    let folder = tempfile::tempdir().unwrap();
    let golden = fs::read(testdata("hdf5/cycle.h5.gz")).unwrap();
    let mut file = Vec::new();
    flate2::read::GzDecoder::new(golden.as_slice()).read_to_end(&mut file).unwrap();
    let path = folder.path().join("cycle.h5");
    fs::write(&path, file).unwrap();
    refused(&path, "holds itself");
}

/// An .npz with one deflated member: `count` float zeros.
fn zeros_in_an_archive(name: &str, count: u32) -> Vec<u8> {
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({count},), }}").into_bytes();
    header.resize(117, b' ');
    header.push(b'\n');
    let head = [b"\x93NUMPY\x01\x00", &118u16.to_le_bytes()[..], &header].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&head);
    // A stored block, then the zeros at their smallest.
    let length = head.len() as u16;
    let mut data = [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &head].concat();
    let mut encoder = flate2::write::DeflateEncoder::new(&mut data, flate2::Compression::best());
    let piece = vec![0; 1 << 20];
    let mut left = count as usize * 4;
    while left > 0 {
        let part = &piece[..left.min(piece.len())];
        crc.update(part);
        encoder.write_all(part).unwrap();
        left -= part.len();
    }
    encoder.finish().unwrap();

    let sizes = [crc.sum(), data.len() as u32, head.len() as u32 + count * 4].map(u32::to_le_bytes).concat();
    let entry =
        [&[20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0][..], &sizes, &(name.len() as u16).to_le_bytes(), &[0; 2]]
            .concat();
    let local = [b"PK\x03\x04", &entry[..], name.as_bytes(), &data].concat();
    let central = [b"PK\x01\x02\x14\x00", &entry[..], &[0; 14], name.as_bytes()].concat();
    let places = [central.len() as u32, local.len() as u32].map(u32::to_le_bytes).concat();
    [&local[..], &central, b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &places, &[0; 2]].concat()
}

/// A V2 layer of this name with `more` fields.
fn layer(name: &str, more: &[u8]) -> Vec<u8> {
    delimited(100, &[delimited(1, name.as_bytes()), delimited(2, b"Convolution"), more.to_vec()].concat())
}

fn delimited(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for mut value in [u64::from(number) << 3 | 2, content.len() as u64] {
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
    }
    bytes.write_all(content).unwrap();
    bytes
}

fn refused(path: &Path, what: &str) {
    let output = run(&["inspect", path.to_str().unwrap()]);
    one_line(&output);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains(what), "{error}");
}

fn one_line(output: &Output) {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.starts_with("rebrew: ") && error.len() < 2_000, "{error}");
}

/// Runs the program under a limit of memory: the map of a 64 MiB file, the program itself, and [`MEMORY`].
fn run(arguments: &[&str]) -> Output {
    let limit = (MEMORY + (64 << 20) + (64 << 20)) >> 10;
    let begun = Instant::now();
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -v {limit}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_rebrew")])
        .args(arguments)
        .output()
        .unwrap();
    let limit = Duration::from_secs(1) * if cfg!(debug_assertions) { SLOWNESS } else { 1 };
    assert!(arguments[0] == "convert" || begun.elapsed() < limit, "{arguments:?} took {:?}", begun.elapsed());
    output
}

fn testdata(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(path)
}
