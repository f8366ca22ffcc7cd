//! Packing: the left matrix into panels of rows, a plain right matrix into panels of columns.

use std::ops::Range;

use super::micro::{Ahead, LINE, TILE_VECTORS};
use super::split::Split;
use crate::cpu::simd::Simd;

/// A matrix in memory: element (i, j) is `data[i · row_stride + j · column_stride]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    /// The floats.
    pub(crate) data: &'a [f32],
    /// Floats from a row to the next.
    pub(crate) row_stride: usize,
    /// Floats from a column to the next.
    pub(crate) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix of `columns` columns, row after row; or its transpose, if `transposed`.
    pub(crate) fn new(data: &'a [f32], columns: usize, transposed: bool) -> Self {
        let (row_stride, column_stride) = if transposed { (1, columns) } else { (columns, 1) };
        Self { data, row_stride, column_stride }
    }
}

/// Packs the rows of one part of `rows`, times `alpha`, as `[depth][rows in the part]`.
pub(crate) fn pack_row_panel(matrix: Matrix<'_>, rows: Range<usize>, alpha: f32, panel: &mut [f32]) {
    let height = rows.len();
    // In short stretches, so that the part of the panel being written stays in the first-level cache.
    for (index, panel) in panel.chunks_mut(height * STRETCH).enumerate() {
        let first = index * STRETCH * matrix.column_stride;
        if matrix.row_stride == 1 {
            // The rows of a column are neighbours.
            for (column, panel) in panel.chunks_exact_mut(height).enumerate() {
                let source = &matrix.data[first + column * matrix.column_stride + rows.start..][..height];
                for (target, &value) in panel.iter_mut().zip(source) {
                    *target = alpha * value;
                }
            }
            continue;
        }
        for (lane, row) in rows.clone().enumerate() {
            let source = matrix.data[row * matrix.row_stride + first..].iter().step_by(matrix.column_stride);
            for (target, &value) in panel[lane..].iter_mut().step_by(height).zip(source) {
                *target = alpha * value;
            }
        }
    }
}

/// Steps of the depth that are packed at a time.
const STRETCH: usize = 64;

/// Packs all rows, one part of `split` after the other: part `p` starts at `split.part(p).start · depth`.
pub(crate) fn pack_rows(matrix: Matrix<'_>, split: Split, depth: usize, packed: &mut [f32]) {
    for part in 0..split.parts() {
        let rows = split.part(part);
        pack_row_panel(matrix, rows.clone(), 1.0, &mut packed[rows.start * depth..rows.end * depth]);
    }
}

/// The right-hand matrix of a product, handed out in panels of at most `TILE_VECTORS` vectors of columns.
pub(crate) trait Panels<S: Simd>: Sync {
    /// Rows `depth` of columns `columns`, as `[depth][whole vectors]` with zeros past the last column. Either packed
    /// into `scratch` (`MAX_DEPTH · TILE_VECTORS · LANES` floats) or found ready.
    fn panel<'s>(
        &'s self,
        simd: S,
        depth: Range<usize>,
        columns: Range<usize>,
        scratch: &'s mut [f32],
    ) -> &'s [f32];

    /// The cache lines that the panel after this one will be read from, as many as the depth in each of
    /// [`TILE_VECTORS`] turns, where they are easily told.
    fn next(&self, _: S, _turn: usize, _depth: Range<usize>, _columns: Range<usize>) -> Option<Ahead> {
        None
    }
}

impl<S: Simd> Panels<S> for Matrix<'_> {
    fn panel<'s>(
        &'s self,
        simd: S,
        depth: Range<usize>,
        columns: Range<usize>,
        scratch: &'s mut [f32],
    ) -> &'s [f32] {
        let width = columns.len().next_multiple_of(S::LANES);
        let panel = &mut scratch[..depth.len() * width];
        simd.vectorize(
            #[inline(always)]
            || pack_column_panel(*self, depth, columns, width, panel),
        );
        panel
    }
}

/// A right-hand matrix packed once: panel after panel, each over the whole depth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed<'a> {
    /// `[panel][depth][columns in the panel]`.
    pub(crate) data: &'a [f32],
    /// Rows of the matrix.
    pub(crate) depth: usize,
}

impl<S: Simd> Panels<S> for Packed<'_> {
    fn panel<'s>(&'s self, _: S, depth: Range<usize>, columns: Range<usize>, _: &'s mut [f32]) -> &'s [f32] {
        debug_assert_eq!(columns.start % (TILE_VECTORS * S::LANES), 0);
        let width = columns.len().next_multiple_of(S::LANES);
        let start = columns.start * self.depth + depth.start * width;
        &self.data[start..start + depth.len() * width]
    }

    fn next(&self, _: S, turn: usize, depth: Range<usize>, columns: Range<usize>) -> Option<Ahead> {
        // The loop over columns is inside the loop over the depth.
        let width = columns.len().next_multiple_of(S::LANES);
        let start = columns.end * self.depth + depth.start * width + turn * depth.len() * LINE;
        Some(Ahead { start: self.data.as_ptr().wrapping_add(start), step: LINE })
    }
}

/// Packs `depth` × `columns` of `matrix` as `[depth][width]`, with zeros past the last column.
#[inline(always)]
pub(crate) fn pack_column_panel(
    matrix: Matrix<'_>,
    depth: Range<usize>,
    columns: Range<usize>,
    width: usize,
    panel: &mut [f32],
) {
    let count = columns.len();
    if matrix.column_stride == 1 {
        for (row, target) in depth.zip(panel.chunks_exact_mut(width)) {
            let start = row * matrix.row_stride + columns.start;
            target[..count].copy_from_slice(&matrix.data[start..start + count]);
            target[count..].fill(0.0);
        }
        return;
    }
    if count < width {
        panel.fill(0.0);
    }
    for (index, panel) in panel.chunks_mut(width * STRETCH).enumerate() {
        let first = (depth.start + index * STRETCH) * matrix.row_stride;
        for (lane, column) in columns.clone().enumerate() {
            let source =
                matrix.data[first + column * matrix.column_stride..].iter().step_by(matrix.row_stride);
            for (target, &value) in panel[lane..].iter_mut().step_by(width).zip(source) {
                *target = value;
            }
        }
    }
}
