//! The formats, and the names that ask for them.

use std::fmt;
use std::path::Path;

use crate::Error;

/// A file format of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// numpy's archive as Chainer's `save_npz` writes it.
    Npz,
    /// The HDF5 tree that Chainer's `save_hdf5` writes.
    ChainerHdf5,
    /// Hugging Face's.
    Safetensors,
    /// The whole net for ONNX's runtimes. Written, not read.
    Onnx,
    /// Caffe's binary net with its blobs.
    Caffemodel,
    /// Caffe's HDF5 tree of blobs.
    CaffemodelHdf5,
}

impl Format {
    /// The format that a name asks for.
    ///
    /// # Errors
    /// [`Error::UnknownFormat`] for an ending that is none of a format's.
    pub fn of_name(path: &Path) -> Result<Self, Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let endings = [
            (".npz", Format::Npz),
            (".caffemodel.h5", Format::CaffemodelHdf5),
            (".h5", Format::ChainerHdf5),
            (".hdf5", Format::ChainerHdf5),
            (".safetensors", Format::Safetensors),
            (".onnx", Format::Onnx),
            (".caffemodel", Format::Caffemodel),
        ];
        let found = endings.into_iter().find(|(ending, _)| name.ends_with(ending));
        found.map(|(_, format)| format).ok_or_else(|| Error::UnknownFormat { path: path.to_path_buf() })
    }

    /// Whether the format holds Caffe's blobs by layer, not named tensors.
    pub fn is_caffe(self) -> bool {
        matches!(self, Format::Caffemodel | Format::CaffemodelHdf5)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Format::Npz => "npz",
            Format::ChainerHdf5 => "Chainer HDF5",
            Format::Safetensors => "safetensors",
            Format::Onnx => "onnx",
            Format::Caffemodel => "caffemodel",
            Format::CaffemodelHdf5 => "Caffe HDF5",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_format() {
        for (name, format) in [
            ("a.npz", Format::Npz),
            ("a.H5", Format::ChainerHdf5),
            ("dir.npz/a.caffemodel.h5", Format::CaffemodelHdf5),
            ("a.caffemodel", Format::Caffemodel),
            ("a.safetensors", Format::Safetensors),
            ("a.onnx", Format::Onnx),
        ] {
            assert_eq!(Format::of_name(Path::new(name)).unwrap(), format);
        }
        assert!(
            Format::of_name(Path::new("a.bin")).unwrap_err().to_string().starts_with("a.bin does not say")
        );
    }
}
