//! Layers that bring values to a common scale.

use caffe_proto::net::params::{self, BatchNormParams, LrnParams, MvnParams, NormalizeParams};
use kernels::{AxisGeometry, Buffer, LrnGeometry, LrnRegion, NormalizeGeometry, RowsGeometry};

use super::folding::Affine;
use super::frame::{Frame, Of, Operation, at_least, one_top, one_top_with_gradient};
use super::make::Make;
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
    one_top_with_gradient(
        move |inputs, top| inputs.backend.lrn_forward(&geometry, inputs.get(0), top),
        move |frame| {
            frame.overwrite(Of::Bottom(0), |inputs, dx| {
                inputs.backend.lrn_backward(&geometry, inputs.get(0), inputs.top_gradient(0), dx)
            })
        },
    )
}

/// N×C×… → the same, by stored statistics or the batch's own; with Scale and Bias layers that follow, if folded.
pub(super) fn batch_norm(make: &Make<'_>, step: &Step, p: &BatchNormParams) -> Result<Box<dyn Operation>> {
    let shape = extents(&make.shapes(step).bottoms[0]);
    let geometry = AxisGeometry::around(&shape, 1, 2);
    let channels = geometry.axis as usize;
    let eps = p.eps;
    if make.training {
        return Ok(Box::new(TrainedBatchNorm {
            geometry,
            eps,
            fraction: p.moving_average_fraction,
            affine: p.scale_bias,
            stored: uses_stored_statistics(make.layer(step)),
            mean: make.backend.allocate(channels)?,
            variance: make.backend.allocate(channels)?,
            one: make.buffer(vec![1.0])?,
            normalized: make.backend.allocate(0)?,
        }));
    }
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
    let weight = make.param(step.layer, 2)?;
    Ok(one_top(move |inputs, top| {
        let x = inputs.or_in_place(0);
        inputs
            .backend
            .batch_normalization_forward_inference(&geometry, x, &mean, &variance, &weight, eps, top)
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
    one_top_with_gradient(
        move |inputs, top| inputs.backend.mvn_forward(&geometry, normalize_variance, eps, inputs.get(0), top),
        move |frame| {
            frame.overwrite(Of::Bottom(0), |inputs, dx| {
                let (x, dy) = (inputs.get(0), inputs.top_gradient(0));
                inputs.backend.mvn_backward(&geometry, normalize_variance, eps, x, dy, dx)
            })
        },
    )
}

/// N×C×… → the same.
pub(super) fn normalize(make: &Make<'_>, step: &Step, p: &NormalizeParams) -> Result<Box<dyn Operation>> {
    let bottom = &make.shapes(step).bottoms[0];
    let scale = make.weight(step.layer, 0)?;
    let geometry = NormalizeGeometry {
        batch: bottom[0] as u32,
        channels: bottom[1] as u32,
        inner: count(&bottom[2..]),
        across_spatial: p.across_spatial,
        channel_shared: p.channel_shared,
        eps: p.eps,
    };
    Ok(one_top_with_gradient(
        move |inputs, top| inputs.backend.normalize_forward(&geometry, inputs.get(0), scale.get(inputs), top),
        move |frame| {
            frame.add(Of::Param(0), |inputs, dscale| {
                let (y, scale, dy) = (inputs.top(0), inputs.param(0), inputs.top_gradient(0));
                inputs.backend.normalize_backward_scale(&geometry, y, scale, dy, dscale)
            })?;
            frame.overwrite(Of::Bottom(0), |inputs, dx| {
                let (x, scale, dy) = (inputs.get(0), inputs.param(0), inputs.top_gradient(0));
                inputs.backend.normalize_backward(&geometry, x, scale, dy, dx)
            })
        },
    ))
}

/// Any shape → the same.
pub(super) fn softmax(make: &Make<'_>, step: &Step, along: i32) -> Box<dyn Operation> {
    let shape = extents(&make.shapes(step).bottoms[0]);
    let along = axis(along, shape.len());
    let geometry = AxisGeometry::around(&shape, along, along + 1);
    one_top_with_gradient(
        move |inputs, top| inputs.backend.softmax_forward(&geometry, inputs.or_in_place(0), top),
        move |frame| {
            frame.overwrite(Of::Bottom(0), |inputs, dx| {
                inputs.backend.softmax_backward(&geometry, inputs.top(0), Some(inputs.top_gradient(0)), dx)
            })
        },
    )
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

/// BatchNorm in training. By the batch's statistics, which are gathered; by the stored ones where the layer says so, or is
/// frozen, which is how Caffe's users hold it.
///
/// Gathered as batch_norm_layer.cpp does: `b₂ ← b₂·m + 1`, `b₀ ← b₀·m + mean`, `b₁ ← b₁·m + variance·M/(M − 1)`, M being the
/// values of a channel and m the `moving_average_fraction`.
struct TrainedBatchNorm {
    geometry: AxisGeometry,
    eps: f32,
    fraction: f32,
    /// Whether blobs 3 and 4 are a factor and a term.
    affine: bool,
    stored: bool,
    mean: Buffer,
    variance: Buffer,
    /// The number, where it can be added.
    one: Buffer,
    /// Before the factor and the term.
    normalized: Buffer,
}

impl Operation for TrainedBatchNorm {
    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let (geometry, eps, affine) = (self.geometry, self.eps, self.affine);
        let by_stored = self.by_stored(frame);
        let Self { mean, variance, normalized, .. } = &mut *self;
        frame.produce(0, |inputs, top, _| {
            let (backend, x) = (inputs.backend, inputs.get(0));
            if affine {
                at_least(backend, normalized, top.len())?;
            }
            let y = if affine { &mut *normalized } else { &mut *top };
            if by_stored {
                let [mean, variance, weight] = [0, 1, 2].map(|index| inputs.param(index));
                let x = Some(x);
                backend
                    .batch_normalization_forward_inference(&geometry, x, mean, variance, weight, eps, y)?;
            } else {
                backend.batch_normalization_forward_training(&geometry, x, eps, y, mean, variance)?;
            }
            if affine {
                let (scale, shift) = (Some(inputs.param(3)), Some(inputs.param(4)));
                backend.scale_forward(&geometry, Some(normalized), scale, shift, top)?;
            }
            Ok(())
        })?;
        if by_stored { Ok(()) } else { self.gather(frame) }
    }

    fn backward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let (geometry, eps, affine) = (self.geometry, self.eps, self.affine);
        let by_stored = self.by_stored(frame);
        let Self { mean, variance, normalized, .. } = &mut *self;
        if affine {
            frame.add(Of::Param(3), |inputs, dscale| {
                inputs.backend.scale_backward(&geometry, normalized, inputs.top_gradient(0), dscale)
            })?;
            frame.add(Of::Param(4), |inputs, dshift| {
                inputs.backend.bias_backward(&geometry, inputs.top_gradient(0), dshift)
            })?;
        }
        frame.overwrite(Of::Bottom(0), |inputs, dx| {
            let (backend, mut dy) = (inputs.backend, inputs.top_gradient(0));
            if affine {
                // From here on the normalized values are no longer needed.
                backend.scale_forward(&geometry, Some(dy), Some(inputs.param(3)), None, normalized)?;
                dy = normalized;
            }
            if by_stored {
                let (variance, weight) = (inputs.param(1), inputs.param(2));
                return backend.batch_normalization_backward_inference(
                    &geometry,
                    variance,
                    weight,
                    eps,
                    Some(dy),
                    dx,
                );
            }
            backend.batch_normalization_backward(&geometry, inputs.get(0), mean, variance, eps, dy, dx)
        })
    }
}

impl TrainedBatchNorm {
    fn by_stored(&self, frame: &Frame<'_>) -> bool {
        self.stored || frame.is_frozen()
    }

    fn gather(&self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let (channels, fraction) = (self.geometry.axis as usize, self.fraction);
        let values = self.geometry.outer * self.geometry.inner;
        let unbiased = if values > 1 { values as f32 / (values - 1) as f32 } else { 1.0 };
        frame.change_param(2, |inputs, sum| {
            inputs.backend.scale_tensor(fraction, 1, sum)?;
            inputs.backend.axpy(1.0, 1, &self.one, sum)
        })?;
        for (index, batch, factor) in [(0, &self.mean, 1.0), (1, &self.variance, unbiased)] {
            frame.change_param(index, |inputs, stored| {
                inputs.backend.scale_tensor(fraction, channels, stored)?;
                inputs.backend.axpy(factor, channels, batch, stored)
            })?;
        }
        Ok(())
    }
}
