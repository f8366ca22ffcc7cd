//! A second forward pass allocates nothing.

#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use kernels::{
    Activation, AxisGeometry, Backend, ConvAlgorithm, ConvGeometry, CopyGeometry, CpuBackend, EltwiseOp,
    Epilogue, Error, InnerProductGeometry, LrnGeometry, PoolGeometry, PoolMethod,
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

#[test]
fn a_second_forward_pass_allocates_nothing() -> Result<(), Error> {
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
        let mut counts = [0; 20];
        let mut outcome = Ok(());
        let mut passes = || {
            for count in &mut counts {
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                if outcome.is_ok() {
                    outcome = forward();
                }
                *count = ALLOCATIONS.load(Ordering::Relaxed) - before;
            }
        };
        cpu.enter(&mut passes);
        outcome?;
        // The first may set up the threads' queues.
        assert_eq!(counts[1..], [0; 19], "{threads} threads");
    }
    Ok(())
}
