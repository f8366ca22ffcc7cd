//! What only devices have: several versions of a product, TF32, and memory of their own.

use kernels::prelude::*;
use kernels::{
    Activation, Buffer, Choice, ConvAlgorithm, ConvGeometry, CpuBackend, DeviceBackend, Epilogue,
    GemmGeometry, GemmVersion, HostBuffer, InnerProductGeometry, MathMode,
};

use proptest::prelude::*;

use crate::support::{buffer, devices, numbers, open_devices, output, values, wide};
use crate::table;

fn product([m, n, k]: [usize; 3], a: &[f64], b: &[f64]) -> Vec<f64> {
    let element = |i: usize, j: usize| (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
    (0..m * n).map(|at| element(at / n, at % n)).collect()
}

/// The largest difference.
fn difference(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let differences =
        found.iter().zip(expected).map(|(&found, expected)| (f64::from(found) - expected).abs());
    differences.fold(0.0, |largest, next| if next <= largest { largest } else { next })
}

/// A float as the tensor cores see it: ten bits behind the point.
fn tf32(value: f32) -> f64 {
    f64::from(f32::from_bits((value.to_bits() + 0x1000) & !0x1fff))
}

#[test]
fn every_version_of_the_product_gives_the_same() {
    for sizes in [[1, 1, 1], [16, 16, 16], [33, 70, 45], [130, 129, 40], [7, 300, 65]] {
        let [m, n, k] = sizes.map(|extent| extent as usize);
        let (a, b) = (numbers(1, m * k), numbers(2, k * n));
        let expected = product([m, n, k], &wide(&a), &wide(&b));
        for device in devices() {
            let (a, b) = (buffer(device, &a), buffer(device, &b));
            for version in [GemmVersion::Naive, GemmVersion::Tiles, GemmVersion::Registers] {
                let mut c = output(device, m * n);
                device.gemm_version(version, sizes, &a, &b, &mut c).unwrap();
                let worst = difference(&values(device, &c, m * n), &expected);
                assert!(worst < 1e-5, "{version:?} {sizes:?}: {worst:e}");
            }
        }
    }
}

/// A grid's second and third axes end at 65535 blocks, of 64 rows.
#[test]
fn a_product_may_have_more_rows_than_a_grid_has_blocks_down() {
    let geometry = GemmGeometry::new(64 * 65_535 + 1, 1, 1);
    let a = numbers(1, geometry.m as usize);
    for device in devices() {
        let (x, factor) = (buffer(device, &a), buffer(device, &[-2.0]));
        let mut c = output(device, a.len());
        let mut workspace = output(device, device.gemm_workspace_len(&geometry));
        device.gemm(&geometry, &x, &factor, &mut c, &mut workspace).unwrap();
        assert!(values(device, &c, a.len()).iter().zip(&a).all(|(&c, &a)| c == -2.0 * a));
        let refused = device.gemm_version(GemmVersion::Tiles, [32 * 65_535 + 1, 1, 1], &x, &factor, &mut c);
        assert_eq!(
            refused.unwrap_err().to_string(),
            "gemm_version: 2097121 rows are 65536 tiles of 32; 65535 are possible"
        );
    }
}

#[test]
fn products_on_tensor_cores_round_their_factors_and_nothing_else() {
    for device in tf32_devices() {
        // Sums that are shorter than a slice, fetched by fours or not, and cut into parts.
        for (m, n, k) in [(130, 140, 70), (65, 300, 1100), (128, 256, 64), (200, 67, 3), (65, 65, 1)] {
            for (transpose_a, transpose_b) in [(false, false), (true, true), (true, false), (false, true)] {
                let geometry = GemmGeometry { transpose_a, transpose_b, ..GemmGeometry::new(m, n, k) };
                let [m, n, k] = [m, n, k].map(|extent| extent as usize);
                let (a, b) = (numbers(3, m * k), numbers(4, k * n));
                let at = |values: &[f32], i: usize, j: usize, columns: usize, rows: usize, turned: bool| {
                    tf32(values[if turned { j * rows + i } else { i * columns + j }])
                };
                let rows: Vec<f64> = (0..m * k).map(|i| at(&a, i / k, i % k, k, m, transpose_a)).collect();
                let columns: Vec<f64> = (0..k * n).map(|i| at(&b, i / n, i % n, n, k, transpose_b)).collect();
                let expected = product([m, n, k], &rows, &columns);
                let mut c = output(&device, m * n);
                let mut workspace = output(&device, device.gemm_workspace_len(&geometry));
                let (a, b) = (buffer(&device, &a), buffer(&device, &b));
                device.gemm(&geometry, &a, &b, &mut c, &mut workspace).unwrap();
                let c = values(&device, &c, m * n);
                table::note("gemm in TF32", &device, &c, &expected);
                let worst = difference(&c, &expected);
                assert!(worst < 4e-7 * (k as f64).sqrt() * 4.0, "{geometry:?}: {worst:e}");
            }
        }
    }
}

#[test]
fn convolutions_on_tensor_cores_are_near_those_of_the_processor() {
    let cpu = CpuBackend::new(1).unwrap();
    for geometry in [
        ConvGeometry::new(2, [24, 160], &[9, 9], &[3, 3]).with_pad(&[1, 1]).with_group(2),
        ConvGeometry::new(3, [80, 70], &[13, 11], &[3, 5]).with_stride(&[2, 2]).with_dilation(&[1, 2]),
        ConvGeometry::new(2, [144, 160], &[16, 8], &[1, 1]).with_group(2),
        ConvGeometry::new(3, [70, 80], &[9, 7], &[1, 1]),
    ] {
        let pixels = |extents: [u32; 6]| extents.iter().map(|&extent| extent as usize).product::<usize>();
        let taps = pixels(geometry.kernel);
        let (inputs, outputs) = (geometry.input_channels as usize, geometry.output_channels as usize);
        let batch = geometry.batch as usize;
        let x = numbers(1, batch * inputs * pixels(geometry.input));
        let dy = numbers(2, batch * outputs * pixels(geometry.output()));
        let weights = numbers(3, outputs * inputs / geometry.group as usize * taps);
        let passes = |backend: &dyn Backend| -> [Vec<f32>; 3] {
            let weights_there = buffer(backend, &weights);
            let (x_there, dy_there) = (buffer(backend, &x), buffer(backend, &dy));
            let forward = backend.convolution_prepare(&geometry, &weights_there).unwrap();
            let (mut y, mut space) = (output(backend, dy.len()), output(backend, forward.workspace_len()));
            backend
                .convolution_forward(&forward, &x_there, &Epilogue::default(), &mut y, &mut space)
                .unwrap();
            let back = backend.convolution_backward_data_prepare(&geometry, &weights_there).unwrap();
            let (mut dx, mut space) = (output(backend, x.len()), output(backend, back.workspace_len()));
            backend.convolution_backward_data(&back, &dy_there, false, &mut dx, &mut space).unwrap();
            let len = backend.convolution_backward_filter_workspace_len(&geometry);
            let (mut dw, mut space) = (output(backend, weights.len()), output(backend, len));
            backend
                .convolution_backward_filter(&geometry, &x_there, &dy_there, false, &mut dw, &mut space)
                .unwrap();
            [
                values(backend, &y, dy.len()),
                values(backend, &dx, x.len()),
                values(backend, &dw, weights.len()),
            ]
        };
        let expected = passes(&cpu).map(|values| wide(&values));
        for device in tf32_devices() {
            for (found, expected) in passes(&device).iter().zip(&expected) {
                let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
                let worst = difference(found, expected) / largest;
                // Rounded, but not to nothing.
                assert!(worst < 1e-3, "{geometry:?}: {worst:e}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_algorithm_gives_the_same(
        batch in 1..=3u32,
        channels in (1..=3u32, 1..=20u32, 1..=20u32),
        size in (1..=21u32, 1..=21u32),
        kernel in prop_oneof![Just(1u32), Just(3)],
        pad in 0..=3u32,
        accumulate in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (group, inputs, outputs) = channels;
        let geometry = ConvGeometry::new(batch, [group * inputs, group * outputs], &[size.0, size.1], &[kernel; 2])
            .with_pad(&[if kernel == 1 { 0 } else { pad }; 2])
            .with_group(group);
        prop_assume!(kernel == 1 || size.0.min(size.1) + 2 * pad >= 3);
        check_algorithms(&geometry, accumulate, seed);
    }
}

/// Several turns over the images, and tiles that are large.
#[test]
fn large_shapes_by_every_algorithm() {
    for geometry in [
        ConvGeometry::new(4, [80, 70], &[30, 29], &[3, 3]).with_pad(&[1, 1]),
        ConvGeometry::new(2, [140, 160], &[16, 16], &[1, 1]).with_group(2),
    ] {
        check_algorithms(&geometry, true, 5);
    }
}

/// Forward and back to the data, by each algorithm that can.
fn check_algorithms(geometry: &ConvGeometry, accumulate: bool, seed: u64) {
    for algorithm in [ConvAlgorithm::ImplicitGemm, ConvAlgorithm::Winograd, ConvAlgorithm::Pointwise] {
        for device in open_devices() {
            let device = device.with_algorithm(algorithm);
            check_passes(&device, geometry, accumulate, seed, algorithm.name());
        }
    }
}

/// Forward and back to the data: within rounding of the processor's.
fn check_passes(device: &DeviceBackend, geometry: &ConvGeometry, accumulate: bool, seed: u64, what: &str) {
    let pixels = |extents: [u32; 6]| extents.iter().map(|&extent| extent as usize).product::<usize>();
    let (inputs, outputs) = (geometry.input_channels as usize, geometry.output_channels as usize);
    let batch = geometry.batch as usize;
    let x = numbers(seed, batch * inputs * pixels(geometry.input));
    let dy = numbers(seed + 1, batch * outputs * pixels(geometry.output()));
    let weights = numbers(seed + 2, outputs * inputs / geometry.group as usize * pixels(geometry.kernel));
    let bias = numbers(seed + 3, outputs);
    let passes = |backend: &dyn Backend| -> [Vec<f32>; 2] {
        let [x_there, dy_there, weights, bias] =
            [&x, &dy, &weights, &bias].map(|values| buffer(backend, values));
        let other = output(backend, weights.len());
        let mut forward = backend.convolution_prepare(geometry, &other).unwrap();
        backend.convolution_repack(&mut forward, &weights).unwrap();
        let (mut y, mut space) = (buffer(backend, &dy), output(backend, forward.workspace_len()));
        let activation = Activation::LeakyRelu { slope: 0.5 };
        let epilogue = Epilogue { bias: Some(&bias), accumulate, activation };
        backend.convolution_forward(&forward, &x_there, &epilogue, &mut y, &mut space).unwrap();
        let back = backend.convolution_backward_data_prepare(geometry, &weights).unwrap();
        let (mut dx, mut space) = (buffer(backend, &x), output(backend, back.workspace_len()));
        backend.convolution_backward_data(&back, &dy_there, accumulate, &mut dx, &mut space).unwrap();
        [values(backend, &y, dy.len()), values(backend, &dx, x.len())]
    };
    let expected = passes(&CpuBackend::new(1).unwrap()).map(|values| wide(&values));
    for (found, expected) in passes(device).iter().zip(&expected) {
        let largest = expected.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
        let worst = difference(found, expected) / largest;
        assert!(worst < 4e-6, "{what}, {geometry:?}: {worst:e}");
    }
}

/// Products of all transposes, and convolutions that are batches of products. Where cuBLAS is missing, who insists on it is told.
#[test]
fn cublas_computes_the_same() {
    let missing = "cannot use cuBLAS: there is no libcublas: it is part of CUDA's toolkit, and of the package \
                   nvidia-cublas-cu12 of PyPI; LD_LIBRARY_PATH says where else it is looked for";
    for device in open_devices() {
        let device = device.with_choice(Choice::Cublas);
        for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false), (true, true)] {
            let plain = GemmGeometry::new(30, 40, 50);
            let geometry = GemmGeometry { transpose_a, transpose_b, alpha: 0.5, beta: 2.0, ..plain };
            let (a, b, c) = (numbers(1, 30 * 50), numbers(2, 50 * 40), numbers(3, 30 * 40));
            let run = |backend: &dyn Backend| {
                let (a, b, mut c) = (buffer(backend, &a), buffer(backend, &b), buffer(backend, &c));
                let mut workspace = output(backend, backend.gemm_workspace_len(&geometry));
                backend.gemm(&geometry, &a, &b, &mut c, &mut workspace)?;
                kernels::Result::Ok(values(backend, &c, 30 * 40))
            };
            match (run(&device), device.cublas_version()) {
                (Ok(found), Some(_)) => {
                    let expected = wide(&run(&CpuBackend::new(1).unwrap()).unwrap());
                    assert!(difference(&found, &expected) < 1e-5, "{geometry:?}");
                }
                (Err(error), None) => assert_eq!(error.to_string(), missing),
                (outcome, version) => panic!("{outcome:?} of cuBLAS {version:?}"),
            }
        }
        if device.cublas_version().is_none() {
            continue;
        }
        for geometry in [
            ConvGeometry::new(3, [20, 30], &[9, 8], &[1, 1]).with_group(2),
            ConvGeometry::new(2, [64, 64], &[10, 12], &[3, 3]).with_pad(&[1, 1]),
        ] {
            check_passes(&device, &geometry, true, 7, "cuBLAS");
        }
    }
}

#[test]
fn two_runs_give_the_same_bits() {
    for device in devices() {
        // Cut into parts.
        let geometry = InnerProductGeometry { batch: 9, inputs: 3000, outputs: 20, transpose: false };
        let (x, weights) = (buffer(device, &numbers(1, 27_000)), buffer(device, &numbers(2, 60_000)));
        let len = device.inner_product_workspace_len(&geometry);
        assert!(len > 0, "a sum of 3000 is cut");
        let [first, second] = [0, 1].map(|_| {
            let (mut y, mut workspace) = (output(device, 180), output(device, len));
            let plain = Epilogue::default();
            device.inner_product_forward(&geometry, &weights, &x, &plain, &mut y, &mut workspace).unwrap();
            values(device, &y, 180)
        });
        assert_eq!(first, second);
    }
}

#[test]
fn memory_of_another_device_is_refused() {
    let cpu = CpuBackend::new(1).unwrap();
    let mut host = Buffer::Host(HostBuffer::zeroed(4).unwrap());
    for device in devices() {
        let mut ours = device.allocate(4).unwrap();
        let refused = device.axpy(1.0, 4, &host, &mut ours).unwrap_err();
        assert_eq!(refused.to_string(), "axpy: x is not in this device's memory");
        let refused = cpu.axpy(1.0, 4, &ours, &mut host).unwrap_err();
        assert_eq!(refused.to_string(), "axpy: x is not in this device's memory");
        let refused = cpu.axpy(1.0, 4, &host, &mut ours).unwrap_err();
        assert_eq!(refused.to_string(), "axpy: y is not in this device's memory");
        let refused = device.axpy(1.0, 5, &ours, &mut host).unwrap_err();
        assert_eq!(refused.to_string(), "axpy: x holds 4 floats, the geometry needs 5");
        let weights = device.allocate(4).unwrap();
        let geometry = ConvGeometry::new(1, [1, 1], &[3, 3], &[2, 2]);
        let prepared = device.convolution_prepare(&geometry, &weights).unwrap();
        let (x, mut y) = (cpu.allocate(9).unwrap(), cpu.allocate(4).unwrap());
        let plain = Epilogue::default();
        let refused = cpu.convolution_forward(&prepared, &x, &plain, &mut y, &mut host).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "convolution_forward: what was prepared is not in this device's memory"
        );
    }
}

/// The same devices with TF32, and an emulated sm_90a.
fn tf32_devices() -> Vec<DeviceBackend> {
    let devices = open_devices().into_iter();
    #[cfg(feature = "emulate")]
    let devices = devices.chain([DeviceBackend::emulated_sm_90a().unwrap()]);
    devices.map(|device| device.with_math(MathMode::Tf32)).collect()
}
