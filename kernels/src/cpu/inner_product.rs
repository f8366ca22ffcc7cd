//! InnerProduct: `y = x · Wᵀ + b`, with W read where it lies, once.
//!
//! W is by far the largest thing that such a layer touches, often a mapped file, and it is used for a few samples only:
//! to pack it would take longer than to multiply with it. So it is W that streams past, and x that is brought into
//! the form that suits: for a few samples each row of W is multiplied into all of them as it comes by; for more, the rows
//! are the left-hand matrix of register tiles, whose right-hand one is x, transposed and packed.

use std::ops::Range;

use super::CpuBackend;
use super::conv::Operands;
use super::gemm::{
    Blocked, Finish, MAX_DEPTH, Matrix, Packed, Panels, Product, Segments, Split, TILE_VECTORS, Tile,
    compute, pack_column_panel, pack_row_panel, pack_rows,
};
use super::simd::{Simd, WithSimd};
use super::threads::Disjoint;
use crate::buffer::Floats;
use crate::geometry::InnerProductGeometry;

/// The most samples that are not worth a register tile.
const FEW: usize = 4;

/// Floats of workspace that [`forward`] needs.
pub(crate) fn workspace_len(cpu: &CpuBackend, geometry: &InnerProductGeometry) -> usize {
    struct Scratch<'a>(&'a InnerProductGeometry, usize);
    impl WithSimd for Scratch<'_> {
        type Output = usize;
        fn run<S: Simd>(self, _: S) -> usize {
            Layout::new::<S>(self.0, self.1).len()
        }
    }
    cpu.level.dispatch(Scratch(geometry, cpu.threads.count()))
}

/// Runs it; the slices are as long as the geometry says.
pub(crate) fn forward(
    cpu: &CpuBackend,
    geometry: &InnerProductGeometry,
    weights: Floats<'_>,
    operands: Operands<'_>,
) {
    cpu.level.dispatch(Forward { cpu, geometry, weights, operands });
}

/// What is where in the workspace, in floats.
struct Layout {
    /// x, packed.
    samples: usize,
    /// The bias, padded to whole vectors.
    bias: usize,
    /// Of each thread: a tile's sums, or panels of W.
    scratch: usize,
    threads: usize,
}

impl Layout {
    fn new<S: Simd>(geometry: &InnerProductGeometry, threads: usize) -> Self {
        let [batch, inputs, outputs] =
            [geometry.batch, geometry.inputs, geometry.outputs].map(|extent| extent as usize);
        let aligned = |len: usize| len.next_multiple_of(16);
        if geometry.transpose {
            let (samples, bias) = (aligned(batch * inputs), aligned(outputs.next_multiple_of(S::LANES)));
            let scratch = WIDE_DEPTH * WIDE_PANELS * TILE_VECTORS * S::LANES;
            return Self { samples, bias, scratch, threads };
        }
        if batch <= FEW {
            return Self { samples: 0, bias: 0, scratch: 0, threads };
        }
        let columns = batch.next_multiple_of(S::LANES);
        Self { samples: aligned(columns * inputs), bias: 0, scratch: aligned(S::MAX_ROWS * columns), threads }
    }

    fn len(&self) -> usize {
        self.samples + self.bias + self.scratch * self.threads
    }
}

struct Forward<'a> {
    cpu: &'a CpuBackend,
    geometry: &'a InnerProductGeometry,
    weights: Floats<'a>,
    operands: Operands<'a>,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        if self.geometry.batch == 0 || self.geometry.outputs == 0 {
            return;
        }
        match self.geometry.batch {
            _ if self.geometry.transpose => self.by_columns(simd),
            1 => self.by_rows::<S, 1>(simd),
            2 => self.by_rows::<S, 2>(simd),
            3 => self.by_rows::<S, 3>(simd),
            4 => self.by_rows::<S, FEW>(simd),
            _ => self.by_tiles(simd),
        }
    }
}

impl Forward<'_> {
    /// A few samples: rows of W one by one, each multiplied into all of them.
    fn by_rows<S: Simd, const BATCH: usize>(self, simd: S) {
        let Self { cpu, geometry, weights, operands } = self;
        let Operands { x, bias, accumulate, finish, y, .. } = operands;
        let (inputs, outputs) = (geometry.inputs as usize, geometry.outputs as usize);
        let y = Disjoint::new(y);
        let tasks = Split::new(outputs, ROWS_OF_TASK);
        cpu.threads.run(tasks.parts(), |_, task| {
            for output in tasks.part(task) {
                let row = weights.part(output * inputs..(output + 1) * inputs);
                let sums = simd.vectorize(
                    #[inline(always)]
                    || dots::<S, BATCH>(simd, row, x),
                );
                let bias = bias.map_or(0.0, |bias| bias[output]);
                for (sample, sum) in sums.into_iter().enumerate() {
                    // SAFETY: an output is one task's.
                    let y = unsafe { y.slice(sample * outputs + output, 1) };
                    let old = if accumulate { y[0] } else { 0.0 };
                    y[0] = finish.scalar(sum + bias + old);
                }
            }
        });
    }

    /// Many samples: rows of W by columns of samples.
    fn by_tiles<S: Simd>(self, simd: S) {
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

    /// W as K×O: a plain product, whose right-hand panels are stretches of W's rows.
    fn by_columns<S: Simd>(self, simd: S) {
        let Self { cpu, geometry, weights, operands } = self;
        let Operands { x, bias, accumulate, finish, y, workspace } = operands;
        let [batch, inputs, outputs] =
            [geometry.batch, geometry.inputs, geometry.outputs].map(|extent| extent as usize);
        let layout = Layout::new::<S>(geometry, cpu.threads.count());
        let (samples, rest) = workspace.split_at_mut(layout.samples);
        let (padded, scratch) = rest.split_at_mut(layout.bias);
        let rows = Split::new(batch, S::MAX_ROWS);
        let chunks = Split::new(inputs, WIDE_DEPTH);
        for depth in (0..chunks.parts()).map(|chunk| chunks.part(chunk)) {
            let source = Matrix {
                data: x.get(depth.start..).unwrap_or_default(),
                row_stride: inputs,
                column_stride: 1,
            };
            let target = &mut samples[batch * depth.start..batch * depth.end];
            pack_rows(source, rows, depth.len(), target);
        }
        if let Some(bias) = bias {
            padded[..outputs].copy_from_slice(bias);
            padded[outputs..].fill(0.0);
        }
        let (samples, padded) = (&*samples, &*padded);
        let Some(weights) = weights.as_slice() else { unreachable!("refused before") };
        let weights = Matrix::new(weights, outputs, false);
        let width = WIDE_PANELS * TILE_VECTORS * S::LANES;
        let (y, scratch) = (Disjoint::new(y), Disjoint::new(scratch));
        cpu.threads.run(outputs.div_ceil(width), |slot, task| {
            let columns = task * width..(task * width + width).min(outputs);
            // SAFETY: a slot is one thread's at a time.
            let panels = unsafe { scratch.slice(slot * layout.scratch, layout.scratch) };
            for chunk in 0..chunks.parts() {
                let depth = chunks.part(chunk);
                let (first, last) = (chunk == 0, chunk + 1 == chunks.parts());
                pack_wide::<S>(simd, weights, depth.clone(), columns.clone(), panels);
                let product = Product {
                    a: &samples[batch * depth.start..batch * depth.end],
                    b: &Packed { data: panels, depth: depth.len() },
                    rows,
                    depth: depth.len(),
                    columns: columns.len(),
                    offset: columns.start,
                    place: Blocked { block: columns.len(), stride: columns.len() },
                    row_stride: outputs,
                    row_bias: None,
                    column_bias: (bias.is_some() && first).then(|| &padded[columns.start..]),
                    accumulate: accumulate || !first,
                    finish: if last { finish } else { Finish::Keep },
                };
                // SAFETY: tasks have different outputs.
                unsafe { product.block(simd, 0..columns.len(), 0..rows.parts(), &y, &mut []) };
            }
        });
    }
}

/// Rows of W that [`Forward::by_columns`] packs at a time.
const WIDE_DEPTH: usize = 128;

/// Rows of W by which memory is asked for ahead of its use.
const ROWS_AHEAD: usize = 4;

/// Panels that it packs side by side: so long a stretch of each row that memory keeps up.
const WIDE_PANELS: usize = 16;

/// Packs rows `depth` of `columns` as `[panel][depth][columns in the panel]`, row after row.
fn pack_wide<S: Simd>(
    simd: S,
    weights: Matrix<'_>,
    depth: Range<usize>,
    columns: Range<usize>,
    panels: &mut [f32],
) {
    let width = TILE_VECTORS * S::LANES;
    simd.vectorize(
        #[inline(always)]
        || {
            for (step, row) in depth.clone().enumerate() {
                let source = &weights.data[row * weights.row_stride..][columns.clone()];
                for (panel, source) in source.chunks(width).enumerate() {
                    let padded = source.len().next_multiple_of(S::LANES);
                    let start = panel * width * depth.len() + step * padded;
                    let target = &mut panels[start..start + padded];
                    if source.len() == width {
                        for v in 0..TILE_VECTORS {
                            let (from, to) =
                                (source[v * S::LANES..].as_ptr(), target[v * S::LANES..].as_mut_ptr());
                            simd.prefetch(from.wrapping_add(ROWS_AHEAD * weights.row_stride));
                            // SAFETY: both are `TILE_VECTORS` vectors long.
                            unsafe { simd.store(to, simd.load(from)) };
                        }
                        continue;
                    }
                    target[..source.len()].copy_from_slice(source);
                    target[source.len()..].fill(0.0);
                }
            }
        },
    );
}

/// Rows of W in a task of [`Forward::by_rows`].
const ROWS_OF_TASK: usize = 16;

/// Register tiles in a task of [`Forward::by_tiles`].
const PARTS_OF_TASK: usize = 4;

/// Floats by which memory is asked for ahead of its use: a page of the system's ends what the processor guesses itself.
const AHEAD: usize = 1024;

/// The products of one row with each of `BATCH` samples, which lie one after the other in `x`.
#[inline(always)]
fn dots<S: Simd, const BATCH: usize>(simd: S, row: Floats<'_>, x: &[f32]) -> [f32; BATCH] {
    const UNROLL: usize = 4;
    let len = row.len();
    assert!(x.len() >= BATCH * len, "x is too short");
    let mut sums = [[simd.splat(0.0); UNROLL]; BATCH];
    let step = UNROLL * S::LANES;
    let whole = len / step * step;
    for at in (0..whole).step_by(step) {
        for line in (0..step).step_by(16) {
            simd.prefetch(row.as_ptr().wrapping_add(at + line + AHEAD));
        }
        for v in 0..UNROLL {
            let place = at + v * S::LANES;
            // SAFETY: `place + LANES` is at most `whole`, and both slices are as long, x for each sample.
            unsafe {
                let weights = simd.load(row.as_ptr().add(place));
                for (sample, sums) in sums.iter_mut().enumerate() {
                    let values = simd.load(x.as_ptr().add(sample * len + place));
                    sums[v] = simd.mul_add(weights, values, sums[v]);
                }
            }
        }
    }
    std::array::from_fn(
        #[inline(always)]
        |sample| {
            let [a, b, c, d] = sums[sample];
            let sum = simd.add(simd.add(a, b), simd.add(c, d));
            let mut lanes = [0.0; 16];
            // SAFETY: the array is at least a vector long.
            unsafe { simd.store(lanes.as_mut_ptr(), sum) };
            let rest = (whole..len).map(|place| row.at(place) * x[sample * len + place]);
            lanes.iter().sum::<f32>() + rest.sum::<f32>()
        },
    )
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

/// Packs x, transposed, as the right-hand matrix: `[panel][input][samples in the panel]`.
fn pack_samples<S: Simd>(
    simd: S,
    cpu: &CpuBackend,
    x: Matrix<'_>,
    inputs: usize,
    batch: usize,
    packed: &mut [f32],
) {
    let panel = TILE_VECTORS * S::LANES;
    let pieces = Split::new(inputs, MAX_DEPTH);
    let packed = Disjoint::new(packed);
    cpu.threads.run(batch.div_ceil(panel) * pieces.parts(), |_, task| {
        let (start, depth) = (task / pieces.parts() * panel, pieces.part(task % pieces.parts()));
        let columns = start..(start + panel).min(batch);
        let width = columns.len().next_multiple_of(S::LANES);
        // SAFETY: pieces do not overlap, and each is one task's.
        let target = unsafe { packed.slice(start * inputs + depth.start * width, depth.len() * width) };
        simd.vectorize(
            #[inline(always)]
            || pack_column_panel(x, depth, columns, width, target),
        );
    });
}

/// Floats of workspace that [`backward_filter`] needs: both operands, packed.
pub(crate) fn backward_filter_workspace_len(cpu: &CpuBackend, geometry: &InnerProductGeometry) -> usize {
    struct Packing<'a>(&'a InnerProductGeometry);
    impl WithSimd for Packing<'_> {
        type Output = usize;
        fn run<S: Simd>(self, _: S) -> usize {
            let [rows, columns] = extents(self.0);
            let batch = self.0.batch as usize;
            (rows * batch).next_multiple_of(16) + columns.next_multiple_of(S::LANES) * batch
        }
    }
    cpu.level.dispatch(Packing(geometry))
}

/// `dw (+)= dyᵀ · x`, or its transpose: W, which is large, is written once, row after row.
pub(crate) fn backward_filter(
    cpu: &CpuBackend,
    geometry: &InnerProductGeometry,
    [x, dy]: [&[f32]; 2],
    accumulate: bool,
    dw: &mut [f32],
    workspace: &mut [f32],
) {
    cpu.level.dispatch(BackwardFilter { cpu, geometry, x, dy, accumulate, dw, workspace });
}

/// Rows and columns of W.
fn extents(geometry: &InnerProductGeometry) -> [usize; 2] {
    let (inputs, outputs) = (geometry.inputs as usize, geometry.outputs as usize);
    if geometry.transpose { [inputs, outputs] } else { [outputs, inputs] }
}

struct BackwardFilter<'a> {
    cpu: &'a CpuBackend,
    geometry: &'a InnerProductGeometry,
    x: &'a [f32],
    dy: &'a [f32],
    accumulate: bool,
    dw: &'a mut [f32],
    workspace: &'a mut [f32],
}

impl WithSimd for BackwardFilter<'_> {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let Self { cpu, geometry, x, dy, accumulate, dw, workspace } = self;
        let [rows, columns] = extents(geometry);
        let batch = geometry.batch as usize;
        if batch == 0 || columns == 0 {
            if !accumulate {
                dw.fill(0.0);
            }
            return;
        }
        let (left, right) = if geometry.transpose { (x, dy) } else { (dy, x) };
        let (packed_left, packed_right) = workspace.split_at_mut((rows * batch).next_multiple_of(16));
        let parts = Split::new(rows, S::MAX_ROWS);
        let shared = Disjoint::new(packed_left);
        cpu.threads.run(parts.parts(), |_, part| {
            let part = parts.part(part);
            // SAFETY: the parts do not overlap, and each is one task's.
            let panel = unsafe { shared.slice(part.start * batch, part.len() * batch) };
            pack_row_panel(Matrix::new(left, rows, true), part, 1.0, panel);
        });
        pack_samples(simd, cpu, Matrix::new(right, columns, false), batch, columns, packed_right);
        let product = Product {
            a: packed_left,
            b: &Packed { data: packed_right, depth: batch },
            rows: parts,
            depth: batch,
            columns,
            offset: 0,
            place: Blocked { block: columns, stride: columns },
            row_stride: columns,
            row_bias: None,
            column_bias: None,
            accumulate,
            finish: Finish::Keep,
        };
        // A task is a few rows of W from one end to the other, unless there are too few of those.
        let width = PANELS_OF_TASK * TILE_VECTORS * S::LANES;
        let across = columns.div_ceil(width);
        let dw = Disjoint::new(dw);
        cpu.threads.run(parts.parts() * across, |_, task| {
            let (part, start) = (task / across, task % across * width);
            // SAFETY: tasks have different elements of dw.
            unsafe { product.block(simd, start..(start + width).min(columns), part..part + 1, &dw, &mut []) };
        });
    }
}

/// Panels of columns in a task of [`backward_filter`].
const PANELS_OF_TASK: usize = 64;
