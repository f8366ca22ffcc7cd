//! The innermost loop: one register tile of `C (+)= A · B`.
//!
//! A tile has up to [`Simd::MAX_ROWS`] rows and one or two vectors of columns. A is broadcast, and comes as
//! `[depth][rows]` or, where it is used too rarely to be packed, as rows where they lie; B comes as `[depth][vectors · LANES]`; each sum runs over the depth in order, in one chain of
//! multiply-adds, so that an element's bits do not depend on the tile it falls in.

use std::ptr;

use super::segments::Segments;
use crate::cpu::simd::{Simd, array};

/// Vectors of columns in a full tile.
pub(crate) const TILE_VECTORS: usize = 2;

/// Floats of a cache line.
pub(crate) const LINE: usize = 16;

/// What is done to a sum as it leaves the registers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Finish {
    /// Nothing.
    Keep,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0) + slope · min(x, 0)`.
    LeakyRelu(f32),
    /// `max(low, min(x, high))`.
    Clip(f32, f32),
}

impl Finish {
    /// One number.
    #[inline(always)]
    pub(crate) fn scalar(self, x: f32) -> f32 {
        let (above, below) = (if 0.0 > x { 0.0 } else { x }, if 0.0 < x { 0.0 } else { x });
        match self {
            Self::Keep => x,
            Self::Relu => above,
            Self::LeakyRelu(slope) => slope.mul_add(below, above),
            Self::Clip(low, high) => {
                let lowered = if high < x { high } else { x };
                if low > lowered { low } else { lowered }
            }
        }
    }

    /// A vector's worth.
    #[inline(always)]
    pub(crate) fn vector<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        // The constant goes first, so that a NaN in `x` stays one.
        let zero = simd.splat(0.0);
        match self {
            Self::Keep => x,
            Self::Relu => simd.max(zero, x),
            Self::LeakyRelu(slope) => simd.mul_add(simd.splat(slope), simd.min(zero, x), simd.max(zero, x)),
            Self::Clip(low, high) => simd.max(simd.splat(low), simd.min(simd.splat(high), x)),
        }
    }
}

/// Cache lines, `step` floats apart.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    pub(crate) start: *const f32,
    pub(crate) step: usize,
}

/// One tile's operands.
pub(crate) struct Tile<'a, S: Simd> {
    /// `[depth][rows]`, or the first row's first.
    pub(crate) a: *const f32,
    /// Floats from a row of A to the next, where they are not packed.
    pub(crate) a_rows: Option<usize>,
    /// `[depth][vectors · LANES]`.
    pub(crate) b: *const f32,
    /// Length of the sums.
    pub(crate) depth: usize,
    /// `depth` cache lines that will be wanted soon.
    pub(crate) soon: Option<Ahead>,
    /// Element (0, 0) of the whole of C's row: the segments' offsets are relative to it.
    pub(crate) c: *mut f32,
    /// Floats from one row of C to the next.
    pub(crate) row_stride: usize,
    /// Where each vector of columns lies in a row of C.
    pub(crate) columns: &'a [Segments<S>; TILE_VECTORS],
    /// Added to each row: as many floats as the tile has rows; or null.
    pub(crate) row_bias: *const f32,
    /// Added to each column: `vectors · LANES` floats; or null.
    pub(crate) column_bias: *const f32,
    /// Whether C's old value is added.
    pub(crate) accumulate: bool,
    /// What is done last.
    pub(crate) finish: Finish,
}

/// Computes a tile of `rows` × `vectors`.
///
/// # Safety
/// `1 <= rows <= S::MAX_ROWS`, `1 <= vectors <= TILE_VECTORS`; the pointers of `tile` must reach as far as its fields
/// say, and no other thread may touch the elements of C that its segments name.
#[inline]
pub(crate) unsafe fn compute<S: Simd>(simd: S, rows: usize, vectors: usize, tile: &Tile<'_, S>) {
    debug_assert!((1..=S::MAX_ROWS).contains(&rows) && (1..=TILE_VECTORS).contains(&vectors));
    let table = if tile.a_rows.is_some() { &Kernels::<S, false>::TABLE } else { &Kernels::<S, true>::TABLE };
    // SAFETY: the caller's promise is that of the kernel in the table's row.
    unsafe { table[rows - 1][vectors - 1](simd, tile) }
}

type Kernel<S> = unsafe fn(S, &Tile<'_, S>);

struct Kernels<S, const PACKED: bool>(S);

impl<S: Simd, const PACKED: bool> Kernels<S, PACKED> {
    const TABLE: [[Kernel<S>; TILE_VECTORS]; 12] = [
        [kernel::<S, 1, 1, PACKED>, kernel::<S, 1, 2, PACKED>],
        [kernel::<S, 2, 1, PACKED>, kernel::<S, 2, 2, PACKED>],
        [kernel::<S, 3, 1, PACKED>, kernel::<S, 3, 2, PACKED>],
        [kernel::<S, 4, 1, PACKED>, kernel::<S, 4, 2, PACKED>],
        [kernel::<S, 5, 1, PACKED>, kernel::<S, 5, 2, PACKED>],
        [kernel::<S, 6, 1, PACKED>, kernel::<S, 6, 2, PACKED>],
        [kernel::<S, 7, 1, PACKED>, kernel::<S, 7, 2, PACKED>],
        [kernel::<S, 8, 1, PACKED>, kernel::<S, 8, 2, PACKED>],
        [kernel::<S, 9, 1, PACKED>, kernel::<S, 9, 2, PACKED>],
        [kernel::<S, 10, 1, PACKED>, kernel::<S, 10, 2, PACKED>],
        [kernel::<S, 11, 1, PACKED>, kernel::<S, 11, 2, PACKED>],
        [kernel::<S, 12, 1, PACKED>, kernel::<S, 12, 2, PACKED>],
    ];
}

/// # Safety
/// As [`compute`], with `ROWS` and `VECTORS` for the tile's size.
unsafe fn kernel<S: Simd, const ROWS: usize, const VECTORS: usize, const PACKED: bool>(
    simd: S,
    tile: &Tile<'_, S>,
) {
    simd.vectorize(
        #[inline(always)]
        || {
            // C comes from far away, in more streams than the processor follows: it is asked for while the sums are made.
            for row in 0..ROWS {
                let target = tile.c.wrapping_add(row * tile.row_stride);
                for columns in &tile.columns[..VECTORS] {
                    simd.prefetch_write(columns.first(target));
                }
            }
            // SAFETY: the caller's promise covers all that the two read and write.
            unsafe {
                let sums = if tile.soon.is_none() {
                    multiply::<S, ROWS, VECTORS, PACKED, false>(simd, tile)
                } else {
                    multiply::<S, ROWS, VECTORS, PACKED, true>(simd, tile)
                };
                write::<S, ROWS, VECTORS>(simd, tile, &sums);
            }
        },
    );
}

/// # Safety
/// As [`compute`].
#[inline(always)]
unsafe fn multiply<
    S: Simd,
    const ROWS: usize,
    const VECTORS: usize,
    const PACKED: bool,
    const PREFETCH: bool,
>(
    simd: S,
    tile: &Tile<'_, S>,
) -> [[S::Vector; VECTORS]; ROWS] {
    let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
    let (mut a, mut b) = (tile.a, tile.b);
    let (a_row, a_step) = if PACKED { (1, ROWS) } else { (tile.a_rows.unwrap_or_default(), 1) };
    let Ahead { start: mut soon, step } = tile.soon.unwrap_or(Ahead { start: ptr::null(), step: 0 });
    for _ in 0..tile.depth {
        if PREFETCH {
            simd.prefetch(soon);
            soon = soon.wrapping_add(step);
        }
        // SAFETY: A has `depth` floats for each row and B `depth · VECTORS · LANES`; each step moves one on in each.
        unsafe {
            let right: [S::Vector; VECTORS] = array(
                #[inline(always)]
                |v| simd.load(b.add(v * S::LANES)),
            );
            for (row, sum) in sums.iter_mut().enumerate() {
                // A mapped file's floats may begin at any byte.
                let left = simd.splat(a.add(row * a_row).read_unaligned());
                for v in 0..VECTORS {
                    sum[v] = simd.mul_add(left, right[v], sum[v]);
                }
            }
            a = a.add(a_step);
            b = b.add(VECTORS * S::LANES);
        }
    }
    sums
}

/// # Safety
/// As [`compute`].
#[inline(always)]
unsafe fn write<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    tile: &Tile<'_, S>,
    sums: &[[S::Vector; VECTORS]; ROWS],
) {
    for (row, sum) in sums.iter().enumerate() {
        for (v, &sum) in sum.iter().enumerate() {
            let mut value = sum;
            let target = tile.c.wrapping_add(row * tile.row_stride);
            // SAFETY: the biases reach as far as the tile, by the caller's promise.
            unsafe {
                if !tile.row_bias.is_null() {
                    value = simd.add(value, simd.splat(*tile.row_bias.add(row)));
                }
                if !tile.column_bias.is_null() {
                    value = simd.add(value, simd.load(tile.column_bias.add(v * S::LANES)));
                }
            }
            // SAFETY: the segments name elements of this row of C that are this call's alone.
            unsafe {
                if tile.accumulate {
                    value = simd.add(value, tile.columns[v].load(simd, target));
                }
                tile.columns[v].store(simd, target, tile.finish.vector(simd, value));
            }
        }
    }
}
