//! Images made larger and smaller.

use caffe_proto::net::params::{InterpParams, UpsampleParams};

use super::super::attribute::{int, ints, text};
use super::super::extent::{Extent, product};
use super::super::proto::tensor_proto::DataType;
use super::super::step::{Fault, Made, Step, fixed, refused};

/// Bilinear, with the corners in place.
pub(super) fn interp(step: &mut Step<'_>, p: &InterpParams) -> Made {
    let mut value = step.bottom();
    let [begin, end] = p.pad.map(i64::from);
    if [begin, end] != [0, 0] {
        let size = size(step.extents())?.map(|extent| extent as i64 + end);
        value = step.slice(&value, &[-begin; 2], &size, &[2, 3]);
    }
    Ok(vec![resize(step, &value, "linear", "align_corners")?])
}

pub(super) fn upsample(step: &mut Step<'_>, p: &UpsampleParams) -> Made {
    let value = step.bottom();
    match p {
        UpsampleParams::Nearest { .. } => Ok(vec![resize(step, &value, "nearest", "asymmetric")?]),
        UpsampleParams::Unpool { .. } => unpool(step, &value),
    }
}

fn resize(step: &mut Step<'_>, value: &str, mode: &str, coordinates: &str) -> Result<String, Fault> {
    // The last two axes: Upsample takes any number of them.
    let top = &step.around.tops[0];
    let first = top.len().saturating_sub(2);
    let size = top[first..].iter().map(|&extent| fixed(extent).map(|extent| extent as i64));
    let size = size.collect::<Result<Vec<_>, _>>()?;
    let size = step.ints(&size);
    let attributes = vec![
        ints("axes", [first, first + 1]),
        text("coordinate_transformation_mode", coordinates),
        text("mode", mode),
        text("nearest_mode", "floor"),
    ];
    Ok(step.node("Resize", &[value, "", "", &size], attributes))
}

/// Values go to where the second bottom says, channel by channel; the rest is 0.
fn unpool(step: &mut Step<'_>, value: &str) -> Made {
    let around = step.around;
    let (from, to) = (&around.bottoms[0], &around.tops[0]);
    let area = |extents: &[Extent]| Ok::<_, Fault>(size(extents)?.iter().product::<usize>());
    let rows =
        product(&from[..2]).ok_or_else(|| refused("its shape follows the batch in more than one way"))?;
    let (small, large) = ([rows, Extent::Fixed(area(from)?)], [rows, Extent::Fixed(area(to)?)]);
    let values = step.reshape(value, from, &small)?;
    let mask = step.bottoms[1].clone();
    let mask = step.reshape(&mask, &around.bottoms[1], &small)?;
    let places = step.cast(&mask, DataType::Int64);
    let shape = step.node("Shape", &[&values], vec![int("start", 0), int("end", 1)]);
    let columns = step.ints(&[area(to)? as i64]);
    let shape = step.node("Concat", &[&shape, &columns], vec![int("axis", 0)]);
    let zero = step.scalar(0.0);
    let zeros = step.node("Expand", &[&zero, &shape], Vec::new());
    let value = step.node("ScatterElements", &[&zeros, &places, &values], vec![int("axis", 1)]);
    Ok(vec![step.reshape(&value, &large, to)?])
}

fn size(extents: &[Extent]) -> Result<[usize; 2], Fault> {
    let [.., height, width] = extents else { return Err(refused("")) };
    Ok([fixed(*height)?, fixed(*width)?])
}
