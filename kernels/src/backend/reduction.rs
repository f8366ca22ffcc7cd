//! Rows and axes reduced: to a number, or to the places of their largest.

use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::geometry::{AxisGeometry, RowsGeometry};

/// Reduces a row to one number (Caffe's ReductionParameter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceOp {
    /// Σ x.
    Sum,
    /// Σ |x|.
    AbsoluteSum,
    /// Σ x².
    SumOfSquares,
    /// Σ x / length.
    Mean,
}

/// What ArgMax gives for each of the `top_k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgMaxOutput {
    /// Its place along the axis, as a float.
    Index,
    /// Its value.
    Value,
    /// The places of all, then the values of all: outer×2×top_k.
    IndexAndValue,
}

/// Reductions and their gradients.
pub trait ReductionOps {
    /// Reduces each row, times `coefficient`, to one float.
    fn reduce_forward(
        &self,
        op: ReduceOp,
        geometry: &RowsGeometry,
        coefficient: f32,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()>;

    /// The gradient of [`reduce_forward`](ReductionOps::reduce_forward); sums and means do without x.
    fn reduce_backward(
        &self,
        op: ReduceOp,
        geometry: &RowsGeometry,
        coefficient: f32,
        x: Option<&Buffer>,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()>;

    /// The `top_k` largest along the axis of outer×axis×inner, largest first, of equals the later first, as
    /// Caffe sorts them. y is
    /// outer×top_k×inner, or outer×2×top_k×inner for [`ArgMaxOutput::IndexAndValue`].
    fn argmax_forward(
        &self,
        geometry: &AxisGeometry,
        top_k: u32,
        output: ArgMaxOutput,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()>;
}

impl ReduceOp {
    /// Whether the gradient has the input that it needs.
    pub(crate) fn check_backward(self, op: &'static str, x: bool) -> Result<()> {
        if x || matches!(self, Self::Sum | Self::Mean) {
            return Ok(());
        }
        Err(Error::geometry(op, format!("{self:?} needs its input")))
    }
}

impl ArgMaxOutput {
    /// Floats of the output.
    pub(crate) fn len(self, op: &'static str, geometry: &AxisGeometry, top_k: u32) -> Result<usize> {
        if top_k == 0 || top_k > geometry.axis {
            return Err(Error::geometry(op, format!("the top {top_k} of {} elements", geometry.axis)));
        }
        let parts = if self == Self::IndexAndValue { 2 } else { 1 };
        let (outer, _, inner) = geometry.sizes();
        Ok(outer * parts * top_k as usize * inner)
    }
}
