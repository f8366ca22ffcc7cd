//! [`GemmOps`] for devices.

use crate::backend::GemmOps;
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::gemm::Epilogue;
use crate::error::Result;
use crate::geometry::GemmGeometry;

impl GemmOps for DeviceBackend {
    fn gemm_workspace_len(&self, geometry: &GemmGeometry) -> usize {
        self.product_plan(geometry).workspace_len(geometry.m as usize * geometry.n as usize)
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
        let [m, n, k] = [geometry.m, geometry.n, geometry.k].map(|extent| extent as usize);
        let operands = [self.take(OP, "a", a, m * k)?, self.take(OP, "b", b, k * n)?];
        let plan = self.product_plan(geometry);
        let workspace = self.take_mut(OP, "the workspace", workspace, plan.workspace_len(m * n))?;
        let epilogue = Epilogue::scaled(geometry.alpha, geometry.beta);
        self.product(geometry, &plan, operands, epilogue, &self.take_mut(OP, "c", c, m * n)?, &workspace)
    }
}
