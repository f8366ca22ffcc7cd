//! Why an image cannot be brought into a net.

use std::path::PathBuf;

/// What went wrong: which file, what was expected and found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be opened, or is something else.
    #[error(transparent)]
    File(#[from] caffe_proto::Error),
    /// An array that cannot be read.
    #[error(transparent)]
    Array(#[from] weight_io::Error),
    /// A damaged image, or one of a kind that is not read.
    #[error("{}: {what}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A list, a data base or a folder of samples that cannot be used as a whole.
    #[error("{}: {what}", path.display())]
    Source {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// One sample that cannot be used.
    #[error("{sample}: {what}")]
    Sample {
        /// Its name: a file, or a data base and a key.
        sample: String,
        /// What is wrong.
        what: String,
    },
    /// A data layer that asks for something that there is not.
    #[error("layer `{layer}` ({kind}): {what}")]
    Layer {
        /// The layer's name.
        layer: String,
        /// Its type.
        kind: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// No sample is whole.
    #[error("none of {tried} samples in a row can be used; the first: {first}")]
    AllBroken {
        /// How many were tried.
        tried: usize,
        /// What was wrong with the first.
        first: String,
    },
    /// Most samples are not whole: more likely a wrong setting than damage.
    #[error("{broken} samples cannot be used, where {wanted} were needed; the first: {first}")]
    MostBroken {
        /// How many could not be used.
        broken: usize,
        /// How many were handed out.
        wanted: u64,
        /// What was wrong with the first.
        first: String,
    },
    /// A place to go on from that is not in the data.
    #[error(
        "cannot go on at sample {index} of epoch {epoch}: the data have {samples} samples. Are they the same?"
    )]
    Position {
        /// The epoch, from 0.
        epoch: u64,
        /// The sample, from 0.
        index: usize,
        /// How many there are.
        samples: usize,
    },
    /// A loader's thread that failed: a fault of this program.
    #[error("a thread that loads data failed, which is a fault of this program: {what}")]
    Thread {
        /// What it said.
        what: String,
    },
    /// A loader that has ended with an error before.
    #[error("the loader has stopped at an error before")]
    Stopped,
    /// A mean that is no mean, or does not fit the net's input.
    #[error("the mean {what}")]
    Mean {
        /// What is wrong, and what would be right.
        what: String,
    },
    /// An order of channels that does not fit the net's input.
    #[error(
        "the channel order {} does not fit {channels} channels: expected each of 0 to {} once",
        list(order),
        channels.saturating_sub(1)
    )]
    Order {
        /// The order asked for.
        order: Vec<usize>,
        /// The channels that the net's input has.
        channels: usize,
    },
    /// Images smaller than what is cut from them.
    #[error(
        "images of {}×{} (height×width) are smaller than the net's input, {}×{}: resize them to that or more",
        image[0], image[1], crop[0], crop[1]
    )]
    Small {
        /// Height and width of the images.
        image: [usize; 2],
        /// Height and width of the input.
        crop: [usize; 2],
    },
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;

fn list(order: &[usize]) -> String {
    order.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}
