//! IDX files: MNIST and what is kept as it is.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caffe_proto::Storage;
use flate2::read::GzDecoder;

use super::pixels::{Layout, Pixels};
use super::{Error, Picture, Result, Sample, Source};

/// Grey images of one size and their labels: two files, each gzipped or not.
#[derive(Debug)]
pub struct Idx {
    path: PathBuf,
    images: Array,
    labels: Array,
}

/// Bytes with a shape.
#[derive(Debug)]
struct Array {
    storage: Arc<Storage>,
    shape: Vec<usize>,
    /// Where the values begin.
    start: usize,
}

/// The most bytes that a gzipped file may become.
const MAX_INFLATED: u64 = 1 << 32;
/// Of the header: two zeros, the type of the values, the number of axes.
const UNSIGNED_BYTES: u8 = 0x08;

impl Idx {
    /// Opens a file of images (N×H×W, unsigned bytes) and the one of their labels (N).
    ///
    /// # Errors
    /// When one is no IDX file of this kind, is damaged, or they have other numbers of samples.
    pub fn open(images: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Self> {
        let (path, labels_path) = (images.as_ref().to_path_buf(), labels.as_ref().to_path_buf());
        let wrong = |path: &Path, what| Error::Source { path: path.to_path_buf(), what };
        let images = Array::open(&path, 3, "images")?;
        let labels = Array::open(&labels_path, 1, "labels")?;
        let (count, found) = (images.shape[0], labels.shape[0]);
        if count != found {
            let what = format!("{found} labels for the {count} images of {}", path.display());
            return Err(wrong(&labels_path, what));
        }
        if images.shape.contains(&0) {
            return Err(wrong(&path, "this file has no images".to_owned()));
        }
        Ok(Self { path, images, labels })
    }

    /// The same, with the file of labels found by its usual name: `train-labels-idx1-ubyte` beside
    /// `train-images-idx3-ubyte`.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and when the file is called something else.
    pub fn beside(images: impl AsRef<Path>) -> Result<Self> {
        let path = images.as_ref();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let labels = name.replace("images", "labels").replace("idx3", "idx1");
        if labels == name {
            let what = "where are the labels? Expected a name with `images` in it, for `labels` in the other"
                .to_owned();
            return Err(Error::Source { path: path.to_path_buf(), what });
        }
        Self::open(path, path.with_file_name(labels))
    }
}

impl Source for Idx {
    fn len(&self) -> usize {
        self.images.shape[0]
    }

    fn name(&self, index: usize) -> String {
        format!("{}, image {index}", self.path.display())
    }

    fn read(&self, index: usize) -> std::result::Result<Sample<'_>, String> {
        let [_, height, width] = self.images.shape[..] else { return Err("it has no size".to_owned()) };
        let start = self.images.start + index * height * width;
        let bytes = self.images.storage[start..start + height * width].into();
        let picture = Picture::Pixels(Pixels { shape: [1, height, width], bytes, layout: Layout::Planes });
        Ok(Sample { picture, label: i32::from(self.labels.storage[self.labels.start + index]) })
    }

    fn label(&self, index: usize) -> std::result::Result<i32, String> {
        Ok(i32::from(self.labels.storage[self.labels.start + index]))
    }
}

impl Array {
    fn open(path: &Path, axes: usize, of: &str) -> Result<Self> {
        let wrong = |what: String| Error::Source { path: path.to_path_buf(), what };
        let mut storage = Storage::open(path)?;
        if storage.starts_with(b"\x1f\x8b") {
            let mut bytes = Vec::new();
            let read = GzDecoder::new(&storage[..]).take(MAX_INFLATED + 1).read_to_end(&mut bytes);
            read.map_err(|error| wrong(format!("this gzip file is damaged: {error}")))?;
            if bytes.len() as u64 > MAX_INFLATED {
                return Err(wrong(format!(
                    "unpacked, it has more than {MAX_INFLATED} bytes: gunzip it first"
                )));
            }
            storage = Storage::from_vec(path, bytes);
        }
        let (shape, start) = header(&storage, axes, of).map_err(wrong)?;
        let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
        let there = storage.len() - start;
        if count != Some(there) {
            return Err(wrong(format!(
                "{there} bytes of values, its header says {}",
                weight_io::Shape(&shape)
            )));
        }
        Ok(Self { storage, shape, start })
    }
}

fn header(bytes: &[u8], axes: usize, of: &str) -> std::result::Result<(Vec<usize>, usize), String> {
    let start = 4 + 4 * axes;
    match bytes.first_chunk::<4>() {
        Some(&[0, 0, UNSIGNED_BYTES, found]) if usize::from(found) == axes && bytes.len() >= start => {
            let (sizes, _) = bytes[4..start].as_chunks::<4>();
            Ok((sizes.iter().map(|&size| u32::from_be_bytes(size) as usize).collect(), start))
        }
        Some(&[0, 0, UNSIGNED_BYTES, found]) => {
            Err(format!("expected an IDX file of {of}, with {axes} axes, found {found}"))
        }
        _ => Err(format!("expected an IDX file of {of}: unsigned bytes, {axes} axes")),
    }
}
