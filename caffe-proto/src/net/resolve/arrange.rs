//! Layers that combine, move or reduce values.

use super::{given, positive, size};
use crate::net::LayerKind;
use crate::net::params::{
    ArgMaxParams, CropParams, EltwiseOperation, EltwiseParams, FlattenParams, ReductionOperation,
    ReductionParams, ReshapeParams, SliceParams, TileParams,
};
use crate::proto::{LayerParameter, eltwise_parameter, reduction_parameter};

/// The kind, when it is one of these.
pub(super) fn kind(layer: &LayerParameter) -> Result<Option<LayerKind>, String> {
    Ok(Some(match layer.r#type() {
        "Eltwise" => LayerKind::Eltwise(eltwise(layer)?),
        "Concat" => {
            let p = given(layer.concat_param.as_deref());
            LayerKind::Concat { axis: axis(p.axis, p.axis(), "concat_dim", p.concat_dim)? }
        }
        "Slice" => {
            let p = given(layer.slice_param.as_deref());
            LayerKind::Slice(SliceParams {
                axis: axis(p.axis, p.axis(), "slice_dim", p.slice_dim)?,
                points: p.slice_point.iter().map(|&at| size("slice_point", at)).collect::<Result<_, _>>()?,
            })
        }
        "Crop" => {
            let p = given(layer.crop_param.as_deref());
            LayerKind::Crop(CropParams {
                axis: p.axis(),
                offsets: p.offset.iter().map(|&at| size("offset", at)).collect::<Result<_, _>>()?,
            })
        }
        "Reshape" => {
            let p = given(layer.reshape_param.as_deref());
            LayerKind::Reshape(ReshapeParams {
                axis: p.axis(),
                num_axes: p.num_axes(),
                dims: p.shape.map(|shape| shape.dim).unwrap_or_default(),
            })
        }
        "Flatten" => {
            let p = given(layer.flatten_param.as_deref());
            LayerKind::Flatten(FlattenParams { axis: p.axis(), end_axis: p.end_axis() })
        }
        "Tile" => {
            let p = given(layer.tile_param.as_deref());
            let tiles =
                u32::try_from(p.tiles()).map_err(|_| format!("`tiles: {}` must be positive", p.tiles()))?;
            LayerKind::Tile(TileParams { axis: p.axis(), tiles: positive("tiles", tiles)? })
        }
        "Reduction" => {
            let p = given(layer.reduction_param.as_deref());
            LayerKind::Reduction(ReductionParams {
                operation: match p.operation() {
                    reduction_parameter::ReductionOp::Sum => ReductionOperation::Sum,
                    reduction_parameter::ReductionOp::Asum => ReductionOperation::AbsoluteSum,
                    reduction_parameter::ReductionOp::Sumsq => ReductionOperation::SquareSum,
                    reduction_parameter::ReductionOp::Mean => ReductionOperation::Mean,
                },
                axis: p.axis(),
                coefficient: p.coeff(),
            })
        }
        "ArgMax" => {
            let p = given(layer.argmax_param.as_deref());
            LayerKind::ArgMax(ArgMaxParams {
                out_max_val: p.out_max_val(),
                top_k: positive("top_k", p.top_k())?,
                axis: p.axis,
            })
        }
        "Parameter" => {
            let p = given(layer.parameter_param.as_deref());
            LayerKind::Parameter { shape: p.shape.map(|shape| shape.dim).unwrap_or_default() }
        }
        _ => return Ok(None),
    }))
}

fn eltwise(layer: &LayerParameter) -> Result<EltwiseParams, String> {
    let p = given(layer.eltwise_param.as_deref());
    let operation = match p.operation() {
        eltwise_parameter::EltwiseOp::Prod => EltwiseOperation::Product,
        eltwise_parameter::EltwiseOp::Sum => EltwiseOperation::Sum,
        eltwise_parameter::EltwiseOp::Max => EltwiseOperation::Max,
    };
    if !p.coeff.is_empty() {
        if operation == EltwiseOperation::Product {
            return Err(format!("`operation: PROD` has `coeff: {:?}`; only SUM takes coefficients", p.coeff));
        }
        if p.coeff.len() != layer.bottom.len() {
            return Err(format!(
                "`coeff` has {} values for {} bottoms: give one a bottom, or none",
                p.coeff.len(),
                layer.bottom.len()
            ));
        }
    }
    Ok(EltwiseParams { operation, stable_product_gradient: p.stable_prod_grad(), coefficients: p.coeff })
}

/// `axis`, or the older field that cannot be negative.
fn axis(given: Option<i32>, axis: i32, old_name: &str, old: Option<u32>) -> Result<i32, String> {
    match (given, old) {
        (_, None) => Ok(axis),
        (Some(_), Some(old)) => {
            Err(format!("both `axis: {axis}` and `{old_name}: {old}` are given: remove one"))
        }
        (None, Some(old)) => Ok(size(old_name, old)? as i32),
    }
}
