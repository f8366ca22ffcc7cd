//! The layers that detection and segmentation forks added.

use super::{given, loss, positive, size};
use crate::net::params::{
    BoxCode, ConfidenceLoss, DetectionOutputParams, InterpParams, InterpSize, LocationLoss, MatchType,
    Mining, MultiBoxLossParams, Normalization, NormalizeParams, PriorBoxParams, Suppression, UpsampleParams,
};
use crate::net::{Filler, LayerKind};
use crate::proto::{
    InterpParameter, LayerParameter, PriorBoxParameter, multi_box_loss_parameter, prior_box_parameter,
};

/// The kind with its fillers, when it is one of these.
pub(super) fn kind(layer: &LayerParameter) -> Result<Option<(LayerKind, Vec<Filler>)>, String> {
    let kind = match layer.r#type() {
        "Permute" => {
            let p = given(layer.permute_param.as_deref());
            LayerKind::Permute {
                order: p.order.iter().map(|&axis| size("order", axis)).collect::<Result<_, _>>()?,
            }
        }
        "Normalize" => {
            let p = given(layer.norm_param.as_deref());
            let filler = Filler::resolve(p.scale_filler.as_ref(), Filler::Constant(1.0))?;
            let params = NormalizeParams {
                across_spatial: p.across_spatial(),
                channel_shared: p.channel_shared(),
                eps: p.eps(),
            };
            return Ok(Some((LayerKind::Normalize(params), vec![filler])));
        }
        "PriorBox" => LayerKind::PriorBox(prior_box(&given(layer.prior_box_param.as_deref()))?),
        "DetectionOutput" => LayerKind::DetectionOutput(detection_output(layer)?),
        "MultiBoxLoss" => LayerKind::MultiBoxLoss(multi_box_loss(layer)?),
        "ShuffleChannel" => {
            let p = given(layer.shuffle_channel_param.as_deref());
            LayerKind::ShuffleChannel { group: positive("group", p.group())? }
        }
        "Interp" => LayerKind::Interp(interp(&given(layer.interp_param.as_deref()))?),
        "Upsample" => LayerKind::Upsample(upsample(layer)?),
        _ => return Ok(None),
    };
    Ok(Some((kind, Vec::new())))
}

fn prior_box(p: &PriorBoxParameter) -> Result<PriorBoxParams, String> {
    // Each ratio is compared with all before it.
    const MOST_RATIOS: usize = 1000;
    if p.aspect_ratio.len() > MOST_RATIOS {
        return Err(format!(
            "`aspect_ratio` is given {} times; no real model comes near {MOST_RATIOS}",
            p.aspect_ratio.len()
        ));
    }
    if p.min_size.is_empty() {
        return Err("`min_size` is missing".to_owned());
    }
    if !p.max_size.is_empty() && p.max_size.len() != p.min_size.len() {
        return Err(format!(
            "`max_size` is given {} times and `min_size` {} times: give none, or as many",
            p.max_size.len(),
            p.min_size.len()
        ));
    }
    for (at, &min) in p.min_size.iter().enumerate() {
        if !is_positive(min) {
            return Err(format!("`min_size: {min}` must be above 0"));
        }
        if let Some(&max) = p.max_size.get(at)
            && !is_positive(max - min)
        {
            return Err(format!("`max_size: {max}` must be above its `min_size: {min}`"));
        }
    }
    let variances = if p.variance.is_empty() { vec![0.1] } else { p.variance.clone() };
    if !matches!(variances.len(), 1 | 4) || !variances.iter().all(|&variance| variance > 0.0) {
        return Err(format!("`variance` is {variances:?}: give one or four values above 0"));
    }
    let image = spelling("img_size", p.img_size, p.img_h, p.img_w, 0)?;
    let step = spelling("step", p.step, p.step_h, p.step_w, 0.0)?;
    Ok(PriorBoxParams {
        min_sizes: p.min_size.clone(),
        max_sizes: p.max_size.clone(),
        aspect_ratios: aspect_ratios(p),
        clip: p.clip(),
        variances,
        image: match image {
            Some([height, width]) => Some([positive("img_h", height)?, positive("img_w", width)?]),
            None => None,
        },
        step: match step {
            Some(step) if !step.iter().all(|&step| step > 0.0) => {
                return Err(format!("`step` is {step:?}; both must be above 0"));
            }
            step => step,
        },
        offset: p.offset(),
    })
}

fn is_positive(value: f32) -> bool {
    value > 0.0
}

/// One value for both directions, or one each; not both spellings.
fn spelling<T: Copy>(
    field: &str,
    both: Option<T>,
    vertical: Option<T>,
    horizontal: Option<T>,
    missing: T,
) -> Result<Option<[T; 2]>, String> {
    match (both, vertical, horizontal) {
        (both, None, None) => Ok(both.map(|both| [both, both])),
        (None, vertical, horizontal) => {
            Ok(Some([vertical.unwrap_or(missing), horizontal.unwrap_or(missing)]))
        }
        _ => Err(format!("`{field}` and its _h or _w form are both given: remove one spelling")),
    }
}

/// 1 first; each further ratio once, with its inverse when flipped.
fn aspect_ratios(p: &PriorBoxParameter) -> Vec<f32> {
    let mut ratios = vec![1.0_f32];
    for &ratio in &p.aspect_ratio {
        if ratios.iter().any(|&known| f64::from((ratio - known).abs()) < 1e-6) {
            continue;
        }
        ratios.push(ratio);
        if p.flip() {
            ratios.push(1.0 / ratio);
        }
    }
    ratios
}

fn code(code: prior_box_parameter::CodeType) -> BoxCode {
    match code {
        prior_box_parameter::CodeType::Corner => BoxCode::Corner,
        prior_box_parameter::CodeType::CenterSize => BoxCode::CenterSize,
        prior_box_parameter::CodeType::CornerSize => BoxCode::CornerSize,
    }
}

fn detection_output(layer: &LayerParameter) -> Result<DetectionOutputParams, String> {
    let p = given(layer.detection_output_param.as_deref());
    let nms = given(p.nms_param.as_ref());
    if nms.nms_threshold() < 0.0 || nms.nms_threshold().is_nan() {
        return Err(format!("`nms_threshold: {}` must be 0 or more", nms.nms_threshold()));
    }
    if !(nms.eta() > 0.0 && nms.eta() <= 1.0) {
        return Err(format!("`eta: {}` must be above 0 and at most 1", nms.eta()));
    }
    Ok(DetectionOutputParams {
        num_classes: positive("num_classes", p.num_classes())?,
        share_location: p.share_location(),
        background_label_id: p.background_label_id(),
        suppression: Suppression {
            threshold: nms.nms_threshold(),
            top_k: nms.top_k.and_then(|top_k| usize::try_from(top_k).ok()),
            eta: nms.eta(),
        },
        code: code(p.code_type()),
        variance_encoded_in_target: p.variance_encoded_in_target(),
        keep_top_k: usize::try_from(p.keep_top_k()).ok(),
        confidence_threshold: p.confidence_threshold,
    })
}

fn multi_box_loss(layer: &LayerParameter) -> Result<MultiBoxLossParams, String> {
    use multi_box_loss_parameter::{ConfLossType, LocLossType, MatchType as Match, MiningType};
    let p = given(layer.multibox_loss_param.as_deref());
    let num_classes = positive("num_classes", p.num_classes())?;
    let mining = match p.mining_type() {
        MiningType::None => Mining::None,
        MiningType::MaxNegative => Mining::MaxNegative,
        MiningType::HardExample => Mining::HardExample,
    };
    if let Some(neg) = p.do_neg_mining
        && neg != (mining != Mining::None)
    {
        return Err(format!(
            "`do_neg_mining: {neg}` and `mining_type: {}` contradict each other: remove the first",
            p.mining_type().as_str_name()
        ));
    }
    if mining != Mining::None && !p.share_location() {
        return Err("`share_location: false` takes `mining_type: NONE` only".to_owned());
    }
    let confidence = match p.conf_loss_type() {
        ConfLossType::Softmax => ConfidenceLoss::Softmax,
        ConfLossType::Logistic => ConfidenceLoss::Logistic,
    };
    let background_label_id = size("background_label_id", p.background_label_id())?;
    if confidence == ConfidenceLoss::Softmax && background_label_id >= num_classes {
        return Err(format!(
            "`background_label_id: {background_label_id}` is none of the `num_classes: {num_classes}`"
        ));
    }
    Ok(MultiBoxLossParams {
        location: match p.loc_loss_type() {
            LocLossType::L2 => LocationLoss::L2,
            LocLossType::SmoothL1 => LocationLoss::SmoothL1,
        },
        confidence,
        location_weight: p.loc_weight(),
        num_classes,
        share_location: p.share_location(),
        matching: match p.match_type() {
            Match::Bipartite => MatchType::Bipartite,
            Match::PerPrediction => MatchType::PerPrediction,
        },
        overlap_threshold: p.overlap_threshold(),
        use_prior_for_matching: p.use_prior_for_matching(),
        background_label_id,
        use_difficult_truth: p.use_difficult_gt(),
        mining,
        negative_ratio: p.neg_pos_ratio(),
        negative_overlap: p.neg_overlap(),
        code: code(p.code_type()),
        encode_variance_in_target: p.encode_variance_in_target(),
        loss: loss::loss(layer, Normalization::Valid),
    })
}

/// One factor wins over height and width; both factors lose to them.
fn interp(p: &InterpParameter) -> Result<InterpParams, String> {
    let pad = [p.pad_beg(), p.pad_end()];
    if pad.iter().any(|&pad| pad > 0) {
        return Err(format!("pad_beg and pad_end are {pad:?}; only cropping, 0 or less, is known"));
    }
    let one_factor = p.shrink_factor.is_some() != p.zoom_factor.is_some();
    let sized = p.height.is_some() && p.width.is_some();
    let extent = |field: &str, value: i32| {
        u32::try_from(value)
            .map_err(|_| format!("`{field}: {value}` must be positive"))
            .and_then(|value| positive(field, value))
    };
    let size = if sized && !one_factor {
        InterpSize::Fixed { height: extent("height", p.height())?, width: extent("width", p.width())? }
    } else if p.shrink_factor.is_some() || p.zoom_factor.is_some() {
        InterpSize::Factors {
            shrink: extent("shrink_factor", p.shrink_factor())?,
            zoom: extent("zoom_factor", p.zoom_factor())?,
        }
    } else {
        return Err(
            "the new size is missing: give height and width, or shrink_factor or zoom_factor".to_owned()
        );
    };
    Ok(InterpParams { size, pad })
}

/// The number of bottoms tells the two forks' layers apart. SegNet's default scale is 2.
fn upsample(layer: &LayerParameter) -> Result<UpsampleParams, String> {
    let p = given(layer.upsample_param.as_deref());
    let scale = |value: i32| {
        u32::try_from(value)
            .map_err(|_| format!("`scale: {value}` must be positive"))
            .and_then(|value| positive("scale", value))
    };
    if layer.bottom.len() < 2 {
        return Ok(UpsampleParams::Nearest { scale: scale(p.scale())? });
    }
    if let Some((height, width)) = p.upsample_h.zip(p.upsample_w) {
        if height < 2 || width < 2 {
            return Err(format!("upsample_h and upsample_w are {height} and {width}; both must be above 1"));
        }
        let size = [size("upsample_h", height)?, size("upsample_w", width)?];
        return Ok(UpsampleParams::Unpool { size: Some(size), scale: [1, 1], pad_out: [false, false] });
    }
    let scales = match (p.scale, p.scale_h, p.scale_w) {
        (both, None, None) => [scale(both.unwrap_or(2))?; 2],
        (None, Some(height), Some(width)) => [size("scale_h", height)?, size("scale_w", width)?],
        _ => return Err("give `scale` alone, or both scale_h and scale_w".to_owned()),
    };
    let pad_out = [p.pad_out_h(), p.pad_out_w()];
    for (scale, pad_out) in scales.into_iter().zip(pad_out) {
        if scale < 2 {
            return Err(format!("the scale is {scales:?}; both must be above 1"));
        }
        if pad_out && scale != 2 {
            return Err(format!("`pad_out_h` and `pad_out_w` are for a scale of 2, and it is {scales:?}"));
        }
    }
    Ok(UpsampleParams::Unpool { size: None, scale: scales, pad_out })
}
