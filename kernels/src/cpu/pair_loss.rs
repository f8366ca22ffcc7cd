//! Losses of two arrays. Sums are in f64, in the order of the elements.

use super::CpuBackend;
use super::label_loss::is_ignored;
use crate::geometry::{PairLoss, PairLossGeometry};

/// Elements that one task works on at a time.
const CHUNK: usize = 4 * 1024;

/// The two arrays, and those beside them, where there are any.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) b: &'a [f32],
    pub(crate) extra: [Option<&'a [f32]>; 2],
}

/// The sum of the losses, and how many elements counted.
pub(crate) fn forward(geometry: &PairLossGeometry, pair: Pair<'_>) -> (f64, u32) {
    let (mut sum, mut counted) = (0.0, 0);
    match geometry.loss {
        PairLoss::Euclidean => sum = squared_distance(pair.a, pair.b) / 2.0,
        PairLoss::SmoothL1 { sigma } => {
            let square = f64::from(sigma * sigma);
            for at in 0..pair.a.len() {
                let difference = (f64::from(pair.a[at] - pair.b[at]) * pair.weight(0, at)).abs();
                let loss = if difference < 1.0 / square {
                    difference * difference * square / 2.0
                } else {
                    difference - 0.5 / square
                };
                sum += loss * pair.weight(1, at);
            }
        }
        PairLoss::SigmoidCrossEntropy { ignore_label } => {
            for (&score, &target) in pair.a.iter().zip(pair.b) {
                if !is_ignored(target, ignore_label) {
                    let (x, target) = (f64::from(score), f64::from(target));
                    sum += x.max(0.0) - x * target + (-x.abs()).exp().ln_1p();
                    counted += 1;
                }
            }
        }
        PairLoss::Contrastive { margin, legacy_version } => {
            let margin = f64::from(margin);
            for (sample, (a, b)) in pair.rows(geometry).enumerate() {
                let squared = squared_distance(a, b);
                sum += if pair.is_alike(sample) {
                    squared
                } else if legacy_version {
                    (margin - squared).max(0.0)
                } else {
                    (margin - squared.sqrt()).max(0.0).powi(2)
                };
            }
            sum /= 2.0;
        }
    }
    (sum, counted)
}

/// The gradient of a, times `factor`: the loss's own over the divisor; with `−factor` that of b, but of a cross entropy.
pub(crate) fn backward(
    cpu: &CpuBackend,
    geometry: &PairLossGeometry,
    pair: Pair<'_>,
    factor: f64,
    dx: &mut [f32],
) {
    match geometry.loss {
        PairLoss::Euclidean => cpu.threads.chunks(dx, CHUNK, 1, |block, dx| {
            let (a, b) = (&pair.a[block * CHUNK..][..dx.len()], &pair.b[block * CHUNK..][..dx.len()]);
            cpu.level.vectorize(
                #[inline(always)]
                || {
                    for ((dx, &a), &b) in dx.iter_mut().zip(a).zip(b) {
                        *dx = (f64::from(a - b) * factor) as f32;
                    }
                },
            );
        }),
        PairLoss::SmoothL1 { sigma } => {
            let square = f64::from(sigma * sigma);
            let slope = |at| {
                let difference = f64::from(pair.a[at] - pair.b[at]) * pair.weight(0, at);
                let slope = if difference.abs() < 1.0 / square {
                    difference * square
                } else {
                    f64::from(i8::from(difference > 0.0) - i8::from(difference < 0.0))
                };
                slope * pair.weight(0, at) * pair.weight(1, at)
            };
            by_element(cpu, 4, factor, slope, dx);
        }
        PairLoss::SigmoidCrossEntropy { ignore_label } => {
            let slope = |at| {
                let (score, target) = (pair.a[at], pair.b[at]);
                if is_ignored(target, ignore_label) {
                    return 0.0;
                }
                1.0 / (1.0 + (-f64::from(score)).exp()) - f64::from(target)
            };
            by_element(cpu, 16, factor, slope, dx);
        }
        PairLoss::Contrastive { margin, legacy_version } => {
            let margin = f64::from(margin);
            let rows = pair.rows(geometry).zip(dx.chunks_exact_mut(geometry.length.max(1) as usize));
            for (sample, ((a, b), dx)) in rows.enumerate() {
                let squared = squared_distance(a, b);
                let slope = match (pair.is_alike(sample), legacy_version) {
                    (true, _) => 1.0,
                    (false, true) if margin - squared > 0.0 => -1.0,
                    // Caffe adds 1e-4 to the distance it divides by.
                    (false, false) if margin - squared.sqrt() > 0.0 => {
                        -(margin - squared.sqrt()) / (squared.sqrt() + 1e-4)
                    }
                    _ => 0.0,
                };
                for ((dx, &a), &b) in dx.iter_mut().zip(a).zip(b) {
                    *dx = (slope * factor * f64::from(a - b)) as f32;
                }
            }
        }
    }
}

impl<'a> Pair<'a> {
    fn weight(&self, which: usize, at: usize) -> f64 {
        self.extra[which].map_or(1.0, |weights| f64::from(weights[at]))
    }

    /// A label is read as an integer: 0.9 is unlike.
    fn is_alike(&self, sample: usize) -> bool {
        self.extra[0].is_some_and(|alike| alike[sample] as i32 != 0)
    }

    fn rows(&self, geometry: &PairLossGeometry) -> impl Iterator<Item = (&'a [f32], &'a [f32])> {
        let length = geometry.length.max(1) as usize;
        self.a.chunks_exact(length).zip(self.b.chunks_exact(length))
    }
}

/// `cost` is as [`Threads::chunks`](super::threads::Threads::chunks) has it.
fn by_element(
    cpu: &CpuBackend,
    cost: usize,
    factor: f64,
    slope: impl Fn(usize) -> f64 + Sync,
    dx: &mut [f32],
) {
    cpu.threads.chunks(dx, CHUNK, cost, |block, dx| {
        for (at, dx) in (block * CHUNK..).zip(dx) {
            *dx = (slope(at) * factor) as f32;
        }
    });
}

fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}
