//! InnerProduct: `y = x · Wᵀ + b`, with W read where it lies, once.
//!
//! W is by far the largest thing that such a layer touches, often a mapped file, and it is used for a few samples only:
//! to pack it would take longer than to multiply with it. So it is W that streams past, and x that is brought into
//! the form that suits: for a few samples each row of W is multiplied into all of them as it comes by; for more, the rows
//! are the left-hand matrix of register tiles, whose right-hand one is x, transposed and packed.

mod backward_filter;
mod by_columns;
mod by_rows;
mod by_tiles;
mod samples;

pub(crate) use backward_filter::{backward_filter, backward_filter_workspace_len};

use super::CpuBackend;
use super::conv::Operands;
use super::gemm::TILE_VECTORS;
use super::simd::{Simd, WithSimd};
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
            let scratch = by_columns::DEPTH * by_columns::PANELS * TILE_VECTORS * S::LANES;
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
