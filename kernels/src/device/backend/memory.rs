//! [`MemoryOps`] for devices.

use crate::backend::MemoryOps;
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::memory::{DeviceBuffer, bytes};
use crate::device::source::VECTOR;
use crate::error::Result;

impl MemoryOps for DeviceBackend {
    fn allocate(&self, len: usize) -> Result<Buffer> {
        DeviceBuffer::zeroed(&self.driver, len).map(Buffer::Device)
    }

    fn allocate_all(&self, lens: &[usize]) -> Result<Vec<Buffer>> {
        let parts = DeviceBuffer::all_zeroed(&self.driver, lens)?;
        Ok(parts.into_iter().map(Buffer::Device).collect())
    }

    fn discard(&self, buffer: &mut Buffer) -> Result<()> {
        let len = buffer.len();
        let target = self.take_mut("discard", "the buffer", buffer, len)?;
        self.driver.discard(target.address(), len);
        Ok(())
    }

    fn write(&self, buffer: &mut Buffer, start: usize, values: &[f32]) -> Result<()> {
        let end = start.saturating_add(values.len());
        let target = self.take_mut("write", "the buffer", buffer, end)?;
        self.driver.write(target.address() + bytes(start), values)
    }

    fn read(&self, buffer: &Buffer, start: usize, values: &mut [f32]) -> Result<()> {
        let end = start.saturating_add(values.len());
        self.fetch(self.take("read", "the buffer", buffer, end)?, start, values)
    }

    fn fill(&self, buffer: &mut Buffer, len: usize, value: f32) -> Result<()> {
        let y = self.take_mut("fill", "the buffer", buffer, len)?;
        self.call(&VECTOR, "fill").float(value).count(len).output(&y, len).over(len)
    }
}
