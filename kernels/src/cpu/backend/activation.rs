//! [`ActivationOps`] for the CPU.

use super::operands::{take, take_if, take_mut};
use crate::activation::Activation;
use crate::backend::ActivationOps;
use crate::buffer::Buffer;
use crate::cpu::{CpuBackend, activation, channelwise, sums};
use crate::error::Result;
use crate::geometry::AxisGeometry;

impl ActivationOps for CpuBackend {
    fn activation_forward(
        &self,
        activation: Activation,
        len: usize,
        x: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "activation_forward";
        let x = take_if(OP, "x", x, len)?;
        activation::forward(self, activation, x, take_mut(OP, "y", y, len)?);
        Ok(())
    }

    fn activation_backward(
        &self,
        activation: Activation,
        len: usize,
        source: Option<&Buffer>,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "activation_backward";
        activation.check_backward(OP, source.is_some())?;
        let source = take_if(OP, "the source", source, len)?.unwrap_or_default();
        let dy = take_if(OP, "dy", dy, len)?;
        activation::backward(self, activation, source, dy, take_mut(OP, "dx", dx, len)?);
        Ok(())
    }

    fn prelu_forward(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        slope: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "prelu_forward";
        let x = take_if(OP, "x", x, geometry.len())?;
        let slope = take(OP, "slope", slope, geometry.axis as usize)?;
        channelwise::prelu(self, geometry, x, slope, take_mut(OP, "y", y, geometry.len())?);
        Ok(())
    }

    fn prelu_backward(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        slope: &Buffer,
        dy: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "prelu_backward";
        let x = take(OP, "x", x, geometry.len())?;
        let slope = take(OP, "slope", slope, geometry.axis as usize)?;
        let dy = take_if(OP, "dy", dy, geometry.len())?;
        channelwise::prelu_backward(self, geometry, x, slope, dy, take_mut(OP, "dx", dx, geometry.len())?);
        Ok(())
    }

    fn prelu_backward_slope(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        dy: &Buffer,
        dslope: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "prelu_backward_slope";
        let operands = [take(OP, "x", x, geometry.len())?, take(OP, "dy", dy, geometry.len())?];
        let dslope = take_mut(OP, "dslope", dslope, geometry.axis as usize)?;
        sums::add_by_channel(self, geometry, operands, |x, dy| if x > 0.0 { 0.0 } else { x * dy }, dslope);
        Ok(())
    }
}
