//! 128-bit vectors of ARMv8.

#![allow(unused_unsafe, reason = "needless where the target has NEON by definition")]

use std::arch::aarch64::{
    float32x4_t, vaddq_f32, vbslq_f32, vcgtq_f32, vcltq_f32, vdupq_n_f32, vfmaq_f32, vld1q_f32, vmulq_f32,
    vst1q_f32, vsubq_f32,
};

use super::Simd;

/// Proof that this machine has NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    pub(crate) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

impl Simd for Neon {
    type Vector = float32x4_t;
    type Mask = (u8, u8);
    const LANES: usize = 4;
    const MAX_ROWS: usize = 12;

    #[inline(always)]
    fn vectorize<R>(self, body: impl FnOnce() -> R) -> R {
        #[inline]
        #[target_feature(enable = "neon")]
        fn with_features<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        // SAFETY: `self` proves that the instructions are there.
        unsafe { with_features(body) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { vdupq_n_f32(x) }
    }

    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { vsubq_f32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
    }

    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { vbslq_f32(vcltq_f32(a, b), a, b) }
    }

    #[inline(always)]
    fn mask(self, from: usize, to: usize) -> (u8, u8) {
        (from as u8, to as u8)
    }

    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> float32x4_t {
        // SAFETY: `self` proves that the instructions are there; the caller vouches for the memory.
        unsafe { vld1q_f32(source) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32, value: float32x4_t) {
        // SAFETY: `self` proves that the instructions are there; the caller vouches for the memory.
        unsafe { vst1q_f32(target, value) }
    }

    #[inline(always)]
    unsafe fn load_masked(self, old: float32x4_t, mask: (u8, u8), source: *const f32) -> float32x4_t {
        let mut lanes = [0.0; 4];
        // SAFETY: `self` proves that the instructions are there; the array holds a vector.
        unsafe { vst1q_f32(lanes.as_mut_ptr(), old) };
        let taken = usize::from(mask.0)..usize::from(mask.1);
        for (lane, value) in taken.clone().zip(&mut lanes[taken]) {
            // SAFETY: the caller vouches for the lanes in `mask`.
            *value = unsafe { source.wrapping_add(lane).read() };
        }
        // SAFETY: as above.
        unsafe { vld1q_f32(lanes.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store_masked(self, target: *mut f32, mask: (u8, u8), value: float32x4_t) {
        let mut lanes = [0.0; 4];
        // SAFETY: `self` proves that the instructions are there; the array holds a vector.
        unsafe { vst1q_f32(lanes.as_mut_ptr(), value) };
        let taken = usize::from(mask.0)..usize::from(mask.1);
        for (lane, &value) in taken.clone().zip(&lanes[taken]) {
            // SAFETY: the caller vouches for the lanes in `mask`.
            unsafe { target.wrapping_add(lane).write(value) }
        }
    }
}
