//! Functions written so that the compiler vectorises a loop over them: no branches, no calls.

/// eˣ, within 2 units in the last place.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding and taking off 1.5 · 2²³ rounds to the nearest integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts: the product of the first with a small integer is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = if x > 90.0 { 90.0 } else { x };
    let x = if x < -105.0 { -105.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let whole = shifted - ROUND;
    let r = x - whole * LN2_HIGH - whole * LN2_LOW;
    // The Taylor polynomial: |r| is at most ln 2 / 2, where its rest is below 1e-8.
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    // In two steps, so that results near both ends of the range come out right.
    let half = exponent >> 1;
    p * power_of_two(half) * power_of_two(exponent.wrapping_sub(half))
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let far = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
    let far = if x < 0.0 { -far } else { far };
    // Near zero, the difference above loses digits: the Taylor polynomial.
    let s = x * x;
    let p = -1382.0 / 155_925.0;
    let p = p * s + 62.0 / 2835.0;
    let p = p * s - 17.0 / 315.0;
    let p = p * s + 2.0 / 15.0;
    let p = p * s - 1.0 / 3.0;
    let near = x + x * s * p;
    if x.abs() < 0.35 { near } else { far }
}

/// x^−0.75 for x > 0.
#[inline(always)]
pub(crate) fn power_minus_three_quarters(x: f32) -> f32 {
    let root = x.sqrt();
    1.0 / (root * root.sqrt())
}

/// Chunks of sixteen in a run of a sum.
const RUN: usize = 16;

/// The sum of `term(a, b)` over two slices, as [`sum`] sums.
#[inline(always)]
pub(crate) fn sum_pairs(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f64 {
    let [sum] = sums_of_pairs(a, b, |a, b| [term(a, b)]);
    sum
}

/// The sum of `term(x)`, in sixteen interleaved partial sums: in runs of f32, and the runs in f64, so that little is lost where
/// a sum nearly cancels. The same bits whatever the vectors' width.
#[inline(always)]
pub(crate) fn sum(values: &[f32], term: impl Fn(f32) -> f32) -> f64 {
    sum_pairs(values, values, |x, _| term(x))
}

/// Several sums over two slices at once.
#[inline(always)]
pub(crate) fn sums_of_pairs<const N: usize>(
    a: &[f32],
    b: &[f32],
    terms: impl Fn(f32, f32) -> [f32; N],
) -> [f64; N] {
    let b = &b[..a.len()];
    let ((chunks, rest), (other_chunks, other_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut totals = [[0.0_f64; 16]; N];
    for (run, other_run) in chunks.chunks(RUN).zip(other_chunks.chunks(RUN)) {
        let mut sums = [[0.0_f32; 16]; N];
        for (a, b) in run.iter().zip(other_run) {
            for lane in 0..16 {
                let terms = terms(a[lane], b[lane]);
                for (sums, term) in sums.iter_mut().zip(terms) {
                    sums[lane] += term;
                }
            }
        }
        for (totals, sums) in totals.iter_mut().zip(&sums) {
            totals.iter_mut().zip(sums).for_each(|(total, &sum)| *total += f64::from(sum));
        }
    }
    for (lane, (&a, &b)) in rest.iter().zip(other_rest).enumerate() {
        for (totals, term) in totals.iter_mut().zip(terms(a, b)) {
            totals[lane] += f64::from(term);
        }
    }
    let mut all = [0.0; N];
    all.iter_mut().zip(totals).for_each(|(sum, totals)| *sum = halve(totals));
    all
}

#[inline(always)]
fn halve(mut sums: [f64; 16]) -> f64 {
    let mut width = 8;
    while width > 0 {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
        width /= 2;
    }
    sums[0]
}

#[inline(always)]
fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits((exponent.wrapping_add(127) as u32) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(from: f32, to: f32, ours: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        (0..=100_000)
            .map(|i| from + (to - from) * i as f32 / 1e5)
            .map(|x| {
                let exact = exact(f64::from(x));
                (f64::from(ours(x)) - exact).abs() / exact.abs().max(1e-37)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_within_two_units() {
        assert!(worst(-85.0, 88.5, exp, f64::exp) < 2.4e-7);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_and_sigmoid_keep_their_relative_accuracy() {
        assert!(worst(-10.0, 10.0, tanh, f64::tanh) < 5e-7);
        assert!(worst(1e-6, 0.4, tanh, f64::tanh) < 5e-7);
        assert!(worst(-80.0, 20.0, sigmoid, |x| 1.0 / (1.0 + (-x).exp())) < 5e-7);
        assert_eq!(tanh(100.0), 1.0);
        assert_eq!(tanh(f32::NEG_INFINITY), -1.0);
    }

    #[test]
    fn three_quarters() {
        assert!(worst(0.5, 1e4, power_minus_three_quarters, |x| x.powf(-0.75)) < 4e-7);
    }
}
