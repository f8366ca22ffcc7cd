//! Convolutions of AlexNet and of a ResNet-50 of half width, by every algorithm that takes the shape. Throughput is in
//! operations of a plain convolution, whatever the algorithm. `cargo run --release -p kernels --example throughput`
//! prints the same as shares of the machine's limits.

#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernels::{Activation, Backend, ConvAlgorithm, ConvGeometry, CpuBackend, Epilogue};

fn convolutions(criterion: &mut Criterion) {
    let cpu = CpuBackend::new(std::thread::available_parallelism().map_or(1, usize::from)).unwrap();
    let square = |channels, size: u32, kernel: u32, stride: u32, pad: u32| {
        ConvGeometry::new(1, channels, &[size; 2], &[kernel; 2]).with_stride(&[stride; 2]).with_pad(&[pad; 2])
    };
    for (name, geometry) in [
        ("alexnet-conv1", square([3, 96], 227, 11, 4, 0)),
        ("alexnet-conv2", square([96, 256], 27, 5, 1, 2).with_group(2)),
        ("alexnet-conv3", square([256, 384], 13, 3, 1, 1)),
        ("alexnet-conv4", square([384, 384], 13, 3, 1, 1).with_group(2)),
        ("resnet-3x3-64-28", square([64, 64], 28, 3, 1, 1)),
        ("resnet-1x1-256-64-28", square([256, 64], 28, 1, 1, 0)),
        ("resnet-1x1-512-128-14", square([512, 128], 14, 1, 1, 0)),
        ("depthwise-3x3-128-56", square([128, 128], 56, 3, 1, 1).with_group(128)),
    ] {
        let mut group = criterion.benchmark_group(format!("conv/{name}"));
        group.throughput(Throughput::Elements(geometry.flops()));
        let extent = |extents: &[u32]| extents.iter().map(|&extent| extent as usize).product::<usize>();
        let x = cpu.allocate(geometry.input_channels as usize * extent(&geometry.input)).unwrap();
        let bias = cpu.allocate(geometry.output_channels as usize).unwrap();
        let inputs = (geometry.input_channels / geometry.group) as usize;
        let weights =
            cpu.allocate(geometry.output_channels as usize * inputs * extent(&geometry.kernel)).unwrap();
        let mut y = cpu.allocate(geometry.output_channels as usize * extent(&geometry.output())).unwrap();
        for algorithm in ConvAlgorithm::ALL.into_iter().filter(|algorithm| algorithm.supports(&geometry)) {
            let prepared = cpu.convolution_prepare_with(algorithm, &geometry, &weights).unwrap();
            let mut workspace = cpu.allocate(prepared.workspace_len()).unwrap();
            let epilogue =
                Epilogue { bias: Some(&bias), activation: Activation::Relu, ..Epilogue::default() };
            group.bench_function(BenchmarkId::from_parameter(algorithm.name()), |bencher| {
                bencher.iter(|| {
                    cpu.convolution_forward(&prepared, &x, &epilogue, &mut y, &mut workspace).unwrap();
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, convolutions);
criterion_main!(benches);
