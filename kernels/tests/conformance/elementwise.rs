//! Activations, operations with a factor a channel, combinations, softmax and statistics.

use kernels::{Activation, AxisGeometry, Backend, EltwiseOp, NormalizeGeometry, ReduceOp, RowsGeometry};
use proptest::prelude::*;

use crate::support::{buffer, check, check_op, numbers, output, values, wide};

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
        case(Activation::Relu6, |x| x.clamp(0.0, 6.0)),
        case(Activation::Clip { low: -1.5, high: 2.5 }, |x| x.clamp(-1.5, 2.5)),
        case(Activation::Clip { low: 1.0, high: -1.0 }, |_| 1.0),
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
        case(Activation::Threshold { threshold: 0.5 }, |x| f64::from(u8::from(x > 0.5))),
    ]
}

#[test]
fn activations_in_place_and_not() {
    for len in [1, 15, 16, 1000, 40_000] {
        let x: Vec<f32> = numbers(9, len).into_iter().map(|number| 8.0 * number).collect();
        for (activation, function) in activations() {
            let expected: Vec<f64> = wide(&x).into_iter().map(&function).collect();
            check_op("activation_forward", &expected, 1e-6, 2e-6, |cpu| {
                let mut y = output(cpu, len);
                cpu.activation_forward(activation, len, Some(&buffer(cpu, &x)), &mut y).unwrap();
                let mut in_place = buffer(cpu, &x);
                cpu.activation_forward(activation, len, None, &mut in_place).unwrap();
                assert_eq!(values(cpu, &y, len), values(cpu, &in_place, len), "{activation:?}");
                values(cpu, &y, len)
            });
        }
    }
}

#[test]
fn filling() {
    for len in [1, 17, 40_000] {
        check_op("fill", &vec![-0.75; len], 0.0, 0.0, |cpu| {
            let mut y = output(cpu, len);
            cpu.fill(&mut y, len, -0.75).unwrap();
            values(cpu, &y, len)
        });
    }
}

#[test]
fn not_a_number_stays_one() {
    for (activation, _) in activations() {
        if !matches!(activation, Activation::Threshold { .. }) {
            check(&[f64::NAN; 20], 0.0, 0.0, |cpu| {
                let mut y = buffer(cpu, &[f32::NAN; 20]);
                cpu.activation_forward(activation, 20, None, &mut y).unwrap();
                values(cpu, &y, 20)
            });
        }
    }
}

fn axis() -> impl Strategy<Value = AxisGeometry> {
    (1..=4u32, 1..=20u32, prop_oneof![Just(1u32), 1..=300u32]).prop_map(|(outer, axis, inner)| AxisGeometry {
        outer,
        axis,
        inner,
    })
}

fn sizes(geometry: &AxisGeometry) -> (usize, usize, usize) {
    (geometry.outer as usize, geometry.axis as usize, geometry.inner as usize)
}

/// The elements along the axis, for each place beside it: (first index, indices).
fn lines(geometry: &AxisGeometry) -> Vec<Vec<usize>> {
    let (outer, axis, inner) = sizes(geometry);
    (0..outer * inner)
        .map(|line| (0..axis).map(|a| (line / inner * axis + a) * inner + line % inner).collect())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn channelwise(geometry in axis(), in_place in any::<bool>(), seed in any::<u64>()) {
        let (outer, axis, inner) = sizes(&geometry);
        let len = outer * axis * inner;
        let (x, a, b) = (numbers(seed, len), numbers(seed + 1, axis), numbers(seed + 2, axis));
        let variance: Vec<f32> = a.iter().map(|a| a.abs() + 0.1).collect();
        let of = |function: &dyn Fn(f64, usize) -> f64| -> Vec<f64> {
            (0..len).map(|i| function(f64::from(x[i]), i / inner % axis)).collect()
        };
        let (wa, wb, wv) = (wide(&a), wide(&b), wide(&variance));
        let start = |cpu: &dyn Backend| if in_place { (None, buffer(cpu, &x)) } else { (Some(buffer(cpu, &x)), output(cpu, len)) };
        check_op("scale_forward", &of(&|x, c| x * wa[c] + wb[c]), 2e-7, 1e-6, |cpu| {
            let (x, mut y) = start(cpu);
            let (a, b) = (buffer(cpu, &a), buffer(cpu, &b));
            cpu.scale_forward(&geometry, x.as_ref(), Some(&a), Some(&b), &mut y).unwrap();
            values(cpu, &y, len)
        });
        check_op("scale_forward", &of(&|x, c| x + wb[c]), 2e-7, 1e-6, |cpu| {
            let (x, mut y) = start(cpu);
            cpu.scale_forward(&geometry, x.as_ref(), None, Some(&buffer(cpu, &b)), &mut y).unwrap();
            values(cpu, &y, len)
        });
        check_op("prelu_forward", &of(&|x, c| x.max(0.0) + wa[c] * x.min(0.0)), 1e-7, 1e-6, |cpu| {
            let (x, mut y) = start(cpu);
            cpu.prelu_forward(&geometry, x.as_ref(), &buffer(cpu, &a), &mut y).unwrap();
            values(cpu, &y, len)
        });
        check_op("batch_normalization_forward_inference", &of(&|x, c| (x - wb[c] * 0.5) / (wv[c] * 0.5 + 1e-5).sqrt()), 2e-6, 1e-6, |cpu| {
            let (x, mut y) = start(cpu);
            let (mean, variance, weight) = (buffer(cpu, &b), buffer(cpu, &variance), buffer(cpu, &[2.0]));
            cpu.batch_normalization_forward_inference(
                &geometry, x.as_ref(), &mean, &variance, &weight, 1e-5, &mut y,
            ).unwrap();
            values(cpu, &y, len)
        });
    }

    #[test]
    fn batch_statistics(geometry in axis(), seed in any::<u64>()) {
        let (outer, axis, inner) = sizes(&geometry);
        let len = outer * axis * inner;
        let x = numbers(seed, len);
        let count = (outer * inner) as f64;
        let channel = |i: usize| i / inner % axis;
        let (mut mean, mut variance) = (vec![0.0; axis], vec![0.0; axis]);
        for i in 0..len {
            mean[channel(i)] += f64::from(x[i]) / count;
        }
        for i in 0..len {
            variance[channel(i)] += (f64::from(x[i]) - mean[channel(i)]).powi(2) / count;
        }
        let y: Vec<f64> = (0..len)
            .map(|i| (f64::from(x[i]) - mean[channel(i)]) / (variance[channel(i)] + 1e-2).sqrt())
            .collect();
        let expected = [y, mean, variance].concat();
        check_op("batch_normalization_forward_training", &expected, 4e-6, 2e-6, |cpu| {
            let [mut y, mut mean, mut variance] = [len, axis, axis].map(|len| output(cpu, len));
            cpu.batch_normalization_forward_training(
                &geometry, &buffer(cpu, &x), 1e-2, &mut y, &mut mean, &mut variance,
            ).unwrap();
            [values(cpu, &y, len), values(cpu, &mean, axis), values(cpu, &variance, axis)].concat()
        });
    }

    #[test]
    fn softmax(geometry in axis(), in_place in any::<bool>(), seed in any::<u64>()) {
        let (outer, axis, inner) = sizes(&geometry);
        let len = outer * axis * inner;
        let x: Vec<f32> = numbers(seed, len).into_iter().map(|number| 30.0 * number).collect();
        let mut expected = vec![0.0; len];
        for line in lines(&geometry) {
            let max = line.iter().map(|&i| f64::from(x[i])).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = line.iter().map(|&i| (f64::from(x[i]) - max).exp()).sum();
            for &i in &line {
                expected[i] = (f64::from(x[i]) - max).exp() / sum;
            }
        }
        check_op("softmax_forward", &expected, 1e-12, 4e-6, |cpu| {
            let (x, mut y) = if in_place { (None, buffer(cpu, &x)) } else { (Some(buffer(cpu, &x)), output(cpu, len)) };
            cpu.softmax_forward(&geometry, x.as_ref(), &mut y).unwrap();
            values(cpu, &y, len)
        });
    }

    #[test]
    fn eltwise(inputs in 1..=4usize, len in prop_oneof![1..=100usize, Just(20_000)], seed in any::<u64>()) {
        let x: Vec<Vec<f32>> = (0..inputs as u64).map(|i| numbers(seed.wrapping_add(i), len)).collect();
        let coefficients = numbers(seed.wrapping_add(9), inputs);
        let column = |i: usize| x.iter().map(move |x| f64::from(x[i]));
        let of = |function: &dyn Fn(usize) -> f64| -> Vec<f64> { (0..len).map(function).collect() };
        let weighted =
            of(&|i| column(i).zip(&coefficients).map(|(x, &c)| x * f64::from(c)).sum());
        for (op, expected) in [
            (EltwiseOp::Sum(&[]), of(&|i| column(i).sum())),
            (EltwiseOp::Sum(&coefficients), weighted),
            (EltwiseOp::Product, of(&|i| column(i).product())),
            (EltwiseOp::Max, of(&|i| column(i).fold(f64::NEG_INFINITY, f64::max))),
        ] {
            check_op("eltwise_forward", &expected, 5e-7, 1e-6, |cpu| {
                let x: Vec<_> = x.iter().map(|x| buffer(cpu, x)).collect();
                let mut y = output(cpu, len);
                cpu.eltwise_forward(op, len, &x.iter().collect::<Vec<_>>(), &mut y).unwrap();
                values(cpu, &y, len)
            });
        }
    }

    #[test]
    fn rows(rows in 1..=6u32, length in 1..=400u32, seed in any::<u64>()) {
        let geometry = RowsGeometry { rows, length };
        let x = numbers(seed, (rows * length) as usize);
        let exact = wide(&x);
        let line = |i: usize| &exact[i * length as usize..][..length as usize];
        let of = |function: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
            (0..rows as usize).map(|row| 0.5 * function(line(row))).collect()
        };
        for (op, expected) in [
            (ReduceOp::Sum, of(&|x| x.iter().sum())),
            (ReduceOp::AbsoluteSum, of(&|x| x.iter().map(|x| x.abs()).sum())),
            (ReduceOp::SumOfSquares, of(&|x| x.iter().map(|x| x * x).sum())),
            (ReduceOp::Mean, of(&|x| x.iter().sum::<f64>() / x.len() as f64)),
        ] {
            check_op("reduce_forward", &expected, 2e-5, 1e-6, |cpu| {
                let mut y = output(cpu, rows as usize);
                cpu.reduce_forward(op, &geometry, 0.5, &buffer(cpu, &x), &mut y).unwrap();
                values(cpu, &y, rows as usize)
            });
        }
        for normalize_variance in [false, true] {
            let expected: Vec<f64> = (0..rows as usize)
                .flat_map(|row| {
                    let x = line(row);
                    let mean = x.iter().sum::<f64>() / x.len() as f64;
                    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
                    let scale = if normalize_variance { 1.0 / (variance.sqrt() + 1e-2) } else { 1.0 };
                    x.iter().map(move |x| (x - mean) * scale).collect::<Vec<_>>()
                })
                .collect();
            check_op("mvn_forward", &expected, 5e-6, 2e-6, |cpu| {
                let mut y = output(cpu, x.len());
                cpu.mvn_forward(&geometry, normalize_variance, 1e-2, &buffer(cpu, &x), &mut y).unwrap();
                values(cpu, &y, x.len())
            });
        }
    }

    #[test]
    fn normalize(
        shape in (1..=3u32, 1..=8u32, 1..=300u32),
        across_spatial in any::<bool>(),
        channel_shared in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (batch, channels, inner) = shape;
        let geometry =
            NormalizeGeometry { batch, channels, inner, across_spatial, channel_shared, eps: 1e-3 };
        let x = numbers(seed, (batch * channels * inner) as usize);
        let scale = numbers(seed + 1, channels as usize);
        let (channels, inner) = (channels as usize, inner as usize);
        let expected: Vec<f64> = (0..x.len())
            .map(|i| {
                let image = i / (channels * inner) * channels * inner;
                let sum: f64 = (image..image + channels * inner)
                    .filter(|j| across_spatial || j % inner == i % inner)
                    .map(|j| f64::from(x[j]).powi(2))
                    .sum();
                let scale = scale[if channel_shared { 0 } else { i / inner % channels }];
                f64::from(x[i]) / (sum + 1e-3).sqrt() * f64::from(scale)
            })
            .collect();
        check_op("normalize_forward", &expected, 1e-6, 2e-6, |cpu| {
            let mut y = output(cpu, x.len());
            cpu.normalize_forward(&geometry, &buffer(cpu, &x), &buffer(cpu, &scale), &mut y).unwrap();
            values(cpu, &y, x.len())
        });
    }
}

#[test]
fn of_equals_the_later_bottom_of_the_first_pair_wins() {
    check(&[-0.0, 0.0], 0.0, 0.0, |cpu| {
        let x = [buffer(cpu, &[0.0, -0.0]), buffer(cpu, &[-0.0, 0.0])];
        let mut y = output(cpu, 2);
        cpu.eltwise_forward(EltwiseOp::Max, 2, &[&x[0], &x[1]], &mut y).unwrap();
        let found = values(cpu, &y, 2);
        assert!(found[0].is_sign_negative() && found[1].is_sign_positive());
        found
    });
}
