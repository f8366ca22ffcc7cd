//! Blobs that come from nowhere.

use caffe_proto::net::Filler;
use caffe_proto::net::params::DummyDataParams;

use super::super::step::{Made, Step, fixed, refused};

/// Constants.
pub(super) fn dummy_data(step: &mut Step<'_>, p: &DummyDataParams) -> Made {
    let around = step.around;
    let mut tops = Vec::new();
    for (index, extents) in around.tops.iter().enumerate() {
        let value = match p.fillers.get(index).or(p.fillers.first()) {
            None => 0.0,
            Some(Filler::Constant(value)) => *value,
            Some(_) => return Err(refused("its values are drawn by chance")),
        };
        let dims = extents
            .iter()
            .map(|&extent| fixed(extent).map(|extent| extent as i64))
            .collect::<Result<Vec<_>, _>>()?;
        let (value, shape) = (step.scalar(value), step.ints(&dims));
        tops.push(step.node("Expand", &[&value, &shape], Vec::new()));
    }
    Ok(tops)
}
