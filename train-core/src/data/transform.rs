//! From pixels to the numbers that a net was trained on.

use super::{Crop, Error, Image, Mean, Result};

/// What is done to every image, in this order; pycaffe's `Transformer` has the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Which of the image's channels each of the input's is: 2, 1, 0 makes BGR of RGB. None leaves them.
    pub channel_swap: Option<Vec<usize>>,
    /// The factor of pixels from 0 to 1.
    pub raw_scale: f32,
    /// What is then subtracted.
    pub mean: Option<Mean>,
    /// The factor of the result.
    pub input_scale: f32,
}

/// A [`Transform`] of images for an input of one size.
#[derive(Clone, Debug)]
pub struct Transformer {
    channel_swap: Vec<usize>,
    raw_scale: f32,
    /// One a channel, or one a value.
    mean: Vec<f32>,
    input_scale: f32,
    input: [usize; 3],
}

impl Transform {
    /// What nearly every Caffe net was trained on: pixels from 0 to 255, and of three channels BGR. No mean.
    pub fn usual(channels: usize) -> Self {
        let channel_swap = (channels == 3).then(|| vec![2, 1, 0]);
        Self { channel_swap, raw_scale: 255.0, mean: None, input_scale: 1.0 }
    }

    /// The same, checked and made ready for an input of `input` channels, height and width.
    ///
    /// # Errors
    /// [`Error::Order`], [`Error::Mean`].
    pub fn for_input(&self, input: [usize; 3]) -> Result<Transformer> {
        let channels = input[0];
        let channel_swap = self.channel_swap.clone().unwrap_or_else(|| (0..channels).collect());
        let mut sorted = channel_swap.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..channels) {
            return Err(Error::Order { order: channel_swap, channels });
        }
        Ok(Transformer {
            channel_swap,
            raw_scale: self.raw_scale,
            mean: self.mean.as_ref().map_or_else(|| Ok(vec![0.0; channels]), |mean| mean.fitted(input))?,
            input_scale: self.input_scale,
            input,
        })
    }
}

impl Transformer {
    /// Writes what `crop` takes of `image` into one image's place of a net's input: channel by channel.
    ///
    /// # Panics
    /// When the image has other channels than the input, the crop is not in it, or `input` has another size.
    pub fn apply(&self, image: &Image, crop: Crop, input: &mut [f32]) {
        let [channels, height, width] = self.input;
        assert_eq!(image.channels, channels, "channels of the image");
        assert_eq!(input.len(), channels * height * width, "values of the input");
        assert!(crop.top + height <= image.height && crop.left + width <= image.width, "{crop:?} is outside");
        let plane = height * width;
        let per_value = self.mean.len() == input.len();
        for (channel, input) in input.chunks_exact_mut(plane).enumerate() {
            let from = self.channel_swap[channel];
            for (row, input) in input.chunks_exact_mut(width).enumerate() {
                let start = ((crop.top + row) * image.width + crop.left) * channels;
                let pixels = &image.values[start..start + width * channels];
                for (column, input) in input.iter_mut().enumerate() {
                    let column_from = if crop.mirrored { width - 1 - column } else { column };
                    let mean = if per_value { channel * plane + row * width + column } else { channel };
                    let value = pixels[column_from * channels + from] * self.raw_scale;
                    *input = (value - self.mean[mean]) * self.input_scale;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_scaled_less_the_mean_scaled() {
        let image = Image::new(1, 3, 3, vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
        let transform = Transform {
            raw_scale: 10.0,
            mean: Some(Mean::Channels(vec![1.0, 2.0, 3.0])),
            input_scale: 0.5,
            ..Transform::usual(3)
        };
        let transformer = transform.for_input([3, 1, 2]).unwrap();
        let mut input = [0.0; 6];
        transformer.apply(&image, Crop { top: 0, left: 1, mirrored: false }, &mut input);
        assert_close(&input, &[2.5, 4.0, 1.5, 3.0, 0.5, 2.0]);
        transformer.apply(&image, Crop { top: 0, left: 1, mirrored: true }, &mut input);
        assert_close(&input, &[4.0, 2.5, 3.0, 1.5, 2.0, 0.5]);
    }

    #[test]
    fn a_mean_image_stays_where_it_is_when_the_image_is_mirrored() {
        let mean = Some(Mean::Image { shape: [1, 1, 2], values: vec![100.0, 0.0] });
        let transformer = Transform { mean, ..Transform::usual(1) }.for_input([1, 1, 2]).unwrap();
        let mut input = [0.0; 2];
        let crop = Crop { top: 0, left: 0, mirrored: true };
        transformer.apply(&Image::new(1, 2, 1, vec![0.0, 1.0]), crop, &mut input);
        assert_eq!(input, [155.0, 0.0]);
    }

    #[test]
    fn an_order_names_each_channel_once() {
        let order = |order: &[usize]| {
            Transform { channel_swap: Some(order.to_vec()), ..Transform::usual(3) }.for_input([3, 1, 1])
        };
        assert!(order(&[1, 2, 0]).is_ok());
        for wrong in [&[2, 1][..], &[0, 0, 1], &[1, 2, 3]] {
            assert!(order(wrong).is_err());
        }
        assert_eq!(
            order(&[2, 1]).unwrap_err().to_string(),
            "the channel order 2,1 does not fit 3 channels: expected each of 0 to 2 once"
        );
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }
}
