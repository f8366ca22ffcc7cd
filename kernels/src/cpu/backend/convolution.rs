//! [`ConvolutionOps`] for the CPU.

use super::operands::{take, take_if, take_mut};
use crate::backend::{ConvolutionOps, Epilogue};
use crate::buffer::Buffer;
use crate::cpu::conv::{Filters, Operands, Plan, backward_data, backward_filter};
use crate::cpu::gemm::Finish;
use crate::cpu::{ConvAlgorithm, CpuBackend, activation, im2col};
use crate::error::{Error, Result};
use crate::geometry::ConvGeometry;
use crate::prepared::{BackwardData, Convolution, MadeFor};

impl CpuBackend {
    /// [`ConvolutionOps::convolution_prepare`] with the algorithm given: for tests and comparisons. It must support the
    /// geometry.
    pub fn convolution_prepare_with(
        &self,
        algorithm: ConvAlgorithm,
        geometry: &ConvGeometry,
        weights: &Buffer,
    ) -> Result<Convolution> {
        const OP: &str = "convolution_prepare";
        geometry.check(OP, false)?;
        if !algorithm.supports(geometry) {
            return Err(Error::geometry(OP, format!("{} cannot compute {geometry:?}", algorithm.name())));
        }
        let weights = take(OP, "weights", weights, geometry.weight_len())?;
        let filters = Filters::forward(geometry, weights);
        let plan = self.threads.enter(|| Plan::new(self, algorithm, geometry, filters))?;
        Ok(Convolution { geometry: *geometry, plan: MadeFor::Host(Box::new(plan)) })
    }
}

impl ConvolutionOps for CpuBackend {
    fn convolution_prepare(&self, geometry: &ConvGeometry, weights: &Buffer) -> Result<Convolution> {
        geometry.check("convolution_prepare", false)?;
        self.convolution_prepare_with(ConvAlgorithm::choose(geometry), geometry, weights)
    }

    fn convolution_repack(&self, prepared: &mut Convolution, weights: &Buffer) -> Result<()> {
        const OP: &str = "convolution_repack";
        let geometry = &prepared.geometry;
        let weights = take(OP, "weights", weights, geometry.weight_len())?;
        let plan = prepared.plan.host_mut(OP)?;
        plan.repack(self, geometry, Filters::forward(geometry, weights));
        Ok(())
    }

    fn convolution_forward(
        &self,
        prepared: &Convolution,
        x: &Buffer,
        epilogue: &Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "convolution_forward";
        let plan = prepared.plan.host(OP)?;
        let geometry = &prepared.geometry;
        let (finish, rest) = Finish::of(epilogue.activation);
        let operands = Operands {
            x: take(OP, "x", x, geometry.input_len())?,
            bias: take_if(OP, "bias", epilogue.bias, geometry.output_channels as usize)?,
            accumulate: epilogue.accumulate,
            finish,
            y: take_mut(OP, "y", y, geometry.output_len())?,
            workspace: take_mut(OP, "the workspace", workspace, plan.workspace_len())?,
        };
        plan.forward(self, geometry, operands);
        activation::forward(self, rest, None, take_mut(OP, "y", y, geometry.output_len())?);
        Ok(())
    }

    fn convolution_backward_data_prepare(
        &self,
        geometry: &ConvGeometry,
        weights: &Buffer,
    ) -> Result<BackwardData> {
        const OP: &str = "convolution_backward_data_prepare";
        geometry.check(OP, false)?;
        let weights = take(OP, "weights", weights, geometry.weight_len())?;
        let plan = self.threads.enter(|| backward_data::Plan::new(self, geometry, weights))?;
        Ok(BackwardData { geometry: *geometry, plan: MadeFor::Host(Box::new(plan)) })
    }

    fn convolution_backward_data_repack(&self, prepared: &mut BackwardData, weights: &Buffer) -> Result<()> {
        const OP: &str = "convolution_backward_data_repack";
        let plan = prepared.plan.host_mut(OP)?;
        plan.repack(self, take(OP, "weights", weights, plan.weight_len())?);
        Ok(())
    }

    fn convolution_backward_data(
        &self,
        prepared: &BackwardData,
        dy: &Buffer,
        accumulate: bool,
        dx: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "convolution_backward_data";
        let plan = prepared.plan.host(OP)?;
        let dy = take(OP, "dy", dy, plan.gradient_len())?;
        let dx = take_mut(OP, "dx", dx, plan.input_len())?;
        plan.run(self, dy, accumulate, dx, take_mut(OP, "the workspace", workspace, plan.workspace_len())?);
        Ok(())
    }

    fn convolution_backward_filter_workspace_len(&self, geometry: &ConvGeometry) -> usize {
        backward_filter::workspace_len(self, geometry)
    }

    fn convolution_backward_filter(
        &self,
        geometry: &ConvGeometry,
        x: &Buffer,
        dy: &Buffer,
        accumulate: bool,
        dw: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "convolution_backward_filter";
        geometry.check(OP, false)?;
        let operands = [take(OP, "x", x, geometry.input_len())?, take(OP, "dy", dy, geometry.output_len())?];
        let dw = take_mut(OP, "dw", dw, geometry.weight_len())?;
        let needed = backward_filter::workspace_len(self, geometry);
        let workspace = take_mut(OP, "the workspace", workspace, needed)?;
        backward_filter::run(self, geometry, operands, accumulate, dw, workspace);
        Ok(())
    }

    fn im2col(&self, geometry: &ConvGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "im2col";
        geometry.check(OP, false)?;
        let x = take(OP, "x", x, geometry.input_len())?;
        let y = take_mut(OP, "y", y, geometry.column_len())?;
        im2col::forward(self, geometry, x, y);
        Ok(())
    }

    fn im2col_backward(&self, geometry: &ConvGeometry, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        const OP: &str = "im2col_backward";
        geometry.check(OP, false)?;
        let dy = take(OP, "dy", dy, geometry.column_len())?;
        im2col::backward(self, geometry, dy, take_mut(OP, "dx", dx, geometry.input_len())?);
        Ok(())
    }
}
