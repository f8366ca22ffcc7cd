//! Features as samples for a net.

use std::sync::Arc;

use super::{Features, Views};
use crate::data::{Chance, Feed};

/// The kept features of images: one top for each blob that was cut, and the label.
pub struct FeatureFeed {
    features: Arc<Features>,
    views: Views,
    shapes: Vec<Vec<usize>>,
}

impl FeatureFeed {
    /// The features of all pieces of images, in blobs of `shapes`, without the batch's axis.
    pub(super) fn new(features: Arc<Features>, views: Views, mut shapes: Vec<Vec<usize>>) -> Self {
        shapes.push(Vec::new());
        Self { features, views, shapes }
    }

    /// The features.
    pub fn features(&self) -> &Features {
        &self.features
    }
}

impl Feed for FeatureFeed {
    fn len(&self) -> usize {
        self.features.rows() / self.views.per_image()
    }

    fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    fn name(&self, sample: usize) -> String {
        self.views.images().name(sample)
    }

    fn fill(&self, sample: usize, chance: &mut Chance, tops: &mut [&mut [f32]]) -> Result<(), String> {
        let views = self.views.per_image();
        let view = if views > 1 { chance.below(views) } else { 0 };
        self.features.copy(sample * views + view, tops)
    }

    fn is_random(&self) -> bool {
        self.views.per_image() > 1
    }
}
