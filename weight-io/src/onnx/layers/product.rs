//! Matrices, and rows of them.

use caffe_proto::net::params::InnerProductParams;

use super::super::attribute::{flag, int};
use super::super::extent::{Extent, product};
use super::super::proto::tensor_proto::DataType;
use super::super::step::{Made, Step, refused};

pub(super) fn inner_product(step: &mut Step<'_>, p: &InnerProductParams) -> Made {
    let axis = step.axis(p.axis);
    let mut value = step.bottom();
    if axis != 1 || step.axes() != 2 {
        value = step.node("Flatten", &[&value], vec![int("axis", axis as i64)]);
    }
    let weight = step.param(0);
    let bias = p.bias_term.then(|| step.param_as(1, &[p.num_output]));
    let mut inputs = vec![value.as_str(), &weight];
    inputs.extend(bias.as_deref());
    let value = step.node("Gemm", &inputs, vec![flag("transB", !p.transpose)]);
    let rows = product(&step.extents()[..axis])
        .ok_or_else(|| refused("its shape follows the batch in more than one way"))?;
    let around = step.around;
    Ok(vec![step.reshape(&value, &[rows, Extent::Fixed(p.num_output)], &around.tops[0])?])
}

/// Indices → rows of a table.
pub(super) fn embed(step: &mut Step<'_>) -> Made {
    let bottom = step.bottom();
    let indices = step.cast(&bottom, DataType::Int64);
    let table = step.param(0);
    let mut value = step.node("Gather", &[&table, &indices], Vec::new());
    if step.params.len() > 1 {
        let bias = step.params[1].shape.iter().product();
        let bias = step.param_as(1, &[bias]);
        value = step.node("Add", &[&value, &bias], Vec::new());
    }
    Ok(vec![value])
}
