//! Scale and Bias: a smaller array laid on a larger one.

use caffe_proto::net::params::ScaleParams;
use kernels::AxisGeometry;

use super::frame::{Make, Operation, one_top};
use super::{axis, extents};
use crate::error::Result;
use crate::plan::Step;

/// Times a parameter or the second bottom, plus a parameter.
pub(super) fn scale(make: &Make<'_>, step: &Step, p: &ScaleParams) -> Result<Box<dyn Operation>> {
    let geometry = geometry(make, step, p);
    let learned = step.bottoms.len() == 1;
    let factor = learned.then(|| make.param(step.layer, 0)).transpose()?;
    let term = p.bias_term.then(|| make.param(step.layer, usize::from(learned))).transpose()?;
    Ok(one_top(move |inputs, top| {
        let factor = factor.as_ref().unwrap_or_else(|| inputs.get(1));
        inputs.backend.scale_forward(&geometry, inputs.or_in_place(0), Some(factor), term.as_ref(), top)
    }))
}

/// Plus a parameter or the second bottom.
pub(super) fn bias(make: &Make<'_>, step: &Step, p: &ScaleParams) -> Result<Box<dyn Operation>> {
    let geometry = geometry(make, step, p);
    let term = (step.bottoms.len() == 1).then(|| make.param(step.layer, 0)).transpose()?;
    Ok(one_top(move |inputs, top| {
        let term = term.as_ref().unwrap_or_else(|| inputs.get(1));
        inputs.backend.scale_forward(&geometry, inputs.or_in_place(0), None, Some(term), top)
    }))
}

/// Where the smaller array is laid.
fn geometry(make: &Make<'_>, step: &Step, p: &ScaleParams) -> AxisGeometry {
    let shapes = make.shapes(step);
    let bottom = extents(&shapes.bottoms[0]);
    let laid = shapes.bottoms.get(1).unwrap_or_else(|| &shapes.params[0]);
    let first = if laid.is_empty() { 0 } else { axis(p.axis, bottom.len()) };
    AxisGeometry::around(&bottom, first, first + laid.len())
}
