//! The grid of tiles: gathering 6×6 patches of the image, scattering 4×4 patches of the output.

use std::ops::Range;

use super::points::{SIDE, input_line, output_line};
use crate::cpu::conv::shape::Shape;
use crate::cpu::simd::{Simd, array};

/// Tiles of all images, image after image, row after row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    rows: usize,
    columns: usize,
    images: usize,
}

impl Tiles {
    pub(super) fn new(shape: &Shape) -> Self {
        Self {
            rows: shape.output[0].div_ceil(STEP),
            columns: shape.output[1].div_ceil(STEP),
            images: shape.batch,
        }
    }

    pub(super) fn count(self) -> usize {
        self.images * self.rows * self.columns
    }

    /// `tiles`, at most `LANES` of them, cut at the ends of rows.
    pub(super) fn runs(self, tiles: Range<usize>) -> Runs {
        let mut runs = Runs { runs: [Run::default(); MAX_RUNS], count: 0 };
        let mut next = tiles.start;
        while next < tiles.end {
            let (row, column) = (next / self.columns, next % self.columns);
            let len = (self.columns - column).min(tiles.end - next);
            runs.runs[runs.count] = Run {
                image: row / self.rows,
                y: row % self.rows * STEP,
                x: column * STEP,
                lane: next - tiles.start,
                len,
            };
            runs.count += 1;
            next += len;
        }
        runs
    }
}

/// Pixels of a tile's side.
const STEP: usize = 4;

/// One a lane, at most.
const MAX_RUNS: usize = 16;

/// Floats that are copied at a time.
const BLOCK: usize = 16;

/// Floats of a line that holds the pixels of a vector of tiles, and room for the rest of a block.
const LINE: usize = 4 * 16 + SIDE - STEP + BLOCK;

/// Neighbouring tiles of one row.
#[derive(Clone, Copy, Default)]
struct Run {
    image: usize,
    /// The first output pixel.
    y: usize,
    x: usize,
    lane: usize,
    len: usize,
}

/// A vector of tiles.
pub(super) struct Runs {
    runs: [Run; MAX_RUNS],
    count: usize,
}

impl Runs {
    fn iter(&self) -> impl Iterator<Item = &Run> {
        self.runs[..self.count].iter()
    }

    /// The transformed patches of one channel of x.
    #[inline(always)]
    pub(super) fn transform_input<S: Simd>(
        &self,
        simd: S,
        shape: &Shape,
        x: &[f32],
        channel: usize,
    ) -> [[S::Vector; SIDE]; SIDE] {
        let mut half = [[simd.splat(0.0); SIDE]; SIDE];
        for (row, half) in half.iter_mut().enumerate() {
            *half = input_line(simd, self.patch_row(simd, shape, x, channel, row));
        }
        let mut transformed = half;
        for column in 0..SIDE {
            let line = input_line(
                simd,
                array(
                    #[inline(always)]
                    |row| half[row][column],
                ),
            );
            for row in 0..SIDE {
                transformed[row][column] = line[row];
            }
        }
        transformed
    }

    /// Transforms the sums over channels back, puts them through `finish`, and calls `write(start, row)` for each
    /// piece of a row of one channel of y.
    #[inline(always)]
    pub(super) fn transform_output<S: Simd>(
        &self,
        simd: S,
        shape: &Shape,
        channel: usize,
        sum: impl Fn(usize) -> S::Vector,
        finish: impl Fn(S::Vector) -> S::Vector,
        mut write: impl FnMut(usize, &[f32]),
    ) {
        let [height, width, ..] = shape.output;
        let mut half = [[simd.splat(0.0); SIDE]; STEP];
        for column in 0..SIDE {
            let line = output_line(
                simd,
                array(
                    #[inline(always)]
                    |row| sum(row * SIDE + column),
                ),
            );
            for (half, value) in half.iter_mut().zip(line) {
                half[column] = value;
            }
        }
        for (row, half) in half.into_iter().enumerate() {
            let mut line = [0.0; LINE];
            let [a, b, c, d] = output_line(simd, half);
            // SAFETY: the line holds four floats for each lane.
            unsafe { simd.store_fours(line.as_mut_ptr(), [finish(a), finish(b), finish(c), finish(d)]) };
            for run in self.iter().filter(|run| run.y + row < height) {
                let count = (run.len * STEP).min(width - run.x);
                let plane = (run.image * shape.output_channels + channel) * shape.output_pixels;
                let start = plane + (run.y + row) * width + run.x;
                write(start, &line[run.lane * STEP..][..count]);
            }
        }
    }

    /// Row `row` of each patch: six vectors of pixels, zeros outside the image.
    #[inline(always)]
    fn patch_row<S: Simd>(
        &self,
        simd: S,
        shape: &Shape,
        x: &[f32],
        channel: usize,
        row: usize,
    ) -> [S::Vector; SIDE] {
        let [height, width, ..] = shape.input;
        // Neighbouring patches share two pixels; between runs the two are kept aside.
        let mut line = [0.0; LINE];
        let mut shared = [[0.0; SIDE - STEP]; MAX_RUNS];
        for (run, shared) in self.iter().zip(&mut shared) {
            let (start, len) = (run.lane * STEP, run.len * STEP + SIDE - STEP);
            let (mut first, mut last) = (len, len);
            if let Some(y) = (run.y + row).checked_sub(shape.pad[0]).filter(|&y| y < height) {
                first = shape.pad[1].saturating_sub(run.x).min(len);
                let from = run.x.saturating_sub(shape.pad[1]).min(width);
                last = first + (len - first).min(width - from);
                let plane = (run.image * shape.input_channels + channel) * shape.input_pixels;
                let source = &x[plane + y * width + from..];
                copy_blocks(source, last - first, &mut line[start + first..]);
            }
            if first > 0 {
                line[start..start + first].fill(0.0);
            }
            if last < len {
                line[start + last..start + len].fill(0.0);
            }
            let target = &line[start..start + len];
            shared.copy_from_slice(&target[run.len * STEP..]);
        }
        // SAFETY: the line holds four floats for each lane, and more than four beyond.
        let ([p0, p1, p2, p3], [mut p4, mut p5, ..]) =
            unsafe { (simd.load_fours(line.as_ptr()), simd.load_fours(line.as_ptr().add(STEP))) };
        for (run, shared) in self.runs[..self.count.saturating_sub(1)].iter().zip(&shared) {
            let last = run.lane + run.len - 1;
            let mask = simd.mask(last, last + 1);
            // SAFETY: the mask names one lane, which lies at the pixel.
            unsafe {
                p4 = simd.load_masked(p4, mask, (&raw const shared[0]).wrapping_sub(last));
                p5 = simd.load_masked(p5, mask, (&raw const shared[1]).wrapping_sub(last));
            }
        }
        [p0, p1, p2, p3, p4, p5]
    }
}

/// Copies `count` floats, and perhaps some more: whole blocks are one instruction, an exact copy is a call.
#[inline(always)]
fn copy_blocks(source: &[f32], count: usize, target: &mut [f32]) {
    for start in (0..count).step_by(BLOCK) {
        match (source[start..].first_chunk::<BLOCK>(), target[start..].first_chunk_mut::<BLOCK>()) {
            (Some(source), Some(target)) => *target = *source,
            _ => target[start..count].copy_from_slice(&source[start..count]),
        }
    }
}
