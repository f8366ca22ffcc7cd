//! [`InnerProductOps`] for the CPU.

use super::operands::{take, take_anywhere, take_if, take_mut};
use crate::backend::{Epilogue, InnerProductOps};
use crate::buffer::Buffer;
use crate::cpu::conv::Operands;
use crate::cpu::gemm::Finish;
use crate::cpu::{CpuBackend, activation, inner_product};
use crate::error::{Error, Result};
use crate::geometry::InnerProductGeometry;

impl InnerProductOps for CpuBackend {
    fn inner_product_workspace_len(&self, geometry: &InnerProductGeometry) -> usize {
        inner_product::workspace_len(self, geometry)
    }

    fn inner_product_forward(
        &self,
        geometry: &InnerProductGeometry,
        weights: &Buffer,
        x: &Buffer,
        epilogue: &Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "inner_product_forward";
        let (finish, rest) = Finish::of(epilogue.activation);
        let weights = take_anywhere(OP, "weights", weights, geometry.weight_len())?;
        if geometry.transpose && weights.as_slice().is_none() {
            return Err(Error::Unaligned { op: OP, operand: "weights" });
        }
        let operands = Operands {
            x: take(OP, "x", x, geometry.input_len())?,
            bias: take_if(OP, "bias", epilogue.bias, geometry.outputs as usize)?,
            accumulate: epilogue.accumulate,
            finish,
            y: take_mut(OP, "y", y, geometry.output_len())?,
            workspace: take_mut(
                OP,
                "the workspace",
                workspace,
                inner_product::workspace_len(self, geometry),
            )?,
        };
        inner_product::forward(self, geometry, weights, operands);
        activation::forward(self, rest, None, take_mut(OP, "y", y, geometry.output_len())?);
        Ok(())
    }

    fn inner_product_backward_filter_workspace_len(&self, geometry: &InnerProductGeometry) -> usize {
        inner_product::backward_filter_workspace_len(self, geometry)
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
        let operands = [take(OP, "x", x, geometry.input_len())?, take(OP, "dy", dy, geometry.output_len())?];
        let dw = take_mut(OP, "dw", dw, geometry.weight_len())?;
        let needed = inner_product::backward_filter_workspace_len(self, geometry);
        let workspace = take_mut(OP, "the workspace", workspace, needed)?;
        inner_product::backward_filter(self, geometry, operands, accumulate, dw, workspace);
        Ok(())
    }
}
