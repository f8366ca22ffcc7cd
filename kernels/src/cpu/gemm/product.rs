//! A product of a packed left matrix and panels of a right one: the loop over tiles, and the cut into tasks.

use std::ops::Range;

use super::micro::{Finish, TILE_VECTORS, Tile, compute};
use super::pack::Panels;
use super::segments::{Blocked, Segments};
use super::split::{MAX_DEPTH, Split};
use crate::cpu::simd::Simd;
use crate::cpu::threads::{Disjoint, Threads};

/// Floats of scratch that a task needs to pack one panel.
pub(crate) fn scratch_len<S: Simd>() -> usize {
    MAX_DEPTH * TILE_VECTORS * S::LANES
}

/// `C = finish(A · B + bias (+ C))`, with C's columns placed by `place`.
pub(crate) struct Product<'a, P> {
    /// Packed by `rows`: part `p` starts at `rows.part(p).start · depth`.
    pub(crate) a: &'a [f32],
    /// The right-hand matrix.
    pub(crate) b: &'a P,
    /// Rows of A, cut into register tiles.
    pub(crate) rows: Split,
    /// Length of the sums.
    pub(crate) depth: usize,
    /// Columns of B.
    pub(crate) columns: usize,
    /// Where in the output C starts.
    pub(crate) offset: usize,
    /// Where C's columns lie in a row.
    pub(crate) place: Blocked,
    /// Floats from a row of C to the next.
    pub(crate) row_stride: usize,
    /// One float a row.
    pub(crate) row_bias: Option<&'a [f32]>,
    /// One float a column, padded with whatever to whole vectors.
    pub(crate) column_bias: Option<&'a [f32]>,
    /// Whether C's old value is added.
    pub(crate) accumulate: bool,
    /// What is done last.
    pub(crate) finish: Finish,
}

/// The cut of a product into tasks: blocks of columns, and where there are too few of those, blocks of rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    units: Split,
    rows: Split,
    /// Columns of a unit: of a panel where there are many, else of a vector.
    width: usize,
    /// Panels of a unit.
    panels: f32,
}

impl Grid {
    /// A cut that keeps `threads` threads evenly busy. A task packs its own panels, so rows are cut only where there
    /// are too few panels to go round. `copies` products of the same size run side by side.
    pub(crate) fn new<S: Simd>(columns: usize, row_parts: usize, copies: usize, threads: usize) -> Self {
        let panel = TILE_VECTORS * S::LANES;
        let many = columns.div_ceil(panel) * copies >= threads * 16;
        let width = if many || threads == 1 { panel } else { S::LANES };
        let units = columns.div_ceil(width);
        let panels = width as f32 / panel as f32;
        let grid = |unit_parts: usize, rows: usize| Self {
            units: Split::new(units, units.div_ceil(unit_parts.max(1)).max(1)),
            rows: Split::new(row_parts, row_parts.div_ceil(rows.max(1)).max(1)),
            width,
            panels,
        };
        let least = columns.div_ceil(MAX_PANELS * panel);
        if threads == 1 {
            return grid(least, 1);
        }
        if many {
            return grid(least.max((threads * 6).div_ceil(copies)), 1);
        }
        let mut best = (f32::INFINITY, grid(least, 1));
        for unit_parts in least..=units.min(threads * 4).max(least) {
            for rows in 1..=row_parts.min(threads * 2) {
                let candidate = grid(unit_parts, rows);
                let cost = candidate.cost(copies, threads);
                if cost < best.0 {
                    best = (cost, candidate);
                }
            }
        }
        best.1
    }

    /// How many tasks.
    pub(crate) fn tasks(self) -> usize {
        self.units.parts() * self.rows.parts()
    }

    /// The columns and the parts of rows of task `index`.
    pub(crate) fn task(self, index: usize, columns: usize) -> (Range<usize>, Range<usize>) {
        let units = self.units.part(index / self.rows.parts());
        let range = units.start * self.width..(units.end * self.width).min(columns);
        (range, self.rows.part(index % self.rows.parts()))
    }

    /// How long the busiest thread works, in tiles.
    fn cost(self, copies: usize, threads: usize) -> f32 {
        let rounds = (self.tasks() * copies).div_ceil(threads);
        let panels = self.units.part(0).len() as f32 * self.panels;
        rounds as f32 * (panels * (PACKING + self.rows.part(0).len() as f32) + TASK)
    }
}

/// Panels in a task, at most: enough of them to make good use of the rows of A they all need.
const MAX_PANELS: usize = 16;

/// What fetching and packing a panel costs, in tiles.
const PACKING: f32 = 0.75;

/// What starting a task costs, in tiles.
const TASK: f32 = 0.2;

impl<P> Product<'_, P> {
    /// Computes the product with all threads. `scratch` holds [`scratch_len`] floats for each of them.
    pub(crate) fn run<S: Simd>(&self, simd: S, threads: &Threads, c: &mut [f32], scratch: &mut [f32])
    where
        P: Panels<S>,
    {
        if self.columns == 0 {
            return;
        }
        let grid = Grid::new::<S>(self.columns, self.rows.parts(), 1, threads.count());
        let (c, scratch) = (Disjoint::new(c), Disjoint::new(scratch));
        threads.run(grid.tasks(), |slot, task| {
            let len = scratch_len::<S>();
            // SAFETY: a slot is one thread's at a time.
            let scratch = unsafe { scratch.slice(slot * len, len) };
            let (columns, parts) = grid.task(task, self.columns);
            // SAFETY: tasks have different elements of C.
            unsafe { self.block(simd, columns, parts, &c, scratch) };
        });
    }

    /// Computes the elements of C in `columns` (starting at a panel, where those are packed) and in the rows of `parts`.
    ///
    /// # Safety
    /// No other thread may touch those elements meanwhile.
    pub(crate) unsafe fn block<S: Simd>(
        &self,
        simd: S,
        columns: Range<usize>,
        parts: Range<usize>,
        c: &Disjoint<'_>,
        scratch: &mut [f32],
    ) where
        P: Panels<S>,
    {
        self.check::<S>(c.len());
        let chunks = Split::new(self.depth, MAX_DEPTH);
        let width = TILE_VECTORS * S::LANES;
        let mut segments = [Segments::empty(simd); TILE_VECTORS];
        for chunk in 0..chunks.parts() {
            let depth = chunks.part(chunk);
            let (first, last) = (chunk == 0, chunk + 1 == chunks.parts());
            for start in columns.clone().step_by(width) {
                let end = (start + width).min(columns.end);
                let vectors = (end - start).div_ceil(S::LANES);
                for (v, segments) in segments.iter_mut().enumerate().take(vectors) {
                    let from = start + v * S::LANES;
                    self.place.segments(simd, from, end.min(from + S::LANES), segments);
                }
                let panel = self.b.panel(simd, depth.clone(), start..end, scratch);
                assert!(panel.len() >= depth.len() * vectors * S::LANES);
                for (index, part) in parts.clone().enumerate() {
                    let rows = self.rows.part(part);
                    if rows.is_empty() {
                        continue;
                    }
                    let tile = Tile {
                        a: self.a[rows.start * self.depth + depth.start * rows.len()..].as_ptr(),
                        a_rows: None,
                        b: panel.as_ptr(),
                        depth: depth.len(),
                        // The first tile is busy fetching this panel; the ones after it fetch the next.
                        soon: match index.checked_sub(1) {
                            Some(turn) if turn < TILE_VECTORS => {
                                self.b.next(simd, turn, depth.clone(), start..end)
                            }
                            _ => None,
                        },
                        c: c.as_ptr().wrapping_add(self.offset + rows.start * self.row_stride),
                        row_stride: self.row_stride,
                        columns: &segments,
                        row_bias: bias(self.row_bias, first, rows.start),
                        column_bias: bias(self.column_bias, first, start),
                        accumulate: self.accumulate || !first,
                        finish: if last { self.finish } else { Finish::Keep },
                    };
                    // SAFETY: `check` saw to the sizes of A, C and the biases, the assertion above to the
                    // panel's; the caller vouches that these elements of C are ours.
                    unsafe { compute(simd, rows.len(), vectors, &tile) };
                }
            }
        }
    }

    /// That all the slices are as long as the sizes say.
    fn check<S: Simd>(&self, c_len: usize) {
        let rows = self.rows.part(self.rows.parts() - 1).end;
        assert!(self.a.len() >= rows * self.depth, "A is too short");
        assert!(self.row_bias.is_none_or(|bias| bias.len() >= rows), "too few row biases");
        let padded = self.columns.next_multiple_of(S::LANES);
        assert!(self.column_bias.is_none_or(|bias| bias.len() >= padded), "too few column biases");
        assert!(self.rows.part(0).len() <= S::MAX_ROWS, "rows are cut for another instruction set");
        if rows > 0 && self.columns > 0 {
            let last = self.columns - 1;
            let farthest = self.offset
                + last / self.place.block * self.place.stride
                + (self.place.block - 1).min(last)
                + (rows - 1) * self.row_stride;
            assert!(farthest < c_len, "C is too short");
        }
    }
}

/// The bias pointer of a tile that starts at `start`; null where none is to be added.
fn bias(bias: Option<&[f32]>, first: bool, start: usize) -> *const f32 {
    match bias {
        Some(bias) if first => bias[start..].as_ptr(),
        _ => std::ptr::null(),
    }
}
