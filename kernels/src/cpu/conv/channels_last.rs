//! Convolution as a product with pixels for rows and output channels for columns.
//!
//! In a copy of the image with its channels innermost, the row of the left matrix that belongs to an output pixel is a few
//! runs of memory, and neighbouring pixels' are a fixed step apart: register tiles read it where it lies, and nothing is
//! packed but the weights. The sums come out with channels innermost too, and are put in their places a few rows of pixels
//! at a time. It pays where there are so few output channels that packing panels of the image for them is what takes long.

use std::ops::Range;

use super::interleaved::Interleaved;
use super::shape::Shape;
use super::{Filters, Operands};
use crate::buffer::Aligned;
use crate::cpu::CpuBackend;
use crate::cpu::gemm::{Finish, MAX_DEPTH, Segments, Split, TILE_VECTORS, Tile, compute};
use crate::cpu::simd::{Simd, WithSimd};
use crate::cpu::threads::Disjoint;
use crate::error::Result;
use crate::geometry::ConvGeometry;

/// Pixels whose sums a task forms, roughly: whole rows.
const PIXELS: usize = 256;

/// Weights packed into panels of columns, group after group.
#[derive(Debug)]
pub(crate) struct Plan {
    image: Interleaved,
    weights: Aligned,
    /// Output channels of a group, in whole vectors.
    columns: usize,
    /// Columns of a full panel.
    width: usize,
    /// Rows of pixels in a task.
    rows: usize,
    /// Floats of sums of a task.
    sums: usize,
    workspace: usize,
}

impl Plan {
    pub(crate) fn new(cpu: &CpuBackend, geometry: &ConvGeometry) -> Result<Self> {
        cpu.level.dispatch(Prepare { cpu, geometry })
    }

    pub(crate) fn repack(&mut self, cpu: &CpuBackend, filters: Filters<'_>) {
        let shape = self.image.shape;
        let (channels, outputs, depth) = (shape.group_inputs, shape.group_outputs, self.depth());
        let (columns, width) = (self.columns, self.width);
        let panels = columns.div_ceil(width);
        let packed = Disjoint::new(self.weights.as_mut_slice());
        cpu.threads.run(shape.group * panels, |_, task| {
            let (group, start) = (task / panels, task % panels * width);
            let width = width.min(columns - start);
            // SAFETY: panels do not overlap, and each is one task's.
            let panel = unsafe { packed.slice((group * columns + start) * depth, width * depth) };
            for lane in 0..width.min(outputs.saturating_sub(start)) {
                for channel in 0..channels {
                    for (tap, weight) in filters.kernel([group, start + lane, channel]) {
                        panel[(tap * channels + channel) * width + lane] = weight;
                    }
                }
            }
        });
    }

    /// The laid-out images, and a task's sums for each thread.
    pub(crate) fn workspace_len(&self) -> usize {
        self.workspace
    }

    pub(crate) fn forward(&self, cpu: &CpuBackend, operands: Operands<'_>) {
        cpu.level.dispatch(Forward { cpu, plan: self, operands });
    }

    /// Length of the sums.
    fn depth(&self) -> usize {
        self.image.shape.taps * self.image.shape.group_inputs
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
        let image = Interleaved::new(&shape);
        let columns = shape.group_outputs.next_multiple_of(S::LANES);
        let row = shape.output[shape.row_axis()];
        let rows = (PIXELS / row.max(1)).max(1);
        let sums = (rows * row * columns).next_multiple_of(16);
        let weights = Aligned::zeroed(shape.group * columns * shape.taps * shape.group_inputs)?;
        let workspace = image.staged + self.cpu.threads.count() * sums;
        Ok(Plan { image, weights, columns, width: TILE_VECTORS * S::LANES, rows, sums, workspace })
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
        let (plan, threads) = (self.plan, &self.cpu.threads);
        let (image, shape) = (&plan.image, &plan.image.shape);
        let (staged, sums) = workspace.split_at_mut(image.staged);
        let (sums, y) = (Disjoint::new(sums), Disjoint::new(y));
        let width = shape.output[shape.row_axis()];
        let blocks = Split::new(shape.output_pixels / width.max(1), plan.rows);
        for first in (0..shape.batch).step_by(image.images) {
            let images = image.images.min(shape.batch - first);
            let staged = &mut staged[..images * shape.group * image.plane];
            image.stage(simd, threads, &x[first * shape.input_channels * shape.input_pixels..], staged);
            let staged = &*staged;
            threads.run(images * shape.group * blocks.parts(), |slot, task| {
                let (plane, block) = (task / blocks.parts(), blocks.part(task % blocks.parts()));
                let pixels = block.start * width..block.end * width;
                // SAFETY: a slot is one thread's at a time.
                let sums = unsafe { sums.slice(slot * plan.sums, plan.sums) };
                let group = plane % shape.group;
                plan.multiply(
                    simd,
                    group,
                    &staged[plane * image.plane..][..image.plane],
                    pixels.clone(),
                    sums,
                );
                let first_output = (first * shape.group + plane) * shape.group_outputs;
                for output in 0..shape.group_outputs {
                    let start = (first_output + output) * shape.output_pixels + pixels.start;
                    // SAFETY: these pixels of this group's channels are one task's.
                    let y = unsafe { y.slice(start, pixels.len()) };
                    let bias = bias.map_or(0.0, |bias| bias[group * shape.group_outputs + output]);
                    let sums = sums[output..].iter().step_by(plan.columns);
                    put(y, sums, bias, accumulate, finish);
                }
            });
        }
    }
}

impl Plan {
    /// The sums of the output pixels `pixels`, whole rows, of one group of one image: pixels × columns.
    fn multiply<S: Simd>(
        &self,
        simd: S,
        group: usize,
        plane: &[f32],
        pixels: Range<usize>,
        sums: &mut [f32],
    ) {
        let (image, shape) = (&self.image, &self.image.shape);
        let (columns, depth) = (self.columns, self.depth());
        let row_width = shape.output[shape.row_axis()];
        let step = image.step(shape.row_axis());
        let run = image.taps_in_run() * shape.group_inputs;
        let (chunks, tiles) = (Split::new(run, MAX_DEPTH), Split::new(row_width, S::MAX_ROWS));
        assert!(pixels.end <= shape.output_pixels && sums.len() >= pixels.len() * columns);
        assert!(plane.len() == image.plane && columns.is_multiple_of(S::LANES));
        let mut places = [Segments::empty(simd); TILE_VECTORS];
        for start in (0..columns).step_by(self.width) {
            let width = self.width.min(columns - start);
            let panel = &self.weights.as_slice()[(group * columns + start) * depth..][..width * depth];
            for (v, places) in places.iter_mut().enumerate().take(width / S::LANES) {
                places.clear();
                places.push(simd, 0, S::LANES, (start + v * S::LANES) as isize);
            }
            for first in (0..depth).step_by(run) {
                let tap = image.tap(first / shape.group_inputs);
                for chunk in (0..chunks.parts()).map(|chunk| chunks.part(chunk)) {
                    let b = panel[(first + chunk.start) * width..(first + chunk.end) * width].as_ptr();
                    for row in pixels.clone().step_by(row_width) {
                        let base = image.pixel(row) + tap + chunk.start;
                        for tile in (0..tiles.parts()).map(|tile| tiles.part(tile)) {
                            let from = (row - pixels.start + tile.start) * columns;
                            let rows = tile.len();
                            let tile = Tile {
                                a: plane[base + tile.start * step..].as_ptr(),
                                a_rows: Some(step),
                                b,
                                depth: chunk.len(),
                                soon: None,
                                c: sums[from..].as_mut_ptr(),
                                row_stride: columns,
                                columns: &places,
                                row_bias: std::ptr::null(),
                                column_bias: std::ptr::null(),
                                accumulate: first + chunk.start > 0,
                                finish: Finish::Keep,
                            };
                            // SAFETY: every tap sees every output pixel within the plane, which is padded so; the
                            // weights were cut to this chunk; the sums hold `columns` floats for each pixel, as asserted.
                            unsafe { compute(simd, rows, width / S::LANES, &tile) };
                        }
                    }
                }
            }
        }
    }
}

/// `y = finish(sum + bias (+ y))`.
fn put<'a>(y: &mut [f32], sums: impl Iterator<Item = &'a f32>, bias: f32, accumulate: bool, finish: Finish) {
    for (y, sum) in y.iter_mut().zip(sums) {
        let old = if accumulate { *y } else { 0.0 };
        *y = finish.scalar(sum + bias + old);
    }
}
