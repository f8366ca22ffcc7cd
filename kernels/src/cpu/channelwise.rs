//! Operations with a factor or an offset for each channel: scale, bias, PReLU, BatchNorm.

use super::CpuBackend;
use super::activation::leaky_relu;
use super::math;
use super::simd::Isa;
use super::threads::Disjoint;
use crate::geometry::AxisGeometry;

/// `y = x · scale + bias`.
pub(crate) fn scale(
    cpu: &CpuBackend,
    geometry: &AxisGeometry,
    x: Option<&[f32]>,
    scale: Option<&[f32]>,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    affine(cpu, geometry, x, y, |channel| {
        (scale.map_or(1.0, |scale| scale[channel]), bias.map_or(0.0, |bias| bias[channel]))
    });
}

/// `y = (x − mean·f) / √(variance·f + eps)`.
pub(crate) fn batch_normalization_inference(
    cpu: &CpuBackend,
    geometry: &AxisGeometry,
    x: Option<&[f32]>,
    [mean, variance]: [&[f32]; 2],
    [factor, eps]: [f32; 2],
    y: &mut [f32],
) {
    // The mean is taken off first, as Caffe does: folding it into an offset would cancel digits where it is large.
    channels(cpu, geometry, x, y, |channel| {
        let mean = mean[channel] * factor;
        let scale = 1.0 / (variance[channel] * factor + eps).sqrt();
        move |x: f32| (x - mean) * scale
    });
}

/// What a BatchNorm's sums are multiplied by: one over their weight, and 0 where that is 0 (batch_norm_layer.cpp).
pub(crate) fn statistics_factor(weight: f32) -> f32 {
    if weight == 0.0 { 0.0 } else { 1.0 / weight }
}

/// `y = (x − μ) / √(σ² + eps)` with the batch's own μ and σ².
pub(crate) fn batch_normalization_training(
    cpu: &CpuBackend,
    geometry: &AxisGeometry,
    x: &[f32],
    eps: f32,
    y: &mut [f32],
    [mean, variance]: [&mut [f32]; 2],
) {
    let (outer, axis, inner) = geometry.sizes();
    let count = (outer * inner) as f64;
    let shared = Disjoint::new(variance);
    cpu.threads.chunks(mean, 1, 3 * outer * inner, |channel, mean| {
        let planes = || (0..outer).map(|outer| &x[(outer * axis + channel) * inner..][..inner]);
        let (mut first, mut second) = (0.0, 0.0);
        cpu.level.vectorize(
            #[inline(always)]
            || {
                first = (planes().map(|plane| math::sum(plane, |x| x)).sum::<f64>() / count) as f32;
                let squares = planes().map(|plane| math::sum(plane, |x| (x - first) * (x - first)));
                second = (squares.sum::<f64>() / count) as f32;
            },
        );
        mean[0] = first;
        // SAFETY: a channel is one task's.
        let target = unsafe { shared.slice(channel, 1) };
        target[0] = second;
    });
    batch_normalization_inference(cpu, geometry, Some(x), [mean, variance], [1.0, eps], y);
}

/// `y = max(x, 0) + slope · min(x, 0)`.
pub(crate) fn prelu(
    cpu: &CpuBackend,
    geometry: &AxisGeometry,
    x: Option<&[f32]>,
    slope: &[f32],
    y: &mut [f32],
) {
    channels(cpu, geometry, x, y, |channel| {
        let slope = slope[channel];
        move |x: f32| leaky_relu(slope, x)
    });
}

/// `dx = dy · (x > 0 ? 1 : slope)`; in place without dy.
pub(crate) fn prelu_backward(
    cpu: &CpuBackend,
    geometry: &AxisGeometry,
    x: &[f32],
    slope: &[f32],
    dy: Option<&[f32]>,
    dx: &mut [f32],
) {
    pairs(cpu, geometry, x, dy, dx, |channel| {
        let slope = slope[channel];
        move |x: f32, dy: f32| if x > 0.0 { dy } else { slope * dy }
    });
}

/// `dx = (dy − mean(dy) − y · mean(dy · y)) / √(σ² + eps)`, y being x normalized by the batch's own μ and σ².
pub(crate) fn batch_normalization_backward(
    cpu: &CpuBackend,
    geometry: &AxisGeometry,
    x: &[f32],
    [mean, variance]: [&[f32]; 2],
    eps: f32,
    dy: &[f32],
    dx: &mut [f32],
) {
    let (outer, axis, inner) = geometry.sizes();
    let count = (outer * inner) as f64;
    let shared = Disjoint::new(dx);
    // Rounded once, a product keeps what is added to it; rounded twice it would lose the little that is left of the offset.
    let is_fused = cpu.level.isa() != Isa::Portable;
    cpu.threads.run(axis, |_, channel| {
        let (middle, scale) = (mean[channel], 1.0 / (variance[channel] + eps).sqrt());
        cpu.level.vectorize(
            #[inline(always)]
            || {
                let planes = || (0..outer).map(|outer| (outer * axis + channel) * inner);
                // The third is what the mean lost when it was rounded.
                let mut sums = [0.0; 3];
                for at in planes() {
                    let of_plane = math::sums_of_pairs(&x[at..at + inner], &dy[at..at + inner], |x, dy| {
                        [dy, (x - middle) * scale * dy, x - middle]
                    });
                    sums.iter_mut().zip(of_plane).for_each(|(sum, part)| *sum += part / count);
                }
                let [plain, along, drift] = sums;
                let slope = f64::from(scale) * along;
                let offset = plain - drift * slope;
                let (slope_near, offset_near) = (slope as f32, offset as f32);
                let offset_left = (offset - f64::from(offset_near)) as f32;
                for at in planes() {
                    // SAFETY: a channel is one task's.
                    let dx = unsafe { shared.slice(at, inner) };
                    let values = dx.iter_mut().zip(&x[at..at + inner]).zip(&dy[at..at + inner]);
                    if is_fused {
                        for ((dx, &x), &dy) in values {
                            let rest = (x - middle).mul_add(slope_near, offset_left);
                            *dx = (dy - offset_near - rest) * scale;
                        }
                    } else {
                        for ((dx, &x), &dy) in values {
                            let rest = f64::from(x - middle) * slope + offset;
                            *dx = ((f64::from(dy) - rest) * f64::from(scale)) as f32;
                        }
                    }
                }
            },
        );
    });
}

/// `dx = dy / √(variance·f + eps)`; in place without dy.
pub(crate) fn batch_normalization_backward_inference(
    cpu: &CpuBackend,
    geometry: &AxisGeometry,
    variance: &[f32],
    [factor, eps]: [f32; 2],
    dy: Option<&[f32]>,
    dx: &mut [f32],
) {
    affine(cpu, geometry, dy, dx, |channel| (1.0 / (variance[channel] * factor + eps).sqrt(), 0.0));
}

fn affine(
    cpu: &CpuBackend,
    geometry: &AxisGeometry,
    x: Option<&[f32]>,
    y: &mut [f32],
    terms: impl Fn(usize) -> (f32, f32) + Sync,
) {
    channels(cpu, geometry, x, y, |channel| {
        let (scale, bias) = terms(channel);
        move |x: f32| x * scale + bias
    });
}

/// Applies `function(channel)` to the elements of each channel.
fn channels<F: Fn(f32) -> f32>(
    cpu: &CpuBackend,
    geometry: &AxisGeometry,
    x: Option<&[f32]>,
    y: &mut [f32],
    function: impl Fn(usize) -> F + Sync,
) {
    let (_, axis, inner) = geometry.sizes();
    // Whole rows of the axis where inner is short, so that a task has something to do.
    let chunk = if inner >= 64 { inner } else { axis * inner };
    cpu.threads.chunks(y, chunk, 1, |index, y| {
        if let Some(x) = x {
            y.copy_from_slice(&x[index * chunk..][..y.len()]);
        }
        let first = index * chunk / inner.max(1);
        cpu.level.vectorize(
            #[inline(always)]
            || {
                for (plane, y) in y.chunks_mut(inner).enumerate() {
                    let function = function((first + plane) % axis);
                    for y in y {
                        *y = function(*y);
                    }
                }
            },
        );
    });
}

/// `y = function(channel)(x, old)` for each element, `old` being y itself where it is absent.
fn pairs<F: Fn(f32, f32) -> f32>(
    cpu: &CpuBackend,
    geometry: &AxisGeometry,
    x: &[f32],
    old: Option<&[f32]>,
    y: &mut [f32],
    function: impl Fn(usize) -> F + Sync,
) {
    let (_, axis, inner) = geometry.sizes();
    let chunk = if inner >= 64 { inner } else { axis * inner };
    cpu.threads.chunks(y, chunk, 1, |index, y| {
        let x = &x[index * chunk..][..y.len()];
        if let Some(old) = old {
            y.copy_from_slice(&old[index * chunk..][..y.len()]);
        }
        let first = index * chunk / inner.max(1);
        cpu.level.vectorize(
            #[inline(always)]
            || {
                for (plane, (y, x)) in y.chunks_mut(inner).zip(x.chunks(inner)).enumerate() {
                    let function = function((first + plane) % axis);
                    y.iter_mut().zip(x).for_each(|(y, &x)| *y = function(x, *y));
                }
            },
        );
    });
}
