//! Local response normalization.

use super::CpuBackend;
use super::math;
use super::threads::Disjoint;
use crate::error::{Error, Result};
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

/// With s = k + α/n · Σ x², `dx = dy · s^−β − 2αβ/n · x · Σ dy · x · s^(−β−1)`, both sums over the same neighbours.
pub(crate) fn backward(
    cpu: &CpuBackend,
    geometry: &LrnGeometry,
    [x, dy]: [&[f32]; 2],
    dx: &mut [f32],
) -> Result<()> {
    let size = geometry.size as usize;
    match geometry.region {
        LrnRegion::AcrossChannels if size <= RING / 16 => across_backward(cpu, geometry, [x, dy], dx),
        LrnRegion::WithinChannel if size * (size + 16) <= RING => {
            within_backward(cpu, geometry, [x, dy], dx);
        }
        _ => {
            return Err(Error::geometry("lrn_backward", format!("a window of {size} is too large")));
        }
    }
    Ok(())
}

/// Floats that hold the terms of the second sum, as many lines as the window is wide.
const RING: usize = 4 * 1024;

fn across_backward(cpu: &CpuBackend, geometry: &LrnGeometry, [x, dy]: [&[f32]; 2], dx: &mut [f32]) {
    let (plane, channels, size) = (geometry.plane(), geometry.channels as usize, geometry.size as usize);
    let reach = (size - 1) / 2;
    let terms = Terms::new(geometry, geometry.size, geometry.k);
    // Pixels, cut to keep the ring small.
    let block = (RING / size / 16 * 16).min(BLOCK);
    let blocks = plane.div_ceil(block);
    let dx = Disjoint::new(dx);
    cpu.threads.run(geometry.batch as usize * blocks, |_, task| {
        let (image, start) = (task / blocks, task % blocks * block);
        let count = block.min(plane - start);
        let place = |channel: usize| (image * channels + channel) * plane + start;
        let mut ring = [0.0; RING];
        cpu.level.vectorize(
            #[inline(always)]
            || {
                for channel in 0..channels + reach {
                    if channel < channels {
                        let mut sums = [0.0; BLOCK];
                        for neighbour in channel.saturating_sub(reach)..(channel + reach + 1).min(channels) {
                            add_squares(&x[place(neighbour)..][..count], &mut sums);
                        }
                        // SAFETY: these pixels of this image are one task's.
                        let dx = unsafe { dx.slice(place(channel), count) };
                        let line = &mut ring[channel % size * block..][..count];
                        let (x, dy) = (&x[place(channel)..][..count], &dy[place(channel)..][..count]);
                        terms.first(x, dy, &sums, dx, line);
                    }
                    // All terms that the channel `reach` before this one sees are there now.
                    let Some(middle) = channel.checked_sub(reach) else { continue };
                    let mut sums = [0.0; BLOCK];
                    for neighbour in middle.saturating_sub(reach)..(middle + reach + 1).min(channels) {
                        add(&ring[neighbour % size * block..][..count], &mut sums);
                    }
                    // SAFETY: as above.
                    let dx = unsafe { dx.slice(place(middle), count) };
                    terms.second(&x[place(middle)..][..count], &sums, dx);
                }
            },
        );
    });
}

fn within_backward(cpu: &CpuBackend, geometry: &LrnGeometry, [x, dy]: [&[f32]; 2], dx: &mut [f32]) {
    let (height, width, size) = (geometry.height as usize, geometry.width as usize, geometry.size as usize);
    let reach = (size - 1) / 2;
    let terms = Terms::new(geometry, geometry.size * geometry.size, 1.0);
    // Columns whose results one turn gives; those that it sees reach beyond.
    let block = (RING / size / 16 * 16).min(BLOCK) - 2 * reach;
    cpu.threads.chunks(dx, height * width, 8 + 2 * size * size, |plane, dx| {
        let start = plane * height * width;
        let (x, dy) = (&x[start..][..height * width], &dy[start..][..height * width]);
        let mut ring = [0.0; RING];
        let mut firsts = [0.0; BLOCK];
        for from in (0..width).step_by(block) {
            let to = (from + block).min(width);
            let seen = from.saturating_sub(reach)..(to + reach).min(width);
            cpu.level.vectorize(
                #[inline(always)]
                || {
                    for row in 0..height + reach {
                        if row < height {
                            let mut sums = [0.0; BLOCK];
                            for line in row.saturating_sub(reach)..(row + reach + 1).min(height) {
                                let line = &x[line * width..(line + 1) * width];
                                for (sum, column) in sums.iter_mut().zip(seen.clone()) {
                                    let near = column.saturating_sub(reach)..(column + reach + 1).min(width);
                                    *sum += line[near].iter().map(|x| x * x).sum::<f32>();
                                }
                            }
                            let line = row * width + seen.start..row * width + seen.end;
                            let terms_of_row = &mut ring[row % size * (block + 2 * reach)..][..seen.len()];
                            let firsts = &mut firsts[..seen.len()];
                            terms.first(&x[line.clone()], &dy[line], &sums, firsts, terms_of_row);
                            dx[row * width + from..row * width + to]
                                .copy_from_slice(&firsts[from - seen.start..][..to - from]);
                        }
                        let Some(middle) = row.checked_sub(reach) else { continue };
                        let mut sums = [0.0; BLOCK];
                        for line in middle.saturating_sub(reach)..(middle + reach + 1).min(height) {
                            let line = &ring[line % size * (block + 2 * reach)..][..seen.len()];
                            for (sum, column) in sums.iter_mut().zip(from..to) {
                                let near = column.saturating_sub(reach)..(column + reach + 1).min(width);
                                *sum +=
                                    line[near.start - seen.start..near.end - seen.start].iter().sum::<f32>();
                            }
                        }
                        let line = middle * width + from..middle * width + to;
                        terms.second(&x[line.clone()], &sums, &mut dx[line]);
                    }
                },
            );
        }
    });
}

/// The two terms of the gradient.
struct Terms {
    alpha: f32,
    k: f32,
    beta: f32,
}

impl Terms {
    fn new(geometry: &LrnGeometry, count: u32, k: f32) -> Self {
        Self { alpha: geometry.alpha / count as f32, k, beta: geometry.beta }
    }

    /// `dx = dy · s^−β`, and `dy · x · s^(−β−1)` for the neighbours.
    #[expect(clippy::float_cmp, reason = "only the exact exponent has the short form")]
    #[inline(always)]
    fn first(&self, x: &[f32], dy: &[f32], sums: &[f32], dx: &mut [f32], terms: &mut [f32]) {
        let Self { alpha, k, beta } = *self;
        let elements = dx.iter_mut().zip(terms).zip(x.iter().zip(dy)).zip(sums);
        if beta == 0.75 {
            elements.for_each(|(((dx, term), (x, dy)), sum)| {
                let s = k + alpha * sum;
                let root = s.sqrt();
                let fourth = root.sqrt();
                // s^−1.25, from which both powers follow without another division.
                let inverse = 1.0 / (s * fourth);
                *dx = dy * inverse * root;
                *term = *dx * x * inverse * fourth;
            });
        } else {
            elements.for_each(|(((dx, term), (x, dy)), sum)| {
                let s = k + alpha * sum;
                *dx = dy * s.powf(-beta);
                *term = *dx * x / s;
            });
        }
    }

    #[inline(always)]
    fn second(&self, x: &[f32], sums: &[f32], dx: &mut [f32]) {
        let factor = 2.0 * self.alpha * self.beta;
        dx.iter_mut().zip(x).zip(sums).for_each(|((dx, x), sum)| *dx -= factor * x * sum);
    }
}

#[inline(always)]
fn add(x: &[f32], sums: &mut [f32]) {
    sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
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
