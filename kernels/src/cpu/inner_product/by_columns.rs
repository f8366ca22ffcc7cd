//! W as it is stored transposed, inputs×outputs: a plain product, whose right-hand panels are stretches of its rows.

use std::ops::Range;

use super::{Forward, Layout};
use crate::cpu::conv::Operands;
use crate::cpu::gemm::{Blocked, Finish, Matrix, Packed, Product, Split, TILE_VECTORS, pack_rows};
use crate::cpu::simd::Simd;
use crate::cpu::threads::Disjoint;

/// Rows of W that [`Forward::by_columns`] packs at a time.
pub(super) const DEPTH: usize = 128;

/// Rows of W by which memory is asked for ahead of its use.
const ROWS_AHEAD: usize = 4;

/// Panels that it packs side by side: so long a stretch of each row that memory keeps up.
pub(super) const PANELS: usize = 16;

impl Forward<'_> {
    /// W as K×O: a plain product, whose right-hand panels are stretches of W's rows.
    pub(super) fn by_columns<S: Simd>(self, simd: S) {
        let Self { cpu, geometry, weights, operands } = self;
        let Operands { x, bias, accumulate, finish, y, workspace } = operands;
        let [batch, inputs, outputs] =
            [geometry.batch, geometry.inputs, geometry.outputs].map(|extent| extent as usize);
        let layout = Layout::new::<S>(geometry, cpu.threads.count());
        let (samples, rest) = workspace.split_at_mut(layout.samples);
        let (padded, scratch) = rest.split_at_mut(layout.bias);
        let rows = Split::new(batch, S::MAX_ROWS);
        let chunks = Split::new(inputs, DEPTH);
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
        let width = PANELS * TILE_VECTORS * S::LANES;
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
