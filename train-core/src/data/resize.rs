//! Images in another size.

use super::Image;

/// What an image that grows finds outside its first and last pixels' centres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// The outermost pixel again.
    Repeat,
    /// The image's smallest value, which darkens the rim. pycaffe does so: it shifts an image's values to begin at 0 and
    /// has skimage put zeros around it.
    Minimum,
}

/// The two pixels that a new one lies between on one axis.
struct Taps {
    /// `None` is outside.
    pixels: [Option<usize>; 2],
    weights: [f32; 2],
}

/// The image in a size of `dims`, sampled once a pixel.
pub(super) fn linear(image: &Image, dims: [usize; 2], border: Border) -> Image {
    let channels = image.channels;
    let outside = image.values.iter().copied().fold(f32::INFINITY, f32::min);
    let columns = taps(image.width, dims[1], border);
    let mut between = vec![0.0; image.width * channels];
    let mut values = Vec::with_capacity(dims[0] * dims[1] * channels);
    for row in taps(image.height, dims[0], border) {
        between.fill(0.0);
        for (pixel, weight) in row.pixels.into_iter().zip(row.weights) {
            match pixel {
                Some(at) => {
                    let row = image.values[at * between.len()..].iter();
                    for (sum, value) in between.iter_mut().zip(row) {
                        *sum += weight * value;
                    }
                }
                None => between.iter_mut().for_each(|sum| *sum += weight * outside),
            }
        }
        for column in &columns {
            let [first, second] = column.pixels;
            for channel in 0..channels {
                let value =
                    |pixel: Option<usize>| pixel.map_or(outside, |at| between[at * channels + channel]);
                values.push(column.weights[0] * value(first) + column.weights[1] * value(second));
            }
        }
    }
    Image::new(dims[0], dims[1], channels, values)
}

fn taps(from: usize, to: usize, border: Border) -> Vec<Taps> {
    let step = from as f64 / to as f64;
    let pixel = |at: f64| match border {
        Border::Repeat => Some(at.clamp(0.0, from as f64 - 1.0) as usize),
        Border::Minimum => (at >= 0.0 && at < from as f64).then_some(at as usize),
    };
    let tap = |at: usize| {
        let place = (at as f64 + 0.5) * step - 0.5;
        let first = place.floor();
        let weight = (place - first) as f32;
        Taps { pixels: [pixel(first), pixel(first + 1.0)], weights: [1.0 - weight, weight] }
    };
    (0..to).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32]) -> Image {
        Image::new(1, values.len(), 1, values.to_vec())
    }

    #[test]
    fn twice_the_size_lies_at_quarters() {
        let image = row(&[2.0, 6.0]);
        assert_eq!(linear(&image, [1, 4], Border::Repeat).values, [2.0, 3.0, 5.0, 6.0]);
        // A quarter of the outermost pixel comes from outside, where the least value is.
        assert_eq!(linear(&image, [1, 4], Border::Minimum).values, [2.0, 3.0, 5.0, 5.0]);
    }

    #[test]
    fn half_the_size_lies_between_pixels() {
        let image = row(&[0.0, 1.0, 5.0, 3.0]);
        assert_eq!(linear(&image, [1, 2], Border::Minimum).values, [0.5, 4.0]);
        // A third samples the middle pixel of each three: it does not average.
        assert_eq!(linear(&row(&[9.0, 1.0, 9.0, 9.0, 2.0, 9.0]), [1, 2], Border::Repeat).values, [1.0, 2.0]);
    }

    #[test]
    fn rows_columns_and_channels_go_together() {
        let image = Image::new(2, 1, 2, vec![0.0, 10.0, 4.0, 30.0]);
        let larger = linear(&image, [4, 2], Border::Repeat);
        assert_eq!(
            larger.values,
            [0.0, 10.0, 0.0, 10.0, 1.0, 15.0, 1.0, 15.0, 3.0, 25.0, 3.0, 25.0, 4.0, 30.0, 4.0, 30.0]
        );
    }
}
