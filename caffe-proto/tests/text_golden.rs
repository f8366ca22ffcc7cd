//! The text reader against protobuf's own C++ parser: what each made of the same texts.

use std::fs;
use std::path::{Path, PathBuf};

use caffe_proto::Storage;
use caffe_proto::proto::{NetParameter, SolverParameter};
use caffe_proto::text::{self, Options, Root};

/// Where we differ from C++ on purpose, and why.
const DIFFERENCES: [(&str, &str); 8] = [
    ("empty", "an empty file is a cut download, not a net"),
    ("byte_order_mark", "editors write it, and it can mean nothing else"),
    ("field_of_fork", "the schema knows the forks' fields"),
    ("string_latin1_bytes", "strings must be UTF-8"),
    ("string_escapes_octal", "strings must be UTF-8"),
    ("string_escapes_octal_overflow", "strings must be UTF-8"),
    ("string_escapes_unicode_too_large", "strings must be UTF-8"),
    ("string_escapes_hex_lower", "strings must be UTF-8"),
];

fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(folder)
}

fn inputs(folder: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(testdata(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "prototxt")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Compares bytes, not values: NaN is equal to itself there, and minus zero is not zero.
fn check<M: Root + std::fmt::Debug>(path: &Path, binary: Option<Vec<u8>>) -> Result<(), String> {
    let ours = text::parse::<M>(&Storage::open(path).unwrap(), Options::default());
    match (ours, binary) {
        (Ok((ours, _)), Some(binary)) => {
            let real = M::decode(binary.as_slice()).map_err(|error| error.to_string())?;
            if ours.encode_to_vec() == real.encode_to_vec() {
                Ok(())
            } else {
                Err(format!("ours: {ours:?}\nreal: {real:?}"))
            }
        }
        (Err(error), Some(_)) => Err(format!("real parses it, ours says {error}")),
        (Ok((ours, _)), None) => Err(format!("real refuses it, ours reads {ours:?}")),
        (Err(_), None) => Ok(()),
    }
}

#[test]
fn every_text_is_read_or_refused_as_by_real_protobuf() {
    let mut wrong = Vec::new();
    for path in inputs("text") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let binary = fs::read(path.with_extension("bin")).ok();
        let result = if name.starts_with("solver") {
            check::<SolverParameter>(&path, binary)
        } else {
            check::<NetParameter>(&path, binary)
        };
        let differs = DIFFERENCES.iter().any(|(known, _)| *known == name);
        match result {
            Ok(()) if differs => wrong.push(format!("{name}: no difference any more")),
            Err(what) if !differs => wrong.push(format!("{name}: {what}")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_real_caffe_prints_is_read_strictly() {
    for path in inputs("generations").into_iter().chain(inputs("fashion")) {
        let text = Storage::open(&path).unwrap();
        let result = if path.file_stem().unwrap() == "solver" {
            text::parse::<SolverParameter>(&text, Options::default()).map(drop)
        } else {
            text::parse::<NetParameter>(&text, Options::default()).map(drop)
        };
        result.unwrap_or_else(|error| panic!("{error}"));
    }
}
