//! [`TransformOps`] for the CPU.

use super::operands::{take, take_mut};
use crate::backend::TransformOps;
use crate::buffer::Buffer;
use crate::cpu::{CpuBackend, transform};
use crate::error::Result;
use crate::geometry::CopyGeometry;

impl TransformOps for CpuBackend {
    fn transform_tensor(&self, geometry: &CopyGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "transform_tensor";
        geometry.check(OP)?;
        let (source, target) = geometry.reach();
        let (x, y) = (take(OP, "x", x, source)?, take_mut(OP, "y", y, target)?);
        if !y.is_empty() {
            transform::forward(self, geometry, x, y);
        }
        Ok(())
    }

    fn transform_tensor_backward(
        &self,
        geometry: &CopyGeometry,
        dy: &Buffer,
        accumulate: bool,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "transform_tensor_backward";
        geometry.check_backward(OP)?;
        let (source, target) = geometry.reach();
        let (dy, dx) = (take(OP, "dy", dy, target)?, take_mut(OP, "dx", dx, source)?);
        transform::backward(self, geometry, dy, accumulate, dx);
        Ok(())
    }
}
