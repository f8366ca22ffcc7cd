//! Local response normalization.

use super::CpuBackend;
use super::math;
use crate::geometry::{LrnGeometry, LrnRegion};

/// Pixels worked on at a time: their sums stay in the first-level cache.
const BLOCK: usize = 512;

/// `y = x · (k + α/n · Σ x²)^−β`.
pub(crate) fn forward(cpu: &CpuBackend, geometry: &LrnGeometry, x: &[f32], y: &mut [f32]) {
    match geometry.region {
        LrnRegion::AcrossChannels => across(cpu, geometry, x, y),
        LrnRegion::WithinChannel => within(cpu, geometry, x, y),
    }
}

fn across(cpu: &CpuBackend, geometry: &LrnGeometry, x: &[f32], y: &mut [f32]) {
    let (plane, channels) = (geometry.plane(), geometry.channels as usize);
    let reach = (geometry.size as usize - 1) / 2;
    let alpha = geometry.alpha / geometry.size as f32;
    cpu.threads.chunks(y, plane, 8 + geometry.size as usize, |index, y| {
        let channel = index % channels;
        let first = index - channel.min(reach);
        let last = index + reach.min(channels - 1 - channel);
        cpu.level.vectorize(
            #[inline(always)]
            || {
                for (block, y) in y.chunks_mut(BLOCK).enumerate() {
                    let at = |plane_index: usize| &x[plane_index * plane + block * BLOCK..][..y.len()];
                    let mut sums = [0.0; BLOCK];
                    for neighbour in first..=last {
                        add_squares(at(neighbour), &mut sums);
                    }
                    scale(at(index), &sums, alpha, geometry.k, geometry.beta, y);
                }
            },
        );
    });
}

fn within(cpu: &CpuBackend, geometry: &LrnGeometry, x: &[f32], y: &mut [f32]) {
    let (plane, height, width) = (geometry.plane(), geometry.height as usize, geometry.width as usize);
    let (size, reach) = (geometry.size as usize, (geometry.size as usize - 1) / 2);
    let alpha = geometry.alpha / (geometry.size * geometry.size) as f32;
    cpu.threads.chunks(y, width, 8 + size * size, |index, y| {
        let (channel, row) = (index / height, index % height);
        let x = &x[channel * plane..][..plane];
        cpu.level.vectorize(
            #[inline(always)]
            || {
                for (block, y) in y.chunks_mut(BLOCK).enumerate() {
                    let start = block * BLOCK;
                    let mut sums = [0.0; BLOCK];
                    for line in row.saturating_sub(reach)..(row + reach + 1).min(height) {
                        let line = &x[line * width..(line + 1) * width];
                        for shift in 0..size {
                            // Pixel i of the block sees pixel start + i + shift − reach.
                            let skipped = reach.saturating_sub(start + shift).min(y.len());
                            let from = (start + shift + skipped).saturating_sub(reach).min(width);
                            let count = (y.len() - skipped).min(width - from);
                            add_squares(&line[from..from + count], &mut sums[skipped..]);
                        }
                    }
                    scale(&x[row * width + start..][..y.len()], &sums, alpha, 1.0, geometry.beta, y);
                }
            },
        );
    });
}

#[inline(always)]
fn add_squares(x: &[f32], sums: &mut [f32]) {
    for (sum, &x) in sums.iter_mut().zip(x) {
        *sum += x * x;
    }
}

#[expect(clippy::float_cmp, reason = "only the exact exponent has the short form")]
#[inline(always)]
fn scale(x: &[f32], sums: &[f32], alpha: f32, k: f32, beta: f32, y: &mut [f32]) {
    let elements = y.iter_mut().zip(x).zip(sums);
    if beta == 0.75 {
        elements.for_each(|((y, x), sum)| *y = x * math::power_minus_three_quarters(k + alpha * sum));
    } else if beta == 0.5 {
        elements.for_each(|((y, x), sum)| *y = x / (k + alpha * sum).sqrt());
    } else {
        elements.for_each(|((y, x), sum)| *y = x * (k + alpha * sum).powf(-beta));
    }
}
