//! Arrays as vectors: what optimizers and clipping do with them.

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
            || x.chunks(PIECE).map(|piece| math::sum(piece, |x| x * x)).sum::<f64>(),
        );
        parts[part].store(sum.to_bits(), Ordering::Relaxed);
    });
    parts.iter().map(|part| f64::from_bits(part.load(Ordering::Relaxed))).sum()
}

/// Elements whose squares are summed in f32.
const PIECE: usize = 1024;
