use crate::error::{Error, Result};

/// Over what a local response normalization sums.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LrnRegion {
    /// Neighbouring channels.
    AcrossChannels,
    /// Neighbouring pixels of the same channel.
    WithinChannel,
}

/// Sizes and terms of a local response normalization of N×C×H×W.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrnGeometry {
    /// N.
    pub batch: u32,
    /// C.
    pub channels: u32,
    /// H.
    pub height: u32,
    /// W.
    pub width: u32,
    /// n: channels, or pixels a side, that are summed over; odd.
    pub size: u32,
    /// α, as Caffe writes it: it is divided by the number of elements summed.
    pub alpha: f32,
    /// β.
    pub beta: f32,
    /// k; within a channel it is 1 whatever is said here.
    pub k: f32,
    /// Over what is summed.
    pub region: LrnRegion,
}

impl LrnGeometry {
    /// Across channels with Caffe's defaults: n = 5, α = 1, β = 0.75, k = 1. `shape` is (N, C, H, W).
    pub fn new(shape: [u32; 4]) -> Self {
        let [batch, channels, height, width] = shape;
        let region = LrnRegion::AcrossChannels;
        Self { batch, channels, height, width, size: 5, alpha: 1.0, beta: 0.75, k: 1.0, region }
    }

    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        if self.size.is_multiple_of(2) {
            return Err(Error::geometry(op, format!("a window of {} has no middle", self.size)));
        }
        Ok(())
    }

    pub(crate) fn plane(&self) -> usize {
        (self.height * self.width) as usize
    }

    pub(crate) fn len(&self) -> usize {
        (self.batch * self.channels) as usize * self.plane()
    }
}
