//! 1×1 convolution with stride 1: the image, as it lies, is the right-hand matrix.

use std::ops::Range;

use super::{Filters, Operands};
use crate::buffer::Aligned;
use crate::cpu::CpuBackend;
use crate::cpu::gemm::{
    Ahead, Blocked, Grid, LINE, Panels, Product, Segments, Split, TILE_VECTORS, pack_row_panel, scratch_len,
};
use crate::cpu::simd::{Simd, WithSimd};
use crate::cpu::threads::Disjoint;
use crate::error::Result;
use crate::geometry::ConvGeometry;

/// Weights packed into panels of rows, group after group.
#[derive(Debug)]
pub(crate) struct Plan {
    weights: Aligned,
    rows: Split,
    workspace: usize,
}

impl Plan {
    pub(crate) fn new(cpu: &CpuBackend, geometry: &ConvGeometry) -> Result<Self> {
        cpu.level.dispatch(Prepare { cpu, geometry })
    }

    pub(crate) fn repack(&mut self, cpu: &CpuBackend, geometry: &ConvGeometry, filters: Filters<'_>) {
        let (rows, depth) = (geometry.group_outputs(), geometry.group_inputs());
        let split = self.rows;
        let packed = Disjoint::new(self.weights.as_mut_slice());
        cpu.threads.run(geometry.group as usize * split.parts(), |_, task| {
            let (group, part) = (task / split.parts(), split.part(task % split.parts()));
            // SAFETY: the parts do not overlap, and each is one task's.
            let panel = unsafe { packed.slice((group * rows + part.start) * depth, part.len() * depth) };
            pack_row_panel(filters.matrix(group), part, 1.0, panel);
        });
    }

    /// A panel for each thread.
    pub(crate) fn workspace_len(&self) -> usize {
        self.workspace
    }

    pub(crate) fn forward(&self, cpu: &CpuBackend, geometry: &ConvGeometry, operands: Operands<'_>) {
        cpu.level.dispatch(Forward { cpu, geometry, weights: self.weights.as_slice(), operands });
    }
}

struct Prepare<'a> {
    cpu: &'a CpuBackend,
    geometry: &'a ConvGeometry,
}

impl WithSimd for Prepare<'_> {
    type Output = Result<Plan>;

    fn run<S: Simd>(self, _: S) -> Result<Plan> {
        let weights = Aligned::zeroed(self.geometry.weight_len())?;
        let rows = Split::new(self.geometry.group_outputs(), S::MAX_ROWS);
        Ok(Plan { weights, rows, workspace: self.cpu.threads.count() * scratch_len::<S>() })
    }
}

struct Forward<'a> {
    cpu: &'a CpuBackend,
    geometry: &'a ConvGeometry,
    weights: &'a [f32],
    operands: Operands<'a>,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let Operands { x, bias, accumulate, finish, y, workspace } = self.operands;
        let (rows, depth) = (self.geometry.group_outputs(), self.geometry.group_inputs());
        let groups = self.geometry.group as usize;
        let pixels = self.geometry.output_pixels();
        let columns = self.geometry.batch as usize * pixels;
        if columns == 0 {
            return;
        }
        let split = Split::new(rows, S::MAX_ROWS);
        let grid = Grid::new::<S>(columns, split.parts(), groups, self.cpu.threads.count());
        let (y, scratch) = (Disjoint::new(y), Disjoint::new(workspace));
        self.cpu.threads.run(groups * grid.tasks(), |slot, task| {
            let (group, task) = (task / grid.tasks(), task % grid.tasks());
            let image = Image {
                x: &x[group * depth * pixels..],
                pixels,
                stride: self.geometry.input_channels as usize * pixels,
                depth,
            };
            let product = Product {
                a: &self.weights[group * rows * depth..][..rows * depth],
                b: &image,
                rows: split,
                depth,
                columns,
                offset: group * rows * pixels,
                place: Blocked { block: pixels, stride: groups * rows * pixels },
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

/// Images side by side: column `j` is pixel `j % pixels` of image `j / pixels`, row `c` is channel c.
struct Image<'a> {
    x: &'a [f32],
    pixels: usize,
    stride: usize,
    depth: usize,
}

impl<S: Simd> Panels<S> for Image<'_> {
    fn panel<'s>(
        &'s self,
        simd: S,
        depth: Range<usize>,
        columns: Range<usize>,
        scratch: &'s mut [f32],
    ) -> &'s [f32] {
        let vectors = columns.len().div_ceil(S::LANES);
        let panel = &mut scratch[..depth.len() * vectors * S::LANES];
        let last = columns.end - 1;
        let farthest = last / self.pixels * self.stride + self.depth * self.pixels;
        assert!(farthest <= self.x.len() && depth.end <= self.depth, "the image is too short");
        let place = Blocked { block: self.pixels, stride: self.stride };
        simd.vectorize(
            #[inline(always)]
            || {
                let mut segments = [Segments::<S>::empty(simd); TILE_VECTORS];
                for (v, segments) in segments.iter_mut().enumerate().take(vectors) {
                    let from = columns.start + v * S::LANES;
                    place.segments(simd, from, columns.end.min(from + S::LANES), segments);
                }
                for (row, target) in depth.clone().zip(panel.chunks_exact_mut(vectors * S::LANES)) {
                    let base = self.x.as_ptr().wrapping_add(row * self.pixels);
                    for (segments, target) in segments.iter().zip(target.chunks_exact_mut(S::LANES)) {
                        // SAFETY: every pixel of every channel below `self.depth` lies in x, as asserted for
                        // the last image; `target` is a vector long.
                        unsafe { simd.store(target.as_mut_ptr(), segments.load(simd, base)) };
                    }
                }
            },
        );
        panel
    }

    fn next(&self, _: S, turn: usize, depth: Range<usize>, columns: Range<usize>) -> Option<Ahead> {
        let (image, pixel) = (columns.end / self.pixels, columns.end % self.pixels);
        let start = image * self.stride + depth.start * self.pixels + pixel + turn * LINE;
        Some(Ahead { start: self.x.as_ptr().wrapping_add(start), step: self.pixels })
    }
}
