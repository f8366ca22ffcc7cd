//! [`DeconvolutionOps`] for devices.

use crate::backend::{ConvolutionOps, DeconvolutionOps};
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::convolution::Pass;
use crate::error::Result;
use crate::geometry::ConvGeometry;
use crate::prepared::{BackwardData, Deconvolution, MadeFor};

impl DeconvolutionOps for DeviceBackend {
    fn deconvolution_prepare(&self, geometry: &ConvGeometry, weights: &Buffer) -> Result<Deconvolution> {
        const OP: &str = "deconvolution_prepare";
        geometry.check(OP, true)?;
        let prepared = self.prepare(OP, &geometry.transposed(), Pass::Data, weights)?;
        Ok(Deconvolution { geometry: *geometry, plan: MadeFor::Device(Box::new(prepared)) })
    }

    fn deconvolution_repack(&self, prepared: &mut Deconvolution, weights: &Buffer) -> Result<()> {
        const OP: &str = "deconvolution_repack";
        self.repack(OP, prepared.plan.device_mut(OP)?, weights)
    }

    fn deconvolution_forward(
        &self,
        prepared: &Deconvolution,
        x: &Buffer,
        epilogue: &crate::Epilogue<'_>,
        y: &mut Buffer,
        workspace: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "deconvolution_forward";
        self.run(OP, prepared.plan.device(OP)?, ["x", "y"], x, epilogue, y, workspace)
    }

    fn deconvolution_backward_data_prepare(
        &self,
        geometry: &ConvGeometry,
        weights: &Buffer,
    ) -> Result<BackwardData> {
        const OP: &str = "deconvolution_backward_data_prepare";
        geometry.check(OP, true)?;
        let prepared = self.prepare(OP, &geometry.transposed(), Pass::Forward, weights)?;
        Ok(BackwardData { geometry: *geometry, plan: MadeFor::Device(Box::new(prepared)) })
    }

    fn deconvolution_backward_filter_workspace_len(&self, geometry: &ConvGeometry) -> usize {
        self.convolution_backward_filter_workspace_len(&geometry.transposed())
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
        let dy = self.take(OP, "dy", dy, transposed.input_len())?;
        let x = self.take(OP, "x", x, transposed.output_len())?;
        self.filter_gradient(OP, &transposed, [dy, x], accumulate, dw, workspace)
    }
}
