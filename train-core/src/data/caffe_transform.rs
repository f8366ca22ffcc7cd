//! What a `transform_param` does to an image (Caffe's DataTransformer): (pixel − mean) · scale, cropped and mirrored.

use std::path::Path;

use caffe_proto::net::params;
use caffe_proto::proto::Phase;

use super::pixels::{Layout, Pixels};
use super::random::Draw;
use super::{Crop, Error, Mean, Result};

/// A `transform_param`, checked against the images' shape.
#[derive(Clone, Debug)]
pub struct CaffeTransform {
    /// Of the images: channels, height, width.
    image: [usize; 3],
    /// Height and width of what is left of them.
    crop: [usize; 2],
    random_crop: bool,
    mirror: bool,
    mean: Subtracted,
    scale: f32,
}

#[derive(Clone, Debug)]
enum Subtracted {
    /// One a channel.
    Channels(Vec<f32>),
    /// One a value of the whole image.
    Image(Vec<f32>),
}

/// An image's values.
struct Grid<'a, T> {
    values: &'a [T],
    shape: [usize; 3],
    layout: Layout,
}

impl CaffeTransform {
    /// Checks `param` for images of `image` channels, height and width, and reads its mean file; a path that is no full one
    /// begins at `base`.
    ///
    /// The crop is random in the training phase, else central. Mirroring is by chance in both, as in Caffe.
    ///
    /// # Errors
    /// When the crop or the mean does not fit the images, or the mean cannot be read.
    pub fn new(param: &params::Transform, phase: Phase, image: [usize; 3], base: &Path) -> Result<Self> {
        let [channels, height, width] = image;
        let crop = param.crop.unwrap_or([height, width]);
        if crop[0] > height || crop[1] > width {
            return Err(Error::Small { image: [height, width], crop });
        }
        let wrong = |what: String| Error::Mean { what };
        let mean = match &param.mean {
            params::Mean::None => Subtracted::Channels(vec![0.0; channels]),
            params::Mean::Values(values) if values.len() == 1 => {
                Subtracted::Channels(vec![values[0]; channels])
            }
            params::Mean::Values(values) if values.len() == channels => Subtracted::Channels(values.clone()),
            params::Mean::Values(values) => {
                let found = values.len();
                return Err(wrong(format!(
                    "has {found} values (mean_value), expected 1, or {channels}: one a channel"
                )));
            }
            params::Mean::File(file) => {
                let (found, values) = match Mean::open(base.join(file))? {
                    Mean::Channels(values) => ([values.len(), 1, 1], values),
                    Mean::Image { shape, values } => (shape, values),
                };
                if found != image {
                    let shape =
                        |[channels, height, width]: [usize; 3]| format!("{channels}×{height}×{width}");
                    let (found, image) = (shape(found), shape(image));
                    return Err(wrong(format!(
                        "{file} is {found}, the images are {image} (channels×height×width)"
                    )));
                }
                Subtracted::Image(values)
            }
        };
        let random_crop = phase == Phase::Train && param.crop.is_some();
        Ok(Self { image, crop, random_crop, mirror: param.mirror, mean, scale: param.scale })
    }

    /// The images that it takes: channels, height, width.
    pub fn image(&self) -> [usize; 3] {
        self.image
    }

    /// What it makes of them: channels, height, width.
    pub fn output(&self) -> [usize; 3] {
        [self.image[0], self.crop[0], self.crop[1]]
    }

    /// Whether chance has a part in it.
    pub fn is_random(&self) -> bool {
        self.mirror || self.random_crop
    }

    /// What is cut from each image: one crop where chance has no part in it; else those that stand for all: mirrored or
    /// not, and of random crops the four corners and the centre.
    pub fn views(&self) -> Vec<Crop> {
        let [_, height, width] = self.image;
        let [bottom, right] = [height - self.crop[0], width - self.crop[1]];
        let at = |top, left| Crop { top, left, mirrored: false };
        let mut views = vec![at(bottom / 2, right / 2)];
        if self.random_crop && bottom + right > 0 {
            views.splice(0..0, [at(0, 0), at(0, right), at(bottom, 0), at(bottom, right)]);
        }
        if self.mirror {
            views.extend_from_within(..);
            let half = views.len() / 2;
            views[half..].iter_mut().for_each(|view| view.mirrored = true);
        }
        views
    }

    /// Where an image is cut, by chance where that has a part in it.
    pub(super) fn draw(&self, draw: &mut Draw) -> Crop {
        let [_, height, width] = self.image;
        let left_over = [height - self.crop[0], width - self.crop[1]];
        let [top, left] =
            left_over.map(|free| if self.random_crop { draw.below(free + 1) } else { free / 2 });
        Crop { top, left, mirrored: self.mirror && draw.coin() }
    }

    /// Writes what becomes of an image, channel by channel, BGR.
    ///
    /// # Panics
    /// When the image or `output` has another size, or the crop is not within the image.
    pub(super) fn pixels(&self, pixels: &Pixels<'_>, crop: Crop, output: &mut [f32]) {
        let grid = Grid { values: &pixels.bytes[..], shape: pixels.shape, layout: pixels.layout };
        self.write(&grid, crop, output);
    }

    /// The same of other numbers, channel by channel.
    pub(super) fn values(&self, values: &[f32], crop: Crop, output: &mut [f32]) {
        self.write(&Grid { values, shape: self.image, layout: Layout::Planes }, crop, output);
    }

    fn write<T: Copy + Into<f32>>(&self, grid: &Grid<'_, T>, crop: Crop, output: &mut [f32]) {
        let [channels, height, width] = self.image;
        assert_eq!(grid.shape, self.image, "shape of the image");
        assert_eq!(output.len(), channels * self.crop[0] * self.crop[1], "values of the output");
        match grid.layout {
            Layout::Planes => {
                let row = |channel, row| grid.values[(channel * height + row) * width..][..width].iter();
                self.rows(row, crop, output);
            }
            Layout::Interleaved => {
                let row = |channel, row: usize| {
                    // Of colours, channel 0 is blue.
                    let channel = if channels == 3 { 2 - channel } else { channel };
                    let row = &grid.values[row * width * channels..][..width * channels];
                    row[channel..].iter().step_by(channels)
                };
                self.rows(row, crop, output);
            }
        }
    }

    /// `row_of` gives the values of a row of one channel.
    fn rows<'a, T: Copy + Into<f32> + 'a, I: Iterator<Item = &'a T>>(
        &self,
        row_of: impl Fn(usize, usize) -> I,
        crop: Crop,
        output: &mut [f32],
    ) {
        let [height, width] = self.crop;
        let scale = self.scale;
        for (row, output) in output.chunks_exact_mut(width).enumerate() {
            let (channel, row) = (row / height, crop.top + row % height);
            let pixels = row_of(channel, row).skip(crop.left).take(width).map(|&pixel| pixel.into());
            // The mean is taken where the pixel is, before left and right are exchanged.
            match &self.mean {
                Subtracted::Channels(means) => {
                    let mean = means[channel];
                    place(output, pixels.map(|pixel| (pixel - mean) * scale), crop.mirrored);
                }
                Subtracted::Image(means) => {
                    let start = (channel * self.image[1] + row) * self.image[2] + crop.left;
                    let less = pixels.zip(&means[start..start + width]);
                    place(output, less.map(|(pixel, mean)| (pixel - mean) * scale), crop.mirrored);
                }
            }
        }
    }
}

fn place(output: &mut [f32], values: impl Iterator<Item = f32>, mirrored: bool) {
    if mirrored {
        output.iter_mut().rev().zip(values).for_each(|(to, value)| *to = value);
    } else {
        output.iter_mut().zip(values).for_each(|(to, value)| *to = value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Purpose;
    use super::*;

    fn param() -> params::Transform {
        params::Transform {
            scale: 1.0,
            mirror: false,
            crop: None,
            mean: params::Mean::None,
            force_color: false,
            force_gray: false,
        }
    }

    fn transform(param: &params::Transform, phase: Phase, image: [usize; 3]) -> Result<CaffeTransform> {
        CaffeTransform::new(param, phase, image, Path::new(""))
    }

    fn draw(sample: usize) -> Draw {
        Draw::new(3, Purpose::Augment, 0, sample)
    }

    #[test]
    fn colours_of_files_become_planes_of_bgr() {
        let pixels =
            Pixels { shape: [3, 1, 2], bytes: vec![1, 2, 3, 4, 5, 6].into(), layout: Layout::Interleaved };
        let mean = params::Mean::Values(vec![1.0, 0.0, 2.0]);
        let param = params::Transform { scale: 2.0, mean, ..param() };
        let mut output = [0.0; 6];
        let transform = transform(&param, Phase::Test, [3, 1, 2]).unwrap();
        transform.pixels(&pixels, transform.draw(&mut draw(0)), &mut output);
        assert_eq!(output, [4.0, 10.0, 4.0, 10.0, -2.0, 4.0]);
    }

    #[test]
    fn a_mirrored_image_is_mirrored_with_its_mean() {
        let mut transform =
            transform(&params::Transform { mirror: true, ..param() }, Phase::Test, [1, 1, 3]).unwrap();
        transform.mean = Subtracted::Image(vec![1.0, 2.0, 3.0]);
        let mut seen = std::collections::BTreeSet::new();
        for sample in 0..64 {
            let mut output = [0.0; 3];
            transform.values(&[11.0, 22.0, 33.0], transform.draw(&mut draw(sample)), &mut output);
            seen.insert(output.map(|value| value as i32));
        }
        // By chance in the test phase too.
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [[10, 20, 30], [30, 20, 10]]);
    }

    #[test]
    fn crops_are_random_in_training_and_central_in_testing() {
        let param = params::Transform { crop: Some([1, 2]), ..param() };
        let values = (0..8).map(|value| value as f32).collect::<Vec<_>>();
        let places = |phase| {
            let transform = transform(&param, phase, [1, 2, 4]).unwrap();
            assert_eq!(transform.output(), [1, 1, 2]);
            let mut places = std::collections::BTreeSet::new();
            for sample in 0..64 {
                let mut output = [0.0; 2];
                transform.values(&values, transform.draw(&mut draw(sample)), &mut output);
                assert_eq!(output[1], output[0] + 1.0);
                places.insert(output[0] as i32);
            }
            places.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(places(Phase::Test), [1]);
        assert_eq!(places(Phase::Train), [0, 1, 2, 4, 5, 6]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused =
            |param: params::Transform| transform(&param, Phase::Test, [3, 4, 5]).unwrap_err().to_string();
        let mean = params::Mean::Values(vec![1.0, 2.0]);
        assert_eq!(
            refused(params::Transform { mean, ..param() }),
            "the mean has 2 values (mean_value), expected 1, or 3: one a channel"
        );
        assert!(refused(params::Transform { crop: Some([5, 5]), ..param() }).contains("4×5"));
    }
}
