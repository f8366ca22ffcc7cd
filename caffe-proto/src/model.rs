//! A model file as a whole: the definition it holds, and the blobs of its layers.

use crate::Blob;
use crate::proto::NetParameter;

/// What a `.caffemodel` or `.caffemodel.h5` holds, in today's form.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The net, upgraded, without blobs. A `.caffemodel.h5` has none.
    pub definition: Option<NetParameter>,
    /// The layers in file order, those without blobs too: as many as `definition` has, where there is one.
    pub layers: Vec<LayerBlobs>,
    /// Which form the file had.
    pub generation: Generation,
    /// What a reader should be told: a field passed over, a blob in a fork's form.
    pub notes: Vec<String>,
}

/// The blobs of one layer.
#[derive(Clone, Debug, Default)]
pub struct LayerBlobs {
    /// The layer's name; it may hold any character, `/` included.
    pub name: String,
    /// Its blobs in order.
    pub blobs: Vec<Blob>,
}

/// The three forms of a net in Caffe's history, and the one that holds only blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generation {
    /// `layers { layer { type: "conv" } }`, before 2013.
    V0,
    /// `layers { type: CONVOLUTION }`, 2013–2014.
    V1,
    /// `layer { type: "Convolution" }`, since.
    #[default]
    V2,
    /// `.caffemodel.h5`: names and blobs.
    Hdf5,
}
