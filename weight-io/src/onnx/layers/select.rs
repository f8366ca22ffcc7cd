//! The largest values, and samples by index.

use caffe_proto::net::params::ArgMaxParams;

use super::super::attribute::{flag, int};
use super::super::extent::{Extent, product};
use super::super::proto::tensor_proto::DataType;
use super::super::step::{Made, Step, fixed, refused};

/// Among equal values Caffe takes the one that comes last, first.
pub(super) fn arg_max(step: &mut Step<'_>, p: &ArgMaxParams) -> Made {
    let bottom = step.bottom();
    let Some(axis) = p.axis else {
        let flat = step.node("Flatten", &[&bottom], vec![int("axis", 1)]);
        let Some(Extent::Fixed(count)) = product(&step.extents()[1..]) else {
            return Err(refused("its shape follows the batch in more than one way"));
        };
        let (values, indices) = largest(step, &flat, 1, count, p.top_k);
        let mut found = vec![indices];
        if p.out_max_val {
            found.push(values);
        }
        let found = found.iter().map(String::as_str).collect::<Vec<_>>();
        let value = step.node("Concat", &found, vec![int("axis", 1)]);
        let rows = [step.extents()[0], Extent::Fixed(found.len() * p.top_k)];
        let around = step.around;
        return Ok(vec![step.reshape(&value, &rows, &around.tops[0])?]);
    };
    let axis = step.axis(axis);
    if p.top_k == 1 && !p.out_max_val {
        let attributes =
            vec![int("axis", axis as i64), flag("keepdims", true), flag("select_last_index", true)];
        let indices = step.node("ArgMax", &[&bottom], attributes);
        return Ok(vec![step.cast(&indices, DataType::Float)]);
    }
    let extent = fixed(step.extents()[axis])?;
    let (values, indices) = largest(step, &bottom, axis, extent, p.top_k);
    Ok(vec![if p.out_max_val { values } else { indices }])
}

/// The `top_k` largest values of an axis of `extent`, and their places. `TopK` takes the first of equal values, and is
/// given them in reverse.
fn largest(step: &mut Step<'_>, value: &str, axis: usize, extent: usize, top_k: usize) -> (String, String) {
    let [start, end, axes, back] = [-1, i64::MIN + 1, axis as i64, -1].map(|number| step.ints(&[number]));
    let reversed = step.node("Slice", &[value, &start, &end, &axes, &back], Vec::new());
    let count = step.ints(&[top_k as i64]);
    let attributes = vec![int("axis", axis as i64), flag("largest", true), flag("sorted", true)];
    let found = step.nodes("TopK", &[&reversed, &count], attributes, 2);
    let places = step.cast(&found[1], DataType::Float);
    let last = step.scalar(extent as f32 - 1.0);
    (found[0].clone(), step.node("Sub", &[&last, &places], Vec::new()))
}

pub(super) fn batch_reindex(step: &mut Step<'_>) -> Made {
    let [bottom, indices] = [0, 1].map(|bottom| step.bottoms[bottom].clone());
    let indices = step.cast(&indices, DataType::Int64);
    Ok(vec![step.node("Gather", &[&bottom, &indices], Vec::new())])
}

/// Samples whose selector is not 0.
pub(super) fn filter(step: &mut Step<'_>) -> Made {
    let mut bottoms = step.bottoms.clone();
    let selector = bottoms.pop().unwrap_or_default();
    let extents = &step.around.bottoms[bottoms.len()];
    let flat = step.reshape(&selector, extents, &extents[..1])?;
    let passes = step.cast(&flat, DataType::Bool);
    Ok(bottoms.iter().map(|bottom| step.node("Compress", &[bottom, &passes], vec![int("axis", 0)])).collect())
}
