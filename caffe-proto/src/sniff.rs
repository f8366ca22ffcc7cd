//! What a file is, by its first bytes: names lie, and much that is called `.caffemodel` is a web page.

use std::fmt;

use crate::hdf5::File;
use crate::wire::{self, Value};
use crate::{Error, Storage};

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// Nothing at all.
    Empty,
    /// A web page.
    Html,
    /// A pointer that stands for a file in Git LFS.
    LfsPointer,
    /// HDF5: a `.caffemodel.h5`, a `.solverstate.h5` or Chainer's `save_hdf5`.
    Hdf5,
    /// A zip archive: an `.npz`, or a packed model.
    Zip,
    /// A gzip, bzip2, xz or 7-zip archive, or a RAR.
    Compressed,
    /// A tar archive.
    Tar,
    /// A pickle of Python.
    Pickle,
    /// A single array of numpy, `.npy`.
    Npy,
    /// safetensors: a length and a JSON header.
    Safetensors,
    /// A NetParameter: `.caffemodel`.
    Net,
    /// A lone BlobProto: `.binaryproto`.
    Blob,
    /// A SolverState: `.solverstate`.
    SolverState,
    /// A net in ONNX.
    Onnx,
    /// Text: a prototxt, perhaps.
    Text,
    /// Text in UTF-16, as some editors save it.
    Utf16,
    /// None of these.
    Unknown,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Empty => "an empty file",
            FileKind::Html => "a web page",
            FileKind::LfsPointer => "a Git LFS pointer",
            FileKind::Hdf5 => "an HDF5 file",
            FileKind::Zip => "a zip archive",
            FileKind::Compressed => "a compressed archive",
            FileKind::Tar => "a tar archive",
            FileKind::Pickle => "a Python pickle",
            FileKind::Npy => "a single numpy array",
            FileKind::Safetensors => "a safetensors file",
            FileKind::Net => "a caffemodel",
            FileKind::Blob => "a binaryproto (one blob, such as a mean image)",
            FileKind::SolverState => "a solverstate",
            FileKind::Onnx => "an ONNX file",
            FileKind::Text => "a definition in text form (a prototxt)",
            FileKind::Utf16 => "text in UTF-16",
            FileKind::Unknown => "in no format that is known here",
        })
    }
}

impl FileKind {
    /// Looks at the first bytes (a few hundred are enough, but the whole file tells more).
    pub fn of(bytes: &[u8]) -> FileKind {
        const MAGIC: [(&[u8], FileKind); 15] = [
            (b"PK\x03\x04", FileKind::Zip),
            (b"PK\x05\x06", FileKind::Zip),
            (b"\x1f\x8b", FileKind::Compressed),
            (b"BZh", FileKind::Compressed),
            (b"\xfd7zXZ", FileKind::Compressed),
            (b"7z\xbc\xaf", FileKind::Compressed),
            (b"Rar!", FileKind::Compressed),
            (b"\x93NUMPY", FileKind::Npy),
            (b"\x80\x02", FileKind::Pickle),
            (b"\x80\x03", FileKind::Pickle),
            (b"\x80\x04", FileKind::Pickle),
            (b"\x80\x05", FileKind::Pickle),
            (b"version https://git-lfs", FileKind::LfsPointer),
            (b"\xff\xfe", FileKind::Utf16),
            (b"\xfe\xff", FileKind::Utf16),
        ];
        if bytes.is_empty() {
            return FileKind::Empty;
        }
        if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
            return *kind;
        }
        // HDF5's signature may also stand behind a user block.
        if File::is_hdf5(bytes) {
            return FileKind::Hdf5;
        }
        if bytes.get(257..262) == Some(b"ustar") {
            return FileKind::Tar;
        }
        if is_safetensors(bytes) {
            return FileKind::Safetensors;
        }
        match text(bytes) {
            FileKind::Unknown => protobuf(bytes).unwrap_or(FileKind::Unknown),
            text => text,
        }
    }
}

/// The error for a file that is not what was `wanted` (`a caffemodel`, `a prototxt`): what it is, and what to do.
pub fn not_a(storage: &Storage, wanted: &str, kind: FileKind) -> Error {
    let advice = match kind {
        FileKind::Empty => "; was its download cut off?",
        FileKind::Html => "; download the file itself (on GitHub: the `Raw` link)",
        FileKind::LfsPointer => "; run `git lfs pull` where it came from, or download the file itself",
        FileKind::Compressed | FileKind::Tar => "; unpack it first",
        FileKind::Pickle => {
            "; a pickle runs code when it is opened: save it as .npz or .safetensors where it was made"
        }
        FileKind::Npy => "; numpy.savez makes a set of arrays",
        FileKind::Onnx => "; ONNX is written here, not read",
        FileKind::Text => "; it holds no weights: give it with --definition",
        FileKind::Utf16 => "; save it as UTF-8",
        FileKind::Net | FileKind::Hdf5 | FileKind::Zip | FileKind::Safetensors if wanted == PROTOTXT => {
            "; give it as the weights, not as the definition"
        }
        _ => "",
    };
    let what = format!("expected {wanted}, but this is {kind}{advice}");
    Error::NotAModel { path: storage.path().to_path_buf(), what }
}

/// What [`not_a`] calls the text form of a definition.
pub(crate) const PROTOTXT: &str = "a prototxt";

/// Fails with what the file is and what to do, unless it is of this `kind`.
pub(crate) fn expect(storage: &Storage, wanted: &str, kind: FileKind) -> Result<(), Error> {
    match FileKind::of(storage) {
        found if found == kind => Ok(()),
        found => Err(not_a(storage, wanted, found)),
    }
}

/// A little-endian length of a header that begins as a JSON object does.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    u64::from_le_bytes(*length) < 1 << 32 && rest.first() == Some(&b'{')
}

/// Tells the three messages apart by their first fields. A net may begin with any of its fields.
fn protobuf(bytes: &[u8]) -> Option<FileKind> {
    if is_onnx(bytes) {
        return Some(FileKind::Onnx);
    }
    let mut numbers_first = 0;
    for field in wire::fields(bytes, 0..bytes.len()).take(8) {
        let Ok(field) = field else {
            // A file cut short still shows what it was, by the key of the field that is cut.
            return cut_short(bytes);
        };
        match (field.number, field.value) {
            (1..=4, Value::Varint(_)) => numbers_first += 1,
            (5 | 6, Value::Bytes(_) | Value::Fixed32(_)) | (7 | 8 | 12, Value::Bytes(_))
                if numbers_first > 0 =>
            {
                return Some(FileKind::Blob);
            }
            // Without `learned_net`, the history follows.
            (2 | 3, Value::Bytes(_)) if numbers_first == 1 => return Some(FileKind::SolverState),
            (1, Value::Bytes(name)) if is_text(&bytes[name.clone()]) => return Some(FileKind::Net),
            (100, Value::Bytes(_)) => return Some(FileKind::Net),
            (2, Value::Bytes(layer)) if looks_like_layer(bytes, layer.clone()) => return Some(FileKind::Net),
            (3, Value::Bytes(_)) if numbers_first == 0 => return Some(FileKind::Net),
            (5, Value::Bytes(floats)) if floats.len() % 4 == 0 && numbers_first == 0 => {
                return Some(FileKind::Blob);
            }
            (7, Value::Bytes(_)) => return Some(FileKind::Blob),
            _ => return None,
        }
    }
    (numbers_first > 0).then_some(FileKind::Blob)
}

/// A version, who made it, and a graph. A SolverState begins so too, and has no field of the graph's number.
fn is_onnx(bytes: &[u8]) -> bool {
    let fields = wire::fields(bytes, 0..bytes.len()).take(8).map_while(Result::ok).collect::<Vec<_>>();
    let text =
        |number| fields.iter().any(|field| field.number == number && matches!(field.value, Value::Bytes(_)));
    matches!(fields.first(), Some(field) if field.number == 1 && matches!(field.value, Value::Varint(_)))
        && text(2)
        && text(7)
}

fn cut_short(bytes: &[u8]) -> Option<FileKind> {
    match bytes {
        [0x12 | 0x0a, ..] | [0xa2, 0x06, ..] => Some(FileKind::Net),
        [0x08, ..] => Some(FileKind::Blob),
        _ => None,
    }
}

fn looks_like_layer(bytes: &[u8], layer: std::ops::Range<usize>) -> bool {
    wire::fields(bytes, layer).take(4).all(|field| field.is_ok())
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// A binary file of Caffe's has control characters within its first few hundred bytes: the keys and lengths.
fn text(bytes: &[u8]) -> FileKind {
    let start = &bytes[..bytes.len().min(512)];
    if start.iter().any(|&byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)) {
        return FileKind::Unknown;
    }
    let lower = String::from_utf8_lossy(start).trim_start_matches('\u{feff}').trim_start().to_lowercase();
    if lower.starts_with("<!doctype") || lower.starts_with("<html") || lower.starts_with("<?xml") {
        FileKind::Html
    } else {
        FileKind::Text
    }
}
