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
        let (hidden, len) = (geometry.hidden as usize, geometry.state_len());
        let gates = take(OP, "gates", gates, geometry.gates_len())?;
        let continuation = take(OP, "continuation", continuation, geometry.batch as usize)?;
        let c = take_mut(OP, "c", c, len)?;
        let h = take_mut(OP, "h", h, len)?;
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
        let (hidden, len) = (geometry.hidden as usize, geometry.state_len());
        let gates = take(OP, "gates", gates, geometry.gates_len())?;
        let continuation = take(OP, "continuation", continuation, geometry.batch as usize)?;
        let (c, dh) = (take(OP, "c", c, len)?, take(OP, "dh", dh, len)?);
        let dc = take_mut(OP, "dc", dc, len)?;
        let dgates = take_mut(OP, "dgates", dgates, geometry.gates_len())?;
        lstm::unit_backward(self, hidden, gates, continuation, c, dh, dc, dgates);
        Ok(())
    }
}
