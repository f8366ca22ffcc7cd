//! Arithmetic on shapes that cannot overflow.

use std::fmt::Write as _;

/// The most axes a blob has.
const MAX_AXES: usize = 32;

/// The most values a blob has, and the largest extent: Caffe counts in 32-bit signed integers.
const MAX_VALUES: usize = i32::MAX as usize;

/// A shape as people write it: `1×3×227×227`, `()` for a scalar.
pub fn text(shape: &[usize]) -> String {
    let Some((first, rest)) = shape.split_first() else { return "()".to_owned() };
    let mut text = first.to_string();
    for extent in rest {
        let _ = write!(text, "×{extent}");
    }
    text
}

/// Checks a shape against Caffe's limits.
pub(super) fn check(shape: &[usize]) -> Result<(), String> {
    if shape.len() > MAX_AXES {
        return Err(format!("{} axes are more than the {MAX_AXES} that a blob can have", shape.len()));
    }
    let mut values = 1;
    for &extent in shape {
        if extent > MAX_VALUES || (values != 0 && extent > MAX_VALUES / values) {
            return Err(format!("that is more than the {MAX_VALUES} values that a blob can have"));
        }
        values *= extent;
    }
    Ok(())
}

/// How many values some axes span; `usize::MAX` for more than can be counted.
pub(super) fn count(shape: &[usize]) -> usize {
    if shape.contains(&0) { 0 } else { shape.iter().fold(1, |values, &extent| values.saturating_mul(extent)) }
}

/// An axis counted from the front.
pub(super) fn axis(axis: i32, shape: &[usize]) -> Result<usize, String> {
    let axes = shape.len() as i64;
    let place = i64::from(axis) + if axis < 0 { axes } else { 0 };
    if (0..axes).contains(&place) {
        return Ok(place as usize);
    }
    Err(format!("axis {axis} is outside its bottom of shape {}, which has {axes} axes", text(shape)))
}

/// N, C, H, W of a blob of up to four axes: those that are missing are 1.
pub(super) fn legacy(shape: &[usize]) -> Result<[usize; 4], String> {
    if shape.len() > 4 {
        return Err(format!(
            "its bottom of shape {} has {} axes; it takes 4 at most",
            text(shape),
            shape.len()
        ));
    }
    let mut four = [1; 4];
    four[..shape.len()].copy_from_slice(shape);
    Ok(four)
}

/// N, C, H, W of a blob of exactly four axes.
pub(super) fn image(shape: &[usize]) -> Result<[usize; 4], String> {
    <[usize; 4]>::try_from(shape).map_err(|_| {
        format!("its bottom of shape {} has {} axes; it takes N×C×H×W", text(shape), shape.len())
    })
}

/// The extent of an axis that must be there.
pub(super) fn extent(shape: &[usize], axis: usize) -> Result<usize, String> {
    shape.get(axis).copied().ok_or_else(|| format!("its bottom of shape {} has no axis {axis}", text(shape)))
}

/// Extents as a file writes them.
pub(super) fn from_i64(dims: &[i64]) -> Result<Vec<usize>, String> {
    let shape = dims
        .iter()
        .map(|&dim| {
            i32::try_from(dim)
                .ok()
                .and_then(|dim| usize::try_from(dim).ok())
                .ok_or_else(|| format!("`dim: {dim}` of shape {dims:?} must be 0 to {}", i32::MAX))
        })
        .collect::<Result<Vec<_>, _>>()?;
    check(&shape).map_err(|what| format!("shape {}: {what}", text(&shape)))?;
    Ok(shape)
}

/// A result that was computed with a sign.
pub(super) fn from_signed(value: i64, what: impl FnOnce() -> String) -> Result<usize, String> {
    usize::try_from(value).map_err(|_| what())
}

/// Refuses a bottom, or part of one, without values where Caffe cannot work on it.
pub(super) fn some_values(part: &[usize], shape: &[usize]) -> Result<(), String> {
    if part.contains(&0) {
        return Err(format!("its bottom of shape {} has no values to work on", text(shape)));
    }
    Ok(())
}
