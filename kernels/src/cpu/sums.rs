//! Sums over all but one axis: the gradients of biases, scales and slopes.

use super::CpuBackend;
use super::math;
use crate::geometry::AxisGeometry;

/// Channels summed side by side where there is little beside them.
const CHANNELS: usize = 64;

/// `target[c] += Σ term(a, b)` over the elements of channel c of outer×axis×inner.
pub(crate) fn add_by_channel(
    cpu: &CpuBackend,
    geometry: &AxisGeometry,
    [a, b]: [&[f32]; 2],
    term: impl Fn(f32, f32) -> f32 + Sync,
    target: &mut [f32],
) {
    let (outer, axis, inner) = geometry.sizes();
    if inner >= 16 {
        return cpu.threads.chunks(target, 1, 2 * outer * inner, |channel, target| {
            cpu.level.vectorize(
                #[inline(always)]
                || {
                    let planes = (0..outer).map(|outer| (outer * axis + channel) * inner);
                    let sums =
                        planes.map(|at| math::sum_pairs(&a[at..at + inner], &b[at..at + inner], &term));
                    target[0] += sums.sum::<f64>() as f32;
                },
            );
        });
    }
    cpu.threads.chunks(target, CHANNELS, 2 * outer * inner, |block, target| {
        let mut sums = [0.0; CHANNELS];
        let (first, len) = (block * CHANNELS * inner, target.len() * inner);
        cpu.level.vectorize(
            #[inline(always)]
            || {
                for at in (0..outer).map(|outer| outer * axis * inner + first) {
                    let (a, b) = (&a[at..at + len], &b[at..at + len]);
                    if inner == 1 {
                        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
                            *sum += term(a, b);
                        }
                        continue;
                    }
                    for ((sum, a), b) in sums.iter_mut().zip(a.chunks_exact(inner)).zip(b.chunks_exact(inner))
                    {
                        *sum += a.iter().zip(b).map(|(&a, &b)| term(a, b)).sum::<f32>();
                    }
                }
                target.iter_mut().zip(&sums).for_each(|(target, sum)| *target += sum);
            },
        );
    });
}
