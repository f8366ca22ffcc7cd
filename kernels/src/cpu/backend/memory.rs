//! [`MemoryOps`] for the CPU.

use super::operands::{take, take_mut};
use crate::backend::MemoryOps;
use crate::buffer::{Buffer, HostBuffer};
use crate::cpu::CpuBackend;
use crate::error::Result;

impl MemoryOps for CpuBackend {
    fn allocate(&self, len: usize) -> Result<Buffer> {
        HostBuffer::zeroed(len).map(Buffer::Host)
    }

    fn write(&self, buffer: &mut Buffer, start: usize, values: &[f32]) -> Result<()> {
        let end = start.saturating_add(values.len());
        take_mut("write", "the buffer", buffer, end)?[start..].copy_from_slice(values);
        Ok(())
    }

    fn read(&self, buffer: &Buffer, start: usize, values: &mut [f32]) -> Result<()> {
        let end = start.saturating_add(values.len());
        values.copy_from_slice(&take("read", "the buffer", buffer, end)?[start..]);
        Ok(())
    }

    fn fill(&self, buffer: &mut Buffer, len: usize, value: f32) -> Result<()> {
        let y = take_mut("fill", "the buffer", buffer, len)?;
        self.threads.chunks(y, 16 * 1024, 1, |_, y| y.fill(value));
        Ok(())
    }
}
