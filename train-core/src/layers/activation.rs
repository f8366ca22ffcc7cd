//! Functions of one number: ReLU and its kin.

use kernels::{AxisGeometry, GradientFrom};

use super::frame::{Of, Operation, one_top_with_gradient};
use super::make::Make;
use super::{count, extents};
use crate::error::Result;
use crate::plan::Step;

/// Any shape → the same.
pub(super) fn activation(make: &Make<'_>, step: &Step) -> Box<dyn Operation> {
    let Some(function) = super::activation(&make.layer(step).kind) else {
        unreachable!("only activations are made here")
    };
    let len = count(&make.shapes(step).tops[0]) as usize;
    one_top_with_gradient(
        move |inputs, top| inputs.backend.activation_forward(function, len, inputs.or_in_place(0), top),
        move |frame| {
            frame.overwrite(Of::Bottom(0), |inputs, dx| {
                let source = match function.gradient_from() {
                    Some(GradientFrom::Input | GradientFrom::Either) => Some(inputs.get(0)),
                    Some(GradientFrom::Output) => Some(inputs.top(0)),
                    Some(GradientFrom::Neither) | None => None,
                };
                inputs.backend.activation_backward(function, len, source, Some(inputs.top_gradient(0)), dx)
            })
        },
    )
}

/// N×C×… → the same, with C slopes, or one.
pub(super) fn prelu(make: &Make<'_>, step: &Step) -> Result<Box<dyn Operation>> {
    let slope = make.weight(step.layer, 0)?;
    let shape = extents(&make.shapes(step).bottoms[0]);
    // One slope for all channels is one for an axis that spans everything and has one entry.
    let geometry = if make.shapes(step).params[0].is_empty() {
        AxisGeometry { outer: 1, axis: 1, inner: shape.iter().product() }
    } else {
        AxisGeometry::around(&shape, 1, 2)
    };
    Ok(one_top_with_gradient(
        move |inputs, top| {
            inputs.backend.prelu_forward(&geometry, inputs.or_in_place(0), slope.get(inputs), top)
        },
        move |frame| {
            frame.add(Of::Param(0), |inputs, dslope| {
                let (x, dy) = (inputs.get(0), inputs.top_gradient(0));
                inputs.backend.prelu_backward_slope(&geometry, x, dy, dslope)
            })?;
            frame.overwrite(Of::Bottom(0), |inputs, dx| {
                let (x, dy) = (inputs.get(0), inputs.top_gradient(0));
                inputs.backend.prelu_backward(&geometry, x, inputs.param(0), Some(dy), dx)
            })
        },
    ))
}
