//! Samples as a product's right-hand matrix.

use crate::cpu::CpuBackend;
use crate::cpu::gemm::{MAX_DEPTH, Matrix, Split, TILE_VECTORS, pack_column_panel};
use crate::cpu::simd::Simd;
use crate::cpu::threads::Disjoint;

/// Packs x, transposed, as the right-hand matrix: `[panel][input][samples in the panel]`.
pub(super) fn pack_samples<S: Simd>(
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
