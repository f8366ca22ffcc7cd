//! Layers that put values side by side, apart, or in another order.

use super::dims::{self, text};
use super::{Found, LayerShapes, tops};
use crate::net::params::{
    ArgMaxParams, CropParams, FlattenParams, ReductionOperation, ReductionParams, ReshapeParams, SliceParams,
    TileParams,
};

/// Extents add up along the axis and are equal elsewhere.
pub(super) fn concat(axis: i32, bottoms: &[Vec<usize>]) -> Found {
    let first = &bottoms[0];
    let axis = dims::axis(axis, first)?;
    let mut top = first.clone();
    for (index, bottom) in bottoms.iter().enumerate().skip(1) {
        let fits =
            bottom.len() == first.len() && (0..first.len()).all(|at| at == axis || bottom[at] == first[at]);
        if !fits {
            return Err(format!(
                "bottom 0 has shape {} and bottom {index} {}; they must be equal but for axis {axis}",
                text(first),
                text(bottom)
            ));
        }
        top[axis] = top[axis].saturating_add(bottom[axis]);
    }
    tops(vec![top])
}

/// Parts that end at the points, or equal ones.
pub(super) fn slice(p: &SliceParams, bottom: &[usize], top_count: usize) -> Found {
    let axis = dims::axis(p.axis, bottom)?;
    let whole = bottom[axis];
    let part = |extent| {
        let mut top = bottom.to_vec();
        top[axis] = extent;
        top
    };
    if p.points.is_empty() {
        if !whole.is_multiple_of(top_count) {
            return Err(format!(
                "{top_count} tops do not divide axis {axis} of its bottom of shape {}: give `slice_point`s",
                text(bottom)
            ));
        }
        return tops(vec![part(whole / top_count); top_count]);
    }
    if p.points.len() + 1 != top_count || top_count > whole {
        return Err(format!(
            "`slice_point: {:?}` for {top_count} tops and an axis of {whole}: give one less than there are tops",
            p.points
        ));
    }
    let mut parts = Vec::with_capacity(top_count);
    let mut from = 0;
    for &to in &p.points {
        if to <= from || to > whole {
            return Err(format!(
                "`slice_point: {:?}` must rise from 1 to {whole}, the extent of axis {axis}",
                p.points
            ));
        }
        parts.push(part(to - from));
        from = to;
    }
    parts.push(part(whole - from));
    tops(parts)
}

/// The second bottom's extents from the axis on, the first's before it.
pub(super) fn crop(p: &CropParams, bottoms: &[Vec<usize>]) -> Found {
    let (bottom, reference) = (&bottoms[0], &bottoms[1]);
    let axis = dims::axis(p.axis, bottom)?;
    if p.offsets.len() > 1 && axis + p.offsets.len() != bottom.len() {
        return Err(format!(
            "`offset` has {} values for {} cropped axes: give one, or one an axis",
            p.offsets.len(),
            bottom.len() - axis
        ));
    }
    let mut top = bottom.clone();
    for at in axis..bottom.len() {
        let size = dims::extent(reference, at)?;
        let offset = match p.offsets.as_slice() {
            [] => 0,
            [one] => *one,
            several => several[at - axis],
        };
        if offset.saturating_add(size) > bottom[at] {
            return Err(format!(
                "{size} values from {offset} on reach past axis {at} of its bottom of shape {}",
                text(bottom)
            ));
        }
        top[at] = size;
    }
    tops(vec![top])
}

/// `num_axes` axes from `axis` on are replaced; 0 copies the extent in the same place, -1 takes what is left.
pub(super) fn reshape(p: &ReshapeParams, bottom: &[usize]) -> Found {
    let axes = bottom.len() as i64;
    let start = i64::from(p.axis) + if p.axis < 0 { axes + 1 } else { 0 };
    let end = if p.num_axes == -1 { axes } else { start + i64::from(p.num_axes) };
    if !(0..=axes).contains(&start) || p.num_axes < -1 || !(start..=axes).contains(&end) {
        return Err(format!(
            "`axis: {}` and `num_axes: {}` are outside its bottom of shape {}",
            p.axis,
            p.num_axes,
            text(bottom)
        ));
    }
    let (start, end) = (start as usize, end as usize);
    let mut top = bottom[..start].to_vec();
    let mut inferred = None;
    for (at, &dim) in p.dims.iter().enumerate() {
        top.push(match dim {
            0 => dims::extent(bottom, start + at).map_err(|_| {
                format!(
                    "`dim: 0` of {:?} copies axis {}, which its bottom of shape {} has not",
                    p.dims,
                    start + at,
                    text(bottom)
                )
            })?,
            -1 if inferred.is_none() => {
                inferred = Some(start + at);
                1
            }
            -1 => return Err(format!("`dim: -1` stands twice in {:?}; only one can be inferred", p.dims)),
            dim => dims::from_i64(&[dim])?[0],
        });
    }
    top.extend(&bottom[end..]);
    let (values, explicit) = (dims::count(bottom), dims::count(&top));
    if let Some(at) = inferred {
        if explicit == 0 || !values.is_multiple_of(explicit) {
            return Err(format!(
                "the {values} values of its bottom of shape {} are no multiple of the {explicit} that {:?} makes without the -1",
                text(bottom),
                p.dims
            ));
        }
        top[at] = values / explicit;
    } else if explicit != values {
        return Err(format!(
            "its bottom of shape {} has {values} values, and the new shape {} takes {explicit}",
            text(bottom),
            text(&top)
        ));
    }
    tops(vec![top])
}

/// Axes `axis` to `end_axis` become one. With the end just before the start, Caffe puts an axis of 1 there.
pub(super) fn flatten(p: &FlattenParams, bottom: &[usize]) -> Found {
    let start = dims::axis(p.axis, bottom)?;
    let end = dims::axis(p.end_axis, bottom)? + 1;
    let Some(flattened) = bottom.get(start..end) else {
        return Err(format!("`axis: {}` is behind `end_axis: {}`", p.axis, p.end_axis));
    };
    tops(vec![[&bottom[..start], &[dims::count(flattened)], &bottom[end..]].concat()])
}

/// One extent times `tiles`.
pub(super) fn tile(p: &TileParams, bottom: &[usize]) -> Found {
    let axis = dims::axis(p.axis, bottom)?;
    let mut top = bottom.to_vec();
    top[axis] = top[axis].saturating_mul(p.tiles);
    tops(vec![top])
}

/// The axes before `axis`.
pub(super) fn reduction(p: &ReductionParams, bottom: &[usize]) -> Found {
    let axis = dims::axis(p.axis, bottom)?;
    if matches!(p.operation, ReductionOperation::Sum | ReductionOperation::Mean) {
        dims::some_values(&bottom[axis..], bottom)?;
    }
    tops(vec![bottom[..axis].to_vec()])
}

/// With an axis: `top_k` along it. Without: N×1×`top_k`, or N×2×`top_k` with the values, and 1s up to the bottom's axes.
pub(super) fn arg_max(p: &ArgMaxParams, bottom: &[usize]) -> Found {
    let axis = p.axis.map(|axis| dims::axis(axis, bottom)).transpose()?;
    let num = dims::extent(bottom, 0)?;
    let most = axis.map_or_else(|| dims::count(&bottom[1..]), |axis| bottom[axis]);
    if p.top_k > most {
        return Err(format!("`top_k: {}` of {most} values in its bottom of shape {}", p.top_k, text(bottom)));
    }
    let top = if let Some(axis) = axis {
        let mut top = bottom.to_vec();
        top[axis] = p.top_k;
        top
    } else {
        let mut top = vec![1; bottom.len().max(3)];
        top[..3].copy_from_slice(&[num, if p.out_max_val { 2 } else { 1 }, p.top_k]);
        top
    };
    tops(vec![top])
}

/// As many samples as there are indices.
pub(super) fn batch_reindex(bottoms: &[Vec<usize>]) -> Found {
    let (bottom, indices) = (&bottoms[0], &bottoms[1]);
    let &[count] = indices.as_slice() else {
        return Err(format!("its indices have shape {}; they must have one axis", text(indices)));
    };
    tops(vec![[&[count], bottom.get(1..).unwrap_or(&[])].concat()])
}

/// The bottoms but the last, all samples passing; how many do, the data say.
pub(super) fn filter(bottoms: &[Vec<usize>]) -> Found {
    let Some((selector, bottoms)) = bottoms.split_last() else { return tops(Vec::new()) };
    let samples = dims::extent(selector, 0)?;
    if selector[1..].iter().any(|&extent| extent != 1) {
        return Err(format!("its selector has shape {}; it must have one value a sample", text(selector)));
    }
    dims::some_values(selector, selector)?;
    if let Some(bottom) = bottoms.iter().find(|bottom| bottom.first() != Some(&samples)) {
        return Err(format!("its selector has {samples} samples, and its bottom shape {}", text(bottom)));
    }
    Ok(LayerShapes { tops: bottoms.to_vec(), exact: false, ..LayerShapes::default() })
}

/// The axes named, then the others as they were.
pub(super) fn permute(order: &[usize], bottom: &[usize]) -> Found {
    let mut axes: Vec<usize> = Vec::with_capacity(bottom.len());
    for &axis in order {
        if axis >= bottom.len() || axes.contains(&axis) {
            return Err(format!(
                "`order: {order:?}` must name axes of its bottom of shape {}, each once",
                text(bottom)
            ));
        }
        axes.push(axis);
    }
    axes.extend((0..bottom.len()).filter(|axis| !order.contains(axis)));
    tops(vec![axes.into_iter().map(|axis| bottom[axis]).collect()])
}
