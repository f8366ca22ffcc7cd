//! Functions of one number: ReLU and its kin.

use kernels::AxisGeometry;

use super::frame::{Make, Operation, one_top};
use super::{count, extents};
use crate::error::Result;
use crate::plan::Step;

/// Any shape → the same.
pub(super) fn activation(make: &Make<'_>, step: &Step) -> Box<dyn Operation> {
    let Some(function) = super::activation(&make.layer(step).kind) else {
        unreachable!("only activations are made here")
    };
    let len = count(&make.shapes(step).tops[0]) as usize;
    one_top(move |inputs, top| inputs.backend.activation_forward(function, len, inputs.or_in_place(0), top))
}

/// N×C×… → the same, with C slopes, or one.
pub(super) fn prelu(make: &Make<'_>, step: &Step) -> Result<Box<dyn Operation>> {
    let slope = make.param(step.layer, 0)?;
    let shape = extents(&make.shapes(step).bottoms[0]);
    // One slope for all channels is one for an axis that spans everything and has one entry.
    let geometry = if make.shapes(step).params[0].is_empty() {
        AxisGeometry { outer: 1, axis: 1, inner: shape.iter().product() }
    } else {
        AxisGeometry::around(&shape, 1, 2)
    };
    Ok(one_top(move |inputs, top| {
        inputs.backend.prelu_forward(&geometry, inputs.or_in_place(0), &slope, top)
    }))
}
