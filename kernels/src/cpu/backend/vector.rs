//! [`VectorOps`] for the CPU.

use super::operands::{take, take_mut};
use crate::backend::VectorOps;
use crate::buffer::Buffer;
use crate::cpu::{CpuBackend, vector};
use crate::error::Result;

impl VectorOps for CpuBackend {
    fn axpy(&self, alpha: f32, len: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "axpy";
        vector::axpy(self, alpha, take(OP, "x", x, len)?, take_mut(OP, "y", y, len)?);
        Ok(())
    }

    fn scale_tensor(&self, alpha: f32, len: usize, y: &mut Buffer) -> Result<()> {
        vector::scale(self, alpha, take_mut("scale_tensor", "y", y, len)?);
        Ok(())
    }

    fn sum_of_squares(&self, len: usize, x: &Buffer) -> Result<f64> {
        Ok(vector::sum_of_squares(self, take("sum_of_squares", "x", x, len)?))
    }
}
