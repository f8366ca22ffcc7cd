//! Windows over planes, and planes of another size.

use kernels::{ConvGeometry, InterpGeometry, PoolGeometry, PoolMethod, Rounding};
use proptest::prelude::*;

use super::{apart, check_transpose, slopes};
use crate::support::{buffer, check_op, numbers, output, values};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

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

pub(super) fn check_pooling(geometry: &PoolGeometry, seed: u64) {
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
