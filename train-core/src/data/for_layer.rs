//! From a data layer of a prototxt to what it reads.

use std::path::Path;
use std::sync::Arc;

use caffe_proto::net::params::{Backend, DataParams, ImageDataParams, Transform};
use caffe_proto::net::{Layer, LayerKind};
use caffe_proto::proto::Phase;

use super::feed::Feed;
use super::list::ImageList;
use super::pixels::Decode;
use super::random::{Draw, Purpose};
use super::{Error, Hdf5Rows, Images, LmdbImages, LoaderOptions, Position, Preparation, Result};

/// What a data layer says: samples for its tops, and how they are taken.
#[derive(Clone)]
pub struct DataLayer {
    /// The samples.
    pub feed: Arc<dyn Feed>,
    /// Samples a batch.
    pub batch_size: usize,
    /// Whether the order is drawn by chance.
    pub shuffle: bool,
    /// At the start, a random number of samples below this is passed over.
    pub rand_skip: usize,
}

impl DataLayer {
    /// Opens what a Data, ImageData or HDF5Data layer names, as Caffe does. Paths that are no full ones begin at `base`:
    /// the folder that Caffe would be started in.
    ///
    /// # Errors
    /// What cannot be opened, and layers of other types, with what to do about them.
    pub fn open(layer: &Layer, phase: Phase, base: &Path) -> Result<Self> {
        let wrong =
            |what: String| Error::Layer { layer: layer.name.clone(), kind: layer.type_name.clone(), what };
        match &layer.kind {
            LayerKind::Data(params) => data(params, layer, phase, base),
            LayerKind::ImageData(params) => image_data(params, layer, phase, base),
            LayerKind::Hdf5Data(params) => {
                let feed = Hdf5Rows::open(base.join(&params.source), &layer.tops, base)?;
                let batch_size = batch_size(params.batch_size).map_err(wrong)?;
                Ok(Self { feed: Arc::new(feed), batch_size, shuffle: params.shuffle, rand_skip: 0 })
            }
            LayerKind::MemoryData(_) => Err(wrong(
                "its values come from the program that runs the net, and no file is named: use Data, ImageData or \
                 HDF5Data; in Rust, `MemoryImages`"
                    .to_owned(),
            )),
            LayerKind::AnnotatedData(_) | LayerKind::WindowData(_) => {
                Err(wrong("boxes are not read: use Data, ImageData or HDF5Data".to_owned()))
            }
            _ => Err(wrong("this layer reads no data: expected Data, ImageData or HDF5Data".to_owned())),
        }
    }

    /// A loader's options to do as the layer says.
    pub fn options(&self, seed: u64) -> LoaderOptions {
        LoaderOptions { seed, shuffle: self.shuffle, ..LoaderOptions::new(self.batch_size) }
    }

    /// The shape of each top, the batch's axis first.
    pub fn shapes(&self) -> Vec<Vec<usize>> {
        self.feed.shapes().iter().map(|shape| [&[self.batch_size], &shape[..]].concat()).collect()
    }

    /// Where a run begins: at the first sample, or with `rand_skip` at one drawn by chance.
    pub fn start(&self, seed: u64) -> Position {
        let skipped = Draw::new(seed, Purpose::Skip, 0, 0).below(self.rand_skip);
        Position { epoch: 0, index: skipped % self.feed.len().max(1) }
    }
}

fn data(params: &DataParams, layer: &Layer, phase: Phase, base: &Path) -> Result<DataLayer> {
    let wrong =
        |what: String| Error::Layer { layer: layer.name.clone(), kind: layer.type_name.clone(), what };
    let source = base.join(&params.source);
    if params.backend == Backend::LevelDb {
        return Err(wrong(if source.join("data.mdb").exists() {
            format!("{} is an LMDB, and the layer does not say so: write `backend: LMDB`", params.source)
        } else {
            format!(
                "{} is a LevelDB, which is not read (it is the backend when none is given). Copy its keys and values to \
                 an LMDB, with Python's plyvel and lmdb, or run convert_imageset again with --backend=lmdb; then write \
                 `backend: LMDB`",
                params.source
            )
        }));
    }
    let batch_size = batch_size(params.batch_size).map_err(wrong)?;
    let decode = match (params.transform.force_color, params.transform.force_gray) {
        (true, true) => {
            return Err(wrong("both force_color and force_gray are given: remove one".to_owned()));
        }
        (true, false) => Decode::Color,
        (false, true) => Decode::Grey,
        // Today's Caffe has force_encoded_color in its schema, and does nothing about it.
        (false, false) => Decode::AsIs,
    };
    let preparation = Preparation { decode, resize: None };
    let feed = images(LmdbImages::open(source)?, preparation, &params.transform, layer, phase, base)?;
    Ok(DataLayer { feed, batch_size, shuffle: false, rand_skip: params.rand_skip })
}

fn image_data(params: &ImageDataParams, layer: &Layer, phase: Phase, base: &Path) -> Result<DataLayer> {
    let source = ImageList::open_in(&base.join(&params.source), &params.root_folder, base)?;
    let decode = if params.is_color { Decode::Color } else { Decode::Grey };
    let preparation = Preparation { decode, resize: params.new_size };
    let feed = images(source, preparation, &params.transform, layer, phase, base)?;
    Ok(DataLayer {
        feed,
        batch_size: params.batch_size,
        shuffle: params.shuffle,
        rand_skip: params.rand_skip,
    })
}

fn images(
    source: impl super::Source + 'static,
    preparation: Preparation,
    transform: &Transform,
    layer: &Layer,
    phase: Phase,
    base: &Path,
) -> Result<Arc<dyn Feed>> {
    let images = Images::new(Box::new(source), preparation, transform, phase, base)?;
    Ok(Arc::new(if layer.tops.len() < 2 { images.without_labels() } else { images }))
}

fn batch_size(size: usize) -> std::result::Result<usize, String> {
    if size == 0 { Err("`batch_size` is missing".to_owned()) } else { Ok(size) }
}
