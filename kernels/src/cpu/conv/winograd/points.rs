//! The transforms: Toom-Cook's algorithm at the points 0, ±A, ±B and ∞.
//!
//! With M(x) = x (x² − A²) (x² − B²), row `j` of the input's transform holds the coefficients of M(x) / (x − pⱼ), row
//! `j` of the kernel's holds (1, pⱼ, pⱼ²) / M′(pⱼ), and the output's takes Σ pⱼⁱ mⱼ. How much rounding is amplified
//! depends on the points; these amplify less than the usual 0, ±1, ±2, ∞.

use crate::cpu::simd::{Simd, array};

/// Points in the plane: 6 × 6.
pub(super) const POINTS: usize = 36;

/// Points on a line.
pub(super) const SIDE: usize = 6;

const A: f32 = std::f32::consts::FRAC_1_SQRT_2;
const B: f32 = std::f32::consts::SQRT_2;
const A2: f32 = 0.5;
const B2: f32 = 2.0;

/// Kernels that are transformed side by side: as many as a register tile has rows, at least.
pub(super) const KERNELS: usize = 16;

/// The kernels' transform in the plane, computed in f64 and rounded once. Tap by tap in, point by point out.
#[inline(always)]
pub(super) fn transform_kernels(kernels: &[[f32; KERNELS]; 9], transformed: &mut [[f32; KERNELS]; POINTS]) {
    // Few enough at a time for the registers.
    const LANES: usize = 8;
    for start in (0..KERNELS).step_by(LANES) {
        let wide: [[f64; LANES]; 9] = array(
            #[inline(always)]
            |tap| {
                array(
                    #[inline(always)]
                    |lane| f64::from(kernels[tap][start + lane]),
                )
            },
        );
        let half: [[[f64; LANES]; SIDE]; 3] = array(
            #[inline(always)]
            |row| kernel_line([wide[3 * row], wide[3 * row + 1], wide[3 * row + 2]]),
        );
        for column in 0..SIDE {
            let line = kernel_line([half[0][column], half[1][column], half[2][column]]);
            for (row, values) in line.iter().enumerate() {
                let target = &mut transformed[row * SIDE + column][start..start + LANES];
                for (target, &value) in target.iter_mut().zip(values) {
                    *target = value as f32;
                }
            }
        }
    }
}

#[inline(always)]
fn kernel_line<const LANES: usize>([g0, g1, g2]: [[f64; LANES]; 3]) -> [[f64; LANES]; SIDE] {
    let (a, b) = (f64::from(A), f64::from(B));
    let (a2, b2) = (f64::from(A2), f64::from(B2));
    let at_zero = 1.0 / (a2 * b2);
    let at_a = 1.0 / (2.0 * a2 * (a2 - b2));
    let at_b = 1.0 / (2.0 * b2 * (b2 - a2));
    let mut line = [[0.0; LANES]; SIDE];
    for i in 0..LANES {
        let (near, far) = (g0[i] + a2 * g2[i], g0[i] + b2 * g2[i]);
        line[0][i] = g0[i] * at_zero;
        line[1][i] = (near + a * g1[i]) * at_a;
        line[2][i] = (near - a * g1[i]) * at_a;
        line[3][i] = (far + b * g1[i]) * at_b;
        line[4][i] = (far - b * g1[i]) * at_b;
        line[5][i] = g2[i];
    }
    line
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
