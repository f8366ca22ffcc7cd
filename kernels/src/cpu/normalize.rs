//! L2 normalization of images.

use super::CpuBackend;
use super::math;
use crate::geometry::NormalizeGeometry;

/// Pixels worked on at a time.
const BLOCK: usize = 256;

/// `y = x / √(Σ x² + eps) · scale`.
pub(crate) fn forward(
    cpu: &CpuBackend,
    geometry: &NormalizeGeometry,
    x: &[f32],
    scale: &[f32],
    y: &mut [f32],
) {
    let (channels, inner) = (geometry.channels as usize, geometry.inner as usize);
    let image = channels * inner;
    let scale_of = |channel: usize| scale[if geometry.channel_shared { 0 } else { channel }];
    cpu.threads.chunks(y, image, 3, |index, y| {
        let x = &x[index * image..][..image];
        cpu.level.vectorize(
            #[inline(always)]
            || {
                if geometry.across_spatial {
                    let norm = 1.0 / (math::sum(x, |x| x * x) + geometry.eps).sqrt();
                    for (channel, (y, x)) in y.chunks_exact_mut(inner).zip(x.chunks_exact(inner)).enumerate()
                    {
                        let factor = norm * scale_of(channel);
                        y.iter_mut().zip(x).for_each(|(y, x)| *y = x * factor);
                    }
                    return;
                }
                for start in (0..inner).step_by(BLOCK) {
                    let end = (start + BLOCK).min(inner);
                    let mut norms = [geometry.eps; BLOCK];
                    for x in x.chunks_exact(inner) {
                        norms.iter_mut().zip(&x[start..end]).for_each(|(norm, x)| *norm += x * x);
                    }
                    for norm in &mut norms {
                        *norm = 1.0 / norm.sqrt();
                    }
                    for (channel, (y, x)) in y.chunks_exact_mut(inner).zip(x.chunks_exact(inner)).enumerate()
                    {
                        let factor = scale_of(channel);
                        for ((y, x), norm) in y[start..end].iter_mut().zip(&x[start..end]).zip(&norms) {
                            *y = x * norm * factor;
                        }
                    }
                }
            },
        );
    });
}
