//! [`VectorOps`] for devices.

use std::sync::PoisonError;

use crate::backend::VectorOps;
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::call::{PARTS, THREADS, Target};
use crate::device::source::{ACTIVATION, VECTOR};
use crate::error::Result;

impl VectorOps for DeviceBackend {
    fn axpy(&self, alpha: f32, len: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "axpy";
        let (x, y) = (self.take(OP, "x", x, len)?, self.take_mut(OP, "y", y, len)?);
        let call = self.call(&VECTOR, OP).float(alpha).count(len);
        call.input(x).output(&y, len).over(len)
    }

    fn scale_tensor(&self, alpha: f32, len: usize, y: &mut Buffer) -> Result<()> {
        let y = self.take_mut("scale_tensor", "y", y, len)?;
        let call = self.call(&ACTIVATION, "scale_by").float(alpha).count(len);
        call.source(&y).output(&y, len).over(len)
    }

    fn sum_of_squares(&self, len: usize, x: &Buffer) -> Result<f64> {
        const OP: &str = "sum_of_squares";
        let x = self.take(OP, "x", x, len)?;
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parts = [0.0_f32; 2 * PARTS];
        let blocks = len.div_ceil(THREADS as usize).min(PARTS);
        let call = self.call(&VECTOR, OP).count(len).input(x);
        call.output(&Target::new(&mut scratch), 2 * blocks).launch([blocks as u32, 1, 1], THREADS)?;
        self.fetch(&scratch, 0, &mut parts[..2 * blocks])?;
        // Each part is an f64.
        let (parts, _) = parts[..2 * blocks].as_chunks::<2>();
        Ok(parts.iter().map(|&part| bytemuck::cast::<[f32; 2], f64>(part)).sum())
    }
}
