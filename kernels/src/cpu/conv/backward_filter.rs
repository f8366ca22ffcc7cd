//! The gradient of a convolution with respect to its weights: `dw (+)= Σ dy · x`, over all output pixels of all images.
//!
//! A product whose sums run over pixels: dy, as it lies, is the left matrix, and the right one has a row for each output
//! pixel and a column for each pair of a tap and a channel. For a row to lie together, the image is laid out with its
//! channels innermost (and padded, so that no tap falls outside): then what a few neighbouring taps see of all channels is
//! one run of memory, and a panel of the matrix, which is never written down as a whole, is copied together from such
//! runs. Images are laid out a few at a time, so that they stay in the cache and workspace does not grow with the batch.

use std::ops::Range;

use super::interleaved::Interleaved;
use super::shape::Shape;
use super::{ConvAlgorithm, depthwise};
use crate::cpu::CpuBackend;
use crate::cpu::gemm::{
    Blocked, Finish, Grid, MAX_DEPTH, Segments, Split, TILE_VECTORS, Tile, compute, scratch_len,
};
use crate::cpu::simd::{Simd, WithSimd};
use crate::cpu::threads::Disjoint;
use crate::geometry::ConvGeometry;

/// Floats of workspace that [`run`] needs.
pub(crate) fn workspace_len(cpu: &CpuBackend, geometry: &ConvGeometry) -> usize {
    struct Scratch<'a>(&'a ConvGeometry, usize);
    impl WithSimd for Scratch<'_> {
        type Output = usize;
        fn run<S: Simd>(self, _: S) -> usize {
            let layout = Layout::new(self.0);
            layout.image.staged + layout.sums + self.1 * scratch_len::<S>()
        }
    }
    if is_depthwise(geometry) {
        return 0;
    }
    cpu.level.dispatch(Scratch(geometry, cpu.threads.count()))
}

/// Runs it; the slices are as long as the geometry says.
pub(crate) fn run(
    cpu: &CpuBackend,
    geometry: &ConvGeometry,
    [x, dy]: [&[f32]; 2],
    accumulate: bool,
    dw: &mut [f32],
    workspace: &mut [f32],
) {
    if is_depthwise(geometry) {
        return depthwise::backward_filter(cpu, geometry, [x, dy], accumulate, dw);
    }
    cpu.level.dispatch(Backward { cpu, geometry, x, dy, accumulate, dw, workspace });
}

fn is_depthwise(geometry: &ConvGeometry) -> bool {
    ConvAlgorithm::choose(geometry) == ConvAlgorithm::Depthwise
}

/// How the images are laid out, and what is where in the workspace.
struct Layout {
    image: Interleaved,
    /// Which is dy and which x: where a 1×1 kernel has fewer outputs than inputs, the image is the left matrix as it lies,
    /// and dy is laid out.
    swapped: bool,
    /// Floats from a row of the sums to the next.
    row_stride: usize,
    /// Floats of sums.
    sums: usize,
}

impl Layout {
    fn new(geometry: &ConvGeometry) -> Self {
        let swapped =
            ConvAlgorithm::Pointwise.supports(geometry) && geometry.output_channels < geometry.input_channels;
        let exchanged = ConvGeometry {
            input_channels: geometry.output_channels,
            output_channels: geometry.input_channels,
            ..*geometry
        };
        let shape = Shape::new(if swapped { &exchanged } else { geometry });
        // Not a power of two between rows, which would all fall into the same set of the cache.
        let row_stride = (shape.group_inputs * shape.taps).next_multiple_of(16) + 16;
        let sums = shape.output_channels * row_stride;
        Self { image: Interleaved::new(&shape), swapped, row_stride, sums }
    }
}

struct Backward<'a> {
    cpu: &'a CpuBackend,
    geometry: &'a ConvGeometry,
    x: &'a [f32],
    dy: &'a [f32],
    accumulate: bool,
    dw: &'a mut [f32],
    workspace: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let layout = &Layout::new(self.geometry);
        let (shape, threads) = (&layout.image.shape, &self.cpu.threads);
        let (x, dy) = if layout.swapped { (self.dy, self.x) } else { (self.x, self.dy) };
        let (staged, rest) = self.workspace.split_at_mut(layout.image.staged);
        let (sums, scratch) = rest.split_at_mut(layout.sums);
        let columns = shape.group_inputs * shape.taps;
        let rows = Split::new(shape.group_outputs, S::MAX_ROWS);
        let grid = Grid::new::<S>(columns, rows.parts(), shape.group, threads.count());
        if shape.batch == 0 {
            sums.fill(0.0);
        }
        for first in (0..shape.batch).step_by(layout.image.images) {
            let images = layout.image.images.min(shape.batch - first);
            let staged = &mut staged[..images * shape.group * layout.image.plane];
            layout.image.stage(
                simd,
                threads,
                &x[first * shape.input_channels * shape.input_pixels..],
                staged,
            );
            let sums_of = Sums { layout, rows, staged, dy, first, images };
            let (sums, scratch) = (Disjoint::new(sums), Disjoint::new(scratch));
            threads.run(shape.group * grid.tasks(), |slot, task| {
                let (group, task) = (task / grid.tasks(), task % grid.tasks());
                let (columns, parts) = grid.task(task, columns);
                let len = scratch_len::<S>();
                // SAFETY: a slot is one thread's at a time; tasks have different elements of the sums.
                unsafe { sums_of.add(simd, group, columns, parts, &sums, scratch.slice(slot * len, len)) };
            });
        }
        write(self.cpu, self.geometry, layout, sums, self.accumulate, self.dw);
    }
}

/// What all tiles of the sums over a few images share.
struct Sums<'a> {
    layout: &'a Layout,
    rows: Split,
    staged: &'a [f32],
    dy: &'a [f32],
    /// The first image.
    first: usize,
    images: usize,
}

impl Sums<'_> {
    /// Adds these images' products to the sums in `columns` (starting at a panel) and in the rows of `parts`; the first
    /// image's first are not added but written.
    ///
    /// # Safety
    /// No other thread may touch those sums meanwhile.
    unsafe fn add<S: Simd>(
        &self,
        simd: S,
        group: usize,
        columns: Range<usize>,
        parts: Range<usize>,
        sums: &Disjoint<'_>,
        scratch: &mut [f32],
    ) {
        let (layout, shape) = (self.layout, &self.layout.image.shape);
        let pixels = shape.output_pixels;
        let width = TILE_VECTORS * S::LANES;
        let chunks = Split::new(pixels, MAX_DEPTH);
        let first_row = group * shape.group_outputs;
        assert!(
            self.dy.len() >= (self.first + self.images) * shape.output_channels * pixels,
            "dy is too short"
        );
        assert!(sums.len() >= shape.output_channels * layout.row_stride, "too few sums");
        assert!(columns.end <= shape.group_inputs * shape.taps && layout.row_stride >= columns.end);
        assert!(self.rows.part(0).len() <= S::MAX_ROWS, "rows are cut for another instruction set");
        let mut places = [Segments::empty(simd); TILE_VECTORS];
        for image in 0..self.images {
            let plane =
                &self.staged[(image * shape.group + group) * layout.image.plane..][..layout.image.plane];
            let first_output = (self.first + image) * shape.output_channels + first_row;
            for depth in (0..chunks.parts()).map(|chunk| chunks.part(chunk)) {
                for start in columns.clone().step_by(width) {
                    let end = (start + width).min(columns.end);
                    let vectors = (end - start).div_ceil(S::LANES);
                    let panel = &mut scratch[..depth.len() * vectors * S::LANES];
                    self.pack(simd, plane, depth.clone(), start..end, panel);
                    for (v, places) in places.iter_mut().enumerate().take(vectors) {
                        let from = start + v * S::LANES;
                        let block = Blocked { block: layout.row_stride, stride: layout.row_stride };
                        block.segments(simd, from, end.min(from + S::LANES), places);
                    }
                    for rows in parts.clone().map(|part| self.rows.part(part)) {
                        if rows.is_empty() {
                            continue;
                        }
                        let tile = Tile {
                            a: self.dy[(first_output + rows.start) * pixels + depth.start..].as_ptr(),
                            a_rows: Some(pixels),
                            b: panel.as_ptr(),
                            depth: depth.len(),
                            soon: None,
                            c: sums.as_ptr().wrapping_add((first_row + rows.start) * layout.row_stride),
                            row_stride: layout.row_stride,
                            columns: &places,
                            row_bias: std::ptr::null(),
                            column_bias: std::ptr::null(),
                            accumulate: self.first + image > 0 || depth.start > 0,
                            finish: Finish::Keep,
                        };
                        // SAFETY: the assertions above saw to the sizes of dy and the sums, and to the columns; the panel
                        // was cut to this depth. The caller vouches that these sums are ours.
                        unsafe { compute(simd, rows.len(), vectors, &tile) };
                    }
                }
            }
        }
    }

    /// Copies a panel together: a row for each of the output pixels `depth`.
    fn pack<S: Simd>(
        &self,
        simd: S,
        plane: &[f32],
        depth: Range<usize>,
        columns: Range<usize>,
        panel: &mut [f32],
    ) {
        let (layout, shape) = (self.layout, &self.layout.image.shape);
        let row = shape.row_axis();
        let vectors = columns.len().div_ceil(S::LANES);
        assert!(depth.end <= shape.output_pixels && plane.len() == layout.image.plane);
        assert!(panel.len() >= depth.len() * vectors * S::LANES);
        simd.vectorize(
            #[inline(always)]
            || {
                let mut segments = [Segments::<S>::empty(simd); TILE_VECTORS];
                for (v, segments) in segments.iter_mut().enumerate().take(vectors) {
                    let from = columns.start + v * S::LANES;
                    layout.image.segments(simd, from..columns.end.min(from + S::LANES), segments);
                }
                let mut target = panel.as_mut_ptr();
                let mut pixel = depth.start;
                while pixel < depth.end {
                    let count = (shape.output[row] - pixel % shape.output[row]).min(depth.end - pixel);
                    let mut base = plane.as_ptr().wrapping_add(layout.image.pixel(pixel));
                    for _ in 0..count {
                        for segments in &segments[..vectors] {
                            // SAFETY: every tap sees every output pixel within the plane, which is padded so; the panel has
                            // `vectors` vectors for each pixel, as asserted.
                            unsafe {
                                simd.store(target, segments.load(simd, base));
                                target = target.add(S::LANES);
                            }
                        }
                        base = base.wrapping_add(layout.image.step(row));
                    }
                    pixel += count;
                }
            },
        );
    }
}

/// Brings the sums, whose columns are taps of channels, into the order of the weights.
fn write(
    cpu: &CpuBackend,
    geometry: &ConvGeometry,
    layout: &Layout,
    sums: &[f32],
    accumulate: bool,
    dw: &mut [f32],
) {
    let (channels, taps) = (geometry.group_inputs(), geometry.taps());
    cpu.threads.chunks(dw, channels * taps, 2, |output, dw| {
        let (group, row) = (output / geometry.group_outputs(), output % geometry.group_outputs());
        for (channel, dw) in dw.chunks_exact_mut(taps).enumerate() {
            for (tap, dw) in dw.iter_mut().enumerate() {
                let place = if layout.swapped {
                    (group * channels + channel) * layout.row_stride + row
                } else {
                    output * layout.row_stride + tap * channels + channel
                };
                *dw = if accumulate { *dw + sums[place] } else { sums[place] };
            }
        }
    });
}
