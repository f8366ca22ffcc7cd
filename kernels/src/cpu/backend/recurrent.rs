//! [`RecurrentOps`] for the CPU.

use super::operands::{take, take_mut};
use crate::backend::RecurrentOps;
use crate::buffer::Buffer;
use crate::cpu::{CpuBackend, lstm};
use crate::error::Result;
use crate::geometry::LstmGeometry;

impl RecurrentOps for CpuBackend {
    fn lstm_unit_forward(
        &self,
        geometry: &LstmGeometry,
        gates: &Buffer,
        continuation: &Buffer,
        c: &mut Buffer,
        h: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "lstm_unit_forward";
        let (batch, hidden) = (geometry.batch as usize, geometry.hidden as usize);
        let gates = take(OP, "gates", gates, batch * 4 * hidden)?;
        let continuation = take(OP, "continuation", continuation, batch)?;
        let c = take_mut(OP, "c", c, batch * hidden)?;
        let h = take_mut(OP, "h", h, batch * hidden)?;
        lstm::unit(self, hidden, gates, continuation, c, h);
        Ok(())
    }

    fn lstm_unit_backward(
        &self,
        geometry: &LstmGeometry,
        gates: &Buffer,
        continuation: &Buffer,
        c: &Buffer,
        dh: &Buffer,
        dc: &mut Buffer,
        dgates: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "lstm_unit_backward";
        let (batch, hidden) = (geometry.batch as usize, geometry.hidden as usize);
        let gates = take(OP, "gates", gates, batch * 4 * hidden)?;
        let continuation = take(OP, "continuation", continuation, batch)?;
        let (c, dh) = (take(OP, "c", c, batch * hidden)?, take(OP, "dh", dh, batch * hidden)?);
        let dc = take_mut(OP, "dc", dc, batch * hidden)?;
        let dgates = take_mut(OP, "dgates", dgates, batch * 4 * hidden)?;
        lstm::unit_backward(self, hidden, gates, continuation, c, dh, dc, dgates);
        Ok(())
    }
}
