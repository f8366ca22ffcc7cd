//! Vector instructions, chosen when the program runs.
//!
//! A value of a type that implements [`Simd`] is a proof that this machine has those instructions: it can only be
//! made by its `detect`. That is what lets arithmetic on vectors be a safe call.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;

/// A set of vector instructions that the CPU backend has code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// No instruction beyond what the compiler takes for granted.
    Portable,
    /// 128-bit vectors of ARMv8.
    Neon,
    /// 256-bit vectors with fused multiply-add (x86-64).
    Avx2,
    /// 512-bit vectors (x86-64).
    Avx512,
}

impl Isa {
    /// The widest set that this machine has.
    pub fn detect() -> Self {
        [Self::Avx512, Self::Avx2, Self::Neon]
            .into_iter()
            .find(|isa| isa.is_available())
            .unwrap_or(Self::Portable)
    }

    /// Whether this machine has these instructions.
    pub fn is_available(self) -> bool {
        Level::of(self).is_some()
    }
}

/// The operations that the hand-written loops need, over vectors of `LANES` floats.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// `LANES` floats.
    type Vector: Copy;
    /// Which lanes take part in a masked load or store.
    type Mask: Copy + Send + Sync;
    /// Floats in a vector.
    const LANES: usize;
    /// Rows of the largest register tile: with two vectors a row the sums fill the register file, leaving room
    /// for two vectors of B and one broadcast.
    const MAX_ROWS: usize;

    /// Runs `body` compiled with these instructions. Everything in `body` must be inlined into it, so closures
    /// passed here are marked `#[inline(always)]`.
    fn vectorize<R>(self, body: impl FnOnce() -> R) -> R;

    /// Every lane is `x`.
    fn splat(self, x: f32) -> Self::Vector;
    /// `a · b + c`.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a − b`.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a · b`.
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a > b ? a : b`: where either is a NaN, `b`.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a < b ? a : b`: where either is a NaN, `b`.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Lanes `from..to`.
    fn mask(self, from: usize, to: usize) -> Self::Mask;

    /// Reads `LANES` floats.
    ///
    /// # Safety
    /// `LANES` floats from `source` on must be readable. No alignment is needed.
    unsafe fn load(self, source: *const f32) -> Self::Vector;

    /// Writes `LANES` floats.
    ///
    /// # Safety
    /// `LANES` floats from `target` on must be writable. No alignment is needed.
    unsafe fn store(self, target: *mut f32, value: Self::Vector);

    /// Reads `4 · LANES` floats; lane `i` of vector `j` is float `4i + j`.
    ///
    /// # Safety
    /// `4 · LANES` floats from `source` on must be readable. No alignment is needed.
    #[inline(always)]
    unsafe fn load_fours(self, source: *const f32) -> [Self::Vector; 4] {
        let mut apart = [[0.0; 16]; 4];
        for lane in 0..Self::LANES {
            for (j, apart) in apart.iter_mut().enumerate() {
                // SAFETY: the caller vouches for the memory.
                apart[lane] = unsafe { source.add(4 * lane + j).read() };
            }
        }
        // SAFETY: the arrays are at least a vector long.
        apart.map(|apart| unsafe { self.load(apart.as_ptr()) })
    }

    /// Writes `4 · LANES` floats; lane `i` of vector `j` becomes float `4i + j`.
    ///
    /// # Safety
    /// `4 · LANES` floats from `target` on must be writable. No alignment is needed.
    #[inline(always)]
    unsafe fn store_fours(self, target: *mut f32, values: [Self::Vector; 4]) {
        for (j, value) in values.into_iter().enumerate() {
            let mut lanes = [0.0; 16];
            // SAFETY: the array is at least a vector long.
            unsafe { self.store(lanes.as_mut_ptr(), value) };
            for (lane, &value) in lanes.iter().enumerate().take(Self::LANES) {
                // SAFETY: the caller vouches for the memory.
                unsafe { target.add(4 * lane + j).write(value) };
            }
        }
    }

    /// `old`, with the lanes in `mask` replaced from memory.
    ///
    /// # Safety
    /// The floats at `source + lane` must be readable for each lane in `mask`; the others are not touched.
    unsafe fn load_masked(self, old: Self::Vector, mask: Self::Mask, source: *const f32) -> Self::Vector;

    /// Asks for a cache line that will be wanted soon; any address will do.
    #[inline(always)]
    fn prefetch(self, _address: *const f32) {}

    /// Asks for a cache line that will be written soon; any address will do.
    #[inline(always)]
    fn prefetch_write(self, _address: *mut f32) {}

    /// Writes the lanes in `mask`.
    ///
    /// # Safety
    /// The floats at `target + lane` must be writable for each lane in `mask`; the others are not touched.
    unsafe fn store_masked(self, target: *mut f32, mask: Self::Mask, value: Self::Vector);
}

/// Work that is compiled once for each set of instructions.
pub(crate) trait WithSimd {
    /// What it returns.
    type Output;
    /// Does the work with one set of instructions.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// One of the instruction sets, proved to be there.
#[derive(Clone, Copy)]
pub(crate) enum Level {
    Portable(Portable),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Level {
    /// `None` if this machine lacks `isa`.
    pub(crate) fn of(isa: Isa) -> Option<Self> {
        match isa {
            Isa::Portable => Some(Self::Portable(Portable)),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Neon::detect().map(Self::Neon),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::detect().map(Self::Avx512),
            #[allow(unreachable_patterns, reason = "the sets of other architectures")]
            _ => None,
        }
    }

    /// Which set this is.
    pub(crate) fn isa(self) -> Isa {
        match self {
            Self::Portable(_) => Isa::Portable,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => Isa::Neon,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Isa::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Isa::Avx512,
        }
    }

    /// Does `work` with this set.
    pub(crate) fn dispatch<W: WithSimd>(self, work: W) -> W::Output {
        match self {
            Self::Portable(simd) => work.run(simd),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => work.run(simd),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => work.run(simd),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => work.run(simd),
        }
    }

    /// Runs a plain loop compiled with this set: the compiler vectorises it. The closure must be marked
    /// `#[inline(always)]`.
    #[inline(always)]
    pub(crate) fn vectorize<R>(self, body: impl FnOnce() -> R) -> R {
        match self {
            Self::Portable(simd) => simd.vectorize(body),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => simd.vectorize(body),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.vectorize(body),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.vectorize(body),
        }
    }
}

/// The function's results for 0 to N − 1. It is for code with vector instructions: `std::array::from_fn` calls its closure from
/// code of the standard library's that has none, which the compiler may inline or not, as the program is cut into units.
#[inline(always)]
pub(crate) fn array<T: Copy, const N: usize>(function: impl Fn(usize) -> T) -> [T; N] {
    let mut values = [function(0); N];
    for (index, value) in values.iter_mut().enumerate().skip(1) {
        *value = function(index);
    }
    values
}
