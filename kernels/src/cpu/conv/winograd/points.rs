//! The transforms: Toom-Cook's algorithm at the points 0, ±A, ±B and ∞.
//!
//! With M(x) = x (x² − A²) (x² − B²), row `j` of the input's transform holds the coefficients of M(x) / (x − pⱼ), row
//! `j` of the kernel's holds (1, pⱼ, pⱼ²) / M′(pⱼ), and the output's takes Σ pⱼⁱ mⱼ. How much rounding is amplified
//! depends on the points; these amplify less than the usual 0, ±1, ±2, ∞.

use crate::cpu::simd::Simd;

/// Points in the plane: 6 × 6.
pub(super) const POINTS: usize = 36;

/// Points on a line.
pub(super) const SIDE: usize = 6;

const A: f32 = std::f32::consts::FRAC_1_SQRT_2;
const B: f32 = std::f32::consts::SQRT_2;
const A2: f32 = 0.5;
const B2: f32 = 2.0;

/// The kernel's transform in the plane, computed in f64 and rounded once.
pub(super) fn kernel(weights: &[f32; 9]) -> [f32; POINTS] {
    let wide = weights.map(f64::from);
    let mut half = [[0.0; SIDE]; 3];
    for (row, half) in wide.as_chunks::<3>().0.iter().zip(&mut half) {
        *half = kernel_line(*row);
    }
    let mut transformed = [0.0; POINTS];
    for column in 0..SIDE {
        let line = kernel_line([half[0][column], half[1][column], half[2][column]]);
        for (row, value) in line.into_iter().enumerate() {
            transformed[row * SIDE + column] = value as f32;
        }
    }
    transformed
}

fn kernel_line([g0, g1, g2]: [f64; 3]) -> [f64; SIDE] {
    let (a, b) = (f64::from(A), f64::from(B));
    let (a2, b2) = (f64::from(A2), f64::from(B2));
    let at_a = 2.0 * a2 * (a2 - b2);
    let at_b = 2.0 * b2 * (b2 - a2);
    [
        g0 / (a2 * b2),
        (g0 + a2 * g2 + a * g1) / at_a,
        (g0 + a2 * g2 - a * g1) / at_a,
        (g0 + b2 * g2 + b * g1) / at_b,
        (g0 + b2 * g2 - b * g1) / at_b,
        g2,
    ]
}

/// The input's transform on a line, for `LANES` tiles side by side.
#[inline(always)]
pub(super) fn input_line<S: Simd>(simd: S, [d0, d1, d2, d3, d4, d5]: [S::Vector; SIDE]) -> [S::Vector; SIDE] {
    let even_a = scaled(simd, d2, -B2, d4);
    let odd_a = simd.mul(simd.splat(A), scaled(simd, d1, -B2, d3));
    let even_b = scaled(simd, d2, -A2, d4);
    let odd_b = simd.mul(simd.splat(B), scaled(simd, d1, -A2, d3));
    [
        scaled(simd, d0, A2 * B2, scaled(simd, d2, -(A2 + B2), d4)),
        simd.add(even_a, odd_a),
        simd.sub(even_a, odd_a),
        simd.add(even_b, odd_b),
        simd.sub(even_b, odd_b),
        scaled(simd, d1, A2 * B2, scaled(simd, d3, -(A2 + B2), d5)),
    ]
}

/// The output's transform on a line.
#[inline(always)]
pub(super) fn output_line<S: Simd>(simd: S, [m0, m1, m2, m3, m4, m5]: [S::Vector; SIDE]) -> [S::Vector; 4] {
    let (sum_a, sum_b) = (simd.add(m1, m2), simd.add(m3, m4));
    let difference_a = simd.mul(simd.splat(A), simd.sub(m1, m2));
    let difference_b = simd.mul(simd.splat(B), simd.sub(m3, m4));
    [
        simd.add(m0, simd.add(sum_a, sum_b)),
        simd.add(difference_a, difference_b),
        scaled(simd, sum_a, A2, simd.mul(sum_b, simd.splat(B2))),
        scaled(simd, difference_a, A2, scaled(simd, difference_b, B2, m5)),
    ]
}

/// `a · constant + b`.
#[inline(always)]
fn scaled<S: Simd>(simd: S, a: S::Vector, constant: f32, b: S::Vector) -> S::Vector {
    simd.mul_add(a, simd.splat(constant), b)
}
