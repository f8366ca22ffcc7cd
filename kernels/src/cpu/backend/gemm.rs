//! [`GemmOps`] for the CPU.

use super::operands::{take, take_mut};
use crate::backend::GemmOps;
use crate::buffer::Buffer;
use crate::cpu::{CpuBackend, gemm};
use crate::error::Result;
use crate::geometry::GemmGeometry;

impl GemmOps for CpuBackend {
    fn gemm_workspace_len(&self, geometry: &GemmGeometry) -> usize {
        gemm::workspace_len(self, geometry)
    }

    fn gemm(
        &self,
        geometry: &GemmGeometry,
        a: &Buffer,
        b: &Buffer,
        c: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "gemm";
        let [a_len, b_len, c_len] = geometry.lens();
        let operands = [take(OP, "a", a, a_len)?, take(OP, "b", b, b_len)?];
        let workspace = take_mut(OP, "the workspace", workspace, gemm::workspace_len(self, geometry))?;
        gemm::forward(self, geometry, operands, take_mut(OP, "c", c, c_len)?, workspace);
        Ok(())
    }
}
