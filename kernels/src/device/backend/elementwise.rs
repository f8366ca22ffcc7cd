//! [`ElementwiseOps`] for devices.

use crate::backend::{ElementwiseOps, EltwiseOp, MAX_INPUTS};
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::call::Parameter;
use crate::device::driver::Address;
use crate::device::source::{CHANNELWISE, DROPOUT, ELTWISE};
use crate::device::sums::Term;
use crate::error::Result;
use crate::geometry::AxisGeometry;
use crate::random::{GROUP, LANES, Random, check_ratio};

/// `Inputs` of cu/eltwise.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Inputs {
    x: [Address; MAX_INPUTS],
    coefficient: [f32; MAX_INPUTS],
    count: u32,
    kind: u32,
}

// SAFETY: as cu/eltwise.cu has it.
unsafe impl Parameter for Inputs {}

impl ElementwiseOps for DeviceBackend {
    fn eltwise_forward(&self, op: EltwiseOp<'_>, len: usize, x: &[&Buffer], y: &mut Buffer) -> Result<()> {
        const OP: &str = "eltwise_forward";
        op.check_forward(OP, x.len())?;
        let inputs = self.inputs(OP, op, len, x)?;
        let y = self.take_mut(OP, "y", y, len)?;
        let call = self.call(&ELTWISE, OP).value(&inputs).count(len);
        call.output(&y, len).over(len)
    }

    fn eltwise_backward(
        &self,
        op: EltwiseOp<'_>,
        len: usize,
        index: usize,
        x: &[&Buffer],
        y: Option<&Buffer>,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "eltwise_backward";
        op.check_backward(OP, index, x.len())?;
        let inputs = self.inputs(OP, op, len, if op.is_sum() { &[] } else { x })?;
        let (y, dy) = (self.take_if(OP, "y", y, len)?, self.take(OP, "dy", dy, len)?);
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let call = self.call(&ELTWISE, OP).value(&inputs).count(index).count(len);
        call.maybe(y).input(dy).output(&dx, len).over(len)
    }

    fn scale_forward(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        scale: Option<&Buffer>,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "scale_forward";
        let (axis, len) = (geometry.axis as usize, geometry.len());
        let x = self.take_if(OP, "x", x, len)?;
        let scale = self.take_if(OP, "scale", scale, axis)?;
        let bias = self.take_if(OP, "bias", bias, axis)?;
        let y = self.take_mut(OP, "y", y, len)?;
        let call = self.call(&CHANNELWISE, OP).value(geometry).count(len).input_or(x, &y);
        call.maybe(scale).maybe(bias).output(&y, len).over(len)
    }

    fn scale_backward(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        dy: &Buffer,
        dscale: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "scale_backward";
        let (x, dy) = (self.take(OP, "x", x, geometry.len())?, self.take(OP, "dy", dy, geometry.len())?);
        let dscale = self.take_mut(OP, "dscale", dscale, geometry.axis as usize)?;
        self.add_by_channel(geometry, Term::Product, x, dy, &dscale)
    }

    fn bias_backward(&self, geometry: &AxisGeometry, dy: &Buffer, db: &mut Buffer) -> Result<()> {
        const OP: &str = "bias_backward";
        let dy = self.take(OP, "dy", dy, geometry.len())?;
        let db = self.take_mut(OP, "db", db, geometry.axis as usize)?;
        self.add_by_channel(geometry, Term::Plain, dy, dy, &db)
    }

    fn dropout(
        &self,
        ratio: f32,
        len: usize,
        random: &Random<'_>,
        x: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "dropout";
        check_ratio(ratio)?;
        let (x, y) = (self.take_if(OP, "x", x, len)?, self.take_mut(OP, "y", y, len)?);
        let call = self.drawing(OP, self.call(&DROPOUT, OP), random)?;
        call.float(ratio).count(len).input_or(x, &y).output(&y, len).over(len.div_ceil(GROUP) * LANES)
    }
}

impl DeviceBackend {
    /// The inputs of an element-by-element combination, checked.
    fn inputs(&self, op: &'static str, kind: EltwiseOp<'_>, len: usize, x: &[&Buffer]) -> Result<Inputs> {
        let mut inputs =
            Inputs { x: [0; MAX_INPUTS], coefficient: [1.0; MAX_INPUTS], count: x.len() as u32, kind: 0 };
        for (address, x) in inputs.x.iter_mut().zip(x) {
            *address = self.take(op, "x", x, len)?.address();
        }
        inputs.kind = match kind {
            EltwiseOp::Sum(coefficients) => {
                for (target, coefficient) in inputs.coefficient.iter_mut().zip(coefficients) {
                    *target = *coefficient;
                }
                0
            }
            EltwiseOp::Product => 1,
            EltwiseOp::Max => 2,
        };
        Ok(inputs)
    }
}
