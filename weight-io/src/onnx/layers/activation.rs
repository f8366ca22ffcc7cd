//! What is done to each value.

use super::super::attribute::{float, int};
use super::super::proto::tensor_proto::DataType;
use super::super::step::{Made, Step};

/// An operator without parameters.
pub(super) fn plain(step: &mut Step<'_>, kind: &str) -> Made {
    let bottom = step.bottom();
    Ok(vec![step.node(kind, &[&bottom], Vec::new())])
}

pub(super) fn relu(step: &mut Step<'_>, slope: f32) -> Made {
    if slope == 0.0 {
        return plain(step, "Relu");
    }
    let bottom = step.bottom();
    Ok(vec![step.node("LeakyRelu", &[&bottom], vec![float("alpha", slope)])])
}

/// The slopes lie along the second axis.
pub(super) fn prelu(step: &mut Step<'_>, channel_shared: bool) -> Made {
    let mut dims = step.params[0].shape.clone();
    if channel_shared {
        dims = vec![1];
    } else {
        dims.resize(step.axes().saturating_sub(1).max(1), 1);
    }
    let slope = step.param_as(0, &dims);
    let bottom = step.bottom();
    Ok(vec![step.node("PRelu", &[&bottom, &slope], Vec::new())])
}

pub(super) fn elu(step: &mut Step<'_>, alpha: f32) -> Made {
    let bottom = step.bottom();
    Ok(vec![step.node("Elu", &[&bottom], vec![float("alpha", alpha)])])
}

pub(super) fn clip(step: &mut Step<'_>, min: f32, max: f32) -> Made {
    let bottom = step.bottom();
    // Where `min` is above `max`, it wins in Caffe, and `max` in ONNX.
    let [min, max] = [min, max.max(min)].map(|bound| step.scalar(bound));
    Ok(vec![step.node("Clip", &[&bottom, &min, &max], Vec::new())])
}

pub(super) fn swish(step: &mut Step<'_>, beta: f32) -> Made {
    let bottom = step.bottom();
    let steep = step.times(bottom.clone(), beta);
    let gate = step.node("Sigmoid", &[&steep], Vec::new());
    Ok(vec![step.node("Mul", &[&bottom, &gate], Vec::new())])
}

pub(super) fn threshold(step: &mut Step<'_>, threshold: f32) -> Made {
    let bottom = step.bottom();
    let threshold = step.scalar(threshold);
    let above = step.node("Greater", &[&bottom, &threshold], Vec::new());
    Ok(vec![step.cast(&above, DataType::Float)])
}

pub(super) fn softmax(step: &mut Step<'_>, axis: i32) -> Made {
    let bottom = step.bottom();
    Ok(vec![step.node("Softmax", &[&bottom], vec![int("axis", i64::from(axis))])])
}
