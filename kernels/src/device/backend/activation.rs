//! [`ActivationOps`] for devices.

use crate::activation::Activation;
use crate::backend::ActivationOps;
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::activation::Function;
use crate::device::source::{ACTIVATION, CHANNELWISE};
use crate::device::sums::Term;
use crate::error::Result;
use crate::geometry::AxisGeometry;

impl ActivationOps for DeviceBackend {
    fn activation_forward(
        &self,
        activation: Activation,
        len: usize,
        x: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "activation_forward";
        let x = self.take_if(OP, "x", x, len)?;
        let y = self.take_mut(OP, "y", y, len)?;
        self.activate(activation, len, x, &y)
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
        let source = self.take_if(OP, "the source", source, len)?;
        let dy = self.take_if(OP, "dy", dy, len)?;
        let dx = self.take_mut(OP, "dx", dx, len)?;
        if let Some(factor) = Function::constant_derivative(activation) {
            let call = self.call(&ACTIVATION, "scale_by").float(factor).count(len).input_or(dy, &dx);
            return call.output(&dx, len).over(len);
        }
        let function = Function::of(activation);
        let call = self.call(&ACTIVATION, OP).value(&function).count(len).maybe(source).input_or(dy, &dx);
        call.output(&dx, len).over(len)
    }

    fn prelu_forward(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        slope: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "prelu_forward";
        let len = geometry.len();
        let x = self.take_if(OP, "x", x, len)?;
        let slope = self.take(OP, "slope", slope, geometry.axis as usize)?;
        let y = self.take_mut(OP, "y", y, len)?;
        let call = self.call(&CHANNELWISE, OP).value(geometry).count(len).input_or(x, &y);
        call.input(slope).output(&y, len).over(len)
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
        let len = geometry.len();
        let x = self.take(OP, "x", x, len)?;
        let slope = self.take(OP, "slope", slope, geometry.axis as usize)?;
        let dy = self.take_if(OP, "dy", dy, len)?;
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let call = self.call(&CHANNELWISE, OP).value(geometry).count(len).input(x).input(slope);
        call.input_or(dy, &dx).output(&dx, len).over(len)
    }

    fn prelu_backward_slope(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        dy: &Buffer,
        dslope: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "prelu_backward_slope";
        let (x, dy) = (self.take(OP, "x", x, geometry.len())?, self.take(OP, "dy", dy, geometry.len())?);
        let dslope = self.take_mut(OP, "dslope", dslope, geometry.axis as usize)?;
        self.add_by_channel(geometry, Term::BelowZero, x, dy, &dslope)
    }
}
