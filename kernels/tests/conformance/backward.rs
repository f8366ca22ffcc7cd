//! Gradients against the slopes of f64 forward passes, taken by central differences.

use kernels::prelude::*;
use kernels::{
    Activation, AxisGeometry, Buffer, ConvGeometry, CopyGeometry, CpuBackend, EltwiseOp, EmbedGeometry,
    GradientFrom, InnerProductGeometry, InterpGeometry, LrnGeometry, LrnRegion, LstmGeometry,
    NormalizeGeometry, PoolGeometry, PoolMethod, Random, ReduceOp, Rounding, RowsGeometry, Site, clock,
};
use proptest::prelude::*;

use crate::support::{PASS, buffer, check, check_op, drawn, numbers, output, values, wide};

/// `∂/∂x Σ dy · forward(x)`.
fn slopes(x: &[f32], dy: &[f32], forward: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let mut x = wide(x);
    let total = |x: &[f64]| -> f64 { forward(x).iter().zip(dy).map(|(y, &dy)| y * f64::from(dy)).sum() };
    (0..x.len())
        .map(|i| {
            let middle = x[i];
            x[i] = middle + STEP;
            let above = total(&x);
            x[i] = middle - STEP;
            let below = total(&x);
            x[i] = middle;
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

/// Moves numbers away from zero and from each other, as slopes by differences need it where there are kinks.
fn apart(x: Vec<f32>) -> Vec<f32> {
    let offset = |i: usize| (i % 300 + 1) as f32 * 5e-5;
    x.into_iter().enumerate().map(|(i, x)| (x * 64.0).floor() / 64.0 + offset(i)).collect()
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// That one thread and several, and all instruction sets, give the same for sizes that a slow reference is no good for.
#[track_caller]
fn check_agreement(operation: impl Fn(&dyn Backend) -> Vec<f32>) {
    let expected = wide(&operation(&CpuBackend::new(1).unwrap()));
    let largest = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    check(&expected, 1e-5 * largest, 1e-5, operation);
}

/// In place on dy, or from it.
fn start(cpu: &dyn Backend, dy: &[f32], in_place: bool) -> (Option<Buffer>, Buffer) {
    if in_place { (None, buffer(cpu, dy)) } else { (Some(buffer(cpu, dy)), output(cpu, dy.len())) }
}

type Function = Box<dyn Fn(f64) -> f64>;

fn activations() -> Vec<(Activation, Function)> {
    fn case(activation: Activation, function: impl Fn(f64) -> f64 + 'static) -> (Activation, Function) {
        (activation, Box::new(function))
    }
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    vec![
        case(Activation::Identity, |x| x),
        case(Activation::Relu, |x| x.max(0.0)),
        case(Activation::LeakyRelu { slope: 0.25 }, |x| x.max(0.0) + 0.25 * x.min(0.0)),
        case(Activation::LeakyRelu { slope: -0.5 }, |x| x.max(0.0) - 0.5 * x.min(0.0)),
        case(Activation::Relu6, |x| x.clamp(0.0, 6.0)),
        case(Activation::Clip { low: -1.5, high: 2.5 }, |x| x.clamp(-1.5, 2.5)),
        case(Activation::Elu { alpha: 0.5 }, |x| if x > 0.0 { x } else { 0.5 * x.exp_m1() }),
        case(Activation::Sigmoid, sigmoid),
        case(Activation::Tanh, f64::tanh),
        case(Activation::AbsVal, f64::abs),
        case(Activation::Bnll, |x| x.exp().ln_1p()),
        case(Activation::Power { power: 2.0, scale: 0.5, shift: 1.0 }, |x| (1.0 + 0.5 * x).powi(2)),
        case(Activation::Power { power: 1.0, scale: -2.0, shift: 1.0 }, |x| 1.0 - 2.0 * x),
        case(Activation::Power { power: 0.3, scale: 0.5, shift: 6.0 }, |x| (6.0 + 0.5 * x).powf(0.3)),
        case(Activation::Exp { base: -1.0, scale: 0.5, shift: 1.0 }, |x| (1.0 + 0.5 * x).exp()),
        case(Activation::Exp { base: 2.0, scale: 0.5, shift: 1.0 }, |x| (1.0 + 0.5 * x).exp2()),
        case(Activation::Log { base: -1.0, scale: 0.5, shift: 6.0 }, |x| (6.0 + 0.5 * x).ln()),
        case(Activation::Log { base: 10.0, scale: 0.5, shift: 6.0 }, |x| (6.0 + 0.5 * x).log10()),
        case(Activation::Swish { beta: 1.5 }, move |x| x * sigmoid(1.5 * x)),
    ]
}

#[test]
fn activation() {
    for (activation, function) in activations() {
        for len in [1, 17, 20_000] {
            let x: Vec<f32> = numbers(9, len).into_iter().map(|number| 8.0 * number).collect();
            let dy = numbers(10, len);
            let y: Vec<f32> = x.iter().map(|&x| function(f64::from(x)) as f32).collect();
            let expected: Vec<f64> =
                (0..len).flat_map(|i| slopes(&x[i..=i], &dy[i..=i], |x| vec![function(x[0])])).collect();
            let sources = match activation.gradient_from().unwrap() {
                GradientFrom::Neither => vec![None],
                GradientFrom::Input => vec![Some(&x)],
                GradientFrom::Output => vec![Some(&y)],
                GradientFrom::Either => vec![Some(&x), Some(&y)],
            };
            for source in sources {
                for in_place in [false, true] {
                    check_op("activation_backward", &expected, 2e-5, 1e-5, |cpu| {
                        let source = source.map(|source| buffer(cpu, source));
                        let (dy, mut dx) = start(cpu, &dy, in_place);
                        cpu.activation_backward(activation, len, source.as_ref(), dy.as_ref(), &mut dx)
                            .unwrap();
                        values(cpu, &dx, len)
                    });
                }
            }
        }
    }
}

/// Caffe's choices where there is no slope.
#[test]
fn kinks() {
    for (activation, x, expected) in [
        (Activation::Relu, [-0.0, 0.0], [0.0, 0.0]),
        (Activation::LeakyRelu { slope: 0.5 }, [0.0, 0.0], [0.5, 0.5]),
        (Activation::Relu6, [0.0, 6.0], [0.0, 0.0]),
        (Activation::Clip { low: -1.0, high: 1.0 }, [-1.0, 1.0], [1.0, 1.0]),
        (Activation::AbsVal, [0.0, -0.0], [0.0, 0.0]),
        (Activation::Power { power: 3.0, scale: 1.0, shift: 0.0 }, [0.0, 0.0], [0.0, 0.0]),
    ] {
        check(&expected, 0.0, 0.0, |cpu| {
            let mut dx = buffer(cpu, &[1.0, 1.0]);
            cpu.activation_backward(activation, 2, Some(&buffer(cpu, &x)), None, &mut dx).unwrap();
            values(cpu, &dx, 2)
        });
    }
    let cpu = CpuBackend::new(1).unwrap();
    let mut dx = cpu.allocate(2).unwrap();
    let threshold = Activation::Threshold { threshold: 0.5 };
    let refused = cpu.activation_backward(threshold, 2, None, None, &mut dx).unwrap_err().to_string();
    assert_eq!(refused, "activation_backward: Threshold { threshold: 0.5 } has no gradient");
    let refused = cpu.activation_backward(Activation::Tanh, 2, None, None, &mut dx).unwrap_err().to_string();
    assert_eq!(refused, "activation_backward: Tanh needs its Output");
}

fn axis() -> impl Strategy<Value = AxisGeometry> {
    (1..=3u32, 1..=5u32, prop_oneof![Just(1u32), 1..=40u32]).prop_map(|(outer, axis, inner)| AxisGeometry {
        outer,
        axis,
        inner,
    })
}

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
    fn softmax(geometry in axis(), in_place in any::<bool>(), seed in any::<u64>()) {
        let [axis, inner] = [geometry.axis, geometry.inner].map(|extent| extent as usize);
        let len = geometry.outer as usize * axis * inner;
        let (x, dy) = (numbers(seed, len), numbers(seed + 1, len));
        let forward = |x: &[f64]| -> Vec<f64> {
            let line = |i: usize| (0..axis).map(move |a| (i / (axis * inner) * axis + a) * inner + i % inner);
            (0..len).map(|i| x[i].exp() / line(i).map(|j| x[j].exp()).sum::<f64>()).collect()
        };
        let y = narrow(&forward(&wide(&x)));
        check_op("softmax_backward", &slopes(&x, &dy, forward), 1e-5, 1e-5, |cpu| {
            let (dy, mut dx) = start(cpu, &dy, in_place);
            cpu.softmax_backward(&geometry, &buffer(cpu, &y), dy.as_ref(), &mut dx).unwrap();
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
    fn rows(rows in 1..=4u32, length in 2..=60u32, seed in any::<u64>()) {
        let geometry = RowsGeometry { rows, length };
        let len = (rows * length) as usize;
        let (x, dy) = (apart(numbers(seed, len)), numbers(seed + 1, len));
        let of = |x: &[f64], function: &dyn Fn(&[f64]) -> Vec<f64>| -> Vec<f64> {
            x.chunks_exact(length as usize).flat_map(function).collect()
        };
        for (op, function) in [
            (ReduceOp::Sum, &(|x: &[f64]| x.iter().sum()) as &dyn Fn(&[f64]) -> f64),
            (ReduceOp::AbsoluteSum, &|x| x.iter().map(|x| x.abs()).sum()),
            (ReduceOp::SumOfSquares, &|x| x.iter().map(|x| x * x).sum()),
            (ReduceOp::Mean, &|x| x.iter().sum::<f64>() / x.len() as f64),
        ] {
            let expected = slopes(&x, &dy, |x| of(x, &|x| vec![0.5 * function(x)]));
            check_op("reduce_backward", &expected, 2e-5, 1e-5, |cpu| {
                let (x, dy, mut dx) = (buffer(cpu, &x), buffer(cpu, &dy), output(cpu, len));
                cpu.reduce_backward(op, &geometry, 0.5, Some(&x), &dy, &mut dx).unwrap();
                values(cpu, &dx, len)
            });
        }
        // Numbers with some variance: next to none has slopes that differences cannot find.
        let x: Vec<f32> = x.iter().enumerate().map(|(i, x)| x + 3.0 * (i % 2) as f32).collect();
        for normalize_variance in [false, true] {
            // Caffe's gradient takes no notice of the eps, which is therefore next to nothing here.
            let forward = |x: &[f64]| -> Vec<f64> {
                let count = x.len() as f64;
                let mean = x.iter().sum::<f64>() / count;
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
                let scale = if normalize_variance { 1.0 / (variance.sqrt() + 1e-9) } else { 1.0 };
                x.iter().map(|x| (x - mean) * scale).collect()
            };
            let expected = slopes(&x, &dy, |x| of(x, &forward));
            check_op("mvn_backward", &expected, 2e-5, 2e-5, |cpu| {
                let (x, dy, mut dx) = (buffer(cpu, &x), buffer(cpu, &dy), output(cpu, len));
                cpu.mvn_backward(&geometry, normalize_variance, 1e-9, &x, &dy, &mut dx).unwrap();
                values(cpu, &dx, len)
            });
        }
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

    #[test]
    fn pooling(
        planes in 1..=3u32,
        axes in ((1..=9u32, 1..=4u32, 1..=5u32, 0..=3u32), (1..=20u32, 1..=4u32, 1..=5u32, 0..=3u32)),
        maximum in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (y, x) = axes;
        let method = if maximum { PoolMethod::Max } else { PoolMethod::Average };
        let geometry = PoolGeometry::new(method, [1, planes, y.0, x.0], [y.1, x.1]).with_steps(
            [y.2, x.2], [y.3, x.3], Rounding::Ceil,
        );
        let possible = y.3 < y.1 && x.3 < x.1 && geometry.output.iter().all(|&extent| extent > 0);
        // Caffe's windows beyond the image give NaN.
        prop_assume!(possible && (y.2 <= y.1 && x.2 <= x.1));
        check_pooling(&geometry, seed);
    }

    #[test]
    fn interp(
        planes in 1..=3u32, input in (1..=6u32, 1..=6u32), target in (1..=9u32, 1..=20u32), seed in any::<u64>(),
    ) {
        let geometry = InterpGeometry { planes, input: input.into(), output: target.into() };
        let x_len = (planes * input.0 * input.1) as usize;
        let y_len = (planes * target.0 * target.1) as usize;
        // It is linear, so its gradient is what its own matrix says.
        check_transpose("interp_backward", [x_len, y_len], seed, |cpu, x, y| cpu.interp_forward(&geometry, x, y).unwrap(), |cpu, dy, dx| {
            cpu.interp_backward(&geometry, dy, dx).unwrap();
        });
    }

    #[test]
    fn im2col(channels in 1..=3u32, kernel in 1..=3u32, stride in 1..=3u32, pad in 0..=2u32, seed in any::<u64>()) {
        let geometry = ConvGeometry::new(2, [channels, 1], &[7, 9], &[kernel, 2]).with_stride(&[stride, 1]).with_pad(&[pad, 1]);
        let x_len = (2 * channels * 63) as usize;
        let [height, width, ..] = geometry.output();
        let y_len = (2 * channels * kernel * 2 * height * width) as usize;
        check_transpose("im2col_backward", [x_len, y_len], seed, |cpu, x, y| cpu.im2col(&geometry, x, y).unwrap(), |cpu, dy, dx| {
            cpu.im2col_backward(&geometry, dy, dx).unwrap();
        });
    }

    #[test]
    fn copies(which in 0..6usize, a in 1..=4u32, b in 1..=4u32, c in 1..=5u32, seed in any::<u64>()) {
        let geometry = match which {
            0 => CopyGeometry::concat(a, b + 3, c, 2, b),
            1 => CopyGeometry::slice(a, b + 3, c, 2, b),
            2 => CopyGeometry::crop(&[a + 1, b + 2, c + 1], &[1, 1, 0], &[a, b, c]),
            3 => CopyGeometry::permute(&[a, b, c], &[2, 0, 1]),
            4 => CopyGeometry::tile(a, b, c),
            _ => CopyGeometry::upsample(a, b, c, 3),
        };
        check_copy(&geometry, seed);
    }

    #[test]
    fn embed(size in (1..=20u32, 1..=200u32, 1..=30u32), seed in any::<u64>()) {
        let (count, rows, length) = size;
        let geometry = EmbedGeometry { count, rows, length };
        let index: Vec<f32> =
            numbers(seed, count as usize).iter().map(|x| ((x + 1.0) / 2.0 * rows as f32).floor()).collect();
        let (dy, old) = (numbers(seed + 1, (count * length) as usize), numbers(seed + 2, (rows * length) as usize));
        let mut expected = wide(&old);
        for (i, dy) in dy.iter().enumerate() {
            let length = length as usize;
            expected[index[i / length] as usize * length + i % length] += f64::from(*dy);
        }
        check_op("embed_backward", &expected, 3e-6, 1e-6, |cpu| {
            let mut dtable = buffer(cpu, &old);
            cpu.embed_backward(&geometry, Site::default(), &buffer(cpu, &index), &buffer(cpu, &dy), &mut dtable).unwrap();
            values(cpu, &dtable, old.len())
        });
    }

    #[test]
    fn lstm(batch in 1..=3u32, hidden in 1..=20u32, seed in any::<u64>()) {
        let len = (batch * hidden) as usize;
        let d = hidden as usize;
        let (gates, c) = (numbers(seed, 4 * len), numbers(seed + 1, len));
        // Of the state after the step, and of the output.
        let dy = numbers(seed + 2, 2 * len);
        let continuation: Vec<f32> =
            numbers(seed + 3, batch as usize).iter().map(|&x| f32::from(u8::from(x > 0.0))).collect();
        let forward = |input: &[f64]| -> Vec<f64> {
            let (gates, c) = input.split_at(4 * len);
            let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
            let gate = |i: usize, which: usize| gates[(i / d * 4 + which) * d + i % d];
            let after = |i: usize| {
                sigmoid(gate(i, 1)) * c[i] * f64::from(continuation[i / d])
                    + sigmoid(gate(i, 0)) * gate(i, 3).tanh()
            };
            (0..len).map(after).chain((0..len).map(|i| sigmoid(gate(i, 2)) * after(i).tanh())).collect()
        };
        let expected = slopes(&[gates.clone(), c.clone()].concat(), &dy, forward);
        check_op("lstm_unit_backward", &expected, 1e-5, 1e-5, |cpu| {
            let (mut dc, mut dgates) = (buffer(cpu, &dy[..len]), output(cpu, 4 * len));
            let (gates, continuation) = (buffer(cpu, &gates), buffer(cpu, &continuation));
            let (c, dh) = (buffer(cpu, &c), buffer(cpu, &dy[len..]));
            let geometry = LstmGeometry { batch, hidden };
            cpu.lstm_unit_backward(&geometry, &gates, &continuation, &c, &dh, &mut dc, &mut dgates).unwrap();
            [values(cpu, &dgates, 4 * len), values(cpu, &dc, len)].concat()
        });
    }

    #[test]
    fn inner_product(
        size in (1..=40u32, 1..=150u32, 1..=90u32),
        transpose in any::<bool>(),
        accumulate in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (batch, inputs, outputs) = size;
        let geometry = InnerProductGeometry { batch, inputs, outputs, transpose };
        check_inner_product(&geometry, accumulate, seed);
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

#[test]
fn large_shapes() {
    let geometry = AxisGeometry { outer: 8, axis: 70, inner: 60 };
    let len = 8 * 70 * 60;
    let (x, dy, slope) = (numbers(1, len), numbers(2, len), numbers(3, 70));
    check_agreement(|cpu| {
        let (x, dy, slope) = (buffer(cpu, &x), buffer(cpu, &dy), buffer(cpu, &slope));
        let (mut dx, mut sums) = (output(cpu, len), cpu.allocate(70).unwrap());
        let mut found = Vec::new();
        for geometry in [geometry, AxisGeometry { outer: 480, inner: 1, ..geometry }] {
            cpu.bias_backward(&geometry, &dy, &mut sums).unwrap();
            cpu.scale_backward(&geometry, &x, &dy, &mut sums).unwrap();
            cpu.prelu_backward_slope(&geometry, &x, &dy, &mut sums).unwrap();
            cpu.prelu_backward(&geometry, &x, &slope, Some(&dy), &mut dx).unwrap();
            found.extend(values(cpu, &dx, len));
            cpu.softmax_backward(&geometry, &x, None, &mut dx).unwrap();
            found.extend(values(cpu, &dx, len));
            let (mut mean, mut variance) = (output(cpu, 70), output(cpu, 70));
            cpu.batch_normalization_forward_training(&geometry, &x, 0.1, &mut dx, &mut mean, &mut variance)
                .unwrap();
            cpu.batch_normalization_backward(&geometry, &x, &mean, &variance, 0.1, &dy, &mut dx).unwrap();
            found.extend(values(cpu, &dx, len));
        }
        found.extend(values(cpu, &sums, 70));
        for region in [LrnRegion::AcrossChannels, LrnRegion::WithinChannel] {
            let geometry = LrnGeometry { region, ..LrnGeometry::new([2, 7, 3, 800]) };
            cpu.lrn_backward(&geometry, &x, &dy, &mut dx).unwrap();
            found.extend(values(cpu, &dx, len));
        }
        let geometry = EmbedGeometry { count: 480, rows: 300, length: 70 };
        let index: Vec<f32> = numbers(4, 480).iter().map(|x| ((x + 1.0) * 150.0).floor()).collect();
        let mut dtable = cpu.allocate(300 * 70).unwrap();
        cpu.embed_backward(&geometry, Site::default(), &buffer(cpu, &index), &dy, &mut dtable).unwrap();
        found.extend(values(cpu, &dtable, 300 * 70));
        found
    });
    for transpose in [false, true] {
        check_inner_product(
            &InnerProductGeometry { batch: 32, inputs: 2100, outputs: 40, transpose },
            true,
            5,
        );
    }
    check_pooling(&PoolGeometry::new(PoolMethod::Average, [1, 1, 1, 300], [1, 3]), 1);
    check_pooling(&PoolGeometry::global(PoolMethod::Average, [2, 3, 5, 5]), 1);
}

#[test]
fn unpooling() {
    let mask = [3.0, 0.0, -1.0, 9.0, 1.0, 2.0];
    let dy = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    check_op("unpool_backward", &[4.0, 1.0, 0.0, 0.0, 6.0, 7.0], 0.0, 0.0, |cpu| {
        let mut dx = output(cpu, 6);
        cpu.unpool_backward(2, [3, 4], &buffer(cpu, &mask), &buffer(cpu, &dy), &mut dx).unwrap();
        values(cpu, &dx, 6)
    });
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

#[test]
fn what_has_no_gradient() {
    let cpu = CpuBackend::new(1).unwrap();
    let x = cpu.allocate(100).unwrap();
    let mut dx = cpu.allocate(100).unwrap();
    let overlapping = CopyGeometry { source_stride: [1; 8], ..CopyGeometry::tile(2, 3, 2) };
    let refused = cpu.transform_tensor_backward(&overlapping, &x, false, &mut dx).unwrap_err().to_string();
    assert_eq!(refused, "transform_tensor_backward: source stride 1 reads elements twice");
    let pool = PoolGeometry::new(PoolMethod::Max, [1, 1, 4, 4], [2, 2]);
    let refused = cpu.pooling_backward(&pool, None, &x, &mut dx).unwrap_err().to_string();
    assert_eq!(refused, "pooling_backward: Max pooling needs its mask");
}

/// A linear operation's gradient is its transpose: `Σ dy · forward(x) = Σ backward(dy) · x`, for each unit vector x.
fn check_transpose(
    op: &'static str,
    [x_len, y_len]: [usize; 2],
    seed: u64,
    forward: impl Fn(&dyn Backend, &Buffer, &mut Buffer),
    backward: impl Fn(&dyn Backend, &Buffer, &mut Buffer),
) {
    let dy = numbers(seed, y_len);
    let cpu = CpuBackend::new(1).unwrap();
    let (mut x, mut y) = (cpu.allocate(x_len).unwrap(), cpu.allocate(y_len).unwrap());
    let expected: Vec<f64> = (0..x_len)
        .map(|i| {
            cpu.write(&mut x, i, &[1.0]).unwrap();
            forward(&cpu, &x, &mut y);
            cpu.write(&mut x, i, &[0.0]).unwrap();
            let y = values(&cpu, &y, y_len);
            y.iter().zip(&dy).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum()
        })
        .collect();
    check_op(op, &expected, 1e-5, 1e-5, |cpu| {
        let mut dx = output(cpu, x_len);
        backward(cpu, &buffer(cpu, &dy), &mut dx);
        values(cpu, &dx, x_len)
    });
}

fn check_copy(geometry: &CopyGeometry, seed: u64) {
    // More than any of the copies reaches.
    let len = 2000;
    let (dy, old) = (numbers(seed, len), numbers(seed + 1, len));
    let cpu = CpuBackend::new(1).unwrap();
    // Where each element went: copies of their places.
    let places: Vec<f32> = (0..len).map(|place| place as f32).collect();
    let mut targets = buffer(&cpu, &vec![-1.0; len]);
    cpu.transform_tensor(geometry, &buffer(&cpu, &places), &mut targets).unwrap();
    let mut gathered: Vec<Option<f64>> = vec![None; len];
    for (target, source) in values(&cpu, &targets, len).into_iter().enumerate() {
        if source >= 0.0 {
            *gathered[source as usize].get_or_insert(0.0) += f64::from(dy[target]);
        }
    }
    for accumulate in [false, true] {
        let expected: Vec<f64> = gathered
            .iter()
            .zip(&old)
            .map(|(sum, &old)| match sum {
                Some(sum) if !accumulate => *sum,
                sum => f64::from(old) + sum.unwrap_or_default(),
            })
            .collect();
        check_op("transform_tensor_backward", &expected, 2e-6, 1e-6, |cpu| {
            let mut dx = buffer(cpu, &old);
            cpu.transform_tensor_backward(geometry, &buffer(cpu, &dy), accumulate, &mut dx).unwrap();
            values(cpu, &dx, len)
        });
    }
}

fn check_pooling(geometry: &PoolGeometry, seed: u64) {
    let plane = |[height, width]: [u32; 2]| (height * width) as usize;
    let planes = (geometry.batch * geometry.channels) as usize;
    let (x_len, y_len) = (planes * plane(geometry.input), planes * plane(geometry.output));
    let (x, dy) = (apart(numbers(seed, x_len)), numbers(seed + 1, y_len));
    let width = geometry.input[1] as i64;
    let forward = |x: &[f64]| -> Vec<f64> {
        let window = |axis: usize, index: u32| {
            let [input, kernel, stride, pad] =
                [geometry.input, geometry.kernel, geometry.stride, geometry.pad].map(|v| i64::from(v[axis]));
            let from = i64::from(index) * stride - pad;
            let to = (from + kernel).min(input + pad);
            (from.max(0)..to.min(input), (to - from) as f64)
        };
        let mut y = Vec::new();
        for x in x.chunks_exact(plane(geometry.input)) {
            for row in 0..geometry.output[0] {
                for column in 0..geometry.output[1] {
                    let ((rows, height), (columns, span)) = (window(0, row), window(1, column));
                    let seen = rows.flat_map(|r| columns.clone().map(move |c| (r * width + c) as usize));
                    y.push(match geometry.method {
                        PoolMethod::Max => seen.map(|i| x[i]).fold(f64::NEG_INFINITY, f64::max),
                        _ => seen.map(|i| x[i]).sum::<f64>() / (height * span),
                    });
                }
            }
        }
        y
    };
    check_op("pooling_backward", &slopes(&x, &dy, forward), 2e-5, 1e-5, |cpu| {
        let (mut y, mut mask) = (output(cpu, y_len), output(cpu, y_len));
        let masked = geometry.method == PoolMethod::Max;
        let x = buffer(cpu, &x);
        cpu.pooling_forward(geometry, &x, &mut y, masked.then_some(&mut mask), None).unwrap();
        let mut dx = output(cpu, x_len);
        cpu.pooling_backward(geometry, masked.then_some(&mask), &buffer(cpu, &dy), &mut dx).unwrap();
        values(cpu, &dx, x_len)
    });
}

fn check_inner_product(geometry: &InnerProductGeometry, accumulate: bool, seed: u64) {
    let [batch, inputs, outputs] =
        [geometry.batch, geometry.inputs, geometry.outputs].map(|extent| extent as usize);
    let (x, dy) = (numbers(seed, batch * inputs), numbers(seed + 1, batch * outputs));
    let (weights, old) = (numbers(seed + 2, inputs * outputs), numbers(seed + 3, inputs * (outputs + batch)));
    let place = |o: usize, i: usize| if geometry.transpose { i * outputs + o } else { o * inputs + i };
    let start = |index: usize| if accumulate { f64::from(old[index]) } else { 0.0 };
    let mut dx: Vec<f64> = (0..x.len()).map(start).collect();
    let mut dw: Vec<f64> = (0..weights.len()).map(start).collect();
    for n in 0..batch {
        for o in 0..outputs {
            let dy = f64::from(dy[n * outputs + o]);
            for i in 0..inputs {
                dx[n * inputs + i] += dy * f64::from(weights[place(o, i)]);
                dw[place(o, i)] += dy * f64::from(x[n * inputs + i]);
            }
        }
    }
    let first =
        |cpu: &dyn Backend, len: usize| if accumulate { buffer(cpu, &old[..len]) } else { output(cpu, len) };
    check_op("inner_product_backward_data", &dx, 3e-5, 2e-6, |cpu| {
        let mut workspace = output(cpu, cpu.inner_product_backward_data_workspace_len(geometry));
        let (weights, dy, mut dx) = (buffer(cpu, &weights), buffer(cpu, &dy), first(cpu, x.len()));
        cpu.inner_product_backward_data(geometry, &weights, &dy, accumulate, &mut dx, &mut workspace)
            .unwrap();
        values(cpu, &dx, x.len())
    });
    check_op("inner_product_backward_filter", &dw, 3e-5, 2e-6, |cpu| {
        let mut workspace = output(cpu, cpu.inner_product_backward_filter_workspace_len(geometry));
        let (x, dy, mut dw) = (buffer(cpu, &x), buffer(cpu, &dy), first(cpu, weights.len()));
        cpu.inner_product_backward_filter(geometry, &x, &dy, accumulate, &mut dw, &mut workspace).unwrap();
        values(cpu, &dw, weights.len())
    });
}
