//! Images that the program has.

use super::{Error, Picture, Result, Sample, Source};

/// Values in memory: what Caffe's MemoryData layer is given.
#[derive(Clone, Debug)]
pub struct MemoryImages {
    shape: [usize; 3],
    values: Vec<f32>,
    labels: Vec<i32>,
}

impl MemoryImages {
    /// Images of `shape` (channels, height, width), one after the other, and as many labels.
    ///
    /// # Errors
    /// When there are none, or the labels do not fit the values.
    pub fn new(shape: [usize; 3], values: Vec<f32>, labels: Vec<i32>) -> Result<Self> {
        let count = shape.iter().try_fold(labels.len(), |count, &size| count.checked_mul(size));
        if count != Some(values.len()) || values.is_empty() {
            let [channels, height, width] = shape;
            let what = format!(
                "{} labels of images of {channels}×{height}×{width} for {} values",
                labels.len(),
                values.len()
            );
            return Err(Error::Sample { sample: "values in memory".to_owned(), what });
        }
        Ok(Self { shape, values, labels })
    }
}

impl Source for MemoryImages {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn name(&self, index: usize) -> String {
        format!("image {index} in memory")
    }

    fn read(&self, index: usize) -> std::result::Result<Sample<'_>, String> {
        let count = self.shape.iter().product::<usize>();
        let values = self.values[index * count..][..count].into();
        Ok(Sample { picture: Picture::Values { shape: self.shape, values }, label: self.labels[index] })
    }
}
