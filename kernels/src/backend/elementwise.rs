//! Arrays combined element by element, or with a number a channel; dropped elements.

use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::geometry::AxisGeometry;
use crate::random::Random;

/// Combines several arrays element by element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EltwiseOp<'a> {
    /// Σ coefficient · x: one coefficient an input, or none at all for a plain sum.
    Sum(&'a [f32]),
    /// Π x.
    Product,
    /// The largest.
    Max,
}

/// The most inputs of an element-by-element combination.
pub(crate) const MAX_INPUTS: usize = 32;

/// Element-by-element operations and their gradients.
pub trait ElementwiseOps {
    /// Combines the first `len` elements of the inputs.
    fn eltwise_forward(&self, op: EltwiseOp<'_>, len: usize, x: &[&Buffer], y: &mut Buffer) -> Result<()>;

    /// The gradient with respect to input `index`. Of a product it is `dy` times the other inputs, or where `y` is given the
    /// quotient `dy · y / x` (Caffe's `stable_prod_grad: false`). Of a maximum it goes to the winner, found again from x: of
    /// equals in the first pair the later. A sum does not look at x.
    #[expect(clippy::too_many_arguments, reason = "what the operation has")]
    fn eltwise_backward(
        &self,
        op: EltwiseOp<'_>,
        len: usize,
        index: usize,
        x: &[&Buffer],
        y: Option<&Buffer>,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// `y = x · scale + bias`, both broadcast along the axis of outer×axis×inner, either absent.
    fn scale_forward(
        &self,
        geometry: &AxisGeometry,
        x: Option<&Buffer>,
        scale: Option<&Buffer>,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()>;

    /// `dscale[c] += Σ dy · x` over the elements of entry c of the axis. (dx is [`scale_forward`](ElementwiseOps::scale_forward) of
    /// dy, without bias; the bias has [`bias_backward`](ElementwiseOps::bias_backward).)
    fn scale_backward(
        &self,
        geometry: &AxisGeometry,
        x: &Buffer,
        dy: &Buffer,
        dscale: &mut Buffer,
    ) -> Result<()>;

    /// `db[c] += Σ dy` over the elements of entry c of the axis: of a bias, of whatever layer.
    fn bias_backward(&self, geometry: &AxisGeometry, dy: &Buffer, db: &mut Buffer) -> Result<()>;

    /// `y = number < ratio ? 0 : x / (1 − ratio)` for the first `len` elements, number i of `random` being element i's. It is its
    /// own gradient: with the same numbers, from dy to dx.
    fn dropout(
        &self,
        ratio: f32,
        len: usize,
        random: &Random<'_>,
        x: Option<&Buffer>,
        y: &mut Buffer,
    ) -> Result<()>;
}

impl EltwiseOp<'_> {
    /// Whether so many inputs can be combined.
    pub(crate) fn check_forward(self, op: &'static str, inputs: usize) -> Result<()> {
        if let Self::Sum(coefficients) = self
            && !coefficients.is_empty()
            && coefficients.len() != inputs
        {
            return Err(Error::geometry(
                op,
                format!("{} coefficients for {inputs} inputs", coefficients.len()),
            ));
        }
        if !(1..=MAX_INPUTS).contains(&inputs) {
            return Err(Error::geometry(op, format!("{inputs} inputs; 1 to {MAX_INPUTS} are possible")));
        }
        Ok(())
    }

    /// Whether there is a gradient with respect to input `index` of so many; a sum's inputs need not be given.
    pub(crate) fn check_backward(self, op: &'static str, index: usize, inputs: usize) -> Result<()> {
        let most = if self.is_sum() { MAX_INPUTS } else { inputs };
        if index >= most || most > MAX_INPUTS {
            return Err(Error::geometry(op, format!("input {index} of {inputs}; {MAX_INPUTS} are possible")));
        }
        Ok(())
    }

    pub(crate) fn is_sum(self) -> bool {
        matches!(self, Self::Sum(_))
    }
}
