//! 512-bit vectors.

use std::arch::x86_64::{
    __m512, __mmask16, _MM_HINT_ET0, _MM_HINT_T1, _mm_prefetch, _mm512_add_ps, _mm512_castpd_ps,
    _mm512_castps_pd, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_shuffle_f32x4, _mm512_storeu_ps,
    _mm512_sub_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

use super::{Simd, array};

/// Proof that this machine has AVX-512 (F, VL, DQ, BW), AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        found.then_some(Self(()))
    }
}

impl Simd for Avx512 {
    type Vector = __m512;
    type Mask = __mmask16;
    const LANES: usize = 16;
    const MAX_ROWS: usize = 12;

    #[inline(always)]
    fn vectorize<R>(self, body: impl FnOnce() -> R) -> R {
        #[inline]
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
        fn with_features<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        // SAFETY: `self` proves that the instructions are there.
        unsafe { with_features(body) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn mask(self, from: usize, to: usize) -> __mmask16 {
        (((1u32 << to) - 1) & !((1u32 << from) - 1)) as __mmask16
    }

    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> __m512 {
        // SAFETY: `self` proves that the instructions are there; the caller vouches for the memory.
        unsafe { _mm512_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32, value: __m512) {
        // SAFETY: `self` proves that the instructions are there; the caller vouches for the memory.
        unsafe { _mm512_storeu_ps(target, value) }
    }

    #[inline(always)]
    unsafe fn load_fours(self, source: *const f32) -> [__m512; 4] {
        // SAFETY: `self` proves that the instructions are there; the caller vouches for the memory.
        unsafe {
            let quarters: [__m512; 4] = array(
                #[inline(always)]
                |k| _mm512_loadu_ps(source.add(16 * k)),
            );
            transpose_fours(transpose_quarters(quarters))
        }
    }

    #[inline(always)]
    unsafe fn store_fours(self, target: *mut f32, values: [__m512; 4]) {
        // SAFETY: `self` proves that the instructions are there; the caller vouches for the memory.
        unsafe {
            for (k, quarter) in transpose_quarters(transpose_fours(values)).into_iter().enumerate() {
                _mm512_storeu_ps(target.add(16 * k), quarter);
            }
        }
    }

    #[inline(always)]
    fn prefetch(self, address: *const f32) {
        // SAFETY: a prefetch reads nothing that the program could notice.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }

    #[inline(always)]
    fn prefetch_write(self, address: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(address.cast_const().cast()) }
    }

    #[inline(always)]
    unsafe fn load_masked(self, old: __m512, mask: __mmask16, source: *const f32) -> __m512 {
        // SAFETY: `self` proves that the instructions are there; the caller vouches for the lanes in `mask`.
        unsafe { _mm512_mask_loadu_ps(old, mask, source) }
    }

    #[inline(always)]
    unsafe fn store_masked(self, target: *mut f32, mask: __mmask16, value: __m512) {
        // SAFETY: `self` proves that the instructions are there; the caller vouches for the lanes in `mask`.
        unsafe { _mm512_mask_storeu_ps(target, mask, value) }
    }
}

/// Quarter `k` of vector `m` becomes quarter `m` of vector `k`.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_quarters([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
    let even_ab = _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b);
    let odd_ab = _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b);
    let even_cd = _mm512_shuffle_f32x4::<0b10_00_10_00>(c, d);
    let odd_cd = _mm512_shuffle_f32x4::<0b11_01_11_01>(c, d);
    [
        _mm512_shuffle_f32x4::<0b10_00_10_00>(even_ab, even_cd),
        _mm512_shuffle_f32x4::<0b10_00_10_00>(odd_ab, odd_cd),
        _mm512_shuffle_f32x4::<0b11_01_11_01>(even_ab, even_cd),
        _mm512_shuffle_f32x4::<0b11_01_11_01>(odd_ab, odd_cd),
    ]
}

/// Within each quarter, float `k` of vector `m` becomes float `m` of vector `k`.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_fours([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
    let low_ab = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
    let high_ab = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
    let low_cd = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
    let high_cd = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
    [
        _mm512_castpd_ps(_mm512_unpacklo_pd(low_ab, low_cd)),
        _mm512_castpd_ps(_mm512_unpackhi_pd(low_ab, low_cd)),
        _mm512_castpd_ps(_mm512_unpacklo_pd(high_ab, high_cd)),
        _mm512_castpd_ps(_mm512_unpackhi_pd(high_ab, high_cd)),
    ]
}
