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
                    let norm = 1.0 / (math::sum(x, |x| x * x) as f32 + geometry.eps).sqrt();
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

/// `dx = (s · dy − x · Σ(s · dy · x) / n²) / n`, n being the norm and s the channel's scale.
pub(crate) fn backward(
    cpu: &CpuBackend,
    geometry: &NormalizeGeometry,
    [x, dy]: [&[f32]; 2],
    scale: &[f32],
    dx: &mut [f32],
) {
    let (channels, inner) = (geometry.channels as usize, geometry.inner as usize);
    let image = channels * inner;
    let scale_of = |channel: usize| scale[if geometry.channel_shared { 0 } else { channel }];
    cpu.threads.chunks(dx, image, 6, |index, dx| {
        let (x, dy) = (&x[index * image..][..image], &dy[index * image..][..image]);
        let planes = || x.chunks_exact(inner).zip(dy.chunks_exact(inner)).enumerate();
        cpu.level.vectorize(
            #[inline(always)]
            || {
                for start in (0..inner).step_by(BLOCK) {
                    let range = start..(start + BLOCK).min(inner);
                    // Of each pixel: the squared norm, and how much of the gradient points along x.
                    let (mut norms, mut along) = ([geometry.eps; BLOCK], [0.0; BLOCK]);
                    if geometry.across_spatial {
                        norms.fill(math::sum(x, |x| x * x) as f32 + geometry.eps);
                        let sums = planes().map(|(c, (x, dy))| {
                            f64::from(scale_of(c)) * math::sum_pairs(x, dy, |x, dy| x * dy)
                        });
                        along.fill(sums.sum::<f64>() as f32);
                    } else {
                        for (channel, (x, dy)) in planes() {
                            let factor = scale_of(channel);
                            let pairs = x[range.clone()].iter().zip(&dy[range.clone()]);
                            for ((norm, along), (x, dy)) in norms.iter_mut().zip(&mut along).zip(pairs) {
                                *norm += x * x;
                                *along += factor * x * dy;
                            }
                        }
                    }
                    for (norm, along) in norms.iter_mut().zip(&mut along) {
                        *along /= *norm;
                        *norm = 1.0 / norm.sqrt();
                    }
                    for (dx, (channel, (x, dy))) in dx.chunks_exact_mut(inner).zip(planes()) {
                        let factor = scale_of(channel);
                        let pairs = x[range.clone()].iter().zip(&dy[range.clone()]);
                        for ((dx, (x, dy)), (norm, along)) in
                            dx[range.clone()].iter_mut().zip(pairs).zip(norms.iter().zip(&along))
                        {
                            *dx = (factor * dy - x * along) * norm;
                        }
                    }
                }
            },
        );
    });
}

/// `dscale += Σ dy · y / scale` over each channel, or over all (SSD's normalize_layer.cpp).
pub(crate) fn backward_scale(
    cpu: &CpuBackend,
    geometry: &NormalizeGeometry,
    [y, dy]: [&[f32]; 2],
    scale: &[f32],
    dscale: &mut [f32],
) {
    let (batch, channels, inner) =
        (geometry.batch as usize, geometry.channels as usize, geometry.inner as usize);
    // One sum: the whole array is one channel of one image.
    let (outer, axis, inner) =
        if geometry.channel_shared { (1, 1, batch * channels * inner) } else { (batch, channels, inner) };
    cpu.threads.chunks(dscale, 1, 2 * outer * inner, |channel, dscale| {
        cpu.level.vectorize(
            #[inline(always)]
            || {
                let planes = (0..outer).map(|outer| (outer * axis + channel) * inner);
                let sums =
                    planes.map(|at| math::sum_pairs(&y[at..at + inner], &dy[at..at + inner], |y, dy| y * dy));
                dscale[0] += (sums.sum::<f64>() / f64::from(scale[channel])) as f32;
            },
        );
    });
}
