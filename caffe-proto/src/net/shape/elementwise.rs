//! Layers that keep their bottom's shape, and the shapes of what they learn.

use super::dims::{self, text};
use super::{Found, tops, with_params};
use crate::net::params::{BatchNormParams, MvnParams, ScaleParams};

/// N×C×H×W, nothing else.
pub(super) fn lrn(bottom: &[usize]) -> Found {
    dims::image(bottom)?;
    tops(vec![bottom.to_vec()])
}

/// N×C×…; mean C, variance C, their scale 1, and in NVIDIA/caffe scale C and shift C. Unlike the check in its setup,
/// Caffe's reshape refuses a bottom of one axis.
pub(super) fn batch_norm(p: &BatchNormParams, bottom: &[usize]) -> Found {
    let channels = dims::extent(bottom, 1)?;
    dims::some_values(bottom, bottom)?;
    let mut params = vec![vec![channels], vec![channels], vec![1]];
    if p.scale_bias {
        params.extend([vec![channels], vec![channels]]);
    }
    with_params(vec![bottom.to_vec()], params)
}

/// Up to four axes in, always N×C×H×W out.
pub(super) fn mvn(p: &MvnParams, bottom: &[usize]) -> Found {
    let [num, channels, height, width] = dims::legacy(bottom)?;
    let part = if p.across_channels { vec![channels, height, width] } else { vec![height, width] };
    dims::some_values(&part, bottom)?;
    tops(vec![vec![num, channels, height, width]])
}

/// The scale has `num_axes` axes from `axis` on, and so has the bias; or the scale is the second bottom.
pub(super) fn scale(p: &ScaleParams, bottoms: &[Vec<usize>]) -> Found {
    let bottom = &bottoms[0];
    let mut params = Vec::new();
    let scale =
        if let Some(second) = bottoms.get(1) { second.clone() } else { learned(p, p.num_axes, bottom)? };
    let axis = fit(p, &scale, bottom)?;
    if bottoms.len() == 1 {
        params.push(scale.clone());
    }
    let (outer, inner) = (&bottom[..axis], &bottom[axis + scale.len()..]);
    if outer.contains(&0) && inner.contains(&0) {
        return Err(format!("its bottom of shape {} has no values to work on", text(bottom)));
    }
    if p.bias_term {
        let bias = learned(p, scale.len() as i32, bottom)?;
        check_inner(&bias, fit(p, &bias, bottom)?, bottom)?;
        params.push(bias);
    }
    with_params(vec![bottom.clone()], params)
}

/// As [`scale`].
pub(super) fn bias(p: &ScaleParams, bottoms: &[Vec<usize>]) -> Found {
    let bottom = &bottoms[0];
    let bias =
        if let Some(second) = bottoms.get(1) { second.clone() } else { learned(p, p.num_axes, bottom)? };
    check_inner(&bias, fit(p, &bias, bottom)?, bottom)?;
    with_params(vec![bottom.clone()], if bottoms.len() == 1 { vec![bias] } else { Vec::new() })
}

/// N×C×…, four axes at most; slope C, or a scalar.
pub(super) fn prelu(channel_shared: bool, bottom: &[usize]) -> Found {
    if bottom.len() < 2 {
        return Err(format!(
            "its bottom of shape {} has {} axes; it takes N×C×…",
            text(bottom),
            bottom.len()
        ));
    }
    let [_, channels, ..] = dims::legacy(bottom)?;
    dims::some_values(&bottom[1..], bottom)?;
    with_params(vec![bottom.to_vec()], vec![if channel_shared { Vec::new() } else { vec![channels] }])
}

/// Any shape that has the axis.
pub(super) fn softmax(axis: i32, bottom: &[usize]) -> Found {
    let axis = dims::axis(axis, bottom)?;
    dims::some_values(&bottom[axis..=axis], bottom)?;
    tops(vec![bottom.to_vec()])
}

/// Bottoms of one shape.
pub(super) fn eltwise(bottoms: &[Vec<usize>]) -> Found {
    for (index, bottom) in bottoms.iter().enumerate() {
        if *bottom != bottoms[0] {
            return Err(format!(
                "bottom 0 has shape {} and bottom {index} {}; they must be equal, nothing is broadcast",
                text(&bottoms[0]),
                text(bottom)
            ));
        }
    }
    tops(vec![bottoms[0].clone()])
}

fn learned(p: &ScaleParams, num_axes: i32, bottom: &[usize]) -> Result<Vec<usize>, String> {
    let axis = dims::axis(p.axis, bottom)?;
    let Ok(num_axes) = usize::try_from(num_axes) else { return Ok(bottom[axis..].to_vec()) };
    bottom.get(axis..axis.saturating_add(num_axes)).map(<[usize]>::to_vec).ok_or_else(|| {
        format!("{num_axes} axes from axis {axis} on reach past its bottom of shape {}", text(bottom))
    })
}

/// The axis where a blob is laid on the bottom; a scalar is laid on anything.
fn fit(p: &ScaleParams, blob: &[usize], bottom: &[usize]) -> Result<usize, String> {
    let axis = if blob.is_empty() { 0 } else { dims::axis(p.axis, bottom)? };
    if bottom.get(axis..axis + blob.len()) == Some(blob) {
        return Ok(axis);
    }
    Err(format!(
        "a blob of shape {} does not fit its bottom of shape {} from axis {axis} on",
        text(blob),
        text(bottom)
    ))
}

fn check_inner(blob: &[usize], axis: usize, bottom: &[usize]) -> Result<(), String> {
    dims::some_values(&bottom[axis + blob.len()..], bottom)
}
