//! Scale and Bias: a factor or term along some axes.

use caffe_proto::net::params::ScaleParams;

use super::super::step::{Made, Step};

/// Times the scale, plus the bias that may follow it.
pub(super) fn scale(step: &mut Step<'_>, p: &ScaleParams) -> Made {
    let (factor, bias) = operand(step, p);
    let bottom = step.bottom();
    let mut value = step.node("Mul", &[&bottom, &factor], Vec::new());
    if p.bias_term {
        // It has the shape of the scale.
        let dims = along(step, p, &step.params[bias].shape.clone());
        let term = step.param_as(bias, &dims);
        value = step.node("Add", &[&value, &term], Vec::new());
    }
    Ok(vec![value])
}

/// Plus the bias.
pub(super) fn bias(step: &mut Step<'_>, p: &ScaleParams) -> Made {
    let (term, _) = operand(step, p);
    let bottom = step.bottom();
    Ok(vec![step.node("Add", &[&bottom, &term], Vec::new())])
}

/// The factor or term under a shape that spreads it, and the index of the next parameter.
fn operand(step: &mut Step<'_>, p: &ScaleParams) -> (String, usize) {
    if step.bottoms.len() == 1 {
        let dims = along(step, p, &step.params[0].shape.clone());
        return (step.param_as(0, &dims), 1);
    }
    let second = step.bottoms[1].clone();
    let axes = step.around.bottoms[1].len();
    let trailing = step.axes() - axes - if axes == 0 { 0 } else { step.axis(p.axis) };
    if trailing == 0 || axes == 0 {
        return (second, 0);
    }
    let places = (axes..axes + trailing).map(|axis| axis as i64).collect::<Vec<_>>();
    let places = step.ints(&places);
    (step.node("Unsqueeze", &[&second, &places], Vec::new()), 0)
}

/// The shape with ones for the axes behind it.
fn along(step: &Step<'_>, p: &ScaleParams, shape: &[usize]) -> Vec<usize> {
    let mut dims = shape.to_vec();
    if !dims.is_empty() {
        dims.resize(step.axes() - step.axis(p.axis), 1);
    }
    dims
}
