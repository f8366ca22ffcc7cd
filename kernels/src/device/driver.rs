//! What a device's driver must do: keep memory, copy, and run kernels.

use std::ffi::c_void;

use super::limits::Limits;
use super::recording::{Recorder, RecordingId};
use super::source::Module;
use crate::error::Result;

/// An address in a device's memory.
pub(crate) type Address = u64;

/// In bytes: as CUDA's own allocations lie, and more than any vector or copy asks for.
#[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "the emulator's allocations are apart anyway"))]
pub(crate) const ALIGNMENT: usize = 256;

/// Extents of a grid or of a block.
pub(crate) type Extents = [u32; 3];

/// A device, below the level of operations. Work is done in the order in which it is given; it may return before it is done.
///
/// Between [`begin`](Driver::begin) and [`end`](Driver::end), copies within the device and kernels are taken down and not done;
/// all else is refused. Each operation takes its turn at the [`Recorder`], but [`free`](Driver::free) and
/// [`forget`](Driver::forget), which the recorder itself calls.
pub(crate) trait Driver: Send + Sync {
    /// The device, in words.
    fn name(&self) -> String;

    /// Its kind, in words: devices of one model compute the same bits.
    fn model(&self) -> String;

    /// How many blocks run side by side, in the least.
    fn multiprocessors(&self) -> u32;

    /// What it can do at most, if it tells.
    fn limits(&self) -> Option<Limits> {
        None
    }

    /// Whether its tensor cores know TF32.
    fn has_tf32(&self) -> bool;

    /// Whether they read shared memory by themselves, as sm_90a's do.
    fn has_wgmma(&self) -> bool;

    /// Who records, and what recordings there are.
    fn recorder(&self) -> &Recorder;

    /// Zeros: an address for each of `lens` lengths, all of one allocation, each a multiple of [`ALIGNMENT`] bytes from its
    /// beginning. No address is given twice, also of lengths that are 0.
    fn allocate(&self, lens: &[usize]) -> Result<Vec<Address>>;

    /// Gives back what one call of [`allocate`](Driver::allocate) gave, in its order.
    fn free(&self, addresses: &[Address]);

    /// Says that what `len` floats hold will not be read before it is written.
    fn discard(&self, _address: Address, _len: usize) {}

    /// Copies to the device. `values` are taken when it returns, but may be under way still.
    fn write(&self, address: Address, values: &[f32]) -> Result<()>;

    /// Copies from the device, when all work given before is done.
    fn read(&self, address: Address, values: &mut [f32]) -> Result<()>;

    /// Copies within the device.
    fn copy(&self, from: Address, to: Address, len: usize) -> Result<()>;

    /// Starts a kernel.
    fn launch(&self, launch: &Launch<'_>) -> Result<()>;

    /// Waits until all work is done.
    fn synchronize(&self) -> Result<()>;

    /// From here on, this thread's work is taken down.
    fn begin(&self) -> Result<()>;

    /// Ends that; keeps what was taken down under this number, unless there is none.
    fn end(&self, kept: Option<RecordingId>) -> Result<()>;

    /// Does what was taken down.
    fn replay(&self, recording: RecordingId) -> Result<()>;

    /// Forgets it.
    fn forget(&self, recording: RecordingId);
}

/// A kernel with all that it needs. Only [`Call`](super::call::Call) makes one, from values that live while it runs.
pub(crate) struct Launch<'a> {
    /// Where the kernel is.
    pub(crate) module: &'static Module,
    /// Its name.
    pub(crate) kernel: &'static str,
    pub(crate) grid: Extents,
    pub(crate) block: Extents,
    /// Where each argument lies, and how many bytes it has.
    pub(crate) arguments: &'a [*const c_void],
    #[cfg_attr(not(feature = "emulate"), expect(dead_code, reason = "for the emulator to check"))]
    pub(crate) sizes: &'a [usize],
    /// The memory among the arguments.
    #[cfg_attr(not(feature = "emulate"), expect(dead_code, reason = "for the emulator to check"))]
    pub(crate) operands: &'a [Operand],
}

/// Memory that a kernel reads or writes.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Operand {
    pub(crate) address: Address,
    /// Floats, from the address on, of which each must be written.
    pub(crate) written: u64,
    /// Whether it may be written at all.
    pub(crate) writable: bool,
}
