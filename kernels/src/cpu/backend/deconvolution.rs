//! [`DeconvolutionOps`] for the CPU.

use super::operands::{take, take_if, take_mut};
use crate::backend::{DeconvolutionOps, Epilogue};
use crate::buffer::Buffer;
use crate::cpu::conv::{Operands, backward_data, backward_filter};
use crate::cpu::gemm::Finish;
use crate::cpu::{CpuBackend, activation, deconv};
use crate::error::Result;
use crate::geometry::ConvGeometry;
use crate::prepared::{BackwardData, Deconvolution, MadeFor};

impl DeconvolutionOps for CpuBackend {
    fn deconvolution_prepare(&self, geometry: &ConvGeometry, weights: &Buffer) -> Result<Deconvolution> {
        const OP: &str = "deconvolution_prepare";
        geometry.check(OP, true)?;
        let transposed = geometry.transposed();
        let weights = take(OP, "weights", weights, transposed.weight_len())?;
        let plan = self.threads.enter(|| deconv::Plan::new(self, &transposed, weights))?;
        Ok(Deconvolution { geometry: *geometry, plan: MadeFor::Host(Box::new(plan)) })
    }

    fn deconvolution_repack(&self, prepared: &mut Deconvolution, weights: &Buffer) -> Result<()> {
        const OP: &str = "deconvolution_repack";
        let needed = prepared.geometry.transposed().weight_len();
        let weights = take(OP, "weights", weights, needed)?;
        let plan = prepared.plan.host_mut(OP)?;
        plan.repack(self, weights);
        Ok(())
    }

    fn deconvolution_forward(
        &self,
        prepared: &Deconvolution,
        x: &Buffer,
        epilogue: &Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "deconvolution_forward";
        let plan = prepared.plan.host(OP)?;
        let geometry = prepared.geometry.transposed();
        let (finish, rest) = Finish::of(epilogue.activation);
        let operands = Operands {
            x: take(OP, "x", x, geometry.output_len())?,
            bias: take_if(OP, "bias", epilogue.bias, geometry.input_channels as usize)?,
            accumulate: epilogue.accumulate,
            finish,
            y: take_mut(OP, "y", y, geometry.input_len())?,
            workspace: take_mut(OP, "the workspace", workspace, plan.workspace_len())?,
        };
        plan.forward(self, operands);
        activation::forward(self, rest, None, take_mut(OP, "y", y, geometry.input_len())?);
        Ok(())
    }

    fn deconvolution_backward_data_prepare(
        &self,
        geometry: &ConvGeometry,
        weights: &Buffer,
    ) -> Result<BackwardData> {
        const OP: &str = "deconvolution_backward_data_prepare";
        geometry.check(OP, true)?;
        let transposed = geometry.transposed();
        let weights = take(OP, "weights", weights, transposed.weight_len())?;
        let plan =
            self.threads.enter(|| backward_data::Plan::of_deconvolution(self, &transposed, weights))?;
        Ok(BackwardData { geometry: *geometry, plan: MadeFor::Host(Box::new(plan)) })
    }

    fn deconvolution_backward_filter_workspace_len(&self, geometry: &ConvGeometry) -> usize {
        backward_filter::workspace_len(self, &geometry.transposed())
    }

    fn deconvolution_backward_filter(
        &self,
        geometry: &ConvGeometry,
        x: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dw: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "deconvolution_backward_filter";
        geometry.check(OP, true)?;
        // The convolution that it transposes has dy for its image, and x for its output's gradient.
        let transposed = geometry.transposed();
        let operands =
            [take(OP, "dy", dy, transposed.input_len())?, take(OP, "x", x, transposed.output_len())?];
        let dw = take_mut(OP, "dw", dw, transposed.weight_len())?;
        let needed = backward_filter::workspace_len(self, &transposed);
        let workspace = take_mut(OP, "the workspace", workspace, needed)?;
        backward_filter::run(self, &transposed, operands, accumulate, dw, workspace);
        Ok(())
    }
}
