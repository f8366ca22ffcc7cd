//! A source of whichever kind is at a path.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use caffe_proto::{FileKind, Storage};

use super::feed::{Chance, Feed};
use super::random::{Draw, Purpose};
use super::{
    ClassFolders, Error, Hdf5Rows, Idx, ImageList, LmdbImages, Picture, Result, Sample, Source, list,
};

/// Images and labels, opened by what is found.
pub struct AnySource {
    /// The samples.
    pub source: Arc<dyn Source>,
    /// Whether images are files, which can be resized.
    pub are_files: bool,
    path: PathBuf,
}

/// Rows of HDF5 files as images.
struct Rows {
    all: Hdf5Rows,
    path: PathBuf,
    shape: [usize; 3],
}

/// How many bytes tell what a file is.
const HEAD: usize = 4096;

impl AnySource {
    /// Opens a folder with a folder for each class, a list (`path label` a line, or HDF5 files), an LMDB's folder, or a file
    /// of IDX images with its labels beside it. In HDF5 files, `tops` are the datasets of images and labels.
    ///
    /// Paths in a list begin where the program was started, as in Caffe; where the first is not there, at the list's folder.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn open(path: impl AsRef<Path>, tops: [&str; 2]) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        if path.is_dir() {
            let is_lmdb = path.join("data.mdb").exists();
            let source: Arc<dyn Source> = if is_lmdb {
                Arc::new(LmdbImages::open(&path)?)
            } else {
                Arc::new(ClassFolders::open(&path)?)
            };
            return Ok(Self { source, are_files: !is_lmdb, path });
        }
        let storage = Storage::open(&path)?;
        let head = &storage[..storage.len().min(HEAD)];
        if head.starts_with(b"\x1f\x8b") || head.starts_with(&[0, 0, 8]) {
            return Ok(Self { source: Arc::new(Idx::beside(&path)?), are_files: false, path });
        }
        let wrong = |what: String| Error::Source { path: path.clone(), what };
        match FileKind::of(&storage) {
            FileKind::Text | FileKind::Unknown => {}
            FileKind::Hdf5 => {
                return Err(wrong(
                    "this is one HDF5 file: write its path into a text file, a line each, and give that"
                        .to_owned(),
                ));
            }
            other => {
                return Err(wrong(format!(
                    "expected images to learn from (a folder with a folder for each class, a list, an LMDB, or IDX), but \
                     this is {other}"
                )));
            }
        }
        let lines = list::lines(&path)?;
        let beside = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let is_there = |base: &Path, name: &str| base.join(name).exists();
        let first = lines.first().map(|(_, line)| line.as_str()).unwrap_or_default();
        let is_hdf5 = [Path::new(""), &beside].into_iter().any(|base| {
            base.join(first).is_file()
                && Storage::open(base.join(first)).is_ok_and(|found| FileKind::of(&found) == FileKind::Hdf5)
        });
        if is_hdf5 || [".h5", ".hdf5"].iter().any(|ending| first.ends_with(ending)) {
            let base = if is_there(Path::new(""), first) { PathBuf::new() } else { beside };
            let rows = Rows::open(&path, tops, &base)?;
            return Ok(Self { source: Arc::new(rows), are_files: false, path });
        }
        let image = first.rsplit_once([' ', '\t']).map_or(first, |(image, _)| image.trim_end());
        let base =
            if is_there(Path::new(""), image) || !is_there(&beside, image) { PathBuf::new() } else { beside };
        let source = ImageList::open_in(&path, "", &base)?;
        Ok(Self { source: Arc::new(source), are_files: true, path })
    }

    /// What tells the samples from others without reading them: of files the names, sizes and times of change; of others
    /// those of the file that holds them all.
    pub fn identity(&self, tell: &mut dyn FnMut(&[u8])) {
        let mut of_file = |path: &Path| {
            tell(path.as_os_str().as_encoded_bytes());
            let metadata = fs::metadata(path).ok();
            let changed = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
            let changed = changed
                .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
                .map_or(0, |time| time.as_nanos());
            tell(&metadata.map_or(0, |metadata| metadata.len()).to_le_bytes());
            tell(&changed.to_le_bytes());
        };
        let full = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        if self.are_files {
            (0..self.source.len()).for_each(|index| of_file(Path::new(&self.source.name(index))));
        } else {
            of_file(&full);
            of_file(&full.join("data.mdb"));
            for (_, line) in list::lines(&full).unwrap_or_default() {
                of_file(Path::new(&line));
            }
        }
    }
}

impl Rows {
    fn open(list: &Path, tops: [&str; 2], base: &Path) -> Result<Self> {
        let rows = Hdf5Rows::open(list, &tops.map(str::to_owned), base)?;
        let wrong = |what: String| Error::Source { path: list.to_path_buf(), what };
        let shape = match rows.shapes()[0][..] {
            [channels, height, width] => [channels, height, width],
            [values] => [values, 1, 1],
            ref other => {
                return Err(wrong(format!(
                    "`{}` has rows of {}, expected channels×height×width",
                    tops[0],
                    weight_io::Shape(other)
                )));
            }
        };
        match rows.shapes()[1].iter().product::<usize>() {
            1 => Ok(Self { all: rows, path: list.to_path_buf(), shape }),
            many => Err(wrong(format!("`{}` has {many} values a row, expected one: the class", tops[1]))),
        }
    }
}

impl Source for Rows {
    fn len(&self) -> usize {
        self.all.len()
    }

    fn name(&self, index: usize) -> String {
        format!("{}, row {index}", self.path.display())
    }

    fn read(&self, index: usize) -> std::result::Result<Sample<'_>, String> {
        let mut values = vec![0.0; self.shape.iter().product()];
        let mut label = [0.0_f32];
        let mut chance = Chance(Draw::new(0, Purpose::Augment, 0, index));
        self.all.fill(index, &mut chance, &mut [&mut values, &mut label])?;
        if label[0].fract() != 0.0 {
            return Err(format!("the label {} is no whole number", label[0]));
        }
        Ok(Sample {
            picture: Picture::Values { shape: self.shape, values: Cow::Owned(values) },
            label: label[0] as i32,
        })
    }
}
