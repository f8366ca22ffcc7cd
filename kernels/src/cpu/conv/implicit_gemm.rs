//! Convolution of any shape as a matrix product whose right-hand matrix is never written down.
//!
//! Row `tap · I/G + c` of that matrix is channel c as seen through one tap of the kernel, column `j` is an output
//! pixel, images side by side. A panel of it, sized for the first-level cache, is packed from the image just before it
//! is multiplied: im2col fused with the packing that the product needs anyway.

use std::ops::Range;

use super::shape::Shape;
use super::staging::Staging;
use super::{Filters, Operands};
use crate::buffer::Aligned;
use crate::cpu::CpuBackend;
use crate::cpu::gemm::{Blocked, Grid, Panels, Product, Segments, Split, TILE_VECTORS, scratch_len};
use crate::cpu::simd::{Simd, WithSimd};
use crate::cpu::threads::Disjoint;
use crate::error::Result;
use crate::geometry::{ConvGeometry, MAX_SPATIAL};

/// Weights packed into panels of rows, group after group.
#[derive(Debug)]
pub(crate) struct Plan {
    shape: Shape,
    rows: Split,
    weights: Aligned,
    view: View,
    staging: Option<Staging>,
    staged_len: usize,
    workspace: usize,
}

impl Plan {
    pub(crate) fn new(cpu: &CpuBackend, geometry: &ConvGeometry) -> Result<Self> {
        cpu.level.dispatch(Prepare { cpu, geometry })
    }

    pub(crate) fn repack(&mut self, cpu: &CpuBackend, filters: Filters<'_>) {
        let (taps, channels) = (self.shape.taps, self.shape.group_inputs);
        let (rows, depth) = (self.shape.group_outputs, taps * channels);
        let (groups, split) = (self.shape.group, self.rows);
        let packed = Disjoint::new(self.weights.as_mut_slice());
        cpu.threads.run(groups * split.parts(), |_, task| {
            let (group, part) = (task / split.parts(), split.part(task % split.parts()));
            let height = part.len();
            // SAFETY: the parts do not overlap, and each is one task's.
            let panel = unsafe { packed.slice((group * rows + part.start) * depth, height * depth) };
            for (lane, row) in part.enumerate() {
                for channel in 0..channels {
                    for (tap, weight) in filters.kernel([group, row, channel]) {
                        panel[(tap * channels + channel) * height + lane] = weight;
                    }
                }
            }
        });
    }

    /// The staged image, if there is one, and a panel for each thread.
    pub(crate) fn workspace_len(&self) -> usize {
        self.workspace
    }

    pub(crate) fn forward(&self, cpu: &CpuBackend, operands: Operands<'_>) {
        cpu.level.dispatch(Forward { cpu, plan: self, operands });
    }
}

struct Prepare<'a> {
    cpu: &'a CpuBackend,
    geometry: &'a ConvGeometry,
}

impl WithSimd for Prepare<'_> {
    type Output = Result<Plan>;

    fn run<S: Simd>(self, _: S) -> Result<Plan> {
        let shape = Shape::new(self.geometry);
        let staging = Staging::new(&shape);
        let planes = shape.batch * shape.input_channels;
        let staged_len = staging.map_or(0, |staging| (planes * staging.plane).next_multiple_of(16));
        let workspace = staged_len + self.cpu.threads.count() * scratch_len::<S>();
        let rows = Split::new(shape.group_outputs, S::MAX_ROWS);
        let weights = Aligned::zeroed(self.geometry.weight_len())?;
        let view = View::new(&shape, staging.as_ref());
        Ok(Plan { shape, rows, weights, view, staging, staged_len, workspace })
    }
}

struct Forward<'a> {
    cpu: &'a CpuBackend,
    plan: &'a Plan,
    operands: Operands<'a>,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let Operands { x, bias, accumulate, finish, y, workspace } = self.operands;
        let (plan, shape, threads) = (self.plan, &self.plan.shape, &self.cpu.threads);
        let (staged, scratch) = workspace.split_at_mut(plan.staged_len);
        let view = &plan.view;
        let source = match &plan.staging {
            Some(staging) => {
                staging.fill(shape, threads, x, staged);
                &*staged
            }
            None => x,
        };
        let (rows, depth, pixels) =
            (shape.group_outputs, shape.taps * shape.group_inputs, shape.output_pixels);
        let columns = shape.batch * pixels;
        if columns == 0 {
            return;
        }
        let split = plan.rows;
        let grid = Grid::new::<S>(columns, split.parts(), shape.group, threads.count());
        let (y, scratch) = (Disjoint::new(y), Disjoint::new(scratch));
        threads.run(shape.group * grid.tasks(), |slot, task| {
            let (group, task) = (task / grid.tasks(), task % grid.tasks());
            let first_channel = group * shape.group_inputs * view.channel_stride;
            let columns_of_image = Columns { shape, view, x: &source[first_channel..] };
            let product = Product {
                a: &plan.weights.as_slice()[group * rows * depth..][..rows * depth],
                b: &columns_of_image,
                rows: split,
                depth,
                columns,
                offset: group * rows * pixels,
                place: Blocked { block: pixels, stride: shape.output_channels * pixels },
                row_stride: pixels,
                row_bias: bias.map(|bias| &bias[group * rows..]),
                column_bias: None,
                accumulate,
                finish,
            };
            let (columns, parts) = grid.task(task, columns);
            let len = scratch_len::<S>();
            // SAFETY: a slot is one thread's at a time; tasks have different elements of y.
            unsafe { product.block(simd, columns, parts, &y, scratch.slice(slot * len, len)) };
        });
    }
}

/// How the image, or its staged copy, is addressed.
#[derive(Debug)]
struct View {
    /// Floats from an image to the next.
    image_stride: usize,
    /// Floats from a channel to the next.
    channel_stride: usize,
    /// Floats from a position to the next along each axis.
    strides: [usize; MAX_SPATIAL],
    /// Positions from an output pixel to the next along each axis.
    steps: [usize; MAX_SPATIAL],
    /// Padding that is not in memory.
    pad: [usize; MAX_SPATIAL],
    /// Extents that are in memory.
    limits: [usize; MAX_SPATIAL],
    /// Whether it is a staged copy.
    staged: bool,
    taps: Vec<Tap>,
}

/// How a tap of the kernel shifts what is seen.
#[derive(Debug)]
struct Tap {
    /// Along each axis.
    shift: [usize; MAX_SPATIAL],
    /// In floats.
    address: usize,
}

impl View {
    fn new(shape: &Shape, staging: Option<&Staging>) -> Self {
        let extents = staging.map_or(shape.input, |staging| staging.extents);
        let row = shape.row_axis();
        let mut strides = [0; MAX_SPATIAL];
        let mut stride = 1;
        for axis in (0..shape.rank).rev() {
            strides[axis] = stride;
            stride *= extents[axis];
        }
        let mut steps = shape.stride;
        steps[row] = 1;
        let tap = |tap: usize| {
            let mut shift = shape.coordinates(&shape.kernel, tap);
            let mut address = 0;
            for (axis, shift) in shift.iter_mut().enumerate().take(shape.rank) {
                *shift *= shape.dilation[axis];
                address += match staging {
                    Some(staging) if axis == row => {
                        *shift % shape.stride[row] * staging.phase_len + *shift / shape.stride[row]
                    }
                    _ => *shift * strides[axis],
                };
            }
            Tap { shift, address }
        };
        let taps = (0..shape.taps).map(tap).collect();
        Self {
            image_stride: shape.input_channels * stride,
            channel_stride: stride,
            strides,
            steps,
            pad: if staging.is_some() { [0; MAX_SPATIAL] } else { shape.pad },
            limits: extents,
            staged: staging.is_some(),
            taps,
        }
    }
}

/// A group's columns.
struct Columns<'a> {
    shape: &'a Shape,
    view: &'a View,
    /// From the group's first channel on.
    x: &'a [f32],
}

/// Neighbouring output pixels of one row, in one vector.
#[derive(Clone, Copy)]
struct Run {
    vector: usize,
    lane: usize,
    len: usize,
    /// Address of the first pixel as the first tap of the first channel sees it; before the image in the padding.
    base: isize,
    /// Its position there.
    position: [isize; MAX_SPATIAL],
}

/// One lane a run, at most.
const MAX_RUNS: usize = 32;

struct Runs {
    runs: [Run; MAX_RUNS],
    count: usize,
}

impl Columns<'_> {
    /// Cuts `columns` at the ends of vectors, rows and images.
    #[inline(always)]
    fn runs<S: Simd>(&self, columns: Range<usize>) -> Runs {
        let (shape, view) = (self.shape, self.view);
        let row = shape.row_axis();
        let blank = Run { vector: 0, lane: 0, len: 0, base: 0, position: [0; MAX_SPATIAL] };
        let mut runs = Runs { runs: [blank; MAX_RUNS], count: 0 };
        let mut column = columns.start;
        while column < columns.end {
            let (image, pixel) = (column / shape.output_pixels, column % shape.output_pixels);
            let output = shape.coordinates(&shape.output, pixel);
            let offset = column - columns.start;
            let (vector, lane) = (offset / S::LANES, offset % S::LANES);
            let len = (shape.output[row] - output[row]).min(S::LANES - lane).min(columns.end - column);
            let mut position = [0; MAX_SPATIAL];
            let mut base = (image * view.image_stride) as isize;
            for axis in 0..shape.rank {
                position[axis] = (output[axis] * view.steps[axis]) as isize - view.pad[axis] as isize;
                base += position[axis] * view.strides[axis] as isize;
            }
            runs.runs[runs.count] = Run { vector, lane, len, base, position };
            runs.count += 1;
            column += len;
        }
        runs
    }

    /// The pieces of each vector that a tap finds inside the image.
    #[inline(always)]
    fn segments<S: Simd>(
        &self,
        simd: S,
        runs: &Runs,
        shift: &[usize; MAX_SPATIAL],
        segments: &mut [Segments<S>; TILE_VECTORS],
    ) {
        let row = self.shape.row_axis();
        segments.iter_mut().for_each(Segments::clear);
        for run in &runs.runs[..runs.count] {
            let inside = (0..row).all(|axis| {
                let position = run.position[axis] + shift[axis] as isize;
                (0..self.view.limits[axis] as isize).contains(&position)
            });
            if !inside {
                continue;
            }
            let (mut from, mut to) = (0, run.len as isize);
            if !self.view.staged {
                let position = run.position[row] + shift[row] as isize;
                from = (-position).clamp(0, to);
                to = to.min(self.view.limits[row] as isize - position).max(from);
            }
            let start = run.base + from;
            let (from, to) = (run.lane + from as usize, run.lane + to as usize);
            segments[run.vector].push(simd, from, to, start);
        }
    }
}

impl<S: Simd> Panels<S> for Columns<'_> {
    fn panel<'s>(
        &'s self,
        simd: S,
        depth: Range<usize>,
        columns: Range<usize>,
        scratch: &'s mut [f32],
    ) -> &'s [f32] {
        let (shape, view) = (self.shape, self.view);
        let channels = shape.group_inputs;
        let width = columns.len().next_multiple_of(S::LANES);
        let panel = &mut scratch[..depth.len() * width];
        let last_image = (columns.end - 1) / shape.output_pixels;
        let farthest = last_image * view.image_stride + channels * view.channel_stride;
        assert!(farthest <= self.x.len() && depth.end <= shape.taps * channels, "the image is too short");
        simd.vectorize(
            #[inline(always)]
            || {
                let runs = self.runs::<S>(columns);
                let mut segments = [Segments::<S>::empty(simd); TILE_VECTORS];
                let mut rows = panel.chunks_exact_mut(width);
                let mut next = depth.start;
                // In a staged copy no tap falls outside: all see the same pieces, somewhere else.
                if view.staged {
                    self.segments(simd, &runs, &[0; MAX_SPATIAL], &mut segments);
                }
                while next < depth.end {
                    let (tap, channel) = (next / channels, next % channels);
                    let count = (channels - channel).min(depth.end - next);
                    let Tap { shift, address } = &view.taps[tap];
                    if !view.staged {
                        self.segments(simd, &runs, shift, &mut segments);
                    }
                    for (channel, target) in (channel..channel + count).zip(&mut rows) {
                        let base = self.x.as_ptr().wrapping_add(address + channel * view.channel_stride);
                        for (segments, target) in segments.iter().zip(target.chunks_exact_mut(S::LANES)) {
                            // SAFETY: the pieces are cut to the image's extents (a staged copy has room for
                            // every tap), and every channel of every image lies in x, as asserted for the
                            // last; `target` is a vector long.
                            unsafe { simd.store(target.as_mut_ptr(), segments.load(simd, base)) };
                        }
                    }
                    next += count;
                }
            },
        );
        panel
    }
}
