//! Images in an LMDB, as Caffe's `convert_imageset` writes them.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use caffe_proto::Datum;

use super::pixels::{Layout, Pixels};
use super::{Error, Lmdb, Picture, Result, Sample, Source};

/// An LMDB whose values are `Datum`s, in the order of their keys.
#[derive(Debug)]
pub struct LmdbImages {
    path: PathBuf,
    lmdb: Lmdb,
}

impl LmdbImages {
    /// Opens the data base in a folder; its records are not looked at.
    ///
    /// # Errors
    /// Those of [`Lmdb::open`], and when it is empty.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let lmdb = Lmdb::open(&path)?;
        if lmdb.is_empty() {
            return Err(Error::Source { path, what: "this LMDB has no records".to_owned() });
        }
        Ok(Self { path, lmdb })
    }
}

impl Source for LmdbImages {
    fn len(&self) -> usize {
        self.lmdb.len()
    }

    fn name(&self, index: usize) -> String {
        let path = self.path.display();
        match self.lmdb.record(index) {
            Ok(record) => format!("{path}, key `{}`", record.key.escape_ascii()),
            Err(_) => format!("{path}, record {index}"),
        }
    }

    fn read(&self, index: usize) -> std::result::Result<Sample<'_>, String> {
        let datum = Datum::read(self.lmdb.record(index)?.value)?;
        let (shape, label) = (datum.shape, datum.label);
        let picture = if datum.encoded {
            Picture::Encoded(datum.data)
        } else {
            let found = if datum.data.is_empty() { datum.float_data.len() } else { datum.data.len() };
            let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
            if count != Some(found) || found == 0 {
                let [channels, height, width] = shape;
                return Err(format!("the record says {channels}×{height}×{width} values and holds {found}"));
            }
            if datum.data.is_empty() {
                Picture::Values { shape, values: Cow::Owned(datum.float_data) }
            } else {
                Picture::Pixels(Pixels { shape, bytes: datum.data, layout: Layout::Planes })
            }
        };
        Ok(Sample { picture, label })
    }
}
