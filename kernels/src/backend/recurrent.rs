//! Steps through time.

use crate::buffer::Buffer;
use crate::error::Result;
use crate::geometry::LstmGeometry;

/// Steps of recurrent layers and their gradients.
pub trait RecurrentOps {
    /// One step of an LSTM (Caffe's LSTMUnit): gates is batch×4·hidden in the order i, f, o, g, before their
    /// functions; `continuation`, one float a sequence, 0 where a sequence starts; c is the cell's state, stepped in
    /// place; h receives the output. `c' = σ(f)·cont·c + σ(i)·tanh(g)`, `h = σ(o)·tanh(c')`.
    fn lstm_unit_forward(
        &self,
        geometry: &LstmGeometry,
        gates: &Buffer,
        continuation: &Buffer,
        c: &mut Buffer,
        h: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`lstm_unit_forward`](RecurrentOps::lstm_unit_forward). `c` is the state *before* the step. dc holds the
    /// gradient of the state after it, and receives that of the state before; dgates receives the gates'.
    #[expect(clippy::too_many_arguments, reason = "what the operation has")]
    fn lstm_unit_backward(
        &self,
        geometry: &LstmGeometry,
        gates: &Buffer,
        continuation: &Buffer,
        c: &Buffer,
        dh: &Buffer,
        dc: &mut Buffer,
        dgates: &mut Buffer,
    ) -> Result<()>;
}
