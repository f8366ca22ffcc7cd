//! Forward passes of whole nets: the bundled one, and an AlexNet with random weights.

#![allow(missing_docs)]

use std::time::Instant;

use caffe_proto::open_definition;
use caffe_proto::proto::NetState;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernels::{Backend, CpuBackend};
use train_core::{Match, NetBuilder, Network, Options};
use weight_io::Weights;

fn fashion() -> Network {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/fashion");
    let model = open_definition(format!("{folder}/deploy.prototxt"), caffe_proto::text::Options::default());
    let definition = model.unwrap().definition.unwrap();
    let mut network = Network::new(definition, &NetState::default()).unwrap();
    let weights = Weights::open(format!("{folder}/fashion.caffemodel")).unwrap();
    network.initialise_from(&weights, Match::ByName).unwrap();
    network
}

/// Its parameters come from the fillers, whose seed is always the same.
fn alexnet() -> Network {
    let net = NetBuilder::new("alexnet").input("data", [1, 3, 227, 227]);
    let net = net.convolution("conv1", 96, 11).stride(4).relu().lrn(5, 1e-4, 0.75).max_pool(3).stride(2);
    let net = net.convolution("conv2", 256, 5).pad(2).group(2).relu();
    let net = net.lrn(5, 1e-4, 0.75).max_pool(3).stride(2);
    let net = net.convolution("conv3", 384, 3).pad(1).relu();
    let net = net.convolution("conv4", 384, 3).pad(1).group(2).relu();
    let net = net.convolution("conv5", 256, 3).pad(1).group(2).relu().max_pool(3).stride(2);
    let net = net.inner_product("fc6", 4096).relu().inner_product("fc7", 4096).relu();
    net.inner_product("fc8", 1000).softmax().build().unwrap()
}

/// Multiplications and additions of the convolutions and inner products, of one pass.
fn operations(network: &Network) -> u64 {
    let costs = network.net().costs(&network.shapes().unwrap());
    2 * costs.iter().map(|cost| cost.macs).sum::<u64>()
}

fn forward(criterion: &mut Criterion) {
    let cpu = CpuBackend::new(std::thread::available_parallelism().map_or(1, usize::from)).unwrap();
    println!("{}", cpu.name());
    let mut group = criterion.benchmark_group("forward");
    for (name, network) in [("fashion-b1", fashion()), ("alexnet-b1", alexnet())] {
        let operations = operations(&network);
        let mut executor = network.executor(&cpu, &Options::default()).unwrap();
        let count = executor.inputs().next().unwrap().1.iter().product::<usize>();
        let noise = (0..count).map(|index| (index * 7919 % 255) as f32 / 255.0 - 0.5).collect::<Vec<_>>();
        executor.set_input("data", &noise).unwrap();
        executor.forward().unwrap();
        let start = Instant::now();
        (0..10).for_each(|_| executor.forward().unwrap());
        let seconds = start.elapsed().as_secs_f64() / 10.0;
        println!("{name}: {:.1} GFLOP/s over ten passes", operations as f64 / seconds / 1e9);
        group.throughput(Throughput::Elements(operations));
        group.bench_function(name, |bencher| bencher.iter(|| executor.forward().unwrap()));
    }
    group.finish();
}

criterion_group!(benches, forward);
criterion_main!(benches);
