//! Forward passes of whole nets: the bundled one, and an AlexNet with random weights.

#![allow(missing_docs)]

use std::time::Instant;

use benches::alexnet::alexnet;
use caffe_proto::open_definition;
use caffe_proto::proto::NetState;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernels::{Backend, CpuBackend};
use train_core::{Match, Network, Options};
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

/// Multiplications and additions of the convolutions and inner products, of one pass.
fn operations(network: &Network) -> u64 {
    let costs = network.net().costs(&network.shapes().unwrap());
    2 * costs.iter().map(|cost| cost.macs).sum::<u64>()
}

fn forward(criterion: &mut Criterion) {
    let cpu = CpuBackend::new(std::thread::available_parallelism().map_or(1, usize::from)).unwrap();
    println!("{}", cpu.name());
    let mut group = criterion.benchmark_group("forward");
    for (name, network) in
        [("fashion-b1", fashion()), ("alexnet-b1", alexnet(1, 1000).softmax().build().unwrap())]
    {
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
