//! How fast the operations are, as a share of what this machine can do at all.
//!
//! `cargo run --release -p kernels --example throughput [THREADS] [FILTER]` prints, for each shape, the best time, the
//! mean of the processor time that a run took, GFLOP/s (of a plain convolution's operations, whatever the algorithm)
//! or GB/s, and the share of the limit measured in the same run: multiply-adds in registers, or a copy between two
//! large arrays. Processor time does not see other programs' turns, so with one thread it can be trusted on a busy
//! machine; with several it counts the time they wait for each other.

use std::time::Instant;

use kernels::prelude::*;
use kernels::{
    Activation, AxisGeometry, Buffer, ConvAlgorithm, ConvGeometry, CpuBackend, EltwiseOp, Epilogue, Error,
    GemmGeometry, InnerProductGeometry, LrnGeometry, PoolGeometry, PoolMethod, Rounding,
};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().and_then(|threads| threads.parse().ok()).unwrap_or(2);
    let filter = arguments.next().unwrap_or_default();
    let cpu = CpuBackend::new(threads)?;
    let mut bench = Bench { cpu: &cpu, filter, flops: 0.0, bytes: 0.0 };
    bench.flops = cpu.peak_flops();
    bench.bytes = bench.copy_limit()?;
    println!(
        "{}; limits: {:.1} GFLOP/s, copy {:.1} GB/s (read + written)",
        cpu.name(),
        bench.flops / 1e9,
        bench.bytes / 1e9
    );
    bench.convolutions()?;
    bench.products()?;
    bench.memory_bound()
}

struct Bench<'a> {
    cpu: &'a CpuBackend,
    filter: String,
    flops: f64,
    bytes: f64,
}

impl Bench<'_> {
    fn convolutions(&self) -> Result<(), Error> {
        let square = |batch, channels, size: u32, kernel: u32, stride: u32, pad: u32| {
            ConvGeometry::new(batch, channels, &[size; 2], &[kernel; 2])
                .with_stride(&[stride; 2])
                .with_pad(&[pad; 2])
        };
        for batch in [1, 32] {
            for (name, geometry) in [
                ("alexnet conv1", square(batch, [3, 96], 227, 11, 4, 0)),
                ("alexnet conv2", square(batch, [96, 256], 27, 5, 1, 2).with_group(2)),
                ("alexnet conv3", square(batch, [256, 384], 13, 3, 1, 1)),
                ("alexnet conv4", square(batch, [384, 384], 13, 3, 1, 1).with_group(2)),
                ("alexnet conv5", square(batch, [384, 256], 13, 3, 1, 1).with_group(2)),
            ] {
                self.convolution(&format!("{name} b{batch}"), &geometry)?;
            }
        }
        for batch in [1, 16] {
            for (name, geometry) in [
                ("nsfw conv1 7x7/2", square(batch, [3, 64], 224, 7, 2, 3)),
                ("nsfw 1x1 64-32 56", square(batch, [64, 32], 56, 1, 1, 0)),
                ("nsfw 3x3 32 56", square(batch, [32, 32], 56, 3, 1, 1)),
                ("nsfw 1x1 32-128 56", square(batch, [32, 128], 56, 1, 1, 0)),
                ("nsfw 1x1/2 128-256", square(batch, [128, 256], 56, 1, 2, 0)),
                ("nsfw 3x3 64 28", square(batch, [64, 64], 28, 3, 1, 1)),
                ("nsfw 1x1 64-256 28", square(batch, [64, 256], 28, 1, 1, 0)),
                ("nsfw 1x1 256-64 28", square(batch, [256, 64], 28, 1, 1, 0)),
                ("nsfw 3x3 128 14", square(batch, [128, 128], 14, 3, 1, 1)),
                ("nsfw 1x1 128-512 14", square(batch, [128, 512], 14, 1, 1, 0)),
                ("nsfw 1x1 512-128 14", square(batch, [512, 128], 14, 1, 1, 0)),
                ("nsfw 3x3 256 7", square(batch, [256, 256], 7, 3, 1, 1)),
                ("nsfw 1x1 256-1024 7", square(batch, [256, 1024], 7, 1, 1, 0)),
                ("nsfw 1x1 1024-256 7", square(batch, [1024, 256], 7, 1, 1, 0)),
            ] {
                self.convolution(&format!("{name} b{batch}"), &geometry)?;
            }
        }
        self.convolution("depthwise 3x3 128 56 b1", &square(1, [128, 128], 56, 3, 1, 1).with_group(128))?;
        self.convolution("depthwise 3x3/2 128 56 b1", &square(1, [128, 128], 56, 3, 2, 1).with_group(128))
    }

    fn convolution(&self, name: &str, geometry: &ConvGeometry) -> Result<(), Error> {
        if !name.contains(&self.filter) {
            return Ok(());
        }
        let extent = |extents: &[u32]| extents.iter().map(|&extent| extent as usize).product::<usize>();
        let input = (geometry.batch * geometry.input_channels) as usize * extent(&geometry.input);
        let outputs = (geometry.batch * geometry.output_channels) as usize * extent(&geometry.output());
        let inputs_of_group = (geometry.input_channels / geometry.group) as usize;
        let weights = geometry.output_channels as usize * inputs_of_group * extent(&geometry.kernel);
        let (x, weights) = (self.numbers(input)?, self.numbers(weights)?);
        let bias = self.numbers(geometry.output_channels as usize)?;
        let mut y = self.cpu.allocate(outputs)?;
        for algorithm in ConvAlgorithm::ALL.into_iter().filter(|algorithm| algorithm.supports(geometry)) {
            let worth_it = !matches!(algorithm, ConvAlgorithm::ImplicitGemm | ConvAlgorithm::ChannelsLast)
                || !ConvAlgorithm::Pointwise.supports(geometry) && geometry.group < 64;
            if !worth_it {
                continue;
            }
            let prepared = self.cpu.convolution_prepare_with(algorithm, geometry, &weights)?;
            let mut workspace = self.cpu.allocate(prepared.workspace_len())?;
            let epilogue =
                Epilogue { bias: Some(&bias), activation: Activation::Relu, ..Epilogue::default() };
            let chosen = if algorithm == ConvAlgorithm::choose(geometry) { "*" } else { " " };
            let label = format!("{name:<26} {chosen}{}", prepared.algorithm());
            self.report(&label, geometry.flops() as f64, 0.0, || {
                self.cpu.convolution_forward(&prepared, &x, &epilogue, &mut y, &mut workspace)
            })?;
        }
        if geometry.batch == 1 {
            return Ok(());
        }
        let mut prepared = self.cpu.convolution_backward_data_prepare(geometry, &weights)?;
        let mut workspace = self.cpu.allocate(prepared.workspace_len())?;
        let mut dx = self.cpu.allocate(input)?;
        let label = format!("{name:<26}  dx, {}", prepared.algorithm());
        self.report(&label, geometry.flops() as f64, 0.0, || {
            self.cpu.convolution_backward_data(&prepared, &y, false, &mut dx, &mut workspace)
        })?;
        let label = format!("{name:<26}  dx, packing");
        self.report(&label, 0.0, 8.0 * weights.len() as f64, || {
            self.cpu.convolution_backward_data_repack(&mut prepared, &weights)
        })?;
        let mut workspace =
            self.cpu.allocate(self.cpu.convolution_backward_filter_workspace_len(geometry))?;
        let mut dw = self.cpu.allocate(weights.len())?;
        self.report(&format!("{name:<26}  dw"), geometry.flops() as f64, 0.0, || {
            self.cpu.convolution_backward_filter(geometry, &x, &y, false, &mut dw, &mut workspace)
        })
    }

    fn products(&self) -> Result<(), Error> {
        for (inputs, outputs) in [(9216, 4096), (4096, 4096), (4096, 1000)] {
            let weights = self.numbers(inputs as usize * outputs as usize)?;
            for batch in [1, 32] {
                let name = format!("fc {inputs}-{outputs} b{batch}");
                if !name.contains(&self.filter) {
                    continue;
                }
                let geometry = InnerProductGeometry { batch, inputs, outputs, transpose: false };
                let x = self.numbers((batch * inputs) as usize)?;
                let mut y = self.cpu.allocate((batch * outputs) as usize)?;
                let mut workspace = self.cpu.allocate(self.cpu.inner_product_workspace_len(&geometry))?;
                let flops = 2.0 * f64::from(batch) * f64::from(inputs) * f64::from(outputs);
                let bytes = if batch == 1 { 4.0 * f64::from(inputs) * f64::from(outputs) } else { 0.0 };
                self.report(&name, flops, bytes, || {
                    self.cpu.inner_product_forward(
                        &geometry,
                        &weights,
                        &x,
                        &Epilogue::default(),
                        &mut y,
                        &mut workspace,
                    )
                })?;
                if batch == 1 {
                    continue;
                }
                let mut dx = self.cpu.allocate((batch * inputs) as usize)?;
                let len = self.cpu.inner_product_backward_data_workspace_len(&geometry);
                let mut workspace = self.cpu.allocate(len)?;
                self.report(&format!("{name} dx"), flops, 0.0, || {
                    self.cpu.inner_product_backward_data(
                        &geometry,
                        &weights,
                        &y,
                        false,
                        &mut dx,
                        &mut workspace,
                    )
                })?;
                let mut dw = self.cpu.allocate(weights.len())?;
                let len = self.cpu.inner_product_backward_filter_workspace_len(&geometry);
                let mut workspace = self.cpu.allocate(len)?;
                for (accumulate, what) in [(false, "dw"), (true, "dw added")] {
                    self.report(&format!("{name} {what}"), flops, 0.0, || {
                        self.cpu.inner_product_backward_filter(
                            &geometry,
                            &x,
                            &y,
                            accumulate,
                            &mut dw,
                            &mut workspace,
                        )
                    })?;
                }
            }
        }
        for (m, n, k, transpose_a, transpose_b) in [
            (1024, 1024, 1024, false, false),
            (128, 729, 1200, false, false),
            (512, 49, 2304, false, false),
            (128, 1200, 729, false, true),
            (1200, 729, 128, true, false),
        ] {
            let name = format!("gemm {m}x{n}x{k} {transpose_a} {transpose_b}");
            if !name.contains(&self.filter) {
                continue;
            }
            let geometry = GemmGeometry { transpose_a, transpose_b, ..GemmGeometry::new(m, n, k) };
            let (a, b) = (self.numbers((m * k) as usize)?, self.numbers((k * n) as usize)?);
            let mut c = self.cpu.allocate((m * n) as usize)?;
            let mut workspace = self.cpu.allocate(self.cpu.gemm_workspace_len(&geometry))?;
            let flops = 2.0 * f64::from(m) * f64::from(n) * f64::from(k);
            self.report(&name, flops, 0.0, || self.cpu.gemm(&geometry, &a, &b, &mut c, &mut workspace))?;
        }
        Ok(())
    }

    fn memory_bound(&self) -> Result<(), Error> {
        let len = 32 * 96 * 55 * 55;
        let x = self.numbers(len)?;
        let mut y = self.cpu.allocate(len)?;
        let bytes = 8.0 * len as f64;
        self.report("relu 32x96x55x55", 0.0, bytes, || {
            self.cpu.activation_forward(Activation::Relu, len, Some(&x), &mut y)
        })?;
        self.report("sigmoid 32x96x55x55", 0.0, bytes, || {
            self.cpu.activation_forward(Activation::Sigmoid, len, Some(&x), &mut y)
        })?;
        self.report("eltwise sum 32x96x55x55", 0.0, 1.5 * bytes, || {
            self.cpu.eltwise_forward(EltwiseOp::Sum(&[]), len, &[&x, &x], &mut y)
        })?;
        let lrn = LrnGeometry { alpha: 1e-4, ..LrnGeometry::new([32, 96, 55, 55]) };
        self.report("lrn 32x96x55x55", 0.0, bytes, || self.cpu.lrn_forward(&lrn, &x, &mut y))?;
        self.report("lrn backward 32x96x55x55", 0.0, 1.5 * bytes, || {
            self.cpu.lrn_backward(&lrn, &x, &x, &mut y)
        })?;
        self.report("relu backward 32x96x55x55", 0.0, bytes, || {
            self.cpu.activation_backward(Activation::Relu, len, Some(&x), None, &mut y)
        })?;
        let channels = AxisGeometry { outer: 32, axis: 96, inner: 55 * 55 };
        let mut sums = self.cpu.allocate(96)?;
        self.report("bias backward 32x96x55x55", 0.0, 0.5 * bytes, || {
            self.cpu.bias_backward(&channels, &x, &mut sums)
        })?;
        let pool = PoolGeometry::new(PoolMethod::Max, [32, 96, 55, 55], [3, 3]);
        let pool = pool.with_steps([2, 2], [0, 0], Rounding::Ceil);
        self.report("max pool 3/2 32x96x55x55", 0.0, bytes * 0.625, || {
            self.cpu.pooling_forward(&pool, &x, &mut y, None, None)
        })?;
        let mut mask = self.cpu.allocate(len)?;
        let mut pooled = self.cpu.allocate(len)?;
        self.report("max pool 3/2 with mask 32x96x55x55", 0.0, bytes * 0.75, || {
            self.cpu.pooling_forward(&pool, &x, &mut pooled, Some(&mut mask), None)
        })?;
        self.report("max pool 3/2 backward 32x96x55x55", 0.0, bytes * 0.75, || {
            self.cpu.pooling_backward(&pool, Some(&mask), &pooled, &mut y)
        })?;
        let pool = PoolGeometry::global(PoolMethod::Average, [32, 1024, 7, 7]);
        self.report("global average 32x1024x7x7", 0.0, 4.0 * 32.0 * 1024.0 * 49.0, || {
            self.cpu.pooling_forward(&pool, &x, &mut y, None, None)
        })
    }

    /// Runs `operation` for about a third of a second and prints a line.
    fn report(
        &self,
        name: &str,
        flops: f64,
        bytes: f64,
        mut operation: impl FnMut() -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        if !name.contains(&self.filter) {
            return Ok(());
        }
        let mut outcome = Ok(());
        let (mut times, mut spent) = (Vec::new(), 0.0);
        self.cpu.enter(&mut || {
            let (begin, spent_before) = (Instant::now(), processor_time());
            while (begin.elapsed().as_secs_f64() < 0.3 || times.len() < 20) && outcome.is_ok() {
                let start = Instant::now();
                outcome = operation();
                times.push(start.elapsed().as_secs_f64());
            }
            // Of all runs at once: the system counts what a busy thread has spent only now and then.
            spent = processor_time() - spent_before;
        });
        times.sort_by(f64::total_cmp);
        let (best, mean) = (times[0], spent / (times.len() * self.cpu.threads()) as f64);
        let rate = |time: f64| match bytes {
            0.0 => (flops / time / 1e9, 100.0 * flops / time / self.flops, "GFLOP/s"),
            bytes => (bytes / time / 1e9, 100.0 * bytes / time / self.bytes, "GB/s"),
        };
        let ((fast, share, unit), (usual, usual_share, _)) = (rate(best), rate(mean));
        println!(
            "{name:<48} {:>9.3} ms best {fast:>6.1} {unit} {share:>4.0} %   processor {:>9.3} ms {usual:>6.1} {usual_share:>4.0} %",
            best * 1e3,
            mean * 1e3
        );
        outcome
    }

    fn numbers(&self, len: usize) -> Result<Buffer, Error> {
        let mut state = 1u32;
        let values: Vec<f32> = (0..len)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect();
        let mut buffer = self.cpu.allocate(len)?;
        self.cpu.write(&mut buffer, 0, &values)?;
        Ok(buffer)
    }

    fn copy_limit(&self) -> Result<f64, Error> {
        let len = 16 << 20;
        let x = self.numbers(len)?;
        let mut y = self.cpu.allocate(len)?;
        let mut best = f64::INFINITY;
        for _ in 0..8 {
            let start = Instant::now();
            self.cpu.activation_forward(Activation::Identity, len, Some(&x), &mut y)?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        Ok(8.0 * len as f64 / best)
    }
}

/// Seconds that all threads of this program have run.
fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
