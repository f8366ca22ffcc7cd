//! What is subtracted from every image.

use std::path::Path;
use std::str::FromStr;

use caffe_proto::{Storage, read_binaryproto};
use weight_io::{Shape, open_npy};

use super::{Border, Error, Image, Result};

/// The mean of a training set, in the order of the net's channels (BGR as a rule) and in its scale (0..255 as a rule).
#[derive(Clone, Debug, PartialEq)]
pub enum Mean {
    /// One value a channel.
    Channels(Vec<f32>),
    /// An image, channel by channel.
    Image {
        /// Channels, height and width.
        shape: [usize; 3],
        /// The values, in this order.
        values: Vec<f32>,
    },
}

impl Mean {
    /// Reads a `.binaryproto` or a `.npy` of shape C, H×W, C×H×W or 1×C×H×W.
    ///
    /// # Errors
    /// When the file is neither, is damaged, or has another shape.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let storage = Storage::open(path)?;
        let (shape, values) = if storage.starts_with(b"\x93NUMPY") {
            let array = open_npy(storage.path())?;
            (array.shape().to_vec(), array.to_f32()?)
        } else {
            let blob = read_binaryproto(&storage)?;
            (blob.shape().to_vec(), blob.to_vec()?)
        };
        Self::of_shape(&shape, values)
            .map_err(|what| Error::Mean { what: format!("{}: {what}", storage.path().display()) })
    }

    fn of_shape(shape: &[usize], values: Vec<f32>) -> std::result::Result<Self, String> {
        let shape = match *shape {
            [channels] => [channels, 1, 1],
            [height, width] => [1, height, width],
            [channels, height, width] | [1, channels, height, width] => [channels, height, width],
            _ => {
                let found = Shape(shape);
                return Err(format!("has shape {found}, expected C, H×W, C×H×W or 1×C×H×W"));
            }
        };
        if values.is_empty() {
            return Err("holds no values".to_owned());
        }
        Ok(if shape[1..] == [1, 1] { Self::Channels(values) } else { Self::Image { shape, values } })
    }

    /// The values to subtract from an input of `input` channels, height and width: one a channel, or one a value. An
    /// image of another size is resized, as pycaffe does it.
    pub(super) fn fitted(&self, input: [usize; 3]) -> Result<Vec<f32>> {
        let found = match self {
            Self::Channels(values) => values.len(),
            Self::Image { shape, .. } => shape[0],
        };
        if found != input[0] {
            let plural = |count| if count == 1 { "" } else { "s" };
            let what = format!(
                "has {found} channel{}, the net's input has {}{}",
                plural(found),
                input[0],
                if (found, input[0]) == (3, 1) { ": is this a net for grey images?" } else { "" }
            );
            return Err(Error::Mean { what });
        }
        Ok(match self {
            Self::Channels(values) => values.clone(),
            Self::Image { shape, values } if *shape == input => values.clone(),
            Self::Image { shape: [channels, height, width], values } => {
                let pixels = (0..height * width)
                    .flat_map(|at| (0..*channels).map(move |channel| values[channel * height * width + at]));
                let image = Image::new(*height, *width, *channels, pixels.collect());
                let resized = image.resized([input[1], input[2]], Border::Minimum);
                let plane = |channel| resized.values.iter().skip(channel).step_by(*channels).copied();
                (0..*channels).flat_map(plane).collect()
            }
        })
    }
}

/// `104,117,123`: one number a channel.
impl FromStr for Mean {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers =
            text.split(',').map(|number| number.trim().parse::<f32>().ok().filter(|value| value.is_finite()));
        numbers.collect::<Option<Vec<_>>>().map(Self::Channels).ok_or_else(|| Error::Mean {
            what: format!("`{text}` is neither a file nor numbers with commas, as in 104,117,123"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_with_and_without_a_batch_are_means() {
        let mean = |shape: &[usize]| Mean::of_shape(shape, vec![1.0; shape.iter().product()]);
        assert_eq!(mean(&[3]), Ok(Mean::Channels(vec![1.0; 3])));
        assert_eq!(mean(&[1, 3, 1, 1]), Ok(Mean::Channels(vec![1.0; 3])));
        let Ok(Mean::Image { shape, .. }) = mean(&[1, 3, 4, 5]) else { panic!() };
        assert_eq!(shape, [3, 4, 5]);
        let Ok(Mean::Image { shape, .. }) = mean(&[4, 5]) else { panic!() };
        assert_eq!(shape, [1, 4, 5]);
        assert_eq!(mean(&[2, 3, 4, 5]).unwrap_err(), "has shape 2×3×4×5, expected C, H×W, C×H×W or 1×C×H×W");
    }

    #[test]
    fn an_image_is_resized_channel_by_channel() {
        let mean = Mean::Image { shape: [2, 2, 2], values: vec![0.0, 2.0, 4.0, 6.0, 10.0, 12.0, 14.0, 16.0] };
        assert_eq!(mean.fitted([2, 1, 1]).unwrap(), [3.0, 13.0]);
        assert_eq!(
            mean.fitted([3, 1, 1]).unwrap_err().to_string(),
            "the mean has 2 channels, the net's input has 3"
        );
    }

    #[test]
    fn numbers_are_parsed() {
        assert_eq!("104, 117.5,123".parse::<Mean>().unwrap(), Mean::Channels(vec![104.0, 117.5, 123.0]));
        assert_eq!(
            "mean.npz".parse::<Mean>().unwrap_err().to_string(),
            "the mean `mean.npz` is neither a file nor numbers with commas, as in 104,117,123"
        );
    }
}
