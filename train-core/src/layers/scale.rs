//! Scale and Bias: a smaller array laid on a larger one.

use caffe_proto::net::params::ScaleParams;
use kernels::AxisGeometry;

use super::frame::{Of, Operation, one_top_with_gradient};
use super::make::Make;
use super::{axis, extents};
use crate::error::Result;
use crate::plan::Step;

/// Times a parameter or the second bottom, plus a parameter.
pub(super) fn scale(make: &Make<'_>, step: &Step, p: &ScaleParams) -> Result<Box<dyn Operation>> {
    let geometry = geometry(make, step, p);
    let learned = step.bottoms.len() == 1;
    let factor = learned.then(|| make.weight(step.layer, 0)).transpose()?;
    let term = p.bias_term.then(|| make.weight(step.layer, usize::from(learned))).transpose()?;
    Ok(one_top_with_gradient(
        move |inputs, top| {
            let factor = factor.as_ref().map_or_else(|| inputs.get(1), |factor| factor.get(inputs));
            let term = term.as_ref().map(|term| term.get(inputs));
            inputs.backend.scale_forward(&geometry, inputs.or_in_place(0), Some(factor), term, top)
        },
        move |frame| {
            frame.add(Of::Param(usize::from(learned)), |inputs, dterm| {
                inputs.backend.bias_backward(&geometry, inputs.top_gradient(0), dterm)
            })?;
            frame.add(if learned { Of::Param(0) } else { Of::Bottom(1) }, |inputs, dfactor| {
                inputs.backend.scale_backward(&geometry, inputs.get(0), inputs.top_gradient(0), dfactor)
            })?;
            frame.overwrite(Of::Bottom(0), |inputs, dx| {
                let factor = if learned { inputs.param(0) } else { inputs.get(1) };
                inputs.backend.scale_forward(&geometry, Some(inputs.top_gradient(0)), Some(factor), None, dx)
            })
        },
    ))
}

/// Plus a parameter or the second bottom.
pub(super) fn bias(make: &Make<'_>, step: &Step, p: &ScaleParams) -> Result<Box<dyn Operation>> {
    let geometry = geometry(make, step, p);
    let learned = step.bottoms.len() == 1;
    let term = learned.then(|| make.weight(step.layer, 0)).transpose()?;
    Ok(one_top_with_gradient(
        move |inputs, top| {
            let term = term.as_ref().map_or_else(|| inputs.get(1), |term| term.get(inputs));
            inputs.backend.scale_forward(&geometry, inputs.or_in_place(0), None, Some(term), top)
        },
        move |frame| {
            frame.add(if learned { Of::Param(0) } else { Of::Bottom(1) }, |inputs, dterm| {
                inputs.backend.bias_backward(&geometry, inputs.top_gradient(0), dterm)
            })?;
            frame.pass_on(Of::Bottom(0))
        },
    ))
}

/// Where the smaller array is laid.
fn geometry(make: &Make<'_>, step: &Step, p: &ScaleParams) -> AxisGeometry {
    let shapes = make.shapes(step);
    let bottom = extents(&shapes.bottoms[0]);
    let laid = shapes.bottoms.get(1).unwrap_or_else(|| &shapes.params[0]);
    let first = if laid.is_empty() { 0 } else { axis(p.axis, bottom.len()) };
    AxisGeometry::around(&bottom, first, first + laid.len())
}
