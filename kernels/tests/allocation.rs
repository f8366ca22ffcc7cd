//! A second pass, forward or backward, allocates nothing.
//!
//! Without the tests' harness, whose own thread allocates once it waits: all of this process is counted.

#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use kernels::prelude::*;
use kernels::{
    Activation, AxisGeometry, CLOCK_LEN, ConvAlgorithm, ConvGeometry, CopyGeometry, CpuBackend, EltwiseOp,
    Epilogue, Error, InnerProductGeometry, LabelLoss, LabelLossGeometry, LossDivisor, LrnGeometry,
    PoolGeometry, PoolMethod, Random, Site,
};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system's allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Result<(), Error> {
    for threads in [1, 2] {
        let cpu = CpuBackend::new(threads)?;
        let shape = [2, 32, 28, 28];
        let len = 2 * 32 * 28 * 28;
        let geometry = ConvGeometry::new(2, [32, 32], &[28, 28], &[3, 3]).with_pad(&[1, 1]);
        let weights = cpu.allocate(32 * 32 * 9)?;
        let mut convolutions = Vec::new();
        for algorithm in [ConvAlgorithm::ImplicitGemm, ConvAlgorithm::Winograd] {
            let prepared = cpu.convolution_prepare_with(algorithm, &geometry, &weights)?;
            let workspace = cpu.allocate(prepared.workspace_len())?;
            convolutions.push((prepared, workspace));
        }
        let product = InnerProductGeometry { batch: 2, inputs: 32 * 28 * 28, outputs: 10, transpose: false };
        let matrix = cpu.allocate(32 * 28 * 28 * 10)?;
        let mut product_space = cpu.allocate(cpu.inner_product_workspace_len(&product))?;
        let (mut x, mut y, mut scores) = (cpu.allocate(len)?, cpu.allocate(len)?, cpu.allocate(20)?);
        let bias = cpu.allocate(32)?;
        let mut forward = || -> Result<(), Error> {
            for (prepared, workspace) in &mut convolutions {
                let epilogue =
                    Epilogue { bias: Some(&bias), activation: Activation::Relu, ..Epilogue::default() };
                cpu.convolution_forward(prepared, &x, &epilogue, &mut y, workspace)?;
            }
            cpu.lrn_forward(&LrnGeometry::new(shape), &y, &mut x)?;
            cpu.pooling_forward(&PoolGeometry::new(PoolMethod::Max, shape, [2, 2]), &x, &mut y, None, None)?;
            cpu.eltwise_forward(EltwiseOp::Sum(&[]), len, &[&x, &x], &mut y)?;
            cpu.scale_forward(&AxisGeometry::around(&shape, 1, 2), None, Some(&bias), None, &mut y)?;
            cpu.transform_tensor(&CopyGeometry::permute(&shape, &[0, 2, 3, 1]), &y, &mut x)?;
            let plain = Epilogue::default();
            cpu.inner_product_forward(&product, &matrix, &x, &plain, &mut scores, &mut product_space)?;
            cpu.softmax_forward(&AxisGeometry::around(&[2, 10], 1, 2), None, &mut scores)
        };
        check(&cpu, &mut forward)?;
        training(&cpu)?;
    }
    Ok(())
}

/// The second and later training passes: weights packed again, gradients.
fn training(cpu: &CpuBackend) -> Result<(), Error> {
    let (shape, len) = ([2, 32, 28, 28], 2 * 32 * 28 * 28);
    let square = ConvGeometry::new(2, [32, 32], &[28, 28], &[3, 3]);
    let mut weights = cpu.allocate(32 * 32 * 9)?;
    let (mut x, mut dy, mut dx) = (cpu.allocate(len)?, cpu.allocate(len)?, cpu.allocate(len)?);
    let mut convolutions = Vec::new();
    for geometry in [square.with_pad(&[1, 1]), square.with_stride(&[2, 2]), square.with_group(32)] {
        let forward = cpu.convolution_prepare(&geometry, &weights)?;
        let backward = cpu.convolution_backward_data_prepare(&geometry, &weights)?;
        let workspace = forward.workspace_len().max(backward.workspace_len());
        let workspace = workspace.max(cpu.convolution_backward_filter_workspace_len(&geometry));
        convolutions.push((geometry, forward, backward, cpu.allocate(workspace)?));
    }
    let deconvolution = ConvGeometry::new(2, [32, 16], &[14, 14], &[2, 2]).with_stride(&[2, 2]);
    let mut prepared = cpu.deconvolution_prepare(&deconvolution, &weights)?;
    let product = InnerProductGeometry { batch: 2, inputs: 32 * 28 * 28, outputs: 10, transpose: false };
    let mut matrix = cpu.allocate(32 * 28 * 28 * 10)?;
    let workspace = cpu.inner_product_backward_data_workspace_len(&product);
    let workspace = workspace.max(cpu.inner_product_backward_filter_workspace_len(&product));
    let mut space = cpu.allocate(workspace)?;
    let (clock, labels) = (cpu.allocate(CLOCK_LEN)?, cpu.allocate(2 * 28 * 28)?);
    let loss = LabelLossGeometry {
        scores: AxisGeometry::around(&shape, 1, 2),
        loss: LabelLoss::Softmax,
        ignore_label: Some(1),
        divisor: LossDivisor::Counted,
    };
    let mut totals = cpu.allocate(cpu.loss_totals_len())?;
    let (mut sums, channels) = (cpu.allocate(32)?, AxisGeometry::around(&shape, 1, 2));
    check(cpu, &mut || {
        for (geometry, forward, backward, workspace) in &mut convolutions {
            cpu.convolution_repack(forward, &weights)?;
            cpu.convolution_backward_data_repack(backward, &weights)?;
            cpu.convolution_forward(forward, &x, &Epilogue::default(), &mut dx, workspace)?;
            cpu.convolution_backward_data(backward, &dy, true, &mut dx, workspace)?;
            cpu.convolution_backward_filter(geometry, &x, &dy, true, &mut weights, workspace)?;
        }
        cpu.deconvolution_repack(&mut prepared, &weights)?;
        cpu.inner_product_backward_data(&product, &matrix, &dy, false, &mut dx, &mut space)?;
        cpu.inner_product_backward_filter(&product, &x, &dy, false, &mut matrix, &mut space)?;
        cpu.bias_backward(&channels, &dy, &mut sums)?;
        cpu.activation_backward(Activation::Relu, len, Some(&x), Some(&dy), &mut dx)?;
        cpu.lrn_backward(&LrnGeometry::new(shape), &x, &dx, &mut dy)?;
        let pool = PoolGeometry::new(PoolMethod::Average, shape, [2, 2]);
        cpu.pooling_backward(&pool, None, &dy, &mut dx)?;
        cpu.eltwise_backward(EltwiseOp::Max, len, 1, &[&x, &x], None, &dx, &mut dy)?;
        cpu.transform_tensor_backward(&CopyGeometry::permute(&shape, &[0, 2, 3, 1]), &dy, true, &mut dx)?;
        cpu.dropout(0.5, len, &Random { key: 1, clock: &clock }, Some(&dx), &mut dy)?;
        cpu.label_loss_forward(&loss, Site::default(), &x, &labels, None, &mut sums, &mut totals)?;
        cpu.label_loss_backward(&loss, Site::default(), &x, &labels, None, &x, &totals, &mut dx)?;
        let norm = cpu.sum_of_squares(len, &dy)?;
        cpu.axpy(norm as f32, len, &dy, &mut x)
    })
}

/// Runs `pass` again and again, and counts.
fn check(cpu: &CpuBackend, pass: &mut (dyn FnMut() -> Result<(), Error> + Send)) -> Result<(), Error> {
    let mut counts = [0; 20];
    let mut outcome = Ok(());
    let mut passes = || {
        for count in &mut counts {
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            if outcome.is_ok() {
                outcome = pass();
            }
            *count = ALLOCATIONS.load(Ordering::Relaxed) - before;
        }
    };
    cpu.enter(&mut passes);
    outcome?;
    // The first may set up the threads' queues.
    assert_eq!(counts[1..], [0; 19], "{} threads", cpu.threads());
    Ok(())
}
