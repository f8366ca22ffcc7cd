//! [`SoftmaxOps`] for the CPU.

use super::operands::{take, take_if, take_mut};
use crate::backend::SoftmaxOps;
use crate::buffer::Buffer;
use crate::cpu::{CpuBackend, softmax};
use crate::error::Result;
use crate::geometry::AxisGeometry;

impl SoftmaxOps for CpuBackend {
    fn softmax_forward(&self, geometry: &AxisGeometry, x: Option<&Buffer>, y: &mut Buffer) -> Result<()> {
        const OP: &str = "softmax_forward";
        let (_, axis, inner) = geometry.sizes();
        let x = take_if(OP, "x", x, geometry.len())?;
        softmax::forward(self, axis, inner, x, take_mut(OP, "y", y, geometry.len())?);
        Ok(())
    }

    fn softmax_backward(
        &self,
        geometry: &AxisGeometry,
        y: &Buffer,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "softmax_backward";
        let (_, axis, inner) = geometry.sizes();
        let (y, dy) = (take(OP, "y", y, geometry.len())?, take_if(OP, "dy", dy, geometry.len())?);
        softmax::backward(self, axis, inner, y, dy, take_mut(OP, "dx", dx, geometry.len())?);
        Ok(())
    }
}
