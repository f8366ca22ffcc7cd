//! Along rows and axes: Softmax, Reduction, MVN.

use kernels::{ReduceOp, RowsGeometry};
use proptest::prelude::*;

use super::{apart, axis, narrow, slopes, start};
use crate::support::{buffer, check_op, numbers, output, values, wide};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

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
}
