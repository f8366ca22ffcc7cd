//! The maths of Caffe's layers, on buffers: this crate knows no net and no file.
//!
//! A [`Backend`] is a device with memory ([`Buffer`]) and some seventy coarse operations, forward and
//! backward, in families: [`ConvolutionOps`], [`PoolingOps`], [`LossOps`] and so on. Sizes travel in plain
//! [geometry](ConvGeometry) structs; operations with weights are *prepared* once (the
//! algorithm is chosen, the weights are packed) and then run any number of times without allocating.
//!
//! ```
//! use kernels::{Activation, ConvGeometry, Device, Epilogue, open};
//!
//! let cpu = open(Device::Cpu, 2)?;
//! // AlexNet's conv2: 96 channels of 27×27, 256 filters of 5×5 in two groups.
//! let geometry = ConvGeometry::new(1, [96, 256], &[27, 27], &[5, 5]).with_pad(&[2, 2]).with_group(2);
//!
//! let mut weights = cpu.allocate(256 * 48 * 25)?;
//! cpu.fill(&mut weights, 256 * 48 * 25, 0.5)?;
//! let mut x = cpu.allocate(96 * 27 * 27)?;
//! cpu.fill(&mut x, 96 * 27 * 27, 1.0)?;
//!
//! let convolution = cpu.convolution_prepare(&geometry, &weights)?;
//! let mut y = cpu.allocate(256 * 27 * 27)?;
//! let mut workspace = cpu.allocate(convolution.workspace_len())?;
//! let epilogue = Epilogue { activation: Activation::Relu, ..Epilogue::default() };
//! cpu.convolution_forward(&convolution, &x, &epilogue, &mut y, &mut workspace)?;
//!
//! let mut corner_and_next = [0.0; 2];
//! cpu.read(&y, 0, &mut corner_and_next)?;
//! assert_eq!(corner_and_next, [0.5 * 48.0 * 9.0, 0.5 * 48.0 * 12.0]);
//! # Ok::<(), kernels::Error>(())
//! ```
//!
//! With the feature `cuda`, [`open`] gives an NVIDIA GPU, whose kernels are written by hand in `cu/`. Its README goes from a naive
//! product to the last, with the counted reason for each step: tiles in shared memory (each float fetched serves 32
//! multiply-adds), 8×8 sums a thread in registers (two flops for each byte of shared memory, which is what it gives), the next slice
//! brought while this one is multiplied, sums cut into parts where the result alone would not fill the device, and the tensor
//! cores (`MathMode::Tf32`, off unless asked for), by `mma.sync` and on
//! sm_90a by `wgmma`. A convolution is the same product with another fetch in all three passes, and the way back through a stride is taken
//! apart into dense products. With the feature `emulate` it gives the same kernels on the processor, where every access
//! is checked: what passes there stays in bounds, has no races and reads nothing that was not written.
//!
//! On a GPU each product and convolution takes the way that was measured to be the fastest when its shape was first met, ours
//! or cuBLAS's, and that is remembered from one run to the next; or, with [`Choice::Deterministic`], ours, by sizes alone.
//!
//! Results have the same bits with any number of threads: work is cut by sizes, never by threads, and no sum is cut
//! between threads. Between instruction sets ([`Isa`]) they differ in the last bits.

#![expect(unsafe_code, reason = "vector instructions, and slices shared among threads")]
#![expect(clippy::inline_always, reason = "what is not inlined is not compiled with the vector instructions")]

mod activation;
mod backend;
mod buffer;
mod cpu;
#[cfg(device)]
mod device;
mod error;
mod geometry;
mod open;
mod prepared;
mod random;
mod recording;
mod update;

pub use activation::{Activation, GradientFrom};
pub use backend::{
    ActivationOps, ArgMaxOutput, Backend, ConvolutionOps, DeconvolutionOps, ElementwiseOps, EltwiseOp,
    EmbedOps, Epilogue, GemmOps, InnerProductOps, LossOps, MemoryOps, NormalizationOps, PoolingOps,
    RecurrentOps, ReduceOp, ReductionOps, ResizeOps, Site, SoftmaxOps, TransformOps, VectorOps,
};
pub use buffer::{Buffer, HostBuffer};
pub use cpu::{ConvAlgorithm, CpuBackend, Isa};
#[cfg(feature = "emulate")]
pub use device::EmulatedMemory;
#[cfg(device)]
pub use device::{DeviceBackend, DeviceBuffer, GemmVersion, Limits, MathMode};
#[cfg(feature = "cuda")]
pub use device::{DeviceCode, KernelReport, compile_for, compile_reports, nvrtc_version};
pub use error::{Error, Result};
pub use geometry::{
    AccuracyGeometry, AxisGeometry, ConvGeometry, CopyGeometry, EmbedGeometry, GemmGeometry,
    InnerProductGeometry, InterpGeometry, LabelLoss, LabelLossGeometry, LossDivisor, LrnGeometry, LrnRegion,
    LstmGeometry, MAX_AXES, MAX_SPATIAL, NormalizeGeometry, PairLoss, PairLossGeometry, PoolGeometry,
    PoolMethod, Rounding, RowsGeometry,
};
pub use open::{Choice, Device, open, open_with};
pub use prepared::{BackwardData, Convolution, Deconvolution};
pub use random::{CLOCK_LEN, Random, clock};
pub use recording::Recording;
pub use update::{
    GradientChange, GradientStep, LossTerm, MAX_UPDATE_STATE, NormalNoise, UpdateRule, UpdateTensor, Updates,
};

/// [`Backend`] and the traits of its families, for calls on a backend of a known type: a `dyn Backend` has their methods without
/// any import.
pub mod prelude {
    #[doc(no_inline)]
    pub use crate::backend::{
        ActivationOps, Backend, ConvolutionOps, DeconvolutionOps, ElementwiseOps, EmbedOps, GemmOps,
        InnerProductOps, LossOps, MemoryOps, NormalizationOps, PoolingOps, RecurrentOps, ReductionOps,
        ResizeOps, SoftmaxOps, TransformOps, VectorOps,
    };
}
