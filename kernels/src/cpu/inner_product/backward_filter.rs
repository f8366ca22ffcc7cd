//! The gradient of the weights.

use super::samples::pack_samples;
use crate::cpu::CpuBackend;
use crate::cpu::gemm::{Blocked, Finish, Matrix, Packed, Product, Split, TILE_VECTORS, pack_row_panel};
use crate::cpu::simd::{Simd, WithSimd};
use crate::cpu::threads::Disjoint;
use crate::geometry::InnerProductGeometry;

/// Panels of columns in a task of [`backward_filter`].
const PANELS_OF_TASK: usize = 64;

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
