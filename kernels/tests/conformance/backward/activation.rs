//! Activations' slopes.

use kernels::prelude::*;
use kernels::{Activation, CpuBackend, GradientFrom};

use super::{slopes, start};
use crate::support::{buffer, check, check_op, numbers, values};

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
