//! Normalizations, by whatever statistics.

use kernels::{LrnGeometry, LrnRegion, NormalizeGeometry};
use proptest::prelude::*;

use super::{axis, narrow, slopes};
use crate::support::{buffer, check_op, numbers, output, values, wide};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn batch_statistics(geometry in axis(), seed in any::<u64>()) {
        let [outer, axis, inner] = [geometry.outer, geometry.axis, geometry.inner].map(|extent| extent as usize);
        let len = outer * axis * inner;
        let (x, dy) = (numbers(seed, len), numbers(seed + 1, len));
        let statistics = |x: &[f64]| -> [Vec<f64>; 2] {
            let (mut mean, mut variance) = (vec![0.0; axis], vec![0.0; axis]);
            let (channel, count) = (|i: usize| i / inner % axis, (outer * inner) as f64);
            (0..len).for_each(|i| mean[channel(i)] += x[i] / count);
            (0..len).for_each(|i| variance[channel(i)] += (x[i] - mean[channel(i)]).powi(2) / count);
            [mean, variance]
        };
        let forward = |x: &[f64]| -> Vec<f64> {
            let [mean, variance] = statistics(x);
            let channel = |i: usize| i / inner % axis;
            (0..len).map(|i| (x[i] - mean[channel(i)]) / (variance[channel(i)] + 1e-2).sqrt()).collect()
        };
        let [mean, variance] = statistics(&wide(&x)).map(|values| narrow(&values));
        check_op("batch_normalization_backward", &slopes(&x, &dy, forward), 1e-4, 1e-4, |cpu| {
            let (x, mean, variance) = (buffer(cpu, &x), buffer(cpu, &mean), buffer(cpu, &variance));
            let (dy, mut dx) = (buffer(cpu, &dy), output(cpu, len));
            cpu.batch_normalization_backward(&geometry, &x, &mean, &variance, 1e-2, &dy, &mut dx).unwrap();
            values(cpu, &dx, len)
        });
    }

    #[test]
    fn normalize(
        shape in (1..=2u32, 1..=4u32, 1..=24u32),
        across_spatial in any::<bool>(),
        channel_shared in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (batch, channels, inner) = shape;
        let geometry = NormalizeGeometry { batch, channels, inner, across_spatial, channel_shared, eps: 1e-1 };
        let len = (batch * channels * inner) as usize;
        let scales = if channel_shared { 1 } else { channels as usize };
        let (x, dy) = (numbers(seed, len), numbers(seed + 1, len));
        let scale: Vec<f32> = numbers(seed + 2, scales).iter().map(|scale| scale.abs() + 0.5).collect();
        let old = numbers(seed + 3, scales);
        let (channels, inner) = (channels as usize, inner as usize);
        let forward = |x: &[f64], scale: &[f64]| -> Vec<f64> {
            (0..len)
                .map(|i| {
                    let image = i / (channels * inner) * channels * inner;
                    let sum: f64 = (image..image + channels * inner)
                        .filter(|j| across_spatial || j % inner == i % inner)
                        .map(|j| x[j].powi(2))
                        .sum();
                    x[i] / (sum + 1e-1).sqrt() * scale[if channel_shared { 0 } else { i / inner % channels }]
                })
                .collect()
        };
        let (exact, factors) = (wide(&x), wide(&scale));
        check_op("normalize_backward", &slopes(&x, &dy, |x| forward(x, &factors)), 3e-5, 3e-5, |cpu| {
            let (x, scale) = (buffer(cpu, &x), buffer(cpu, &scale));
            let (dy, mut dx) = (buffer(cpu, &dy), output(cpu, len));
            cpu.normalize_backward(&geometry, &x, &scale, &dy, &mut dx).unwrap();
            values(cpu, &dx, len)
        });
        let y = narrow(&forward(&exact, &factors));
        let mut expected = slopes(&scale, &dy, |scale| forward(&exact, scale));
        expected.iter_mut().zip(&old).for_each(|(slope, &old)| *slope += f64::from(old));
        check_op("normalize_backward_scale", &expected, 3e-5, 3e-5, |cpu| {
            let (y, scale) = (buffer(cpu, &y), buffer(cpu, &scale));
            let (dy, mut dscale) = (buffer(cpu, &dy), buffer(cpu, &old));
            cpu.normalize_backward_scale(&geometry, &y, &scale, &dy, &mut dscale).unwrap();
            values(cpu, &dscale, scales)
        });
    }

    #[test]
    fn lrn(
        shape in (1..=2u32, 1..=7u32, 1..=6u32, 1..=9u32),
        size in 0..=3u32,
        beta in prop_oneof![Just(0.75f32), 0.1..2.0f32],
        k in 0.5..3.0f32,
        within in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let region = if within { LrnRegion::WithinChannel } else { LrnRegion::AcrossChannels };
        let geometry =
            LrnGeometry { size: 2 * size + 1, alpha: 0.9, beta, k, region, ..LrnGeometry::new(shape.into()) };
        let [channels, height, width] =
            [geometry.channels, geometry.height, geometry.width].map(|extent| extent as usize);
        let len = geometry.batch as usize * channels * height * width;
        let (x, dy) = (numbers(seed, len), numbers(seed + 1, len));
        let near = |a: usize, b: usize| a.abs_diff(b) <= size as usize;
        let split = |i: usize| (i % width, i / width % height, i / width / height);
        let forward = |x: &[f64]| -> Vec<f64> {
            let (alpha, beta, n) = (f64::from(geometry.alpha), f64::from(beta), f64::from(geometry.size));
            (0..len)
                .map(|i| {
                    let (column, row, plane) = split(i);
                    let sum: f64 = (0..len)
                        .filter(|&j| {
                            let (c, r, p) = split(j);
                            if within {
                                p == plane && near(r, row) && near(c, column)
                            } else {
                                c == column && r == row && p / channels == plane / channels && near(p, plane)
                            }
                        })
                        .map(|j| x[j].powi(2))
                        .sum();
                    let s = if within { 1.0 + alpha / (n * n) * sum } else { f64::from(k) + alpha / n * sum };
                    x[i] * s.powf(-beta)
                })
                .collect()
        };
        prop_assume!(len <= 300);
        check_op("lrn_backward", &slopes(&x, &dy, forward), 2e-5, 2e-5, |cpu| {
            let (x, dy, mut dx) = (buffer(cpu, &x), buffer(cpu, &dy), output(cpu, len));
            cpu.lrn_backward(&geometry, &x, &dy, &mut dx).unwrap();
            values(cpu, &dx, len)
        });
    }
}
