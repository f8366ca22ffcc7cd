//! Files that are cut off, damaged or made to hurt: an error, never a panic, and never much memory.

use std::io::Write as _;

use caffe_proto::{Payload, Storage};
use proptest::prelude::*;
use weight_io::chainer::Options;
use weight_io::{Conversion, Dtype, Format, Opened, Tensor, Weights};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Opens a file and reads every value of it.
fn read(bytes: Vec<u8>) -> Result<u64, String> {
    let opened = Opened::read(&Storage::from_vec("hostile", bytes)).map_err(|error| error.to_string())?;
    let (weights, _) = opened.weights(Options::default()).map_err(|error| error.to_string())?;
    let mut count = 0;
    for (_, tensor) in weights.iter() {
        let read = tensor.values().read(&mut |bytes| {
            count += bytes.len() as u64;
            Ok(())
        });
        read.map_err(|error| error.to_string())?;
    }
    Ok(count)
}

fn saved(format: Format, compress: bool) -> Vec<u8> {
    let mut weights = Weights::new();
    let values = (0..60).map(|value| value as f32).collect::<Vec<_>>();
    weights.insert("conv/W", Tensor::from_f32(vec![3, 5, 2, 2], &values).unwrap()).unwrap();
    weights.insert("conv/b", Tensor::from_f32(vec![3], &[1.0, 2.0, 3.0]).unwrap()).unwrap();
    let zero = Payload::from_bytes(vec![0; 8]);
    weights.insert("bn/N", Tensor::new(Dtype::I64, vec![], zero).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let conversion = Conversion { compress, ..Conversion::to(format) };
    conversion.save_weights(&weights, &path, &mut |_, _| ()).unwrap();
    std::fs::read(path).unwrap()
}

fn all_formats() -> Vec<Vec<u8>> {
    [
        (Format::Npz, false),
        (Format::Npz, true),
        (Format::Safetensors, false),
        (Format::ChainerHdf5, false),
        (Format::ChainerHdf5, true),
    ]
    .map(|(format, compress)| saved(format, compress))
    .to_vec()
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    for file in all_formats() {
        assert_eq!(read(file.clone()), Ok(260));
        for len in 0..file.len() {
            // What a format's end pads or aligns may be missed without harm; values may not.
            if let Ok(count) = read(file[..len].to_vec()) {
                assert_eq!(count, 260, "cut to {len} of {}", file.len());
            }
        }
    }
}

proptest! {
    #[test]
    fn damage_is_survived(at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 1..9)) {
        for mut file in all_formats() {
            let at = at.index(file.len() - bytes.len());
            file[at..at + bytes.len()].copy_from_slice(&bytes);
            let _ = read(file);
        }
    }

    #[test]
    fn any_bytes_are_survived(rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0";
        for head in [&b""[..], b"PK\x03\x04", end, b"\x10\0\0\0\0\0\0\0{", b"\x89HDF\r\n\x1a\n", b"\x0a\x04name"] {
            let _ = read([head, &rest].concat());
        }
    }

    #[test]
    fn any_safetensors_header_is_survived(header in "\\{(\"[a-z_]{0,12}\":(\\{.{0,40}\\}|[0-9]{1,30}|\\[\\]),?){0,3}\\}") {
        let _ = read([&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat());
    }
}

fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut array = b"\x93NUMPY\x01\x00".to_vec();
    array.extend((dict.len() as u16).to_le_bytes());
    array.extend(dict.as_bytes());
    array.extend(values);
    array
}

fn archive(members: &[(&str, CompressionMethod, Vec<u8>)]) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, method, bytes) in members {
        archive.start_file(*name, SimpleFileOptions::default().compression_method(*method)).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn a_header_that_lies_is_told_so() {
    for (descr, shape, what) in [
        (
            "<f4",
            "(1152921504606846976,)",
            "8 bytes of values, its header's shape 1152921504606846976 of float32 needs",
        ),
        ("<f4", "(4294967296, 4294967296, 4294967296)", "needs more than any file holds"),
        ("<f4", "(3,)", "8 bytes of values, its header's shape 3 of float32 needs 12"),
        ("<f4", "(1,)", "8 bytes of values, its header's shape 1 of float32 needs 4"),
        ("|O", "()", "it holds Python objects"),
        ("<c8", "()", "numpy's type `<c8` is none that weights have"),
    ] {
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let error = read(archive(&[("a/W.npy", method, npy(descr, shape, &[0; 8]))])).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }
}

#[test]
fn archives_of_other_things_are_named() {
    for (member, what) in
        [("archive/data.pkl", "this is a PyTorch file"), ("readme.txt", "holds no .npy arrays")]
    {
        let error = read(archive(&[(member, CompressionMethod::Stored, vec![0; 9])])).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn two_members_of_one_name_are_an_error() {
    let member = |name| (name, CompressionMethod::Stored, npy("<f4", "(2,)", &[0; 8]));
    let mut file = archive(&[member("a/W.npy"), member("b/W.npy")]);
    while let Some(at) = file.windows(7).position(|bytes| bytes == b"b/W.npy") {
        file[at] = b'a';
    }
    assert!(read(file).unwrap_err().contains("two members are named `a/W.npy`"));
}

#[test]
fn values_that_changed_are_told_by_their_checksum() {
    let mut file = saved(Format::Npz, false);
    let at = file.windows(4).position(|bytes| bytes == 59.0_f32.to_le_bytes()).unwrap();
    file[at] ^= 1;
    assert!(read(file).unwrap_err().contains("member `conv/W.npy`: its CRC-32 is "));
}

#[test]
fn what_inflates_a_thousandfold_is_read_in_pieces() {
    let count = 16 << 20;
    let zeros = npy("<f4", &format!("({},)", count / 4), &vec![0; count]);
    let file = archive(&[("a/W.npy", CompressionMethod::Deflated, zeros)]);
    assert!(file.len() < count / 900);
    let opened = Opened::read(&Storage::from_vec("bomb", file.clone())).unwrap();
    let (weights, _) = opened.weights(Options::default()).unwrap();
    let mut largest = 0;
    let values = weights.get("a/W").unwrap().values();
    values
        .read(&mut |bytes| {
            largest = largest.max(bytes.len());
            Ok(())
        })
        .unwrap();
    assert!(largest <= 1 << 16, "{largest} bytes at a time");

    // A directory that claims more than deflate can make of so little is refused before anything is inflated.
    let size = (npy("<f4", &format!("({},)", count / 4), &[]).len() + count) as u32;
    let mut liar = file;
    let at = liar.windows(4).rposition(|bytes| bytes == size.to_le_bytes()).unwrap();
    liar[at..at + 4].copy_from_slice(&0xf000_0000_u32.to_le_bytes());
    assert!(read(liar).unwrap_err().contains("bytes cannot hold the 4026531840 that it claims"));
}

#[test]
fn safetensors_that_contradict_themselves_are_refused() {
    let file = |header: &str, values: usize| {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; values]].concat()
    };
    for (header, what) in [
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,12]}}"#, "tensor `a` lies at 0..12 of 8 bytes"),
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, "tensor `a` lies at 8..0 of 8 bytes"),
        (r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, "shape 3 of float32 needs 12"),
        (r#"{"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}}"#, "type BF16 is none"),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            "two entries are named `a`",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            "two tensors share bytes",
        ),
        (r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}"#, "the header is wrong"),
    ] {
        let error = read(file(header, 8)).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
    let deep = format!("{{\"a\":{}", "[".repeat(20_000));
    assert!(read(file(&deep, 0)).is_err());
}
