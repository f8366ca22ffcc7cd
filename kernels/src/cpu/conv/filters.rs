//! A convolution's weights as the packing sees them: for the convolution itself, or for its gradient.

use crate::cpu::gemm::Matrix;
use crate::geometry::ConvGeometry;

/// Weights in memory, each group's seen as rows × channels × taps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filters<'a> {
    data: &'a [f32],
    taps: usize,
    /// Floats from a group, a row and a channel to the next.
    strides: [usize; 3],
    /// Whether the taps come in reverse order: the kernel turned around.
    reversed: bool,
}

impl<'a> Filters<'a> {
    /// O×(I/G)×kernel as they lie: rows are output channels.
    pub(crate) fn forward(geometry: &ConvGeometry, data: &'a [f32]) -> Self {
        let (taps, inputs) = (geometry.taps(), geometry.group_inputs());
        let row = inputs * taps;
        Self { data, taps, strides: [geometry.group_outputs() * row, row, taps], reversed: false }
    }

    /// The same weights for the convolution that takes dy to dx, `geometry` being the forward one: rows are input
    /// channels, and the kernel is turned around.
    pub(crate) fn backward(geometry: &ConvGeometry, data: &'a [f32]) -> Self {
        let Self { data, taps, strides: [group, row, channel], .. } = Self::forward(geometry, data);
        Self { data, taps, strides: [group, channel, row], reversed: true }
    }

    /// One kernel, each tap with its weight.
    #[inline(always)]
    pub(crate) fn kernel(
        &self,
        [group, row, channel]: [usize; 3],
    ) -> impl Iterator<Item = (usize, f32)> + use<'a> {
        let weights = self.plain_kernel([group, row, channel]);
        let last = if self.reversed { self.taps - 1 } else { 0 };
        weights.iter().enumerate().map(move |(tap, &weight)| (tap.abs_diff(last), weight))
    }

    /// One group's weights where there is but one tap: element (i, j), rows by channels.
    pub(crate) fn matrix(&self, group: usize) -> Matrix<'a> {
        debug_assert_eq!(self.taps, 1);
        let [step, row_stride, column_stride] = self.strides;
        Matrix { data: &self.data[group * step..], row_stride, column_stride }
    }

    fn plain_kernel(&self, index: [usize; 3]) -> &'a [f32] {
        let start: usize = index.iter().zip(&self.strides).map(|(index, stride)| index * stride).sum();
        &self.data[start..start + self.taps]
    }
}
