//! Layers that bring values to a common scale.

use caffe_proto::net::params::{self, BatchNormParams, LrnParams, MvnParams, NormalizeParams};
use kernels::{AxisGeometry, LrnGeometry, LrnRegion, NormalizeGeometry, RowsGeometry};

use super::folding::{Affine, statistics_factor};
use super::frame::{Make, Operation, one_top};
use super::{axis, count, extents, image, uses_stored_statistics};
use crate::error::Result;
use crate::plan::Step;

/// N×C×H×W → the same.
pub(super) fn lrn(make: &Make<'_>, step: &Step, p: &LrnParams) -> Box<dyn Operation> {
    let geometry = LrnGeometry {
        size: p.local_size as u32,
        alpha: p.alpha,
        beta: p.beta,
        k: p.k,
        region: match p.region {
            params::LrnRegion::AcrossChannels => LrnRegion::AcrossChannels,
            params::LrnRegion::WithinChannel => LrnRegion::WithinChannel,
        },
        ..LrnGeometry::new(image(&make.shapes(step).bottoms[0]))
    };
    one_top(move |inputs, top| inputs.backend.lrn_forward(&geometry, inputs.get(0), top))
}

/// N×C×… → the same, by stored statistics or the batch's own; with Scale and Bias layers that follow, if folded.
pub(super) fn batch_norm(make: &Make<'_>, step: &Step, p: &BatchNormParams) -> Result<Box<dyn Operation>> {
    let shape = extents(&make.shapes(step).bottoms[0]);
    let geometry = AxisGeometry::around(&shape, 1, 2);
    let channels = geometry.axis as usize;
    let eps = p.eps;
    if !uses_stored_statistics(make.layer(step)) {
        return batch_statistics(make, step, p, geometry);
    }
    if p.scale_bias || !step.folded.is_empty() {
        let mut affine = Affine::identity(channels);
        affine.then(make, step.layer)?;
        for &layer in &step.folded {
            affine.then(make, layer)?;
        }
        let (factor, term) = (make.buffer(affine.factors())?, make.buffer(affine.terms())?);
        return Ok(one_top(move |inputs, top| {
            inputs.backend.scale_forward(&geometry, inputs.or_in_place(0), Some(&factor), Some(&term), top)
        }));
    }
    let (mean, variance) = (make.param(step.layer, 0)?, make.param(step.layer, 1)?);
    let factor = statistics_factor(&make.values(step.layer, 2)?);
    Ok(one_top(move |inputs, top| {
        let x = inputs.or_in_place(0);
        inputs.backend.batch_normalization_forward_inference(&geometry, x, &mean, &variance, factor, eps, top)
    }))
}

/// N…, seen as N×C×H×W → N×C×H×W.
pub(super) fn mvn(make: &Make<'_>, step: &Step, p: &MvnParams) -> Box<dyn Operation> {
    let [num, channels, height, width] = image(&make.shapes(step).bottoms[0]);
    let geometry = if p.across_channels {
        RowsGeometry { rows: num, length: channels * height * width }
    } else {
        RowsGeometry { rows: num * channels, length: height * width }
    };
    let (normalize_variance, eps) = (p.normalize_variance, p.eps);
    one_top(move |inputs, top| {
        inputs.backend.mvn_forward(&geometry, normalize_variance, eps, inputs.get(0), top)
    })
}

/// N×C×… → the same.
pub(super) fn normalize(make: &Make<'_>, step: &Step, p: &NormalizeParams) -> Result<Box<dyn Operation>> {
    let bottom = &make.shapes(step).bottoms[0];
    let scale = make.param(step.layer, 0)?;
    let geometry = NormalizeGeometry {
        batch: bottom[0] as u32,
        channels: bottom[1] as u32,
        inner: count(&bottom[2..]),
        across_spatial: p.across_spatial,
        channel_shared: p.channel_shared,
        eps: p.eps,
    };
    Ok(one_top(move |inputs, top| inputs.backend.normalize_forward(&geometry, inputs.get(0), &scale, top)))
}

/// Any shape → the same.
pub(super) fn softmax(make: &Make<'_>, step: &Step, along: i32) -> Box<dyn Operation> {
    let shape = extents(&make.shapes(step).bottoms[0]);
    let along = axis(along, shape.len());
    let geometry = AxisGeometry::around(&shape, along, along + 1);
    one_top(move |inputs, top| inputs.backend.softmax_forward(&geometry, inputs.or_in_place(0), top))
}

/// By the batch's own mean and variance; the stored ones stay as they are.
fn batch_statistics(
    make: &Make<'_>,
    step: &Step,
    p: &BatchNormParams,
    geometry: AxisGeometry,
) -> Result<Box<dyn Operation>> {
    let channels = geometry.axis as usize;
    let (mut mean, mut variance) = (make.backend.allocate(channels)?, make.backend.allocate(channels)?);
    let eps = p.eps;
    let affine =
        if p.scale_bias { Some((make.param(step.layer, 3)?, make.param(step.layer, 4)?)) } else { None };
    Ok(one_top(move |inputs, top| {
        let x = inputs.get(0);
        inputs.backend.batch_normalization_forward_training(
            &geometry,
            x,
            eps,
            top,
            &mut mean,
            &mut variance,
        )?;
        match &affine {
            Some((scale, shift)) => {
                inputs.backend.scale_forward(&geometry, None, Some(scale), Some(shift), top)
            }
            None => Ok(()),
        }
    }))
}
