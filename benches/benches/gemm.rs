//! Matrix products of the sizes that nets need, and AlexNet's inner products with packed weights.

#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernels::{Backend, CpuBackend, Epilogue, GemmGeometry, InnerProductGeometry};

fn backend() -> CpuBackend {
    CpuBackend::new(std::thread::available_parallelism().map_or(1, usize::from)).unwrap()
}

fn products(criterion: &mut Criterion) {
    let cpu = backend();
    let mut group = criterion.benchmark_group("gemm");
    for (m, n, k, transpose_a, transpose_b) in [
        (1024, 1024, 1024, false, false),
        (128, 729, 1200, false, false),
        (128, 1200, 729, false, true),
        (1200, 729, 128, true, false),
    ] {
        let geometry = GemmGeometry { transpose_a, transpose_b, ..GemmGeometry::new(m, n, k) };
        let [m, n, k] = [m, n, k].map(|extent| extent as usize);
        let (a, b, mut c) =
            (cpu.allocate(m * k).unwrap(), cpu.allocate(k * n).unwrap(), cpu.allocate(m * n).unwrap());
        let mut workspace = cpu.allocate(cpu.gemm_workspace_len(&geometry)).unwrap();
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        group.bench_function(format!("{m}x{n}x{k}"), |bencher| {
            bencher.iter(|| cpu.gemm(&geometry, &a, &b, &mut c, &mut workspace).unwrap());
        });
    }
    group.finish();
}

fn inner_products(criterion: &mut Criterion) {
    let cpu = backend();
    let mut group = criterion.benchmark_group("inner-product");
    for (inputs, outputs) in [(9216u32, 4096u32), (4096, 1000)] {
        for batch in [1, 32] {
            let geometry = InnerProductGeometry { batch, inputs, outputs, transpose: false };
            let [batch, inputs, outputs] = [batch, inputs, outputs].map(|extent| extent as usize);
            let weights = cpu.allocate(inputs * outputs).unwrap();
            let (x, mut y) = (cpu.allocate(batch * inputs).unwrap(), cpu.allocate(batch * outputs).unwrap());
            let mut workspace = cpu.allocate(cpu.inner_product_workspace_len(&geometry)).unwrap();
            // One image reads every weight once; more of them are bound by arithmetic.
            group.throughput(if batch == 1 {
                Throughput::Bytes(4 * (inputs * outputs) as u64)
            } else {
                Throughput::Elements(2 * (batch * inputs * outputs) as u64)
            });
            group.bench_function(format!("{inputs}-{outputs}-b{batch}"), |bencher| {
                bencher.iter(|| {
                    let epilogue = Epilogue::default();
                    cpu.inner_product_forward(&geometry, &weights, &x, &epilogue, &mut y, &mut workspace)
                        .unwrap();
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, products, inner_products);
criterion_main!(benches);
