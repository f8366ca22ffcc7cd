//! [`NormalizationOps`] for the CPU.

use super::operands::{take, take_if, take_mut};
use crate::backend::NormalizationOps;
use crate::buffer::Buffer;
use crate::cpu::{CpuBackend, channelwise, lrn, normalize, rows};
use crate::error::Result;
use crate::geometry::{AxisGeometry, LrnGeometry, NormalizeGeometry, RowsGeometry};

impl NormalizationOps for CpuBackend {
    fn lrn_forward(&self, geometry: &LrnGeometry, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "lrn_forward";
        geometry.check(OP)?;
        let x = take(OP, "x", x, geometry.len())?;
        lrn::forward(self, geometry, x, take_mut(OP, "y", y, geometry.len())?);
        Ok(())
    }

    fn lrn_backward(&self, geometry: &LrnGeometry, x: &Buffer, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        const OP: &str = "lrn_backward";
        geometry.check(OP)?;
        let operands = [take(OP, "x", x, geometry.len())?, take(OP, "dy", dy, geometry.len())?];
        lrn::backward(self, geometry, operands, take_mut(OP, "dx", dx, geometry.len())?)
    }

    fn batch_normalization_forward_inference(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        mean: &Buffer,
        variance: &Buffer,
        weight: &Buffer,
        eps: f32,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "batch_normalization_forward_inference";
        let axis = geometry.axis as usize;
        let x = take_if(OP, "x", x, geometry.len())?;
        let terms = [take(OP, "mean", mean, axis)?, take(OP, "variance", variance, axis)?];
        let y = take_mut(OP, "y", y, geometry.len())?;
        let factor = channelwise::statistics_factor(take(OP, "weight", weight, 1)?[0]);
        channelwise::batch_normalization_inference(self, geometry, x, terms, [factor, eps], y);
        Ok(())
    }

    fn batch_normalization_forward_training(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        eps: f32,
        y: &mut Buffer,
        mean: &mut Buffer,
        variance: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "batch_normalization_forward_training";
        let axis = geometry.axis as usize;
        let x = take(OP, "x", x, geometry.len())?;
        let y = take_mut(OP, "y", y, geometry.len())?;
        let terms = [take_mut(OP, "mean", mean, axis)?, take_mut(OP, "variance", variance, axis)?];
        channelwise::batch_normalization_training(self, geometry, x, eps, y, terms);
        Ok(())
    }

    fn batch_normalization_backward(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        mean: &Buffer,
        variance: &Buffer,
        eps: f32,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "batch_normalization_backward";
        let axis = geometry.axis as usize;
        let x = take(OP, "x", x, geometry.len())?;
        let terms = [take(OP, "mean", mean, axis)?, take(OP, "variance", variance, axis)?];
        let dy = take(OP, "dy", dy, geometry.len())?;
        let dx = take_mut(OP, "dx", dx, geometry.len())?;
        channelwise::batch_normalization_backward(self, geometry, x, terms, eps, dy, dx);
        Ok(())
    }

    fn batch_normalization_backward_inference(
        &self,
        geometry: &AxisGeometry,
        variance: &Buffer,
        weight: &Buffer,
        eps: f32,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "batch_normalization_backward_inference";
        let variance = take(OP, "variance", variance, geometry.axis as usize)?;
        let dy = take_if(OP, "dy", dy, geometry.len())?;
        let dx = take_mut(OP, "dx", dx, geometry.len())?;
        let factor = channelwise::statistics_factor(take(OP, "weight", weight, 1)?[0]);
        channelwise::batch_normalization_backward_inference(self, geometry, variance, [factor, eps], dy, dx);
        Ok(())
    }

    fn mvn_forward(
        &self,
        geometry: &RowsGeometry,
        normalize_variance: bool,
        eps: f32,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "mvn_forward";
        let x = take(OP, "x", x, geometry.len())?;
        let y = take_mut(OP, "y", y, geometry.len())?;
        rows::mvn(self, geometry.length as usize, normalize_variance, eps, x, y);
        Ok(())
    }

    fn mvn_backward(
        &self,
        geometry: &RowsGeometry,
        normalize_variance: bool,
        eps: f32,
        x: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "mvn_backward";
        let operands = [take(OP, "x", x, geometry.len())?, take(OP, "dy", dy, geometry.len())?];
        let dx = take_mut(OP, "dx", dx, geometry.len())?;
        rows::mvn_backward(self, geometry.length as usize, normalize_variance, eps, operands, dx);
        Ok(())
    }

    fn normalize_forward(
        &self,
        geometry: &NormalizeGeometry,
        x: &Buffer,
        scale: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "normalize_forward";
        let scales = geometry.scale_len();
        let x = take(OP, "x", x, geometry.len())?;
        let scale = take(OP, "scale", scale, scales)?;
        normalize::forward(self, geometry, x, scale, take_mut(OP, "y", y, geometry.len())?);
        Ok(())
    }

    fn normalize_backward(
        &self,
        geometry: &NormalizeGeometry,
        x: &Buffer,
        scale: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "normalize_backward";
        let scales = geometry.scale_len();
        let operands = [take(OP, "x", x, geometry.len())?, take(OP, "dy", dy, geometry.len())?];
        let scale = take(OP, "scale", scale, scales)?;
        normalize::backward(self, geometry, operands, scale, take_mut(OP, "dx", dx, geometry.len())?);
        Ok(())
    }

    fn normalize_backward_scale(
        &self,
        geometry: &NormalizeGeometry,
        y: &Buffer,
        scale: &Buffer,
        dy: &Buffer,
        dscale: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "normalize_backward_scale";
        let scales = geometry.scale_len();
        let operands = [take(OP, "y", y, geometry.len())?, take(OP, "dy", dy, geometry.len())?];
        let scale = take(OP, "scale", scale, scales)?;
        normalize::backward_scale(self, geometry, operands, scale, take_mut(OP, "dscale", dscale, scales)?);
        Ok(())
    }
}
