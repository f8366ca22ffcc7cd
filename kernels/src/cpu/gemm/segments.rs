//! Where a vector of columns lies in memory.
//!
//! Sixteen neighbouring columns of the matrix that a convolution multiplies are sixteen neighbouring pixels: they may
//! run over the end of a row or of an image, and some may lie in the padding. A vector is therefore a few masked
//! pieces, each contiguous. One whole piece is the common case and needs no mask.

use crate::cpu::simd::Simd;

/// The most pieces a vector can have: one a lane.
const MAX: usize = 16;

/// One vector's pieces.
#[derive(Clone, Copy)]
pub(crate) struct Segments<S: Simd> {
    pieces: [Piece<S::Mask>; MAX],
    count: usize,
    whole: bool,
}

/// Lanes `mask`, lane `i` of which lies `offset + i` floats from the base.
#[derive(Clone, Copy)]
struct Piece<M> {
    mask: M,
    offset: isize,
}

impl<S: Simd> Segments<S> {
    /// No lane at all.
    #[inline(always)]
    pub(crate) fn empty(simd: S) -> Self {
        Self { pieces: [Piece { mask: simd.mask(0, 0), offset: 0 }; MAX], count: 0, whole: false }
    }

    /// Forgets all pieces.
    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.whole = false;
    }

    /// Adds lanes `from..to`, of which lane `from` lies at `offset`.
    #[inline(always)]
    pub(crate) fn push(&mut self, simd: S, from: usize, to: usize, offset: isize) {
        if from < to {
            self.pieces[self.count] = Piece { mask: simd.mask(from, to), offset: offset - from as isize };
            self.count += 1;
            self.whole = from == 0 && to == S::LANES;
        }
    }

    /// Where, from `base`, the first piece begins, or would if it had all lanes.
    #[inline(always)]
    pub(crate) fn first(&self, base: *mut f32) -> *mut f32 {
        base.wrapping_offset(self.pieces[0].offset)
    }

    /// The vector; lanes in no piece are 0.
    ///
    /// # Safety
    /// Every lane of every piece must be readable, from `base`.
    #[inline(always)]
    pub(crate) unsafe fn load(&self, simd: S, base: *const f32) -> S::Vector {
        if self.whole {
            // SAFETY: the caller vouches for all lanes, and here they are neighbours.
            return unsafe { simd.load(base.wrapping_offset(self.pieces[0].offset)) };
        }
        let mut value = simd.splat(0.0);
        for piece in &self.pieces[..self.count] {
            // SAFETY: the caller vouches for the lanes in the mask.
            value = unsafe { simd.load_masked(value, piece.mask, base.wrapping_offset(piece.offset)) };
        }
        value
    }

    /// Writes the lanes that are in a piece.
    ///
    /// # Safety
    /// Every lane of every piece must be writable, from `base`, and in no other thread's hands.
    #[inline(always)]
    pub(crate) unsafe fn store(&self, simd: S, base: *mut f32, value: S::Vector) {
        if self.whole {
            // SAFETY: the caller vouches for all lanes, and here they are neighbours.
            return unsafe { simd.store(base.wrapping_offset(self.pieces[0].offset), value) };
        }
        for piece in &self.pieces[..self.count] {
            // SAFETY: the caller vouches for the lanes in the mask.
            unsafe { simd.store_masked(base.wrapping_offset(piece.offset), piece.mask, value) };
        }
    }
}

/// Columns that lie in blocks: column `j` is float `(j / block) · stride + j % block`. With images for blocks, a
/// product over a whole batch writes straight into N×C×H×W.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocked {
    /// Columns in a block.
    pub(crate) block: usize,
    /// Floats from one block to the next.
    pub(crate) stride: usize,
}

impl Blocked {
    /// The pieces of the vector of columns `start..end`, at most `LANES` of them.
    #[inline(always)]
    pub(crate) fn segments<S: Simd>(self, simd: S, start: usize, end: usize, segments: &mut Segments<S>) {
        segments.clear();
        let mut column = start;
        while column < end {
            let (block, within) = (column / self.block, column % self.block);
            let count = (self.block - within).min(end - column);
            let lane = column - start;
            segments.push(simd, lane, lane + count, (block * self.stride + within) as isize);
            column += count;
        }
    }
}
