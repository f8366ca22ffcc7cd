//! The layers that detection and segmentation forks added.

use super::dims::{self, text};
use super::{Found, LayerShapes, tops, with_params};
use crate::net::params::{
    DetectionOutputParams, InterpParams, InterpSize, NormalizeParams, PriorBoxParams, UpsampleParams,
};

/// N×C(×H×W); scale C, or a scalar. SSD's rule.
pub(super) fn normalize(p: &NormalizeParams, bottom: &[usize]) -> Found {
    if bottom.len() < 2 {
        return Err(format!(
            "its bottom of shape {} has {} axes; it takes N×C×…",
            text(bottom),
            bottom.len()
        ));
    }
    let [_, channels, ..] = dims::legacy(bottom)?;
    dims::some_values(&bottom[1..], bottom)?;
    with_params(vec![bottom.to_vec()], vec![if p.channel_shared { Vec::new() } else { vec![channels] }])
}

/// 1×2×(H·W·boxes·4): the boxes, then their variances. SSD's rule.
pub(super) fn prior_box(p: &PriorBoxParams, bottom: &[usize]) -> Found {
    let [_, _, height, width] = dims::legacy(bottom)?;
    dims::some_values(&[height, width], bottom)?;
    let values = [height, width, p.boxes(), 4].into_iter().fold(1, usize::saturating_mul);
    tops(vec![vec![1, 2, values]])
}

/// 1×1×1×7, the third being the number of boxes found once the net runs. SSD's rule.
pub(super) fn detection_output(p: &DetectionOutputParams, bottoms: &[Vec<usize>]) -> Found {
    check_priors(p.num_classes, p.share_location, bottoms)?;
    Ok(LayerShapes { tops: vec![vec![1, 1, 1, 7]], exact: false, ..LayerShapes::default() })
}

/// Checks places N×(P·4) or N×(P·classes·4) and classes N×(P·classes) against priors 1×2×(P·4).
pub(super) fn check_priors(
    classes: usize,
    share_location: bool,
    bottoms: &[Vec<usize>],
) -> Result<(), String> {
    let (places, scores) = (dims::legacy(&bottoms[0])?, dims::legacy(&bottoms[1])?);
    let priors = dims::legacy(&bottoms[2])?[2] / 4;
    let places_each = if share_location { 4 } else { classes.saturating_mul(4) };
    let fits = places[0] == scores[0]
        && priors.saturating_mul(places_each) == places[1]
        && priors.saturating_mul(classes) == scores[1];
    if fits {
        return Ok(());
    }
    Err(format!(
        "places of shape {} and scores of shape {} do not go with {priors} priors and {classes} classes",
        text(&bottoms[0]),
        text(&bottoms[1])
    ))
}

/// Up to four axes in, always N×C×H×W out. ShuffleNet's rule.
pub(super) fn shuffle_channel(group: usize, bottom: &[usize]) -> Found {
    let shape = dims::legacy(bottom)?;
    if group == 0 || !shape[1].is_multiple_of(group) {
        return Err(format!("`group: {group}` does not divide the {} channels of its bottom", shape[1]));
    }
    tops(vec![shape.to_vec()])
}

/// Up to four axes in, N×C×H'×W' out. PSPNet's rule.
pub(super) fn interp(p: &InterpParams, bottom: &[usize]) -> Found {
    let [num, channels, height, width] = dims::legacy(bottom)?;
    let cut = i64::from(p.pad[0]) + i64::from(p.pad[1]);
    let cropped = |extent: usize| {
        usize::try_from(extent as i64 + cut)
            .ok()
            .filter(|&extent| extent > 0)
            .ok_or_else(|| format!("pad_beg and pad_end {:?} leave nothing of {height}×{width}", p.pad))
    };
    let cropped = [cropped(height)?, cropped(width)?];
    let [height, width] = match p.size {
        InterpSize::Fixed { height, width } => [height, width],
        InterpSize::Factors { shrink, zoom } => cropped.map(|extent| {
            let steps = (extent - 1) / shrink.max(1);
            steps.saturating_mul(zoom).saturating_add(1)
        }),
    };
    tops(vec![vec![num, channels, height, width]])
}

/// The last two axes times the scale (YOLO); or N×C×H×W with a mask of the same shape → N×C×H'×W' (SegNet).
pub(super) fn upsample(p: &UpsampleParams, bottoms: &[Vec<usize>]) -> Found {
    let bottom = &bottoms[0];
    match p {
        UpsampleParams::Nearest { scale } => {
            let mut top = bottom.clone();
            let Some([height, width]) = top.last_chunk_mut::<2>() else {
                return Err(format!("its bottom of shape {} has no height and width", text(bottom)));
            };
            *height = height.saturating_mul(*scale);
            *width = width.saturating_mul(*scale);
            tops(vec![top])
        }
        UpsampleParams::Unpool { size, scale, pad_out } => {
            let [num, channels, height, width] = dims::image(bottom)?;
            if bottoms[1] != *bottom {
                return Err(format!(
                    "its mask has shape {} and its bottom {}; they must be equal",
                    text(&bottoms[1]),
                    text(bottom)
                ));
            }
            let grown = |axis: usize, extent: usize| {
                extent
                    .saturating_mul(scale[axis])
                    .checked_sub(usize::from(pad_out[axis]))
                    .ok_or_else(|| format!("its bottom of shape {} has no values to spread", text(bottom)))
            };
            let [height, width] = match size {
                Some(size) => *size,
                None => [grown(0, height)?, grown(1, width)?],
            };
            tops(vec![vec![num, channels, height, width]])
        }
    }
}
