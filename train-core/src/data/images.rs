//! Images and labels for a net.

use std::borrow::Cow;
use std::path::Path;

use caffe_proto::net::params;
use caffe_proto::proto::Phase;

use super::feed::{Chance, Feed};
use super::pixels::{Decode, Pixels};
use super::{CaffeTransform, Crop, Error, Picture, Result, Source, resize_bytes};

/// A [`Source`] with what is done to its images: two tops, C×H×W of the image and the label.
pub struct Images {
    source: Box<dyn Source>,
    preparation: Preparation,
    transform: CaffeTransform,
    shapes: Vec<Vec<usize>>,
}

/// What is done to an image before the `transform_param`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preparation {
    /// The channels that an encoded image is given.
    pub decode: Decode,
    /// The height and width that an encoded image is brought to.
    pub resize: Option<[usize; 2]>,
}

/// An image that can be transformed.
enum Prepared<'a> {
    Pixels(Pixels<'a>),
    Values([usize; 3], Cow<'a, [f32]>),
}

/// How many images are tried to find the shape that all shall have.
const TRIED: usize = 1000;

impl Images {
    /// Images of the shape that the first whole one has. Caffe looks at the first of every batch; here all have one shape,
    /// and one that has another is treated as broken.
    ///
    /// # Errors
    /// When no image is whole, or the transform does not fit.
    pub fn new(
        source: Box<dyn Source>,
        preparation: Preparation,
        transform: &params::Transform,
        phase: Phase,
        base: &Path,
    ) -> Result<Self> {
        let tried = source.len().min(TRIED);
        let mut first = None;
        let shape = (0..tried).find_map(|index| match preparation.prepare(&*source, index) {
            Ok((prepared, _)) => Some(prepared.shape()),
            Err(what) => {
                first.get_or_insert_with(|| format!("{}: {what}", source.name(index)));
                None
            }
        });
        let Some(shape) = shape else {
            return Err(Error::AllBroken {
                tried,
                first: first.unwrap_or_else(|| "there are none".to_owned()),
            });
        };
        let transform = CaffeTransform::new(transform, phase, shape, base)?;
        let shapes = vec![transform.output().to_vec(), Vec::new()];
        Ok(Self { source, preparation, transform, shapes })
    }

    /// The same with one top: the labels are left out.
    pub fn without_labels(mut self) -> Self {
        self.shapes.truncate(1);
        self
    }

    /// Where the images come from.
    pub fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// What is done to them first.
    pub fn preparation(&self) -> &Preparation {
        &self.preparation
    }

    /// What is done to them.
    pub fn transform(&self) -> &CaffeTransform {
        &self.transform
    }
}

impl Feed for Images {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    fn name(&self, sample: usize) -> String {
        self.source.name(sample)
    }

    fn is_random(&self) -> bool {
        self.transform.is_random()
    }

    fn fill(
        &self,
        sample: usize,
        chance: &mut Chance,
        tops: &mut [&mut [f32]],
    ) -> std::result::Result<(), String> {
        self.fill_view(sample, self.transform.draw(&mut chance.0), tops)
    }
}

impl Images {
    /// Writes one piece of a sample, wherever chance would have it.
    ///
    /// # Errors
    /// As [`Feed::fill`].
    ///
    /// # Panics
    /// When the piece is not within the image.
    pub fn fill_view(
        &self,
        sample: usize,
        view: Crop,
        tops: &mut [&mut [f32]],
    ) -> std::result::Result<(), String> {
        let (prepared, label) = self.preparation.prepare(&*self.source, sample)?;
        let (found, expected) = (prepared.shape(), self.transform.image());
        if found != expected {
            let text = |[channels, height, width]: [usize; 3]| format!("{channels}×{height}×{width}");
            return Err(format!(
                "this image is {}, the first is {}: bring all to one size (new_height, new_width)",
                text(found),
                text(expected)
            ));
        }
        if let Some(image) = tops.first_mut() {
            match &prepared {
                Prepared::Pixels(pixels) => self.transform.pixels(pixels, view, image),
                Prepared::Values(_, values) => self.transform.values(values, view, image),
            }
        }
        if let Some(label_top) = tops.get_mut(1) {
            label_top.fill(label as f32);
        }
        Ok(())
    }
}

impl Preparation {
    fn prepare<'a>(
        &self,
        source: &'a dyn Source,
        index: usize,
    ) -> std::result::Result<(Prepared<'a>, i32), String> {
        let sample = source.read(index)?;
        let prepared = match sample.picture {
            Picture::Encoded(bytes) => {
                let pixels = Pixels::decode(&bytes, self.decode)?;
                Prepared::Pixels(match self.resize {
                    Some(dims) => resize_bytes::resized(pixels, dims),
                    None => pixels,
                })
            }
            Picture::Pixels(pixels) => Prepared::Pixels(pixels),
            Picture::Values { shape, values } => Prepared::Values(shape, values),
        };
        Ok((prepared, sample.label))
    }
}

impl Prepared<'_> {
    fn shape(&self) -> [usize; 3] {
        match self {
            Self::Pixels(pixels) => pixels.shape,
            Self::Values(shape, _) => *shape,
        }
    }
}
