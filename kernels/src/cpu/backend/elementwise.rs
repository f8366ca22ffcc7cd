//! [`ElementwiseOps`] for the CPU.

use super::operands::{numbers, take, take_if, take_mut};
use crate::backend::{ElementwiseOps, EltwiseOp, MAX_INPUTS};
use crate::buffer::Buffer;
use crate::cpu::{CpuBackend, channelwise, eltwise, random, sums};
use crate::error::Result;
use crate::geometry::AxisGeometry;
use crate::random::{Random, check_ratio};

impl ElementwiseOps for CpuBackend {
    fn eltwise_forward(&self, op: EltwiseOp<'_>, len: usize, x: &[&Buffer], y: &mut Buffer) -> Result<()> {
        const OP: &str = "eltwise_forward";
        op.check_forward(OP, x.len())?;
        // The slices live on the stack: no allocation.
        let mut slices: [&[f32]; MAX_INPUTS] = [&[]; MAX_INPUTS];
        for (slice, x) in slices.iter_mut().zip(x) {
            *slice = take(OP, "x", x, len)?;
        }
        eltwise::forward(self, op, &slices[..x.len()], take_mut(OP, "y", y, len)?);
        Ok(())
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
        let x = if op.is_sum() { &[] } else { x };
        let mut slices: [&[f32]; MAX_INPUTS] = [&[]; MAX_INPUTS];
        for (slice, x) in slices.iter_mut().zip(x) {
            *slice = take(OP, "x", x, len)?;
        }
        let (y, dy) = (take_if(OP, "y", y, len)?, take(OP, "dy", dy, len)?);
        eltwise::backward(self, op, index, &slices[..x.len()], y, dy, take_mut(OP, "dx", dx, len)?);
        Ok(())
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
        let axis = geometry.axis as usize;
        let x = take_if(OP, "x", x, geometry.len())?;
        let (scale, bias) = (take_if(OP, "scale", scale, axis)?, take_if(OP, "bias", bias, axis)?);
        channelwise::scale(self, geometry, x, scale, bias, take_mut(OP, "y", y, geometry.len())?);
        Ok(())
    }

    fn scale_backward(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        dy: &Buffer,
        dscale: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "scale_backward";
        let operands = [take(OP, "x", x, geometry.len())?, take(OP, "dy", dy, geometry.len())?];
        let dscale = take_mut(OP, "dscale", dscale, geometry.axis as usize)?;
        sums::add_by_channel(self, geometry, operands, |x, dy| x * dy, dscale);
        Ok(())
    }

    fn bias_backward(&self, geometry: &AxisGeometry, dy: &Buffer, db: &mut Buffer) -> Result<()> {
        const OP: &str = "bias_backward";
        let dy = take(OP, "dy", dy, geometry.len())?;
        let db = take_mut(OP, "db", db, geometry.axis as usize)?;
        sums::add_by_channel(self, geometry, [dy, dy], |dy, _| dy, db);
        Ok(())
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
        let (numbers, x) = (numbers(OP, random)?, take_if(OP, "x", x, len)?);
        random::dropout(self, ratio, numbers, x, take_mut(OP, "y", y, len)?);
        Ok(())
    }
}
