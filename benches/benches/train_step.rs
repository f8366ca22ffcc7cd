//! Training steps of an AlexNet of ten classes by Adam, batch 32, with nothing and with most layers frozen.

#![allow(missing_docs)]

use std::time::{Duration, Instant};

use benches::alexnet::alexnet;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernels::{Backend, CpuBackend};
use train_core::optim::{Adam, Optimizer};
use train_core::{Trainee, TrainingOptions};

const BATCH: usize = 32;
const CLASSES: usize = 10;

struct Step<'b> {
    trainee: Trainee<'b>,
    optimizer: Optimizer,
}

impl Step<'_> {
    /// The moments at which its parts end: forward, backward, update.
    fn run(&mut self) -> [Instant; 3] {
        self.trainee.clear_gradients();
        self.trainee.forward().unwrap();
        let forward = Instant::now();
        self.trainee.backward().unwrap();
        let backward = Instant::now();
        self.optimizer.update(&mut self.trainee.params()).unwrap();
        [forward, backward, Instant::now()]
    }
}

fn train_step(criterion: &mut Criterion) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = CpuBackend::new(threads).unwrap();
    println!("{}", cpu.name());
    let net = alexnet(BATCH, CLASSES as u32).input("label", [BATCH]).from("fc8").softmax_with_loss("label");
    let network = net.build_for_training().unwrap();
    let pixels: Vec<f32> = (0..BATCH * 3 * 227 * 227).map(|at| (at % 255) as f32 / 255.0).collect();
    let labels: Vec<f32> = (0..BATCH).map(|at| (at % CLASSES) as f32).collect();

    let mut group = criterion.benchmark_group("train_step");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).throughput(Throughput::Elements(BATCH as u64));
    let convolutions = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6"];
    for (name, frozen) in [
        ("all", &[][..]),
        ("conv2-to-fc6-frozen", &convolutions[1..]),
        ("conv1-to-fc6-frozen", &convolutions[..]),
    ] {
        let frozen = frozen.iter().map(|&name| name.to_owned()).collect();
        let options = TrainingOptions { frozen, ..TrainingOptions::default() };
        let mut trainee = network.trainee(&cpu, &options).unwrap();
        trainee.set_input("data", &pixels).unwrap();
        trainee.set_input("label", &labels).unwrap();
        let mut optimizer = Optimizer::new(Box::new(Adam::default()), trainee.infos().to_vec());
        optimizer.set_threads(threads);
        let mut step = Step { trainee, optimizer };
        step.run();
        let start = Instant::now();
        let [forward, backward, update] = step.run();
        println!(
            "{name}: forward {:.1?}, backward {:.1?}, update {:.1?}",
            forward - start,
            backward - forward,
            update - backward
        );
        group.bench_function(name, |bencher| bencher.iter(|| step.run()));
    }
    group.finish();
}

criterion_group!(benches, train_step);
criterion_main!(benches);
