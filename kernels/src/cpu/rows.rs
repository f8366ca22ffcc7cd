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
        let mut sum = 0.0;
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
        let factor = if op == ReduceOp::Mean { coefficient / length as f32 } else { coefficient };
        y[0] = factor * sum;
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
        let x = &x[row * length..][..length];
        cpu.level.vectorize(
            #[inline(always)]
            || {
                let mean = math::sum(x, |x| x) / length as f32;
                let scale = if normalize_variance {
                    let variance = math::sum(x, |x| (x - mean) * (x - mean)) / length as f32;
                    1.0 / (variance.sqrt() + eps)
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
