//! Arrays as vectors: what optimizers and clipping do with them, and dropout.

use std::sync::atomic::{AtomicU64, Ordering};

use super::CpuBackend;
use super::math;

/// Elements that one task works on at a time.
const CHUNK: usize = 16 * 1024;

/// `y += α · x`.
pub(crate) fn axpy(cpu: &CpuBackend, alpha: f32, x: &[f32], y: &mut [f32]) {
    cpu.threads.chunks(y, CHUNK, 1, |index, y| {
        cpu.level.vectorize(
            #[inline(always)]
            || y.iter_mut().zip(&x[index * CHUNK..]).for_each(|(y, x)| *y += alpha * x),
        );
    });
}

/// `y = α · y`.
pub(crate) fn scale(cpu: &CpuBackend, alpha: f32, y: &mut [f32]) {
    cpu.threads.chunks(y, CHUNK, 1, |_, y| {
        cpu.level.vectorize(
            #[inline(always)]
            || y.iter_mut().for_each(|y| *y *= alpha),
        );
    });
}

/// Σ x²: pieces in f32, their sums in f64.
pub(crate) fn sum_of_squares(cpu: &CpuBackend, x: &[f32]) -> f64 {
    // As many tasks as that, whatever the length.
    const PARTS: usize = 64;
    let parts = [const { AtomicU64::new(0) }; PARTS];
    let len = x.len().div_ceil(PARTS).next_multiple_of(PIECE);
    let used = x.len().div_ceil(len.max(1));
    cpu.threads.run(used, |_, part| {
        let x = &x[part * len..((part + 1) * len).min(x.len())];
        let sum = cpu.level.vectorize(
            #[inline(always)]
            || x.chunks(PIECE).map(|piece| f64::from(math::sum(piece, |x| x * x))).sum::<f64>(),
        );
        parts[part].store(sum.to_bits(), Ordering::Relaxed);
    });
    parts.iter().map(|part| f64::from_bits(part.load(Ordering::Relaxed))).sum()
}

/// `y = random < ratio ? 0 : x / (1 − ratio)`, which is its own gradient; in place without x.
pub(crate) fn dropout(cpu: &CpuBackend, ratio: f32, random: &[f32], x: Option<&[f32]>, y: &mut [f32]) {
    let factor = 1.0 / (1.0 - ratio);
    cpu.threads.chunks(y, CHUNK, 1, |index, y| {
        let start = index * CHUNK;
        if let Some(x) = x {
            y.copy_from_slice(&x[start..][..y.len()]);
        }
        cpu.level.vectorize(
            #[inline(always)]
            || {
                for (y, &random) in y.iter_mut().zip(&random[start..]) {
                    *y = if random < ratio { 0.0 } else { factor * *y };
                }
            },
        );
    });
}

/// Elements whose squares are summed in f32.
const PIECE: usize = 1024;
