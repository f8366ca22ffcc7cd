//! Values side by side, apart, or under another shape.

use caffe_proto::net::params::{CropParams, SliceParams, TileParams};

use super::super::attribute::{int, ints};
use super::super::extent::Extent;
use super::super::step::{Made, Step, fixed};

pub(super) fn concat(step: &mut Step<'_>, axis: i32) -> Made {
    let bottoms = step.bottoms.clone();
    let bottoms = bottoms.iter().map(String::as_str).collect::<Vec<_>>();
    Ok(vec![step.node("Concat", &bottoms, vec![int("axis", i64::from(axis))])])
}

pub(super) fn slice(step: &mut Step<'_>, p: &SliceParams) -> Made {
    let bottom = step.bottom();
    let tops = step.around.tops.len();
    if tops == 1 {
        return Ok(vec![bottom]);
    }
    let axis = step.axis(p.axis);
    let sizes = step.around.tops.iter().map(|top| fixed(top[axis]).map(|size| size as i64));
    let sizes = sizes.collect::<Result<Vec<_>, _>>()?;
    let sizes = step.ints(&sizes);
    Ok(step.nodes("Split", &[&bottom, &sizes], vec![int("axis", axis as i64)], tops))
}

pub(super) fn crop(step: &mut Step<'_>, p: &CropParams) -> Made {
    let bottom = step.bottom();
    let axis = step.axis(p.axis);
    let (mut starts, mut ends, mut axes) = (Vec::new(), Vec::new(), Vec::new());
    for at in axis..step.axes() {
        let (from, to) = (step.extents()[at], step.around.tops[0][at]);
        if from == to {
            continue;
        }
        let offset = match p.offsets.as_slice() {
            [] => 0,
            [one] => *one,
            several => several[at - axis],
        };
        starts.push(offset as i64);
        ends.push((offset + fixed(to)?) as i64);
        axes.push(at as i64);
    }
    if axes.is_empty() { Ok(vec![bottom]) } else { Ok(vec![step.slice(&bottom, &starts, &ends, &axes)]) }
}

/// Reshape and Flatten: the same values, shapes known.
pub(super) fn reshape(step: &mut Step<'_>) -> Made {
    let bottom = step.bottom();
    let around = step.around;
    Ok(vec![step.reshape(&bottom, &around.bottoms[0], &around.tops[0])?])
}

pub(super) fn tile(step: &mut Step<'_>, p: &TileParams) -> Made {
    let bottom = step.bottom();
    let mut repeats = vec![1; step.axes()];
    repeats[step.axis(p.axis)] = p.tiles as i64;
    let repeats = step.ints(&repeats);
    Ok(vec![step.node("Tile", &[&bottom, &repeats], Vec::new())])
}

pub(super) fn permute(step: &mut Step<'_>, order: &[usize]) -> Made {
    let bottom = step.bottom();
    let rest = (0..step.axes()).filter(|axis| !order.contains(axis));
    let order = order.iter().copied().chain(rest).collect::<Vec<_>>();
    Ok(vec![step.node("Transpose", &[&bottom], vec![ints("perm", order)])])
}

/// Channels as a matrix of groups, transposed.
pub(super) fn shuffle_channel(step: &mut Step<'_>, group: usize) -> Made {
    let bottom = step.bottom();
    let around = step.around;
    let extents = &around.bottoms[0];
    let channels = fixed(extents[1])?;
    let split = |first: usize| {
        let channels = [Extent::Fixed(first), Extent::Fixed(channels / first.max(1))];
        [&extents[..1], &channels, &extents[2..]].concat()
    };
    let parted = step.reshape(&bottom, extents, &split(group))?;
    let order = [0, 2, 1].into_iter().chain(3..=extents.len());
    let shuffled = step.node("Transpose", &[&parted], vec![ints("perm", order)]);
    Ok(vec![step.reshape(&shuffled, &split(channels / group.max(1)), &around.tops[0])?])
}
