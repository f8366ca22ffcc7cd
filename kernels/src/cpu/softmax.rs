//! Softmax along one axis.

use super::CpuBackend;
use super::math;

/// Neighbouring columns worked on side by side.
const BLOCK: usize = 256;

/// In place: `e^(x − max) / Σ e^(x − max)` along the axis of outer×axis×inner.
pub(crate) fn forward(cpu: &CpuBackend, axis: usize, inner: usize, x: Option<&[f32]>, y: &mut [f32]) {
    cpu.threads.chunks(y, axis * inner, 8, |outer, y| {
        if let Some(x) = x {
            y.copy_from_slice(&x[outer * axis * inner..][..y.len()]);
        }
        cpu.level.vectorize(
            #[inline(always)]
            || {
                if inner == 1 {
                    row(y);
                } else {
                    for start in (0..inner).step_by(BLOCK) {
                        columns(y, inner, start, BLOCK.min(inner - start));
                    }
                }
            },
        );
    });
}

/// `dx = y · (dy − Σ dy · y)`, the sum along the axis; in place without dy.
pub(crate) fn backward(
    cpu: &CpuBackend,
    axis: usize,
    inner: usize,
    y: &[f32],
    dy: Option<&[f32]>,
    dx: &mut [f32],
) {
    cpu.threads.chunks(dx, axis * inner, 4, |outer, dx| {
        let y = &y[outer * axis * inner..][..dx.len()];
        if let Some(dy) = dy {
            dx.copy_from_slice(&dy[outer * axis * inner..][..dx.len()]);
        }
        cpu.level.vectorize(
            #[inline(always)]
            || {
                if inner == 1 {
                    let sum = math::sum_pairs(y, dx, |y, dy| y * dy) as f32;
                    return dx.iter_mut().zip(y).for_each(|(dx, y)| *dx = y * (*dx - sum));
                }
                for start in (0..inner).step_by(BLOCK) {
                    let range = start..(start + BLOCK).min(inner);
                    let mut sums = [0.0; BLOCK];
                    for (dx, y) in dx.chunks_exact(inner).zip(y.chunks_exact(inner)) {
                        for ((sum, dx), y) in sums.iter_mut().zip(&dx[range.clone()]).zip(&y[range.clone()]) {
                            *sum += dx * y;
                        }
                    }
                    for (dx, y) in dx.chunks_exact_mut(inner).zip(y.chunks_exact(inner)) {
                        for ((dx, y), sum) in dx[range.clone()].iter_mut().zip(&y[range.clone()]).zip(&sums) {
                            *dx = y * (*dx - sum);
                        }
                    }
                }
            },
        );
    });
}

#[inline(always)]
fn row(y: &mut [f32]) {
    let max = y.iter().fold(f32::NEG_INFINITY, |max, &y| if y > max { y } else { max });
    for y in y.iter_mut() {
        *y = math::exp(*y - max);
    }
    let factor = (1.0 / math::sum(y, |y| y)) as f32;
    for y in y {
        *y *= factor;
    }
}

#[inline(always)]
fn columns(y: &mut [f32], inner: usize, start: usize, count: usize) {
    let (mut max, mut sum) = ([f32::NEG_INFINITY; BLOCK], [0.0; BLOCK]);
    for y in y.chunks_exact(inner) {
        for (max, &y) in max.iter_mut().zip(&y[start..start + count]) {
            *max = if y > *max { y } else { *max };
        }
    }
    for y in y.chunks_exact_mut(inner) {
        for ((y, sum), max) in y[start..start + count].iter_mut().zip(&mut sum).zip(&max) {
            *y = math::exp(*y - max);
            *sum += *y;
        }
    }
    for sum in &mut sum {
        *sum = 1.0 / *sum;
    }
    for y in y.chunks_exact_mut(inner) {
        for (y, factor) in y[start..start + count].iter_mut().zip(&sum) {
            *y *= factor;
        }
    }
}
