//! Operations that see an array as rows: reductions and mean-variance normalization.

use super::CpuBackend;
use super::math;
use crate::backend::ReduceOp;

/// Each row of `length` becomes one float of y.
pub(crate) fn reduce(
    cpu: &CpuBackend,
    op: ReduceOp,
    length: usize,
    coefficient: f32,
    x: &[f32],
    y: &mut [f32],
) {
    cpu.threads.chunks(y, 1, length, |row, y| {
        let x = &x[row * length..][..length];
        let mut sum = 0.0_f64;
        cpu.level.vectorize(
            #[inline(always)]
            || {
                sum = match op {
                    ReduceOp::Sum | ReduceOp::Mean => math::sum(x, |x| x),
                    ReduceOp::AbsoluteSum => math::sum(x, f32::abs),
                    ReduceOp::SumOfSquares => math::sum(x, |x| x * x),
                };
            },
        );
        let count = if op == ReduceOp::Mean { length as f64 } else { 1.0 };
        y[0] = (f64::from(coefficient) * sum / count) as f32;
    });
}

/// Takes each row's mean off, and divides by `√variance + eps` (Caffe's mvn_layer.cpp: not √(variance + eps)).
pub(crate) fn mvn(
    cpu: &CpuBackend,
    length: usize,
    normalize_variance: bool,
    eps: f32,
    x: &[f32],
    y: &mut [f32],
) {
    cpu.threads.chunks(y, length, 4, |row, y| {
        let (x, count) = (&x[row * length..][..length], length as f64);
        cpu.level.vectorize(
            #[inline(always)]
            || {
                let mean = (math::sum(x, |x| x) / count) as f32;
                let scale = if normalize_variance {
                    let variance = math::sum(x, |x| (x - mean) * (x - mean)) / count;
                    (1.0 / (variance.sqrt() + f64::from(eps))) as f32
                } else {
                    1.0
                };
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = (x - mean) * scale;
                }
            },
        );
    });
}

/// The gradient of [`reduce`]: each row's to all its elements.
pub(crate) fn reduce_backward(
    cpu: &CpuBackend,
    op: ReduceOp,
    length: usize,
    coefficient: f32,
    [x, dy]: [&[f32]; 2],
    dx: &mut [f32],
) {
    cpu.threads.chunks(dx, length, 1, |row, dx| {
        let x = x.get(row * length..(row + 1) * length).unwrap_or_default();
        let share = coefficient * dy[row];
        cpu.level.vectorize(
            #[inline(always)]
            || match op {
                ReduceOp::Sum => dx.fill(share),
                ReduceOp::Mean => dx.fill(share / length as f32),
                ReduceOp::AbsoluteSum => {
                    for (dx, &x) in dx.iter_mut().zip(x) {
                        let above = if x > 0.0 { share } else { 0.0 };
                        *dx = if x < 0.0 { -share } else { above };
                    }
                }
                ReduceOp::SumOfSquares => {
                    dx.iter_mut().zip(x).for_each(|(dx, x)| *dx = 2.0 * share * x);
                }
            },
        );
    });
}

/// The gradient of [`mvn`], as Caffe's mvn_layer.cpp has it (it takes the eps beside √variance for nothing):
/// `dx = (dy − mean(dy) − y · mean(dy · y)) / (√variance + eps)`, or `dy − mean(dy)`.
pub(crate) fn mvn_backward(
    cpu: &CpuBackend,
    length: usize,
    normalize_variance: bool,
    eps: f32,
    [x, dy]: [&[f32]; 2],
    dx: &mut [f32],
) {
    cpu.threads.chunks(dx, length, 8, |row, dx| {
        let (x, dy) = (&x[row * length..][..length], &dy[row * length..][..length]);
        let count = length as f64;
        cpu.level.vectorize(
            #[inline(always)]
            || {
                let plain = (math::sum(dy, |dy| dy) / count) as f32;
                if !normalize_variance {
                    return dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy - plain);
                }
                let mean = (math::sum(x, |x| x) / count) as f32;
                let variance = math::sum(x, |x| (x - mean) * (x - mean)) / count;
                let scale = (1.0 / (variance.sqrt() + f64::from(eps))) as f32;
                let along = (math::sum_pairs(x, dy, |x, dy| (x - mean) * scale * dy) / count) as f32;
                for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                    *dx = (dy - plain - (x - mean) * scale * along) * scale;
                }
            },
        );
    });
}
