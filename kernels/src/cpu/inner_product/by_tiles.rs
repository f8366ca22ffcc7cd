//! Many samples: register tiles of rows of W by columns of samples.

use std::ops::Range;

use super::samples::pack_samples;
use super::{Forward, Layout};
use crate::buffer::Floats;
use crate::cpu::conv::Operands;
use crate::cpu::gemm::{
    Finish, MAX_DEPTH, Matrix, Packed, Panels, Segments, Split, TILE_VECTORS, Tile, compute,
};
use crate::cpu::simd::Simd;
use crate::cpu::threads::Disjoint;

/// Register tiles in a task of [`Forward::by_tiles`].
const PARTS_OF_TASK: usize = 4;

impl Forward<'_> {
    /// Many samples: rows of W by columns of samples.
    pub(super) fn by_tiles<S: Simd>(self, simd: S) {
        let Self { cpu, geometry, weights, operands } = self;
        let Operands { x, bias, accumulate, finish, y, workspace } = operands;
        let [batch, inputs, outputs] =
            [geometry.batch, geometry.inputs, geometry.outputs].map(|extent| extent as usize);
        let layout = Layout::new::<S>(geometry, cpu.threads.count());
        let (samples, scratch) = workspace.split_at_mut(layout.samples);
        pack_samples(simd, cpu, Matrix::new(x, inputs, true), inputs, batch, samples);
        let tiles = Tiles {
            weights,
            samples: Packed { data: samples, depth: inputs },
            bias,
            accumulate,
            finish,
            batch,
            inputs,
            outputs,
            width: batch.next_multiple_of(S::LANES),
        };
        let rows = Split::new(outputs, S::MAX_ROWS);
        let tasks = Split::new(rows.parts(), PARTS_OF_TASK);
        let (y, scratch) = (Disjoint::new(y), Disjoint::new(scratch));
        cpu.threads.run(tasks.parts(), |slot, task| {
            // SAFETY: a slot is one thread's at a time.
            let sums = unsafe { scratch.slice(slot * layout.scratch, layout.scratch) };
            for part in tasks.part(task) {
                tiles.compute(simd, rows.part(part), sums, &y);
            }
        });
    }
}

/// What all tiles of a product share.
struct Tiles<'a> {
    weights: Floats<'a>,
    samples: Packed<'a>,
    bias: Option<&'a [f32]>,
    accumulate: bool,
    finish: Finish,
    batch: usize,
    inputs: usize,
    outputs: usize,
    /// Samples, in whole vectors.
    width: usize,
}

impl Tiles<'_> {
    /// All samples' outputs `rows`, summed in `sums`, rows × samples, and then put in their places.
    fn compute<S: Simd>(&self, simd: S, rows: Range<usize>, sums: &mut [f32], y: &Disjoint<'_>) {
        let (width, panel) = (self.width, TILE_VECTORS * S::LANES);
        let height = rows.len();
        assert!(rows.end * self.inputs <= self.weights.len(), "W is too short");
        assert!(height * width <= sums.len() && height <= S::MAX_ROWS, "a tile is too large");
        assert!(self.bias.is_none_or(|bias| bias.len() >= rows.end), "too few biases");
        if self.accumulate {
            for (row, sums) in rows.clone().zip(sums.chunks_exact_mut(width)) {
                for (sample, sum) in sums.iter_mut().enumerate().take(self.batch) {
                    // SAFETY: these outputs are this task's.
                    *sum = unsafe { y.slice(sample * self.outputs + row, 1) }[0];
                }
            }
        }
        let chunks = Split::new(self.inputs, MAX_DEPTH);
        let mut segments = [Segments::empty(simd); TILE_VECTORS];
        for chunk in 0..chunks.parts() {
            let depth = chunks.part(chunk);
            let (first, last) = (chunk == 0, chunk + 1 == chunks.parts());
            for start in (0..width).step_by(panel) {
                let end = (start + panel).min(width);
                let vectors = (end - start) / S::LANES;
                for (v, segments) in segments.iter_mut().enumerate().take(vectors) {
                    segments.clear();
                    segments.push(simd, 0, S::LANES, (start + v * S::LANES) as isize);
                }
                let samples = self.samples.panel(simd, depth.clone(), start..end, &mut []);
                assert!(samples.len() >= depth.len() * vectors * S::LANES, "too few samples");
                let tile = Tile {
                    a: self.weights.as_ptr().wrapping_add(rows.start * self.inputs + depth.start),
                    a_rows: Some(self.inputs),
                    b: samples.as_ptr(),
                    depth: depth.len(),
                    soon: None,
                    c: sums.as_mut_ptr(),
                    row_stride: width,
                    columns: &segments,
                    row_bias: match self.bias {
                        Some(bias) if first => bias[rows.start..].as_ptr(),
                        _ => std::ptr::null(),
                    },
                    column_bias: std::ptr::null(),
                    accumulate: self.accumulate || !first,
                    finish: if last { self.finish } else { Finish::Keep },
                };
                // SAFETY: the assertions above saw to the sizes of W, the samples, the sums and the biases; the sums
                // are this call's alone.
                unsafe { compute(simd, height, vectors, &tile) };
            }
        }
        for (row, sums) in rows.zip(sums.chunks_exact(width)) {
            for (sample, &sum) in sums.iter().enumerate().take(self.batch) {
                // SAFETY: these outputs are this task's.
                let y = unsafe { y.slice(sample * self.outputs + row, 1) };
                y[0] = sum;
            }
        }
    }
}
