//! What a device must be able to do: a trait for each family of operations, one a file.

mod activation;
mod convolution;
mod deconvolution;
mod elementwise;
mod embed;
mod epilogue;
mod gemm;
mod inner_product;
mod losses;
mod memory;
mod normalization;
mod pooling;
mod recurrent;
mod reduction;
mod resize;
mod softmax;
mod transform;
mod vector;

pub use activation::ActivationOps;
pub use convolution::ConvolutionOps;
pub use deconvolution::DeconvolutionOps;
pub(crate) use elementwise::MAX_INPUTS;
pub use elementwise::{ElementwiseOps, EltwiseOp};
pub use embed::EmbedOps;
pub use epilogue::Epilogue;
pub use gemm::GemmOps;
pub use inner_product::InnerProductOps;
pub use losses::LossOps;
pub use memory::MemoryOps;
pub use normalization::NormalizationOps;
pub use pooling::PoolingOps;
pub use recurrent::RecurrentOps;
pub use reduction::{ArgMaxOutput, ReduceOp, ReductionOps};
pub use resize::ResizeOps;
pub use softmax::SoftmaxOps;
pub use transform::TransformOps;
pub use vector::VectorOps;

use crate::error::{Error, Result};
use crate::recording::Recording;
use crate::update::Updates;

/// Who asks for an operation that can meet a value that it cannot work on, such as a label that names no class: any number. A device
/// reports such a value after the operation has returned, with the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Site(pub u32);

/// A device: memory, and coarse operations on it, with cuDNN's names where cuDNN has them. Each family of operations has a trait of
/// its own, whose methods a `dyn Backend` has too.
///
/// Arrays are f32 in row-major order, images N×C×H×W. A buffer may be longer than the geometry needs; a shorter one
/// is refused before anything is written. An operation whose `x` is an `Option` works in place on `y` when it is
/// `None`. Operations may return before they are done: [`synchronize`](Backend::synchronize) waits, and so does
/// [`read`](MemoryOps::read).
pub trait Backend:
    Send
    + Sync
    + MemoryOps
    + GemmOps
    + InnerProductOps
    + ConvolutionOps
    + DeconvolutionOps
    + PoolingOps
    + NormalizationOps
    + ActivationOps
    + ElementwiseOps
    + VectorOps
    + SoftmaxOps
    + ReductionOps
    + TransformOps
    + ResizeOps
    + EmbedOps
    + RecurrentOps
    + LossOps
{
    /// The device, in words.
    fn name(&self) -> String;

    /// What decides the bits of results, in words: backends that say the same compute the same.
    fn arithmetic(&self) -> String;

    /// Waits until every operation is done. It fails with the first value since the last call that an operation could not work on,
    /// where operations return before they know: [`Error::Label`](crate::Error::Label), [`Error::Index`](crate::Error::Index).
    fn synchronize(&self) -> Result<()>;

    /// Takes down what `body` gives to the device: kernels, and copies within its memory. None of that is done, now or on an
    /// error; [`replay`](Backend::replay) does all of it, as often as it is called, with the same sizes and numbers and in the same
    /// memory. What `body` does in the host's memory happens. Other threads wait with what they have for this device until `body`
    /// returns, so it must not wait for them.
    ///
    /// # Errors
    /// [`Error::Unrecordable`] where this backend records nothing, without a call of `body`; and where `body` has the device
    /// allocate, wait, read, be written from the host, record or replay, or use a kernel that was never used before: that
    /// operation has then returned the same error to `body`.
    fn record(&self, _body: &mut dyn FnMut()) -> Result<Recording> {
        Err(Error::Unrecordable { what: "a processor does at once what it is given" })
    }

    /// Does what a recording of this device's holds.
    ///
    /// # Errors
    /// [`Error::Elsewhere`] for another device's; [`Error::Unrecordable`] within a recording.
    fn replay(&self, _recording: &Recording) -> Result<()> {
        Err(Error::Elsewhere { op: "replay", operand: "what was recorded" })
    }

    /// Runs `body` where the device's operations start fastest: the CPU backend runs it on one of its own threads,
    /// which saves waking them for every operation. Meant for a whole forward pass.
    fn enter(&self, body: &mut (dyn FnMut() + Send));

    /// Calls `body` with every number below `count`, on as many of the host's threads as the device may use: for preparing
    /// several things side by side.
    fn each(&self, count: usize, body: &(dyn Fn(usize) + Sync));

    /// Updates of parameters where they are; `None` where that is main memory, which an optimizer works on itself.
    fn updates(&self) -> Option<Box<dyn Updates>> {
        None
    }
}
