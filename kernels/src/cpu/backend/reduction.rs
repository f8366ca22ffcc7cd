//! [`ReductionOps`] for the CPU.

use super::operands::{take, take_if, take_mut};
use crate::backend::{ArgMaxOutput, ReduceOp, ReductionOps};
use crate::buffer::Buffer;
use crate::cpu::{CpuBackend, argmax, rows};
use crate::error::Result;
use crate::geometry::{AxisGeometry, RowsGeometry};

impl ReductionOps for CpuBackend {
    fn reduce_forward(
        &self,
        op: ReduceOp,
        geometry: &RowsGeometry,
        coefficient: f32,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "reduce_forward";
        let x = take(OP, "x", x, geometry.len())?;
        let y = take_mut(OP, "y", y, geometry.rows as usize)?;
        rows::reduce(self, op, geometry.length as usize, coefficient, x, y);
        Ok(())
    }

    fn reduce_backward(
        &self,
        op: ReduceOp,
        geometry: &RowsGeometry,
        coefficient: f32,
        x: Option<&Buffer>,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "reduce_backward";
        op.check_backward(OP, x.is_some())?;
        let x = take_if(OP, "x", x, geometry.len())?.unwrap_or_default();
        let dy = take(OP, "dy", dy, geometry.rows as usize)?;
        let dx = take_mut(OP, "dx", dx, geometry.len())?;
        rows::reduce_backward(self, op, geometry.length as usize, coefficient, [x, dy], dx);
        Ok(())
    }

    fn argmax_forward(
        &self,
        geometry: &AxisGeometry,
        top_k: u32,
        output: ArgMaxOutput,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "argmax_forward";
        let len = output.len(OP, geometry, top_k)?;
        let x = take(OP, "x", x, geometry.len())?;
        let y = take_mut(OP, "y", y, len)?;
        argmax::forward(self, geometry, top_k as usize, output, x, y);
        Ok(())
    }
}
