//! Element by element, and channel by channel.

use kernels::{EltwiseOp, Random, clock};
use proptest::prelude::*;

use super::{apart, axis, narrow, slopes, start};
use crate::support::{PASS, buffer, check, check_op, drawn, numbers, output, values, wide};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn channelwise(geometry in axis(), in_place in any::<bool>(), seed in any::<u64>()) {
        let [outer, axis, inner] = [geometry.outer, geometry.axis, geometry.inner].map(|extent| extent as usize);
        let len = outer * axis * inner;
        let (x, dy, slope) = (apart(numbers(seed, len)), numbers(seed + 1, len), numbers(seed + 2, axis));
        let old = numbers(seed + 3, axis);
        let channel = |i: usize| i / inner % axis;
        let summed = |term: &dyn Fn(usize) -> f64| -> Vec<f64> {
            let mut sums = wide(&old);
            (0..len).for_each(|i| sums[channel(i)] += f64::from(dy[i]) * term(i));
            sums
        };
        check_op("bias_backward", &summed(&|_| 1.0), 1e-5, 1e-6, |cpu| {
            let mut db = buffer(cpu, &old);
            cpu.bias_backward(&geometry, &buffer(cpu, &dy), &mut db).unwrap();
            values(cpu, &db, axis)
        });
        check_op("scale_backward", &summed(&|i| f64::from(x[i])), 1e-5, 1e-6, |cpu| {
            let mut dscale = buffer(cpu, &old);
            cpu.scale_backward(&geometry, &buffer(cpu, &x), &buffer(cpu, &dy), &mut dscale).unwrap();
            values(cpu, &dscale, axis)
        });
        check_op("prelu_backward_slope", &summed(&|i| f64::from(x[i]).min(0.0)), 1e-5, 1e-6, |cpu| {
            let mut dslope = buffer(cpu, &old);
            cpu.prelu_backward_slope(&geometry, &buffer(cpu, &x), &buffer(cpu, &dy), &mut dslope).unwrap();
            values(cpu, &dslope, axis)
        });
        let prelu = |x: &[f64]| -> Vec<f64> {
            let slope = |i: usize| f64::from(slope[channel(i)]);
            x.iter().enumerate().map(|(i, &x)| x.max(0.0) + slope(i) * x.min(0.0)).collect()
        };
        check_op("prelu_backward", &slopes(&x, &dy, prelu), 2e-5, 1e-5, |cpu| {
            let (dy, mut dx) = start(cpu, &dy, in_place);
            let (x, slope) = (buffer(cpu, &x), buffer(cpu, &slope));
            cpu.prelu_backward(&geometry, &x, &slope, dy.as_ref(), &mut dx).unwrap();
            values(cpu, &dx, len)
        });
        let variance: Vec<f32> = slope.iter().map(|slope| slope.abs() + 0.1).collect();
        let expected: Vec<f64> = (0..len)
            .map(|i| f64::from(dy[i]) / (f64::from(variance[channel(i)]) * 0.5 + 1e-5).sqrt())
            .collect();
        check_op("batch_normalization_backward_inference", &expected, 1e-6, 1e-6, |cpu| {
            let (dy, mut dx) = start(cpu, &dy, in_place);
            let (variance, weight) = (buffer(cpu, &variance), buffer(cpu, &[2.0]));
            cpu.batch_normalization_backward_inference(&geometry, &variance, &weight, 1e-5, dy.as_ref(), &mut dx).unwrap();
            values(cpu, &dx, len)
        });
    }

    #[test]
    fn eltwise(inputs in 1..=4usize, len in 1..=40usize, seed in any::<u64>()) {
        let all = apart(numbers(seed, inputs * len));
        let x: Vec<Vec<f32>> = all.chunks_exact(len).map(<[f32]>::to_vec).collect();
        let (dy, coefficients) = (numbers(seed.wrapping_add(8), len), numbers(seed.wrapping_add(9), inputs));
        let combine = |x: &[f64], function: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
            (0..len).map(|i| function(&(0..inputs).map(|j| x[j * len + i]).collect::<Vec<_>>())).collect()
        };
        let weighted = |x: &[f64]| x.iter().zip(&coefficients).map(|(x, &c)| x * f64::from(c)).sum::<f64>();
        let product = |x: &[f64]| x.iter().product::<f64>();
        let maximum = |x: &[f64]| x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let y = narrow(&combine(&wide(&all), &product));
        for (op, quotient, function) in [
            (EltwiseOp::Sum(&[]), false, &(|x: &[f64]| x.iter().sum::<f64>()) as &dyn Fn(&[f64]) -> f64),
            (EltwiseOp::Sum(&coefficients), false, &weighted),
            (EltwiseOp::Product, false, &product),
            (EltwiseOp::Product, true, &product),
            (EltwiseOp::Max, false, &maximum),
        ] {
            let expected = slopes(&all, &dy, |x| combine(x, function));
            for index in 0..inputs {
                check_op("eltwise_backward", &expected[index * len..(index + 1) * len], 2e-5, 1e-5, |cpu| {
                    let x: Vec<_> = x.iter().map(|x| buffer(cpu, x)).collect();
                    let x: Vec<_> = x.iter().collect();
                    let (y, dy, mut dx) = (buffer(cpu, &y), buffer(cpu, &dy), output(cpu, len));
                    cpu.eltwise_backward(op, len, index, &x, quotient.then_some(&y), &dy, &mut dx).unwrap();
                    values(cpu, &dx, len)
                });
            }
        }
    }

    #[test]
    fn dropout(len in prop_oneof![1..=50usize, Just(40_000)], ratio in 0.0..0.9f32, seed in any::<u64>()) {
        let (x, random) = (numbers(seed, len), drawn(seed, PASS, len));
        let expected: Vec<f64> = x
            .iter()
            .zip(&random)
            .map(|(&x, &random)| if random < ratio { 0.0 } else { f64::from(x) / (1.0 - f64::from(ratio)) })
            .collect();
        for in_place in [false, true] {
            check_op("dropout", &expected, 1e-7, 1e-6, |cpu| {
                let (x, mut y) = start(cpu, &x, in_place);
                let clock = buffer(cpu, &clock(PASS));
                cpu.dropout(ratio, len, &Random { key: seed, clock: &clock }, x.as_ref(), &mut y).unwrap();
                values(cpu, &y, len)
            });
        }
    }

    #[test]
    fn vectors(len in prop_oneof![0..=50usize, Just(70_000)], alpha in -2.0..2.0f32, seed in any::<u64>()) {
        let (x, y) = (numbers(seed, len), numbers(seed + 1, len));
        let expected: Vec<f64> =
            x.iter().zip(&y).map(|(&x, &y)| 0.5 * (f64::from(y) + f64::from(alpha) * f64::from(x))).collect();
        check_op("axpy, scale_tensor", &expected, 1e-6, 1e-6, |cpu| {
            let mut y = buffer(cpu, &y);
            cpu.axpy(alpha, len, &buffer(cpu, &x), &mut y).unwrap();
            cpu.scale_tensor(0.5, len, &mut y).unwrap();
            values(cpu, &y, len)
        });
        let sum: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
        check_op("sum_of_squares", &[sum], 0.0, 1e-6, |cpu| vec![cpu.sum_of_squares(len, &buffer(cpu, &x)).unwrap() as f32]);
    }
}

/// Where a maximum is found twice, Caffe's mask names the later bottom of the first pair, and then the earlier.
#[test]
fn equal_maxima() {
    let x = [[1.0, 1.0], [1.0, 1.0], [1.0, 2.0]];
    for (index, expected) in [(0, [0.0, 0.0]), (1, [1.0, 0.0]), (2, [0.0, 1.0])] {
        check(&expected, 0.0, 0.0, |cpu| {
            let x = x.map(|x| buffer(cpu, &x));
            let (dy, mut dx) = (buffer(cpu, &[1.0; 2]), output(cpu, 2));
            cpu.eltwise_backward(EltwiseOp::Max, 2, index, &[&x[0], &x[1], &x[2]], None, &dy, &mut dx)
                .unwrap();
            values(cpu, &dx, 2)
        });
    }
}
