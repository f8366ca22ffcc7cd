//! 256-bit vectors with fused multiply-add.

use std::arch::x86_64::{
    __m256, __m256i, _MM_HINT_ET0, _MM_HINT_T1, _mm_prefetch, _mm256_add_ps, _mm256_blendv_ps,
    _mm256_castpd_ps, _mm256_castps_pd, _mm256_castsi256_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps,
    _mm256_permute2f128_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm256_sub_ps, _mm256_unpackhi_pd,
    _mm256_unpackhi_ps, _mm256_unpacklo_pd, _mm256_unpacklo_ps,
};

use super::{Simd, array};

/// Proof that this machine has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

impl Simd for Avx2 {
    type Vector = __m256;
    type Mask = __m256i;
    const LANES: usize = 8;
    const MAX_ROWS: usize = 6;

    #[inline(always)]
    fn vectorize<R>(self, body: impl FnOnce() -> R) -> R {
        #[inline]
        #[target_feature(enable = "avx2,fma")]
        fn with_features<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        // SAFETY: `self` proves that the instructions are there.
        unsafe { with_features(body) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves that the instructions are there.
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn mask(self, from: usize, to: usize) -> __m256i {
        let lanes: [i32; 8] = array(|lane| if (from..to).contains(&lane) { -1 } else { 0 });
        // SAFETY: `self` proves that the instructions are there; the array is as long as the vector.
        unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> __m256 {
        // SAFETY: `self` proves that the instructions are there; the caller vouches for the memory.
        unsafe { _mm256_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32, value: __m256) {
        // SAFETY: `self` proves that the instructions are there; the caller vouches for the memory.
        unsafe { _mm256_storeu_ps(target, value) }
    }

    #[inline(always)]
    unsafe fn load_fours(self, source: *const f32) -> [__m256; 4] {
        // SAFETY: `self` proves that the instructions are there; the caller vouches for the memory.
        unsafe {
            let [a, b, c, d]: [__m256; 4] = array(
                #[inline(always)]
                |k| _mm256_loadu_ps(source.add(8 * k)),
            );
            transpose_fours([
                _mm256_permute2f128_ps::<0x20>(a, c),
                _mm256_permute2f128_ps::<0x31>(a, c),
                _mm256_permute2f128_ps::<0x20>(b, d),
                _mm256_permute2f128_ps::<0x31>(b, d),
            ])
        }
    }

    #[inline(always)]
    unsafe fn store_fours(self, target: *mut f32, values: [__m256; 4]) {
        // SAFETY: `self` proves that the instructions are there; the caller vouches for the memory.
        unsafe {
            let [a, b, c, d] = transpose_fours(values);
            _mm256_storeu_ps(target, _mm256_permute2f128_ps::<0x20>(a, b));
            _mm256_storeu_ps(target.add(8), _mm256_permute2f128_ps::<0x20>(c, d));
            _mm256_storeu_ps(target.add(16), _mm256_permute2f128_ps::<0x31>(a, b));
            _mm256_storeu_ps(target.add(24), _mm256_permute2f128_ps::<0x31>(c, d));
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
    unsafe fn load_masked(self, old: __m256, mask: __m256i, source: *const f32) -> __m256 {
        // SAFETY: `self` proves that the instructions are there; the caller vouches for the lanes in `mask`.
        unsafe { _mm256_blendv_ps(old, _mm256_maskload_ps(source, mask), _mm256_castsi256_ps(mask)) }
    }

    #[inline(always)]
    unsafe fn store_masked(self, target: *mut f32, mask: __m256i, value: __m256) {
        // SAFETY: `self` proves that the instructions are there; the caller vouches for the lanes in `mask`.
        unsafe { _mm256_maskstore_ps(target, mask, value) }
    }
}

/// Within each half, float `k` of vector `m` becomes float `m` of vector `k`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transpose_fours([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
    let low_ab = _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
    let high_ab = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
    let low_cd = _mm256_castps_pd(_mm256_unpacklo_ps(c, d));
    let high_cd = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
    [
        _mm256_castpd_ps(_mm256_unpacklo_pd(low_ab, low_cd)),
        _mm256_castpd_ps(_mm256_unpackhi_pd(low_ab, low_cd)),
        _mm256_castpd_ps(_mm256_unpacklo_pd(high_ab, high_cd)),
        _mm256_castpd_ps(_mm256_unpackhi_pd(high_ab, high_cd)),
    ]
}
