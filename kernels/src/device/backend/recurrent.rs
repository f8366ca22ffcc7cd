//! [`RecurrentOps`] for devices.

use crate::backend::RecurrentOps;
use crate::buffer::Buffer;
use crate::device::DeviceBackend;
use crate::device::source::LSTM;
use crate::error::Result;
use crate::geometry::LstmGeometry;

impl RecurrentOps for DeviceBackend {
    fn lstm_unit_forward(
        &self,
        geometry: &LstmGeometry,
        gates: &Buffer,
        continuation: &Buffer,
        c: &mut Buffer,
        h: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "lstm_unit_forward";
        let len = geometry.state_len();
        let gates = self.take(OP, "gates", gates, geometry.gates_len())?;
        let continuation = self.take(OP, "continuation", continuation, geometry.batch as usize)?;
        let (c, h) = (self.take_mut(OP, "c", c, len)?, self.take_mut(OP, "h", h, len)?);
        let call = self.call(&LSTM, OP).value(geometry).input(gates).input(continuation);
        call.output(&c, len).output(&h, len).over(len)
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
        let len = geometry.state_len();
        let gates = self.take(OP, "gates", gates, geometry.gates_len())?;
        let continuation = self.take(OP, "continuation", continuation, geometry.batch as usize)?;
        let (c, dh) = (self.take(OP, "c", c, len)?, self.take(OP, "dh", dh, len)?);
        let dc = self.take_mut(OP, "dc", dc, len)?;
        let dgates = self.take_mut(OP, "dgates", dgates, geometry.gates_len())?;
        let call = self.call(&LSTM, OP).value(geometry).input(gates).input(continuation).input(c).input(dh);
        call.output(&dc, len).output(&dgates, geometry.gates_len()).over(len)
    }
}
