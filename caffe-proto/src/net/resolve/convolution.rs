//! Layers with windows: convolutions and poolings.

use super::{Resolved, fillers, given, positive, size};
use crate::net::LayerKind;
use crate::net::params::{ConvolutionParams, PoolMethod, PoolingParams, Rounding, SppParams};
use crate::proto::{LayerParameter, PoolingParameter, pooling_parameter, spp_parameter};

/// Of Convolution, Deconvolution and the depthwise forks.
pub(super) fn convolution(layer: &LayerParameter, kind: fn(ConvolutionParams) -> LayerKind) -> Resolved {
    let p = given(layer.convolution_param.as_deref());
    let mut params = geometry(layer)?;
    params.num_output = positive("num_output", p.num_output())?;
    params.group = positive("group", p.group())?;
    if !params.num_output.is_multiple_of(params.group) {
        return Err(format!(
            "`num_output: {}` is no multiple of `group: {}`: each group makes the same number of channels",
            params.num_output, params.group
        ));
    }
    Ok((kind(params), fillers(p.bias_term(), p.weight_filler.as_ref(), p.bias_filler.as_ref())?))
}

/// The windows of a convolution; the two-dimensional spelling (`kernel_h`, `kernel_w`…) becomes a list of two.
pub(super) fn geometry(layer: &LayerParameter) -> Result<ConvolutionParams, String> {
    let p = given(layer.convolution_param.as_deref());
    let kernel = axes("kernel_size", "kernel", &p.kernel_size, p.kernel_h, p.kernel_w)?;
    if kernel.is_empty() {
        return Err("`kernel_size` is missing: give it, or kernel_h and kernel_w".to_owned());
    }
    let stride = axes("stride", "stride", &p.stride, p.stride_h, p.stride_w)?;
    for (field, values) in [("kernel_size", &kernel), ("stride", &stride)] {
        if values.contains(&0) {
            return Err(format!("`{field}` is {values:?}; no value may be 0 or left out"));
        }
    }
    Ok(ConvolutionParams {
        num_output: 0,
        group: 1,
        bias_term: p.bias_term(),
        axis: p.axis(),
        kernel,
        stride,
        pad: axes("pad", "pad", &p.pad, p.pad_h, p.pad_w)?,
        dilation: sizes("dilation", &p.dilation)?,
    })
}

/// Of Pooling. Mainline's `round_mode` and the forks' `ceil_mode` say the same thing in two ways.
pub(super) fn pooling(layer: &LayerParameter) -> Result<PoolingParams, String> {
    let p = given(layer.pooling_param.as_deref());
    let params = PoolingParams {
        method: match p.pool() {
            pooling_parameter::PoolMethod::Max => PoolMethod::Max,
            pooling_parameter::PoolMethod::Ave => PoolMethod::Average,
            pooling_parameter::PoolMethod::Stochastic => PoolMethod::Stochastic,
        },
        kernel: window(&p)?,
        stride: pair("stride", p.stride, p.stride_h, p.stride_w, 1)?,
        pad: pair("pad", p.pad, p.pad_h, p.pad_w, 0)?,
        rounding: rounding(&p)?,
    };
    if params.stride.contains(&0) {
        return Err(format!("`stride` is {:?}; no value may be 0", params.stride));
    }
    if params.kernel.is_none() && (params.pad != [0, 0] || params.stride != [1, 1]) {
        return Err(format!(
            "`global_pooling: true` with pad {:?} and stride {:?}; it takes pad 0 and stride 1 only: remove them",
            params.pad, params.stride
        ));
    }
    check_pad(&params)?;
    Ok(params)
}

/// Pads are for max and average pooling, and smaller than the window.
pub(in crate::net) fn check_pad(params: &PoolingParams) -> Result<(), String> {
    if params.pad == [0, 0] {
        return Ok(());
    }
    if params.method == PoolMethod::Stochastic {
        return Err(format!("`pad` is {:?}; stochastic pooling takes none", params.pad));
    }
    match params.kernel {
        Some(kernel) if params.pad[0] >= kernel[0] || params.pad[1] >= kernel[1] => {
            Err(format!("`pad` is {:?} and the window {kernel:?}; a pad must be smaller", params.pad))
        }
        _ => Ok(()),
    }
}

/// Of SPP.
pub(super) fn spp(layer: &LayerParameter) -> Result<SppParams, String> {
    let p = given(layer.spp_param.as_deref());
    Ok(SppParams {
        pyramid_height: positive("pyramid_height", p.pyramid_height())?,
        method: match p.pool() {
            spp_parameter::PoolMethod::Max => PoolMethod::Max,
            spp_parameter::PoolMethod::Ave => PoolMethod::Average,
            spp_parameter::PoolMethod::Stochastic => PoolMethod::Stochastic,
        },
    })
}

/// A field that is a list, or its two-dimensional spelling; of the latter's halves the missing one is 0.
fn axes(
    field: &str,
    stem: &str,
    list: &[u32],
    vertical: Option<u32>,
    horizontal: Option<u32>,
) -> Result<Vec<usize>, String> {
    if vertical.is_none() && horizontal.is_none() {
        return sizes(field, list);
    }
    if !list.is_empty() {
        return Err(format!(
            "both `{field}: {list:?}` and `{stem}_h` or `{stem}_w` are given: remove one spelling"
        ));
    }
    sizes(field, &[vertical.unwrap_or(0), horizontal.unwrap_or(0)])
}

fn sizes(field: &str, list: &[u32]) -> Result<Vec<usize>, String> {
    list.iter().map(|&value| size(field, value)).collect()
}

/// Caffe lets `kernel_size` win over half of a pair, and refuses it beside a whole one.
fn window(p: &PoolingParameter) -> Result<Option<[usize; 2]>, String> {
    let pair = p.kernel_h.zip(p.kernel_w);
    if p.global_pooling() {
        if p.kernel_size.is_some() || p.kernel_h.is_some() || p.kernel_w.is_some() {
            return Err(
                "`global_pooling: true` beside a kernel size; its window is the image: remove one".to_owned()
            );
        }
        return Ok(None);
    }
    let [height, width] = match (p.kernel_size, pair) {
        (Some(side), None) => [side, side],
        (None, Some((height, width))) => [height, width],
        (Some(side), Some(pair)) => {
            return Err(format!(
                "both `kernel_size: {side}` and kernel_h, kernel_w {pair:?} are given: remove one spelling"
            ));
        }
        (None, None) => {
            return Err("`kernel_size` is missing: give it, or both kernel_h and kernel_w".to_owned());
        }
    };
    Ok(Some([positive("kernel_size", height)?, positive("kernel_size", width)?]))
}

fn pair(
    field: &str,
    both: Option<u32>,
    vertical: Option<u32>,
    horizontal: Option<u32>,
    default: u32,
) -> Result<[usize; 2], String> {
    match (both, vertical, horizontal) {
        (_, None, None) => {
            let both = size(field, both.unwrap_or(default))?;
            Ok([both, both])
        }
        (None, Some(vertical), Some(horizontal)) => Ok([size(field, vertical)?, size(field, horizontal)?]),
        _ => Err(format!("give `{field}` alone, or both {field}_h and {field}_w")),
    }
}

fn rounding(p: &PoolingParameter) -> Result<Rounding, String> {
    let mainline = match p.round_mode() {
        pooling_parameter::RoundMode::Ceil => Rounding::Ceil,
        pooling_parameter::RoundMode::Floor => Rounding::Floor,
    };
    let Some(ceil_mode) = p.ceil_mode else { return Ok(mainline) };
    let fork = if ceil_mode { Rounding::Ceil } else { Rounding::Floor };
    if p.round_mode.is_some() && mainline != fork {
        return Err(format!(
            "`round_mode: {}` and `ceil_mode: {ceil_mode}` contradict each other: remove one",
            p.round_mode().as_str_name()
        ));
    }
    Ok(fork)
}
