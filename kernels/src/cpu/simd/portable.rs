//! Plain Rust: the compiler makes of it what the target has.

use super::Simd;

const LANES: usize = 4;

/// Needs nothing of the machine.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Simd for Portable {
    type Vector = [f32; LANES];
    type Mask = (u8, u8);
    const LANES: usize = LANES;
    const MAX_ROWS: usize = 6;

    #[inline(always)]
    fn vectorize<R>(self, body: impl FnOnce() -> R) -> R {
        body()
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; LANES] {
        [x; LANES]
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        // Not `f32::mul_add`: without the instruction that is a function call a lane.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn add(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn max(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn min(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn mask(self, from: usize, to: usize) -> (u8, u8) {
        (from as u8, to as u8)
    }

    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> [f32; LANES] {
        // SAFETY: the caller vouches for the memory; an array of floats is as aligned as a float.
        unsafe { source.cast::<[f32; LANES]>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32, value: [f32; LANES]) {
        // SAFETY: the caller vouches for the memory; an array of floats is as aligned as a float.
        unsafe { target.cast::<[f32; LANES]>().write(value) }
    }

    #[inline(always)]
    unsafe fn load_masked(self, mut old: [f32; LANES], mask: (u8, u8), source: *const f32) -> [f32; LANES] {
        let lanes = usize::from(mask.0)..usize::from(mask.1);
        for (lane, old) in lanes.clone().zip(&mut old[lanes]) {
            // SAFETY: the caller vouches for the lanes in `mask`.
            *old = unsafe { source.wrapping_add(lane).read() };
        }
        old
    }

    #[inline(always)]
    unsafe fn store_masked(self, target: *mut f32, mask: (u8, u8), value: [f32; LANES]) {
        let lanes = usize::from(mask.0)..usize::from(mask.1);
        for (lane, &value) in lanes.clone().zip(&value[lanes]) {
            // SAFETY: the caller vouches for the lanes in `mask`.
            unsafe { target.wrapping_add(lane).write(value) }
        }
    }
}
