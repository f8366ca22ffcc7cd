//! Of layers that bring values in.

use crate::net::Filler;

/// What is done to an image on its way in: (pixel − mean) · scale, then crop and mirror.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// The factor.
    pub scale: f32,
    /// Whether half of the images, drawn by chance, are mirrored.
    pub mirror: bool,
    /// Height and width of the crop: random when training, central when testing.
    pub crop: Option<[usize; 2]>,
    /// What is subtracted.
    pub mean: Mean,
    /// Whether images are decoded to three channels, whatever they have.
    pub force_color: bool,
    /// Whether images are decoded to one channel.
    pub force_gray: bool,
}

/// What a transform subtracts.
#[derive(Clone, Debug, PartialEq)]
pub enum Mean {
    /// Nothing.
    None,
    /// The image in this `.binaryproto` file.
    File(String),
    /// One value for all channels, or one a channel.
    Values(Vec<f32>),
}

/// The kind of data base behind a Data layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// LevelDB, the default.
    LevelDb,
    /// LMDB.
    Lmdb,
}

/// Of Data.
#[derive(Clone, Debug, PartialEq)]
pub struct DataParams {
    /// The data base's folder.
    pub source: String,
    /// Its kind.
    pub backend: Backend,
    /// Images a batch.
    pub batch_size: usize,
    /// At the start, a random number of records below this is passed over.
    pub rand_skip: usize,
    /// Whether encoded images are decoded to three channels.
    pub force_encoded_color: bool,
    /// What is done to an image.
    pub transform: Transform,
}

/// Of AnnotatedData (SSD): images with boxes.
#[derive(Clone, Debug, PartialEq)]
pub struct AnnotatedDataParams {
    /// Where the records are and what is done to an image.
    pub data: DataParams,
    /// The file with the names of the labels.
    pub label_map_file: Option<String>,
}

/// Of ImageData: a list of files with labels.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageDataParams {
    /// The list.
    pub source: String,
    /// Written before each file's name.
    pub root_folder: String,
    /// Images a batch.
    pub batch_size: usize,
    /// The height and width images are resized to.
    pub new_size: Option<[usize; 2]>,
    /// Three channels, or one.
    pub is_color: bool,
    /// Whether the order is drawn by chance.
    pub shuffle: bool,
    /// At the start, a random number of lines below this is passed over.
    pub rand_skip: usize,
    /// What is done to an image.
    pub transform: Transform,
}

/// Of HDF5Data: a list of files with one data set for each top.
#[derive(Clone, Debug, PartialEq)]
pub struct Hdf5DataParams {
    /// The list.
    pub source: String,
    /// Rows a batch.
    pub batch_size: usize,
    /// Whether the order is drawn by chance.
    pub shuffle: bool,
}

/// Of WindowData: windows of images, for R-CNN.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowDataParams {
    /// The list of windows.
    pub source: String,
    /// Written before each file's name.
    pub root_folder: String,
    /// Windows a batch.
    pub batch_size: usize,
    /// What is done to a window; the crop is its size.
    pub transform: Transform,
}

/// Of MemoryData: values that the program puts in.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryDataParams {
    /// N×C×H×W of the first top; the second is N labels.
    pub shape: [usize; 4],
    /// What is done to an image.
    pub transform: Transform,
}

/// Of DummyData: blobs that fillers fill.
#[derive(Clone, Debug, PartialEq)]
pub struct DummyDataParams {
    /// One shape for all tops, or one a top.
    pub shapes: Vec<Vec<i64>>,
    /// One filler for all tops, or one a top; constant ones fill once, others anew for every batch.
    pub fillers: Vec<Filler>,
}

/// Of Input.
#[derive(Clone, Debug, PartialEq)]
pub struct InputParams {
    /// One shape for all tops, one a top, or none: whoever runs the net gives it.
    pub shapes: Vec<Vec<i64>>,
}
