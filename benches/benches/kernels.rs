//! Products and convolutions on what is there: the processor, and with the feature `cuda` the first NVIDIA GPU. Each line names
//! the device, GFLOP/s (of the plain algorithm's operations) and the share of the roofline.
//!
//! `cargo run --release -p kernels --example throughput` has more shapes, each by every algorithm, of the processor alone.

#![allow(missing_docs)]

use std::time::{Duration, Instant};

use benches::cases::{Scale, convolutions, products};
use benches::device::Device;
use benches::timing;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// What takes longer at the device's limit is left out, and named.
const LONGEST: f64 = 0.2;

fn kernels(criterion: &mut Criterion) {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for device in Device::all().unwrap() {
        let backend = &*device.backend;
        println!("{}; limits: {}", backend.name(), limits(&device));
        let scale = if device.is_gpu { Scale::Gpu } else { Scale::Processor };
        let kind = if device.is_gpu { "gpu" } else { "cpu" };
        for case in products(scale).into_iter().chain(convolutions(scale)) {
            let id = format!("kernels/{kind}/{}", case.name);
            let (flops, bytes) = (case.flops(), case.bytes());
            if !id.contains(&filter) {
                continue;
            }
            if device.roof.is_some_and(|roof| flops / roof.flops > LONGEST) {
                println!("{id}: left out, more than {LONGEST} s at the device's limit");
                continue;
            }
            let mut work = case.prepare(backend).unwrap();
            let seconds = timing::seconds(backend, &mut *work).unwrap();
            let share = device.share(flops, bytes, seconds);
            let share =
                share.map_or_else(String::new, |share| format!(", {:.0} % of the roofline", 100.0 * share));
            println!("{id}: {:.1} GFLOP/s{share}", flops / seconds / 1e9);
            let mut group = criterion.benchmark_group(format!("kernels/{kind}"));
            group.sample_size(10).warm_up_time(Duration::from_millis(100));
            group.measurement_time(Duration::from_millis(500)).throughput(Throughput::Elements(flops as u64));
            group.bench_function(case.name, |bencher| {
                bencher.iter_custom(|count| {
                    let start = Instant::now();
                    (0..count).for_each(|_| work().unwrap());
                    backend.synchronize().unwrap();
                    start.elapsed()
                });
            });
            group.finish();
        }
    }
}

fn limits(device: &Device) -> String {
    device.roof.map_or_else(
        || "unknown".to_owned(),
        |roof| format!("{:.1} GFLOP/s, {:.1} GB/s", roof.flops / 1e9, roof.bytes / 1e9),
    )
}

criterion_group!(benches, kernels);
criterion_main!(benches);
