//! Losses and Accuracy.

use super::{given, size};
use crate::net::LayerKind;
use crate::net::params::{
    AccuracyParams, ContrastiveLossParams, HingeNorm, InfogainLossParams, LossParams, Normalization,
    SoftmaxLossParams,
};
use crate::proto::{LayerParameter, hinge_loss_parameter, loss_parameter};

/// The kind, when it is one of these.
pub(super) fn kind(layer: &LayerParameter) -> Result<Option<LayerKind>, String> {
    Ok(Some(match layer.r#type() {
        "SoftmaxWithLoss" => LayerKind::SoftmaxWithLoss(SoftmaxLossParams {
            axis: given(layer.softmax_param.as_deref()).axis(),
            loss: loss(layer, Normalization::Valid),
        }),
        "EuclideanLoss" => LayerKind::EuclideanLoss,
        "HingeLoss" => LayerKind::HingeLoss {
            norm: match given(layer.hinge_loss_param.as_deref()).norm() {
                hinge_loss_parameter::Norm::L1 => HingeNorm::L1,
                hinge_loss_parameter::Norm::L2 => HingeNorm::L2,
            },
        },
        "SigmoidCrossEntropyLoss" => {
            LayerKind::SigmoidCrossEntropyLoss(loss(layer, Normalization::BatchSize))
        }
        "ContrastiveLoss" => {
            let p = given(layer.contrastive_loss_param.as_deref());
            LayerKind::ContrastiveLoss(ContrastiveLossParams {
                margin: p.margin(),
                legacy_version: p.legacy_version(),
            })
        }
        "InfogainLoss" => LayerKind::InfogainLoss(infogain(layer)?),
        "MultinomialLogisticLoss" => LayerKind::MultinomialLogisticLoss,
        "SmoothL1Loss" => LayerKind::SmoothL1Loss { sigma: sigma(layer)? },
        "Accuracy" => {
            let p = given(layer.accuracy_param.as_deref());
            LayerKind::Accuracy(AccuracyParams {
                top_k: size("top_k", p.top_k())?,
                axis: p.axis(),
                ignore_label: p.ignore_label,
            })
        }
        _ => return Ok(None),
    }))
}

/// Ignored label and divisor. The older `normalize` (true: VALID, false: BATCH_SIZE) counts when `normalization` is not
/// written.
pub(super) fn loss(layer: &LayerParameter, default: Normalization) -> LossParams {
    let p = given(layer.loss_param.as_deref());
    let normalization = match (p.normalization, p.normalize) {
        (Some(_), _) => match p.normalization() {
            loss_parameter::NormalizationMode::Full => Normalization::Full,
            loss_parameter::NormalizationMode::Valid => Normalization::Valid,
            loss_parameter::NormalizationMode::BatchSize => Normalization::BatchSize,
            loss_parameter::NormalizationMode::None => Normalization::None,
        },
        (None, Some(true)) => Normalization::Valid,
        (None, Some(false)) => Normalization::BatchSize,
        (None, None) => default,
    };
    LossParams { ignore_label: p.ignore_label, normalization }
}

fn infogain(layer: &LayerParameter) -> Result<InfogainLossParams, String> {
    let p = given(layer.infogain_loss_param.as_deref());
    if given(layer.loss_param.as_deref()).normalize.is_some() {
        return Err("`normalize` is not taken here: write `normalization`".to_owned());
    }
    if layer.bottom.len() < 3 && p.source.is_none() {
        return Err("the matrix is missing: give `source`, or a third bottom".to_owned());
    }
    Ok(InfogainLossParams { axis: p.axis(), source: p.source, loss: loss(layer, Normalization::Valid) })
}

/// Fast R-CNN's sigma. caffe-windows has `turn_point` in its place, another curve unless it is 1.
fn sigma(layer: &LayerParameter) -> Result<f32, String> {
    match layer.smoothl1_param.as_deref() {
        Some(p) if p.turn_point().total_cmp(&1.0).is_ne() => {
            Err(format!("`turn_point: {}` is caffe-windows' own curve; only 1 is known", p.turn_point()))
        }
        _ => Ok(given(layer.smooth_l1_loss_param.as_deref()).sigma()),
    }
}
