//! [`ReductionOps`] for devices.

use crate::backend::{ArgMaxOutput, ReduceOp, ReductionOps};
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::source::{ARGMAX, ROWS};
use crate::error::Result;
use crate::geometry::{AxisGeometry, RowsGeometry};

impl ReductionOps for DeviceBackend {
    fn reduce_forward(
        &self,
        op: ReduceOp,
        geometry: &RowsGeometry,
        coefficient: f32,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "reduce_forward";
        let rows = geometry.rows as usize;
        let x = self.take(OP, "x", x, geometry.len())?;
        let y = self.take_mut(OP, "y", y, rows)?;
        let call = self.call(&ROWS, OP).value(geometry).count(op as usize).float(coefficient);
        call.input(x).output(&y, rows).blocks(rows, geometry.length as usize)
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
        let len = geometry.len();
        let x = self.take_if(OP, "x", x, len)?;
        let dy = self.take(OP, "dy", dy, geometry.rows as usize)?;
        let dx = self.take_mut(OP, "dx", dx, len)?;
        let call = self.call(&ROWS, OP).value(geometry).count(op as usize).float(coefficient);
        call.count(len).maybe(x).input(dy).output(&dx, len).over(len)
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
        let (outer, _, inner) = geometry.sizes();
        let len = output.len(OP, geometry, top_k)?;
        let (x, y) = (self.take(OP, "x", x, geometry.len())?, self.take_mut(OP, "y", y, len)?);
        let output = match output {
            ArgMaxOutput::Index => 0_u32,
            ArgMaxOutput::Value => 1,
            ArgMaxOutput::IndexAndValue => 2,
        };
        let call = self.call(&ARGMAX, OP).value(geometry).count(top_k as usize).count(output as usize);
        let lines = (outer * inner) as u32;
        call.input(x).output(&y, len).launch([lines.div_ceil(128), 1, 1], 128)
    }
}
