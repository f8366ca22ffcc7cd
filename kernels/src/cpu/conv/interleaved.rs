//! A padded copy of the image with its channels innermost: what one tap sees of all channels is one run of memory, and what
//! neighbouring taps of a row see is one longer run.

use std::ops::Range;

use super::shape::Shape;
use crate::cpu::gemm::Segments;
use crate::cpu::simd::{Simd, array};
use crate::cpu::threads::Threads;
use crate::geometry::MAX_SPATIAL;

/// Floats of images that are laid out at a time; one image, if it is larger.
const STAGED: usize = 1 << 19;

/// Channels that are brought together at a time: a cache line of them.
const CHANNELS: usize = 16;

/// The layout of the copy: image after image, group after group, each padded extents × channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interleaved {
    pub(super) shape: Shape,
    /// Positions along each axis.
    extents: [usize; MAX_SPATIAL],
    /// Positions of the padded image from one of these to the next: 1, but where the kernel is but one tap wide.
    sparse: [usize; MAX_SPATIAL],
    /// Floats from one position to the next along each axis.
    strides: [usize; MAX_SPATIAL],
    /// Floats of one group of one image.
    pub(super) plane: usize,
    /// Images laid out at a time.
    pub(super) images: usize,
    /// Floats of those.
    pub(super) staged: usize,
}

impl Interleaved {
    pub(super) fn new(shape: &Shape) -> Self {
        let (mut extents, mut sparse, mut strides) = ([1; MAX_SPATIAL], [1; MAX_SPATIAL], [0; MAX_SPATIAL]);
        let mut stride = shape.group_inputs;
        for axis in (0..shape.rank).rev() {
            let windows = shape.output[axis] - 1;
            if shape.kernel[axis] == 1 {
                (extents[axis], sparse[axis]) = (windows + 1, shape.stride[axis]);
            } else {
                extents[axis] =
                    windows * shape.stride[axis] + shape.dilation[axis] * (shape.kernel[axis] - 1) + 1;
            }
            strides[axis] = stride;
            stride *= extents[axis];
        }
        let image = shape.group * stride;
        let images = (STAGED / image.max(1)).clamp(1, shape.batch.max(1));
        let staged = (images * image).next_multiple_of(16);
        Self { shape: *shape, extents, sparse, strides, plane: stride, images, staged }
    }

    /// Lays images out, from the first of `x` on.
    pub(super) fn stage<S: Simd>(&self, simd: S, threads: &Threads, x: &[f32], staged: &mut [f32]) {
        let shape = &self.shape;
        let (row, channels) = (shape.row_axis(), shape.group_inputs);
        let (line, width) = (self.extents[row] * channels, shape.input[row]);
        if line == 0 {
            return;
        }
        let lines = self.plane / line;
        threads.chunks(staged, line, 2, |index, target| {
            let (group, index) = (index / lines, index % lines);
            let Some(source) = self.source_line(index) else { return target.fill(0.0) };
            // Position i is pixel i · step − pad.
            let (step, pad) = (self.sparse[row], shape.pad[row]);
            let first = pad.div_ceil(step).min(self.extents[row]);
            let start = (first * step).saturating_sub(pad).min(width);
            let count = (width - start).div_ceil(step).min(self.extents[row] - first);
            target[..first * channels].fill(0.0);
            target[(first + count) * channels..].fill(0.0);
            if count == 0 {
                return;
            }
            let target = &mut target[first * channels..(first + count) * channels];
            let x = &x[group * channels * shape.input_pixels + source * width + start..];
            simd.vectorize(
                #[inline(always)]
                || {
                    for block in (0..channels).step_by(CHANNELS) {
                        let end = (block + CHANNELS).min(channels);
                        let x = &x[block * shape.input_pixels..];
                        interleave(simd, x, shape.input_pixels, step, block..end, channels, target);
                    }
                },
            );
        });
    }

    /// The line of the image that a line of the laid-out one is made from; `None` in the padding.
    fn source_line(&self, mut index: usize) -> Option<usize> {
        let shape = &self.shape;
        let (mut source, mut stride) = (0, 1);
        for axis in (0..shape.row_axis()).rev() {
            let position = index % self.extents[axis] * self.sparse[axis];
            index /= self.extents[axis];
            source +=
                position.checked_sub(shape.pad[axis]).filter(|&inside| inside < shape.input[axis])? * stride;
            stride *= shape.input[axis];
        }
        Some(source)
    }

    /// Where in a laid-out image the first tap sees an output pixel's first channel.
    pub(super) fn pixel(&self, pixel: usize) -> usize {
        let shape = &self.shape;
        let output = shape.coordinates(&shape.output, pixel);
        (0..shape.rank).map(|axis| output[axis] * self.step(axis)).sum()
    }

    /// Floats from what one output pixel sees to what the next along an axis sees.
    pub(super) fn step(&self, axis: usize) -> usize {
        self.shape.stride[axis] / self.sparse[axis] * self.strides[axis]
    }

    /// The runs of memory that a vector of columns is in: column `tap · channels + c` is channel c as the tap sees it.
    #[inline(always)]
    pub(super) fn segments<S: Simd>(&self, simd: S, columns: Range<usize>, segments: &mut Segments<S>) {
        let shape = &self.shape;
        let channels = shape.group_inputs;
        segments.clear();
        let mut tap = shape.coordinates(&shape.kernel, columns.start / channels);
        let mut channel = columns.start % channels;
        // The run so far: its first lane, its end, its address.
        let (mut from, mut lane, mut start) = (0, 0, usize::MAX);
        while lane < columns.len() {
            let address = channel
                + (0..shape.rank)
                    .map(|axis| tap[axis] * shape.dilation[axis] * self.strides[axis])
                    .sum::<usize>();
            if start.wrapping_add(lane - from) != address {
                segments.push(simd, from, lane, start as isize);
                (from, start) = (lane, address);
            }
            lane = (lane + channels - channel).min(columns.len());
            channel = 0;
            for axis in (0..shape.rank).rev() {
                tap[axis] += 1;
                if tap[axis] < shape.kernel[axis] {
                    break;
                }
                tap[axis] = 0;
            }
        }
        segments.push(simd, from, lane, start as isize);
    }

    /// Floats from what one tap sees to what another does.
    pub(super) fn tap(&self, tap: usize) -> usize {
        let offsets = self.shape.coordinates(&self.shape.kernel, tap);
        (0..self.shape.rank).map(|axis| offsets[axis] * self.shape.dilation[axis] * self.strides[axis]).sum()
    }

    /// Taps whose channels are one run.
    pub(super) fn taps_in_run(&self) -> usize {
        let row = self.shape.row_axis();
        if self.shape.dilation[row] == 1 { self.shape.kernel[row] } else { 1 }
    }
}

/// Channels `block` of `target`'s positions, whose channels are `channels`: each from its own plane of x, every `step`-th
/// float.
#[inline(always)]
fn interleave<S: Simd>(
    simd: S,
    x: &[f32],
    plane: usize,
    step: usize,
    block: Range<usize>,
    channels: usize,
    target: &mut [f32],
) {
    let count = target.len() / channels;
    // Four channels at a time as far as vectors go, the rest one by one.
    let fours = if step == 1 { block.len() / 4 * 4 } else { 0 };
    let whole = count / S::LANES * S::LANES;
    for lane in (0..fours).step_by(4) {
        for start in (0..whole).step_by(S::LANES) {
            let mut together = [0.0; 64];
            let sources: [&[f32]; 4] = array(
                #[inline(always)]
                |j| &x[(lane + j) * plane + start..][..S::LANES],
            );
            // SAFETY: the sources are a vector long, and the array at least four.
            unsafe {
                simd.store_fours(
                    together.as_mut_ptr(),
                    array(
                        #[inline(always)]
                        |j| simd.load(sources[j].as_ptr()),
                    ),
                );
            }
            let target = target[start * channels + block.start + lane..].chunks_mut(channels);
            for (target, values) in target.zip(&together.as_chunks::<4>().0[..S::LANES]) {
                target[..4].copy_from_slice(values);
            }
        }
    }
    for (lane, channel) in block.enumerate() {
        let first = if lane < fours { whole } else { 0 };
        let source = x[lane * plane..].iter().step_by(step).take(count).skip(first);
        let Some(target) = target.get_mut(first * channels + channel..) else { continue };
        for (target, &value) in target.iter_mut().step_by(channels).zip(source) {
            *target = value;
        }
    }
}
