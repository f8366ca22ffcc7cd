//! [`GemmOps`] for devices.

use crate::backend::GemmOps;
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::gemm::Epilogue;
use crate::error::Result;
use crate::geometry::GemmGeometry;

impl GemmOps for DeviceBackend {
    fn gemm_workspace_len(&self, geometry: &GemmGeometry) -> usize {
        let [_, _, c_len] = geometry.lens();
        self.product_plan(geometry).workspace_len(c_len)
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
        let operands = [self.take(OP, "a", a, a_len)?, self.take(OP, "b", b, b_len)?];
        let plan = self.product_plan(geometry);
        let workspace = self.take_mut(OP, "the workspace", workspace, plan.workspace_len(c_len))?;
        let epilogue = Epilogue::scaled(geometry.alpha, geometry.beta);
        self.product(geometry, &plan, operands, epilogue, &self.take_mut(OP, "c", c, c_len)?, &workspace)
    }
}
