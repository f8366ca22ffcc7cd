//! The product of two plain matrices.

use super::micro::Finish;
use super::pack::{Matrix, pack_row_panel};
use super::product::{Product, scratch_len};
use super::segments::Blocked;
use super::split::Split;
use crate::cpu::CpuBackend;
use crate::cpu::simd::{Simd, WithSimd};
use crate::cpu::threads::Disjoint;
use crate::geometry::GemmGeometry;

/// Floats of workspace that [`forward`] needs: A packed, and a panel of B for each thread.
pub(crate) fn workspace_len(cpu: &CpuBackend, geometry: &GemmGeometry) -> usize {
    struct Scratch;
    impl WithSimd for Scratch {
        type Output = usize;
        fn run<S: Simd>(self, _: S) -> usize {
            scratch_len::<S>()
        }
    }
    let a = (geometry.m as usize * geometry.k as usize).next_multiple_of(16);
    a + cpu.threads.count() * cpu.level.dispatch(Scratch)
}

/// `c = alpha · op(a) · op(b) + beta · c`; the slices are as long as the geometry says.
pub(crate) fn forward(
    cpu: &CpuBackend,
    geometry: &GemmGeometry,
    [a, b]: [&[f32]; 2],
    c: &mut [f32],
    workspace: &mut [f32],
) {
    if geometry.beta == 0.0 {
        if geometry.k == 0 {
            c.fill(0.0);
        }
    } else if geometry.beta.to_bits() != 1.0f32.to_bits() {
        cpu.threads.chunks(c, 4096, 1, |_, part| part.iter_mut().for_each(|value| *value *= geometry.beta));
    }
    if geometry.k > 0 {
        cpu.level.dispatch(Gemm { cpu, geometry, a, b, c, workspace });
    }
}

struct Gemm<'a> {
    cpu: &'a CpuBackend,
    geometry: &'a GemmGeometry,
    a: &'a [f32],
    b: &'a [f32],
    c: &'a mut [f32],
    workspace: &'a mut [f32],
}

impl WithSimd for Gemm<'_> {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let geometry = self.geometry;
        let [m, n, k] = [geometry.m as usize, geometry.n as usize, geometry.k as usize];
        let left = Matrix::new(self.a, if geometry.transpose_a { m } else { k }, geometry.transpose_a);
        let right = Matrix::new(self.b, if geometry.transpose_b { k } else { n }, geometry.transpose_b);
        let rows = Split::new(m, S::MAX_ROWS);
        let (packed, scratch) = self.workspace.split_at_mut((m * k).next_multiple_of(16));
        let packed = &mut packed[..m * k];
        let shared = Disjoint::new(packed);
        self.cpu.threads.run(rows.parts(), |_, part| {
            let part = rows.part(part);
            // SAFETY: the parts do not overlap, and each is one task's.
            let panel = unsafe { shared.slice(part.start * k, part.len() * k) };
            pack_row_panel(left, part, geometry.alpha, panel);
        });
        let product = Product {
            a: packed,
            b: &right,
            rows,
            depth: k,
            columns: n,
            offset: 0,
            place: Blocked { block: n.max(1), stride: n },
            row_stride: n,
            row_bias: None,
            column_bias: None,
            accumulate: geometry.beta != 0.0,
            finish: Finish::Keep,
        };
        product.run(simd, &self.cpu.threads, self.c, scratch);
    }
}
