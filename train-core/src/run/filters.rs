//! `filters.npz`: the first convolution's weights, before and after.

use std::path::Path;

use weight_io::{Conversion, Format, Shape, Tensor, Weights, WriteOptions};

use super::{Error, Result};

const BEFORE: &str = "before";
const AFTER: &str = "after";

/// The weights of a convolution, outputs × inputs × kernel height × kernel width.
#[derive(Clone, Debug)]
pub struct Filters {
    /// Before training.
    pub before: Tensor,
    /// At the best epoch.
    pub after: Tensor,
}

impl Filters {
    /// Writes them to the file at `path`, in the place of one that is there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut weights = Weights::new();
        weights.insert(BEFORE, self.before.clone())?;
        weights.insert(AFTER, self.after.clone())?;
        let options = WriteOptions { force: true, sync: false };
        let conversion = Conversion { write: options, ..Conversion::to(Format::Npz) };
        Ok(conversion.save_weights(&weights, path, &mut |_, _| ())?)
    }

    /// Reads them from the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Self> {
        let weights = Weights::open(path)?;
        let file = |what: String| Error::File { path: path.to_path_buf(), what };
        let array = |name| weights.get(name).cloned().map_err(|error| file(error.to_string()));
        let filters = Self { before: array(BEFORE)?, after: array(AFTER)? };
        let [before, after] = [filters.before.shape(), filters.after.shape()];
        if before != after {
            return Err(file(format!("`before` has shape {}, `after` has {}", Shape(before), Shape(after))));
        }
        Ok(filters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], value: f32) -> Tensor {
        Tensor::from_f32(shape.to_vec(), &vec![value; shape.iter().product()]).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("filters.npz");
        for after in [1.5, 2.5] {
            let filters = Filters { before: tensor(&[2, 3, 1, 1], 0.5), after: tensor(&[2, 3, 1, 1], after) };
            filters.write(&path).unwrap();
            let read = Filters::read(&path).unwrap();
            assert_eq!(read.before.shape(), [2, 3, 1, 1]);
            assert_eq!(read.before.to_f32().unwrap(), [0.5; 6]);
            assert_eq!(read.after.to_f32().unwrap(), [after; 6]);
        }
    }

    #[test]
    fn other_files_are_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("filters.npz");
        Filters { before: tensor(&[2, 3, 1, 1], 0.5), after: tensor(&[2, 1, 1, 1], 0.5) }
            .write(&path)
            .unwrap();
        let error = Filters::read(&path).unwrap_err().to_string();
        let expected = "`before` has shape 2×3×1×1, `after` has 2×1×1×1";
        assert_eq!(error, format!("{}: {expected}", path.display()));
        let mut weights = Weights::new();
        weights.insert("before", tensor(&[1], 0.0)).unwrap();
        let other = scratch.path().join("other.npz");
        Conversion::to(Format::Npz).save_weights(&weights, &other, &mut |_, _| ()).unwrap();
        let error = Filters::read(&other).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: no tensor is named `after`", other.display())), "{error}");
    }
}
