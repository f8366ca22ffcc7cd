//! Rows of HDF5 files, as Caffe's HDF5Data reads them.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use caffe_proto::Storage;
use caffe_proto::hdf5::{Dataset, File, Object};
use weight_io::{Dtype, Shape, Tensor};

use super::feed::{Chance, Feed};
use super::{Error, Result, list};

/// The rows of several files, in which each top is a dataset of its name. One file at a time is in memory, or two where
/// threads pass from one to the next.
#[derive(Debug)]
pub struct Hdf5Rows {
    files: Vec<Rows>,
    tops: Vec<String>,
    shapes: Vec<Vec<usize>>,
    open: Mutex<VecDeque<(usize, Values)>>,
}

/// One list a top, or why there are none.
type Values = std::result::Result<Arc<Vec<Vec<f32>>>, String>;

#[derive(Debug)]
struct Rows {
    path: PathBuf,
    /// The number of its first row.
    start: usize,
    count: usize,
}

/// How many files' values are kept.
const KEPT: usize = 2;

impl Hdf5Rows {
    /// Opens the files that a list names, one a line; only the shapes are looked at. Paths that are no full ones begin at
    /// `base`.
    ///
    /// # Errors
    /// When the list is empty, or a file lacks a top's dataset, or has others of its shape.
    pub fn open(list: impl AsRef<Path>, tops: &[String], base: &Path) -> Result<Self> {
        let list = list.as_ref();
        let mut this =
            Self { files: Vec::new(), tops: tops.to_vec(), shapes: Vec::new(), open: Mutex::default() };
        for (_, name) in list::lines(list)? {
            this.add(base.join(name))?;
        }
        if this.len() == 0 {
            return Err(Error::Source {
                path: list.to_path_buf(),
                what: "this list names no rows".to_owned(),
            });
        }
        Ok(this)
    }

    fn add(&mut self, path: PathBuf) -> Result<()> {
        let wrong = |what: String| Error::Source { path: path.clone(), what };
        let datasets = datasets(&path, &self.tops)?;
        let mut shapes = Vec::new();
        let mut counts = Vec::new();
        for (top, dataset) in self.tops.iter().zip(&datasets) {
            let shape = dataset.shape().unwrap_or_default();
            let shape =
                shape.iter().map(|&size| usize::try_from(size).unwrap_or(usize::MAX)).collect::<Vec<_>>();
            let Some((&count, row)) = shape.split_first() else {
                return Err(wrong(format!("the dataset `{top}` has no rows: expected one axis or more")));
            };
            counts.push(count);
            shapes.push(row.to_vec());
        }
        let count = counts.first().copied().unwrap_or(0);
        if let Some(at) = counts.iter().position(|&other| other != count) {
            let (top, other) = (&self.tops[at], counts[at]);
            return Err(wrong(format!("`{top}` has {other} rows, `{}` has {count}", self.tops[0])));
        }
        if self.files.is_empty() {
            self.shapes = shapes;
        } else if let Some(at) = (0..shapes.len()).find(|&at| shapes[at] != self.shapes[at]) {
            let (found, expected) = (Shape(&shapes[at]), Shape(&self.shapes[at]));
            return Err(wrong(format!(
                "a row of `{}` is {found}, in the first file {expected}",
                self.tops[at]
            )));
        }
        let start = self.len();
        if start.checked_add(count).is_none() {
            return Err(wrong(format!("{count} rows are too many")));
        }
        self.files.push(Rows { path, start, count });
        Ok(())
    }

    /// The file that a row is in.
    fn file_of(&self, row: usize) -> usize {
        self.files.partition_point(|file| file.start + file.count <= row)
    }

    /// A file's values, one list a top.
    fn values(&self, file: usize) -> Values {
        // Held while a file is read: the others that wait want the same one.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, values)) = open.iter().find(|(kept, _)| *kept == file) {
            return values.clone();
        }
        if open.len() == KEPT {
            open.pop_front();
        }
        let values = self.read(file).map(Arc::new).map_err(|error| error.to_string());
        open.push_back((file, values.clone()));
        values
    }

    fn read(&self, file: usize) -> Result<Vec<Vec<f32>>> {
        let Rows { path, count, .. } = &self.files[file];
        let wrong = |what: String| Error::Source { path: path.clone(), what };
        let mut all = Vec::new();
        for ((top, row), dataset) in self.tops.iter().zip(&self.shapes).zip(datasets(path, &self.tops)?) {
            let dtype = Dtype::of_hdf5(dataset.dtype()).ok_or_else(|| {
                wrong(format!("the dataset `{top}` holds {}, expected numbers", dataset.dtype()))
            })?;
            let shape = [&[*count], &row[..]].concat();
            let payload = dataset.payload().map_err(caffe_proto::Error::from)?;
            all.push(Tensor::new(dtype, shape, payload)?.to_f32()?);
        }
        Ok(all)
    }
}

impl Feed for Hdf5Rows {
    fn len(&self) -> usize {
        self.files.last().map_or(0, |file| file.start + file.count)
    }

    fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    fn name(&self, sample: usize) -> String {
        let file = &self.files[self.file_of(sample)];
        format!("{}, row {}", file.path.display(), sample - file.start)
    }

    fn fill(
        &self,
        sample: usize,
        _: &mut Chance,
        tops: &mut [&mut [f32]],
    ) -> std::result::Result<(), String> {
        let file = self.file_of(sample);
        let values = self.values(file)?;
        let row = sample - self.files[file].start;
        for (top, values) in tops.iter_mut().zip(&*values) {
            let count = top.len();
            top.copy_from_slice(values.get(row * count..(row + 1) * count).ok_or("the file has changed")?);
        }
        Ok(())
    }

    /// As Caffe does it: the files in any order, and in each its rows in any, so that one file at a time is needed.
    fn shuffled(&self, chance: &mut Chance) -> Vec<u32> {
        let mut files = (0..self.files.len()).collect::<Vec<_>>();
        chance.0.shuffle(&mut files);
        let mut order = Vec::with_capacity(self.len());
        for file in files {
            let Rows { start, count, .. } = self.files[file];
            let first = order.len();
            order.extend(start as u32..(start + count) as u32);
            chance.0.shuffle(&mut order[first..]);
        }
        order
    }
}

fn datasets(path: &Path, tops: &[String]) -> Result<Vec<Dataset>> {
    let file = File::open(Storage::open(path)?).map_err(caffe_proto::Error::from)?;
    let entries = file.entries().map_err(caffe_proto::Error::from)?;
    let mut found = Vec::new();
    for top in tops {
        let dataset = entries.iter().find_map(|entry| match &entry.object {
            Object::Dataset(dataset) if entry.path.join("/") == *top => Some(dataset.clone()),
            _ => None,
        });
        found.push(dataset.ok_or_else(|| {
            let there = entries.iter().filter(|entry| matches!(entry.object, Object::Dataset(_)));
            let names = there.map(|entry| entry.path.join("/")).take(9).collect::<Vec<_>>().join(", ");
            let what = format!("no dataset is called `{top}`, as the layer's top is; there are: {names}");
            Error::Source { path: path.to_path_buf(), what }
        })?);
    }
    Ok(found)
}
