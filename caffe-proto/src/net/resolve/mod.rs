//! From a layer's definition to its [`LayerKind`]: defaults filled in, older spellings translated, contradictions
//! refused.

mod arrange;
mod convolution;
pub(super) use convolution::check_pad;
mod data;
mod detection;
mod loss;

use super::params::{BatchNormParams, EmbedParams, InnerProductParams, RecurrentParams, ScaleParams};
use super::params::{ExponentialParams, LrnParams, LrnRegion, MvnParams, PowerParams};
use super::{Filler, LayerKind};
use crate::proto::{FillerParameter, LayerParameter, lrn_parameter};

/// A type with its parameters, and the fillers of its blobs; or what is wrong.
pub(super) type Resolved = Result<(LayerKind, Vec<Filler>), String>;

/// Resolves a layer by its type's name.
pub(super) fn kind(layer: &LayerParameter) -> Resolved {
    let plain = |kind| Ok((kind, Vec::new()));
    match layer.r#type() {
        "Convolution" => convolution::convolution(layer, LayerKind::Convolution),
        "Deconvolution" => convolution::convolution(layer, LayerKind::Deconvolution),
        "DepthwiseConvolution" | "ConvolutionDepthwise" | "DepthwiseConv" => {
            convolution::convolution(layer, LayerKind::DepthwiseConvolution)
        }
        "Im2col" => plain(LayerKind::Im2col(convolution::geometry(layer)?)),
        "Pooling" => plain(LayerKind::Pooling(convolution::pooling(layer)?)),
        "SPP" => plain(LayerKind::Spp(convolution::spp(layer)?)),
        "InnerProduct" => inner_product(layer),
        "Embed" => embed(layer),
        "LRN" => plain(LayerKind::Lrn(lrn(layer)?)),
        "BatchNorm" => Ok(batch_norm(layer)?),
        "MVN" => plain(LayerKind::Mvn(mvn(layer))),
        "Scale" => scale(layer),
        "Bias" => bias(layer),
        "PReLU" => {
            let p = given(layer.prelu_param.as_deref());
            let filler = Filler::resolve(p.filler.as_ref(), Filler::Constant(0.25))?;
            Ok((LayerKind::PReLU { channel_shared: p.channel_shared() }, vec![filler]))
        }
        "ReLU" => {
            plain(LayerKind::ReLU { negative_slope: given(layer.relu_param.as_deref()).negative_slope() })
        }
        // MobileNet-YOLO's relu6_layer.cpp knows a slope, min(max(x, 0) + slope · min(x, 0), 6); the others do not.
        "ReLU6" => match given(layer.relu6_param.as_deref()).negative_slope() {
            0.0 => plain(LayerKind::ReLU6),
            slope => Err(format!("`negative_slope: {slope}` is not known here: give ReLU, then Clip")),
        },
        "ELU" => plain(LayerKind::Elu { alpha: given(layer.elu_param.as_deref()).alpha() }),
        "Sigmoid" => plain(LayerKind::Sigmoid),
        "TanH" => plain(LayerKind::TanH),
        "AbsVal" => plain(LayerKind::AbsVal),
        "BNLL" => plain(LayerKind::Bnll),
        "Power" => {
            let p = given(layer.power_param.as_deref());
            plain(LayerKind::Power(PowerParams { power: p.power(), scale: p.scale(), shift: p.shift() }))
        }
        "Exp" => {
            let p = given(layer.exp_param.as_deref());
            plain(LayerKind::Exp(exponential(p.base(), p.scale(), p.shift())?))
        }
        "Log" => {
            let p = given(layer.log_param.as_deref());
            if p.base().total_cmp(&1.0).is_eq() {
                return Err("`base: 1` has no logarithm: give another, or -1 for e".to_owned());
            }
            plain(LayerKind::Log(exponential(p.base(), p.scale(), p.shift())?))
        }
        "Clip" => match layer.clip_param.as_deref() {
            Some(p) => plain(LayerKind::Clip { min: p.min, max: p.max }),
            None => Err("`clip_param { min: … max: … }` is missing".to_owned()),
        },
        "Swish" => plain(LayerKind::Swish { beta: given(layer.swish_param.as_deref()).beta() }),
        "Threshold" => {
            plain(LayerKind::Threshold { threshold: given(layer.threshold_param.as_deref()).threshold() })
        }
        "Dropout" => {
            plain(LayerKind::Dropout { ratio: given(layer.dropout_param.as_deref()).dropout_ratio() })
        }
        "Softmax" => plain(LayerKind::Softmax { axis: given(layer.softmax_param.as_deref()).axis() }),
        "LSTM" => recurrent(layer, LayerKind::Lstm, 2),
        "LSTMUnit" => plain(LayerKind::LstmUnit),
        "RNN" => recurrent(layer, LayerKind::Rnn, 1),
        "Split" => plain(LayerKind::Split),
        "BatchReindex" => plain(LayerKind::BatchReindex),
        "Filter" => plain(LayerKind::Filter),
        "Silence" => plain(LayerKind::Silence),
        other => {
            if let Some(kind) = arrange::kind(layer)? {
                return plain(kind);
            }
            if let Some(kind) = loss::kind(layer)? {
                return plain(kind);
            }
            if let Some(kind) = data::kind(layer)? {
                return plain(kind);
            }
            Ok(detection::kind(layer)?
                .unwrap_or_else(|| (LayerKind::Unsupported(other.to_owned()), Vec::new())))
        }
    }
}

/// A message's value, or all its defaults.
fn given<T: Clone + Default>(message: Option<&T>) -> T {
    message.cloned().unwrap_or_default()
}

/// An unsigned field as an extent. Caffe keeps these in 32-bit signed integers.
fn size(field: &str, value: u32) -> Result<usize, String> {
    match i32::try_from(value) {
        Ok(_) => Ok(value as usize),
        Err(_) => Err(format!("`{field}: {value}` is too large: {} is the most", i32::MAX)),
    }
}

/// An extent that cannot be zero.
fn positive(field: &str, value: u32) -> Result<usize, String> {
    match size(field, value)? {
        0 => Err(format!("`{field}` is missing or 0: give it a positive value")),
        value => Ok(value),
    }
}

fn fillers(
    bias_term: bool,
    weight: Option<&FillerParameter>,
    bias: Option<&FillerParameter>,
) -> Result<Vec<Filler>, String> {
    let mut fillers = vec![Filler::resolve(weight, Filler::zero())?];
    if bias_term {
        fillers.push(Filler::resolve(bias, Filler::zero())?);
    }
    Ok(fillers)
}

fn inner_product(layer: &LayerParameter) -> Resolved {
    let p = given(layer.inner_product_param.as_deref());
    let params = InnerProductParams {
        num_output: positive("num_output", p.num_output())?,
        bias_term: p.bias_term(),
        axis: p.axis(),
        transpose: p.transpose(),
    };
    let fillers = fillers(p.bias_term(), p.weight_filler.as_ref(), p.bias_filler.as_ref())?;
    Ok((LayerKind::InnerProduct(params), fillers))
}

fn embed(layer: &LayerParameter) -> Resolved {
    let p = given(layer.embed_param.as_deref());
    let params = EmbedParams {
        num_output: positive("num_output", p.num_output())?,
        input_dim: positive("input_dim", p.input_dim())?,
        bias_term: p.bias_term(),
    };
    let fillers = fillers(p.bias_term(), p.weight_filler.as_ref(), p.bias_filler.as_ref())?;
    Ok((LayerKind::Embed(params), fillers))
}

fn lrn(layer: &LayerParameter) -> Result<LrnParams, String> {
    let p = given(layer.lrn_param.as_deref());
    let local_size = size("local_size", p.local_size())?;
    if local_size.is_multiple_of(2) {
        return Err(format!("`local_size: {local_size}` is even; the window has a middle: use an odd one"));
    }
    Ok(LrnParams {
        local_size,
        alpha: p.alpha(),
        beta: p.beta(),
        k: p.k(),
        region: match p.norm_region() {
            lrn_parameter::NormRegion::AcrossChannels => LrnRegion::AcrossChannels,
            lrn_parameter::NormRegion::WithinChannel => LrnRegion::WithinChannel,
        },
    })
}

/// NVIDIA/caffe takes either filler for a wish to have scale and shift.
fn batch_norm(layer: &LayerParameter) -> Resolved {
    let p = given(layer.batch_norm_param.as_deref());
    let scale_bias = p.scale_bias() || p.scale_filler.is_some() || p.bias_filler.is_some();
    let params = BatchNormParams {
        use_global_stats: p.use_global_stats,
        moving_average_fraction: p.moving_average_fraction(),
        eps: p.eps(),
        scale_bias,
    };
    let mut fillers = vec![Filler::zero(); 3];
    if scale_bias {
        fillers.push(Filler::resolve(p.scale_filler.as_ref(), Filler::Constant(1.0))?);
        fillers.push(Filler::resolve(p.bias_filler.as_ref(), Filler::zero())?);
    }
    Ok((LayerKind::BatchNorm(params), fillers))
}

fn mvn(layer: &LayerParameter) -> MvnParams {
    let p = given(layer.mvn_param.as_deref());
    MvnParams {
        normalize_variance: p.normalize_variance(),
        across_channels: p.across_channels(),
        eps: p.eps(),
    }
}

fn scale(layer: &LayerParameter) -> Resolved {
    let p = given(layer.scale_param.as_deref());
    check_num_axes(p.num_axes())?;
    let mut fillers = Vec::new();
    if layer.bottom.len() <= 1 {
        fillers.push(Filler::resolve(p.filler.as_ref(), Filler::Constant(1.0))?);
    }
    if p.bias_term() {
        fillers.push(Filler::resolve(p.bias_filler.as_ref(), Filler::zero())?);
    }
    let params = ScaleParams { axis: p.axis(), num_axes: p.num_axes(), bias_term: p.bias_term() };
    Ok((LayerKind::Scale(params), fillers))
}

fn bias(layer: &LayerParameter) -> Resolved {
    let p = given(layer.bias_param.as_deref());
    check_num_axes(p.num_axes())?;
    let mut fillers = Vec::new();
    if layer.bottom.len() <= 1 {
        fillers.push(Filler::resolve(p.filler.as_ref(), Filler::zero())?);
    }
    let params = ScaleParams { axis: p.axis(), num_axes: p.num_axes(), bias_term: false };
    Ok((LayerKind::Bias(params), fillers))
}

fn check_num_axes(num_axes: i32) -> Result<(), String> {
    if num_axes < -1 {
        return Err(format!("`num_axes: {num_axes}` must be 0 or more, or -1 for all that are left"));
    }
    Ok(())
}

fn exponential(base: f32, scale: f32, shift: f32) -> Result<ExponentialParams, String> {
    let is_e = base.total_cmp(&-1.0).is_eq();
    let log = if is_e { 1.0 } else { base.ln() };
    if !log.is_finite() {
        return Err(format!("`base: {base}` must be above 0, or -1 for e"));
    }
    Ok(ExponentialParams { base: (!is_e).then_some(base), scale, shift })
}

fn recurrent(layer: &LayerParameter, kind: fn(RecurrentParams) -> LayerKind, states: usize) -> Resolved {
    let p = given(layer.recurrent_param.as_deref());
    let params = RecurrentParams {
        num_output: positive("num_output", p.num_output())?,
        expose_hidden: p.expose_hidden(),
    };
    let weight = Filler::resolve(p.weight_filler.as_ref(), Filler::zero())?;
    let bias = Filler::resolve(p.bias_filler.as_ref(), Filler::zero())?;
    let mut fillers = vec![weight.clone(), bias.clone()];
    if params.has_static_input(layer.bottom.len(), states) {
        fillers.push(weight.clone());
    }
    fillers.push(weight.clone());
    // Of these two kinds only RNN has a second product, from the state to the output.
    if states == 1 {
        fillers.extend([weight, bias]);
    }
    Ok((kind(params), fillers))
}
