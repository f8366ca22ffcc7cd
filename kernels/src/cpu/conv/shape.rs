//! A convolution's sizes as the loops want them.

use crate::geometry::{ConvGeometry, MAX_SPATIAL};

/// The last spatial axis is a row; the others are the leading ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) batch: usize,
    pub(crate) group: usize,
    pub(crate) input_channels: usize,
    pub(crate) output_channels: usize,
    /// I/G.
    pub(crate) group_inputs: usize,
    /// O/G.
    pub(crate) group_outputs: usize,
    /// Spatial axes.
    pub(crate) rank: usize,
    pub(crate) input: [usize; MAX_SPATIAL],
    pub(crate) output: [usize; MAX_SPATIAL],
    pub(crate) kernel: [usize; MAX_SPATIAL],
    pub(crate) stride: [usize; MAX_SPATIAL],
    pub(crate) pad: [usize; MAX_SPATIAL],
    pub(crate) dilation: [usize; MAX_SPATIAL],
    pub(crate) input_pixels: usize,
    pub(crate) output_pixels: usize,
    pub(crate) taps: usize,
}

impl Shape {
    pub(crate) fn new(geometry: &ConvGeometry) -> Self {
        let wide = |values: [u32; MAX_SPATIAL]| values.map(|value| value as usize);
        Self {
            batch: geometry.batch as usize,
            group: geometry.group as usize,
            input_channels: geometry.input_channels as usize,
            output_channels: geometry.output_channels as usize,
            group_inputs: geometry.group_inputs(),
            group_outputs: geometry.group_outputs(),
            rank: geometry.rank as usize,
            input: wide(geometry.input),
            output: wide(geometry.output()),
            kernel: wide(geometry.kernel),
            stride: wide(geometry.stride),
            pad: wide(geometry.pad),
            dilation: wide(geometry.dilation),
            input_pixels: geometry.input_pixels(),
            output_pixels: geometry.output_pixels(),
            taps: geometry.taps(),
        }
    }

    /// The last axis.
    pub(crate) fn row_axis(&self) -> usize {
        self.rank - 1
    }

    /// Splits a number that counts positions in an array of `extents` into its coordinates.
    pub(crate) fn coordinates(
        &self,
        extents: &[usize; MAX_SPATIAL],
        mut index: usize,
    ) -> [usize; MAX_SPATIAL] {
        let mut coordinates = [0; MAX_SPATIAL];
        for axis in (0..self.rank).rev() {
            coordinates[axis] = index % extents[axis];
            index /= extents[axis];
        }
        coordinates
    }

    /// The input pixel that the tap at `offsets` sees from an output pixel; `None` in the padding.
    pub(crate) fn seen(
        &self,
        output: &[usize; MAX_SPATIAL],
        offsets: &[usize; MAX_SPATIAL],
    ) -> Option<usize> {
        (0..self.rank).try_fold(0, |address, axis| {
            Some(address * self.input[axis] + self.seen_on(axis, output[axis], offsets[axis])?)
        })
    }

    /// The row of the input that the tap at `offsets` sees from row `index` of the output; `None` in the padding.
    pub(crate) fn seen_row(&self, mut index: usize, offsets: &[usize; MAX_SPATIAL]) -> Option<usize> {
        let (mut row, mut stride) = (0, 1);
        for axis in (0..self.row_axis()).rev() {
            row += stride * self.seen_on(axis, index % self.output[axis], offsets[axis])?;
            index /= self.output[axis];
            stride *= self.input[axis];
        }
        Some(row)
    }

    fn seen_on(&self, axis: usize, output: usize, offset: usize) -> Option<usize> {
        let padded = output * self.stride[axis] + offset * self.dilation[axis];
        padded.checked_sub(self.pad[axis]).filter(|&position| position < self.input[axis])
    }
}
