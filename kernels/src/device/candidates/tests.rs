//! Every way to compute a product or a convolution gives the same.

use super::*;
use crate::activation::Activation;
use crate::buffer::Buffer;
use crate::device::MathMode;
use crate::device::stand_in::{FakeClock, backend};
use crate::prelude::*;

fn device(math: MathMode) -> DeviceBackend {
    backend(&FakeClock::new(|_| panic!("nothing is to be measured")), None).with_math(math)
}

/// Numbers between −1 and 1 (Knuth's MMIX).
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn buffer(device: &DeviceBackend, values: &[f32]) -> Buffer {
    let mut buffer = device.allocate(values.len()).unwrap();
    device.write(&mut buffer, 0, values).unwrap();
    buffer
}

/// Within 1e-5 of the largest; TF32 rounds factors to 11 bits.
fn check(device: &DeviceBackend, found: &Buffer, expected: &[f64], tf32: bool, what: &str) {
    let mut values = vec![0.0; expected.len()];
    device.read(found, 0, &mut values).unwrap();
    let largest = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    let worst = values.iter().zip(expected).map(|(&found, expected)| (f64::from(found) - expected).abs());
    let worst = worst.fold(0.0, |worst, next| if next <= worst { worst } else { next }) / largest;
    assert!(worst < if tf32 { 2e-3 } else { 1e-5 }, "{what}: {worst:e}");
}

#[test]
fn every_way_to_multiply_gives_the_same() {
    for (math, sizes) in [
        (MathMode::F32, [66, 70, 260]),
        (MathMode::F32, [3, 130, 70]),
        (MathMode::F32, [1, 1, 1]),
        (MathMode::Tf32, [66, 70, 130]),
    ] {
        let device = device(math);
        let tf32 = math == MathMode::Tf32;
        for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false), (true, true)] {
            let [m, n, k] = sizes;
            let plain = GemmGeometry { transpose_a, transpose_b, ..GemmGeometry::new(m, n, k) };
            let geometry = GemmGeometry { alpha: 0.5, beta: -2.0, ..plain };
            let shape = ProductShape::new(&geometry, tf32);
            let [m, n, k] = shape.extents();
            let (a, b, old) = (numbers(1, m * k), numbers(2, k * n), numbers(3, m * n));
            let expected: Vec<f64> = (0..m * n)
                .map(|at| {
                    let (i, j) = (at / n, at % n);
                    let sum: f64 = (0..k)
                        .map(|l| {
                            let a = a[if transpose_a { l * m + i } else { i * k + l }];
                            f64::from(a) * f64::from(b[if transpose_b { j * k + l } else { l * n + j }])
                        })
                        .sum();
                    0.5 * sum - 2.0 * f64::from(old[at])
                })
                .collect();
            let (a, b) = (buffer(&device, &a), buffer(&device, &b));
            for plan in device.product_candidates(&shape) {
                device.plans().products.insert(shape, plan);
                let mut workspace = device.allocate(device.gemm_workspace_len(&geometry)).unwrap();
                let mut c = buffer(&device, &old);
                device.gemm(&geometry, &a, &b, &mut c, &mut workspace).unwrap();
                check(&device, &c, &expected, tf32, &format!("{shape}: {}", plan.name()));
            }
        }
    }
}

/// Bias, addition and activation behind each.
#[test]
fn every_way_to_an_inner_product_gives_the_same() {
    let device = device(MathMode::F32);
    let geometry = crate::InnerProductGeometry { batch: 5, inputs: 140, outputs: 70, transpose: false };
    let (x, weights) = (numbers(1, 5 * 140), numbers(2, 70 * 140));
    let (bias, old) = (numbers(3, 70), numbers(4, 5 * 70));
    let shape = ProductShape::new(&DeviceBackend::inner_product_gemm(&geometry), false);
    for activation in [Activation::LeakyRelu { slope: 0.5 }, Activation::Tanh] {
        let expected: Vec<f64> = (0..5 * 70)
            .map(|at| {
                let (i, j) = (at / 70, at % 70);
                let product = |l| f64::from(x[i * 140 + l]) * f64::from(weights[j * 140 + l]);
                let sum = (0..140).map(product).sum::<f64>() + f64::from(bias[j]) + f64::from(old[at]);
                if activation == Activation::Tanh { sum.tanh() } else { sum.max(0.5 * sum) }
            })
            .collect();
        let [x, weights, bias] = [&x, &weights, &bias].map(|values| buffer(&device, values));
        for plan in device.product_candidates(&shape) {
            device.plans().products.insert(shape, plan);
            let mut workspace = device.allocate(device.inner_product_workspace_len(&geometry)).unwrap();
            let mut y = buffer(&device, &old);
            let epilogue = crate::Epilogue { bias: Some(&bias), accumulate: true, activation };
            device.inner_product_forward(&geometry, &weights, &x, &epilogue, &mut y, &mut workspace).unwrap();
            check(&device, &y, &expected, false, &plan.name());
        }
    }
}

/// y, dx and dw of a convolution of two axes, by its definition.
fn reference(geometry: &ConvGeometry, x: &[f32], w: &[f32], dy: &[f32]) -> [Vec<f64>; 3] {
    let output = geometry.output();
    let [inputs, outputs] = [geometry.group_inputs(), geometry.group_outputs()];
    let mut results = [dy.len(), x.len(), w.len()].map(|len| vec![0.0; len]);
    let walk = |extents: [usize; 7]| {
        (0..extents.iter().product()).map(move |mut index: usize| {
            let mut places = [0; 7];
            for axis in (0..7).rev() {
                (places[axis], index) = (index % extents[axis], index / extents[axis]);
            }
            places
        })
    };
    let (batch, channels) = (geometry.batch as usize, geometry.output_channels as usize);
    let sizes = [output[0], output[1], geometry.kernel[0], geometry.kernel[1]].map(|size| size as usize);
    for [image, o, i, row, column, u, v] in
        walk([batch, channels, inputs, sizes[0], sizes[1], sizes[2], sizes[3]])
    {
        let place = |axis: usize, pixel: usize, tap: usize| {
            let at = pixel as u32 * geometry.stride[axis] + tap as u32 * geometry.dilation[axis];
            at.checked_sub(geometry.pad[axis]).filter(|&at| at < geometry.input[axis])
        };
        let (Some(at_row), Some(at_column)) = (place(0, row, u), place(1, column, v)) else { continue };
        let channel = image * geometry.input_channels as usize + o / outputs * inputs + i;
        let x_at = (channel * geometry.input[0] as usize + at_row as usize) * geometry.input[1] as usize
            + at_column as usize;
        let w_at = ((o * inputs + i) * sizes[2] + u) * sizes[3] + v;
        let y_at = ((image * channels + o) * sizes[0] + row) * sizes[1] + column;
        let [x, w, dy] = [x[x_at], w[w_at], dy[y_at]].map(f64::from);
        results[0][y_at] += x * w;
        results[1][x_at] += dy * w;
        results[2][w_at] += dy * x;
    }
    results
}

#[test]
fn every_way_to_convolve_gives_the_same() {
    let plain = |inputs, outputs, size: u32, kernel: u32| {
        ConvGeometry::new(2, [inputs, outputs], &[size, size + 1], &[kernel, kernel])
    };
    let shapes = [
        (plain(6, 140, 6, 1).with_group(2), "Forward: 1x1 GEMM, cuBLAS", MathMode::F32),
        (plain(70, 5, 8, 1), "Data: 1x1 GEMM, cuBLAS", MathMode::F32),
        (
            ConvGeometry { batch: 1, ..plain(6, 140, 6, 1).with_group(2) },
            "Filter: 1x1 GEMM, cuBLAS",
            MathMode::F32,
        ),
        (ConvGeometry::new(3, [66, 8], &[1, 1], &[1, 1]), "Filter: 1x1 GEMM, cuBLAS", MathMode::F32),
        (plain(6, 8, 7, 3).with_pad(&[1, 2]).with_group(2), "Data: Winograd, cuBLAS", MathMode::F32),
        (plain(4, 8, 9, 3).with_group(4).with_stride(&[2, 1]), "Filter: depthwise", MathMode::F32),
        (
            plain(66, 20, 9, 4).with_stride(&[2, 3]).with_pad(&[2, 1]).with_dilation(&[1, 2]),
            "Data: implicit GEMM, tiles of 128 in 1",
            MathMode::F32,
        ),
        (
            plain(5, 66, 7, 3).with_stride(&[2, 1]),
            "Forward: implicit GEMM, tiles of 128 TF32 in 1",
            MathMode::Tf32,
        ),
    ];
    for (geometry, named, math) in shapes {
        let device = device(math);
        let tf32 = math == MathMode::Tf32;
        let x = numbers(1, geometry.input_len());
        let w = numbers(2, geometry.weight_len());
        let dy = numbers(3, geometry.output_len());
        let bias = numbers(4, geometry.output_channels as usize);
        let [y, mut dx, mut dw] = reference(&geometry, &x, &w, &dy);
        // y = max(sum + bias + what was there, half of it); dx and dw are added to what is there.
        let pixels = geometry.output_pixels();
        let after = |(at, sum): (usize, f64)| {
            let sum = sum + f64::from(bias[at / pixels % bias.len()]) + f64::from(dy[at]);
            sum.max(0.5 * sum)
        };
        let y: Vec<f64> = y.into_iter().enumerate().map(after).collect();
        for (sums, old) in [(&mut dx, &x), (&mut dw, &w)] {
            sums.iter_mut().zip(old).for_each(|(sum, &old)| *sum += f64::from(old));
        }
        let [x_there, w_there, dy_there, bias] = [&x, &w, &dy, &bias].map(|values| buffer(&device, values));
        let mut names = Vec::new();
        let mut each = |pass, run: &mut dyn FnMut(&str)| {
            for plan in device.convolution_candidates(&geometry, pass) {
                device.plans().passes.insert((geometry, pass, tf32), plan);
                run(&format!("{}: {}", convolution_shape(&geometry, pass, tf32), plan.name()));
                names.push(format!("{pass:?}: {}", plan.name()));
            }
        };
        each(Pass::Forward, &mut |what| {
            let prepared = device.convolution_prepare(&geometry, &w_there).unwrap();
            let mut space = device.allocate(prepared.workspace_len()).unwrap();
            let mut found = buffer(&device, &dy);
            let activation = Activation::LeakyRelu { slope: 0.5 };
            let epilogue = crate::Epilogue { bias: Some(&bias), accumulate: true, activation };
            device.convolution_forward(&prepared, &x_there, &epilogue, &mut found, &mut space).unwrap();
            check(&device, &found, &y, tf32, what);
        });
        each(Pass::Data, &mut |what| {
            let prepared = device.convolution_backward_data_prepare(&geometry, &w_there).unwrap();
            let mut space = device.allocate(prepared.workspace_len()).unwrap();
            let mut found = buffer(&device, &x);
            device.convolution_backward_data(&prepared, &dy_there, true, &mut found, &mut space).unwrap();
            check(&device, &found, &dx, tf32, what);
        });
        each(Pass::Filter, &mut |what| {
            let len = device.convolution_backward_filter_workspace_len(&geometry);
            let mut space = device.allocate(len).unwrap();
            let mut found = buffer(&device, &w);
            device
                .convolution_backward_filter(&geometry, &x_there, &dy_there, true, &mut found, &mut space)
                .unwrap();
            check(&device, &found, &dw, tf32, what);
        });
        assert!(names.iter().any(|name| name == named), "{named} is not among {names:?}");
    }
}
