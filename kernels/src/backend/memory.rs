//! A device's memory: taken, written, read.

use crate::buffer::Buffer;
use crate::error::Result;

/// Memory of a device.
pub trait MemoryOps {
    /// `len` zeros.
    fn allocate(&self, len: usize) -> Result<Buffer>;

    /// A buffer of zeros for each of `lens` lengths: on a device, parts of one allocation, which is given back when the last of
    /// them is dropped.
    fn allocate_all(&self, lens: &[usize]) -> Result<Vec<Buffer>> {
        lens.iter().map(|&len| self.allocate(len)).collect()
    }

    /// Says that what is in `buffer` will not be read before it is written again: where every access is checked, a read is an error.
    fn discard(&self, _buffer: &mut Buffer) -> Result<()> {
        Ok(())
    }

    /// Copies `values` into `buffer`, from float `start` on. They are the caller's again when it returns; on a device they may
    /// still be on their way, beside what is computed meanwhile.
    fn write(&self, buffer: &mut Buffer, start: usize, values: &[f32]) -> Result<()>;

    /// Copies from `buffer`, from float `start` on, into `values`.
    fn read(&self, buffer: &Buffer, start: usize, values: &mut [f32]) -> Result<()>;

    /// Sets the first `len` floats to `value`.
    fn fill(&self, buffer: &mut Buffer, len: usize, value: f32) -> Result<()>;
}
