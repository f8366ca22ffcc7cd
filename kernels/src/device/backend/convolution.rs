//! [`ConvolutionOps`] for devices.

use crate::backend::ConvolutionOps;
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::call::Parameter;
use crate::device::convolution::Pass;
use crate::device::source::IM2COL;
use crate::error::Result;
use crate::geometry::{ConvGeometry, MAX_SPATIAL};
use crate::prepared::{BackwardData, Convolution, MadeFor};

/// `Extents` of cu/im2col.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Extents([u32; MAX_SPATIAL]);

// SAFETY: as cu/im2col.cu has it.
unsafe impl Parameter for Extents {}

impl ConvolutionOps for DeviceBackend {
    fn convolution_prepare(&self, geometry: &ConvGeometry, weights: &Buffer) -> Result<Convolution> {
        const OP: &str = "convolution_prepare";
        geometry.check(OP, false)?;
        let prepared = self.prepare(OP, geometry, Pass::Forward, weights)?;
        Ok(Convolution { geometry: *geometry, plan: MadeFor::Device(Box::new(prepared)) })
    }

    fn convolution_repack(&self, prepared: &mut Convolution, weights: &Buffer) -> Result<()> {
        const OP: &str = "convolution_repack";
        self.repack(OP, prepared.plan.device_mut(OP)?, weights)
    }

    fn convolution_forward(
        &self,
        prepared: &Convolution,
        x: &Buffer,
        epilogue: &crate::Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "convolution_forward";
        self.run(OP, prepared.plan.device(OP)?, ["x", "y"], x, epilogue, y, workspace)
    }

    fn convolution_backward_data_prepare(
        &self,
        geometry: &ConvGeometry,
        weights: &Buffer,
    ) -> Result<BackwardData> {
        const OP: &str = "convolution_backward_data_prepare";
        geometry.check(OP, false)?;
        let prepared = self.prepare(OP, geometry, Pass::Data, weights)?;
        Ok(BackwardData { geometry: *geometry, plan: MadeFor::Device(Box::new(prepared)) })
    }

    fn convolution_backward_data_repack(&self, prepared: &mut BackwardData, weights: &Buffer) -> Result<()> {
        const OP: &str = "convolution_backward_data_repack";
        self.repack(OP, prepared.plan.device_mut(OP)?, weights)
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
        let plan = prepared.plan.device(OP)?;
        let epilogue = crate::Epilogue { accumulate, ..crate::Epilogue::default() };
        self.run(OP, plan, ["dy", "dx"], dy, &epilogue, dx, workspace)
    }

    fn convolution_backward_filter_workspace_len(&self, geometry: &ConvGeometry) -> usize {
        let plan = self.convolution_plan(geometry, Pass::Filter);
        plan.workspace_len(geometry.weight_len())
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
        let x = self.take(OP, "x", x, geometry.input_len())?;
        let dy = self.take(OP, "dy", dy, geometry.output_len())?;
        self.filter_gradient(OP, geometry, [x, dy], accumulate, dw, workspace)
    }

    fn im2col(&self, geometry: &ConvGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "im2col";
        geometry.check(OP, false)?;
        let (taps, len) = (geometry.taps(), geometry.column_len());
        let x = self.take(OP, "x", x, geometry.input_len())?;
        let y = self.take_mut(OP, "y", y, len)?;
        let call = self.call(&IM2COL, "im2col").value(geometry);
        let extents = Extents(geometry.output());
        call.value(&extents).count(taps).count(len).input(x).output(&y, len).over(len)
    }

    fn im2col_backward(&self, geometry: &ConvGeometry, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        const OP: &str = "im2col_backward";
        geometry.check(OP, false)?;
        let (taps, len) = (geometry.taps(), geometry.input_len());
        let dy = self.take(OP, "dy", dy, geometry.column_len())?;
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let call = self.call(&IM2COL, "im2col_backward").value(geometry);
        let extents = Extents(geometry.output());
        call.value(&extents).count(taps).count(len).input(dy).output(&dx, len).over(len)
    }
}
