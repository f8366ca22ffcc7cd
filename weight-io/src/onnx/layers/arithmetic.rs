//! Powers, sums, products and what they come to.

use caffe_proto::net::params::{
    EltwiseOperation, EltwiseParams, ExponentialParams, PowerParams, ReductionOperation, ReductionParams,
};

use super::super::attribute::int;
use super::super::step::{Made, Step};

/// (shift + scale · x)^power; whatever x is where it does not count.
pub(super) fn power(step: &mut Step<'_>, p: &PowerParams) -> Made {
    let bottom = step.bottom();
    if p.power == 0.0 || p.scale == 0.0 {
        let value = if p.power == 0.0 { 1.0 } else { p.shift.powf(p.power) };
        let shape = step.node("Shape", &[&bottom], Vec::new());
        let value = step.scalar(value);
        return Ok(vec![step.node("Expand", &[&value, &shape], Vec::new())]);
    }
    let mut value = step.times(bottom, p.scale);
    value = step.plus(value, p.shift);
    if p.power != 1.0 {
        let exponent = step.scalar(p.power);
        value = step.node("Pow", &[&value, &exponent], Vec::new());
    }
    Ok(vec![value])
}

/// base^(shift + scale · x), as e^(ln base · scale · x) · base^shift.
pub(super) fn exp(step: &mut Step<'_>, p: &ExponentialParams) -> Made {
    let log = p.base.map_or(1.0, f32::ln);
    let bottom = step.bottom();
    let exponent = step.times(bottom, log * p.scale);
    let value = step.node("Exp", &[&exponent], Vec::new());
    let outer =
        if p.shift == 0.0 { 1.0 } else { p.base.map_or_else(|| p.shift.exp(), |base| base.powf(p.shift)) };
    Ok(vec![step.times(value, outer)])
}

/// ln(shift + scale · x) / ln base.
pub(super) fn log(step: &mut Step<'_>, p: &ExponentialParams) -> Made {
    let bottom = step.bottom();
    let mut value = step.times(bottom, p.scale);
    value = step.plus(value, p.shift);
    value = step.node("Log", &[&value], Vec::new());
    Ok(vec![step.times(value, p.base.map_or(1.0, |base| 1.0 / base.ln()))])
}

pub(super) fn eltwise(step: &mut Step<'_>, p: &EltwiseParams) -> Made {
    let mut values = step.bottoms.clone();
    let kind = match p.operation {
        EltwiseOperation::Sum => "Add",
        EltwiseOperation::Product => "Mul",
        EltwiseOperation::Max => "Max",
    };
    if p.operation == EltwiseOperation::Sum {
        for (value, &coefficient) in values.iter_mut().zip(&p.coefficients) {
            *value = step.times(value.clone(), coefficient);
        }
    }
    let mut values = values.into_iter();
    // Caffe clears the top before it adds to it, and so loses a bottom that is the top.
    let lost = step.layer.is_in_place(0) && p.operation != EltwiseOperation::Product;
    let first = values.nth(usize::from(lost)).unwrap_or_default();
    Ok(vec![values.fold(first, |value, next| step.node(kind, &[&value, &next], Vec::new()))])
}

pub(super) fn reduction(step: &mut Step<'_>, p: &ReductionParams) -> Made {
    let kind = match p.operation {
        ReductionOperation::Sum => "ReduceSum",
        ReductionOperation::AbsoluteSum => "ReduceL1",
        ReductionOperation::SquareSum => "ReduceSumSquare",
        ReductionOperation::Mean => "ReduceMean",
    };
    let start = step.axis(p.axis);
    let mut value = step.bottom();
    if start + 1 < step.axes() {
        value = step.node("Flatten", &[&value], vec![int("axis", start as i64)]);
        let value = step.reduce(kind, &value, &[1], false);
        let (from, to) = (&step.around.bottoms[0][..start], &step.around.tops[0][..]);
        let Some(rows) = super::super::extent::product(from) else {
            return Err(super::super::step::refused("its shape follows the batch in more than one way"));
        };
        let value = step.reshape(&value, &[rows], to)?;
        return Ok(vec![step.times(value, p.coefficient)]);
    }
    let value = step.reduce(kind, &value, &[start], false);
    Ok(vec![step.times(value, p.coefficient)])
}
