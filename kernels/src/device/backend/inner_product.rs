//! [`InnerProductOps`] for devices.

use crate::backend::{GemmOps, InnerProductOps};
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::gemm::Epilogue;
use crate::error::Result;
use crate::geometry::InnerProductGeometry;

impl InnerProductOps for DeviceBackend {
    fn inner_product_workspace_len(&self, geometry: &InnerProductGeometry) -> usize {
        self.gemm_workspace_len(&Self::inner_product_gemm(geometry))
    }

    fn inner_product_forward(
        &self,
        geometry: &InnerProductGeometry,
        weights: &Buffer,
        x: &Buffer,
        epilogue: &crate::Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "inner_product_forward";
        let operands = [
            self.take(OP, "x", x, geometry.input_len())?,
            self.take(OP, "weights", weights, geometry.weight_len())?,
        ];
        let outputs = geometry.outputs as usize;
        let bias = self.take_if(OP, "bias", epilogue.bias, outputs)?;
        let (finish, rest) = Epilogue::adding(epilogue.accumulate)
            .with_bias(bias, 1, outputs)
            .with_activation(epilogue.activation);
        let product = Self::inner_product_gemm(geometry);
        let plan = self.product_plan(&product);
        let needed = plan.workspace_len(geometry.output_len());
        let workspace = self.take_mut(OP, "the workspace", workspace, needed)?;
        let y = self.take_mut(OP, "y", y, geometry.output_len())?;
        self.product(&product, &plan, operands, finish, &y, &workspace)?;
        self.apply(rest, geometry.output_len(), &y)
    }

    fn inner_product_backward_filter_workspace_len(&self, geometry: &InnerProductGeometry) -> usize {
        self.gemm_workspace_len(&Self::inner_product_filter_gemm(geometry))
    }

    fn inner_product_backward_filter(
        &self,
        geometry: &InnerProductGeometry,
        x: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dw: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "inner_product_backward_filter";
        let (x, dy) =
            (self.take(OP, "x", x, geometry.input_len())?, self.take(OP, "dy", dy, geometry.output_len())?);
        let operands = if geometry.transpose { [x, dy] } else { [dy, x] };
        let product = Self::inner_product_filter_gemm(geometry);
        let plan = self.product_plan(&product);
        let needed = plan.workspace_len(geometry.weight_len());
        let workspace = self.take_mut(OP, "the workspace", workspace, needed)?;
        let dw = self.take_mut(OP, "dw", dw, geometry.weight_len())?;
        self.product(&product, &plan, operands, Epilogue::adding(accumulate), &dw, &workspace)
    }
}
