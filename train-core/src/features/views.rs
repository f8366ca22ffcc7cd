//! Every piece that is cut from each image.

use std::sync::Arc;

use crate::data::{Chance, Crop, Feed, Images};

/// The samples of [`Images`], each as often as there are pieces of it: sample s is piece s mod V of image s / V.
pub struct Views {
    images: Arc<Images>,
    views: Vec<Crop>,
}

impl Views {
    /// All pieces that stand for those that chance would cut.
    pub fn of(images: Arc<Images>) -> Self {
        Self { views: images.transform().views(), images }
    }

    /// How many pieces there are of each image.
    pub fn per_image(&self) -> usize {
        self.views.len()
    }

    /// Where they are cut.
    pub fn crops(&self) -> &[Crop] {
        &self.views
    }

    /// The images.
    pub fn images(&self) -> &Arc<Images> {
        &self.images
    }
}

impl Feed for Views {
    fn len(&self) -> usize {
        self.images.len() * self.views.len()
    }

    fn shapes(&self) -> &[Vec<usize>] {
        self.images.shapes()
    }

    fn name(&self, sample: usize) -> String {
        self.images.name(sample / self.views.len())
    }

    fn fill(&self, sample: usize, _: &mut Chance, tops: &mut [&mut [f32]]) -> Result<(), String> {
        self.images.fill_view(sample / self.views.len(), self.views[sample % self.views.len()], tops)
    }
}
