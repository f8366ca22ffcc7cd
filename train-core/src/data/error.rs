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
