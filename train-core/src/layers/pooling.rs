//! Pooling, and pyramids of it.

use caffe_proto::net::params::{self, PoolingParams, SppParams};
use caffe_proto::proto::Phase;
use kernels::{Buffer, CopyGeometry, PoolGeometry, PoolMethod};

use super::frame::{Of, Operation, at_least, with_gradient};
use super::make::Make;
use super::{count, image, random};
use crate::error::Result;
use crate::plan::Step;

/// N×C×H×W → N×C×H'×W'; a second top has the places of the maxima.
pub(super) fn pooling(make: &Make<'_>, step: &Step, p: &PoolingParams) -> Result<Box<dyn Operation>> {
    let shapes = make.shapes(step);
    let layer = make.layer(step);
    let [batch, channels, height, width] = image(&shapes.bottoms[0]);
    let [_, _, rows, columns] = image(&shapes.tops[0]);
    let pair = |pair: [usize; 2]| pair.map(|value| value as u32);
    let geometry = PoolGeometry {
        batch,
        channels,
        input: [height, width],
        output: [rows, columns],
        kernel: p.kernel.map_or([height, width], pair),
        stride: pair(p.stride),
        pad: pair(p.pad),
        method: method(p.method, layer.phase),
    };
    let places = count(&shapes.tops[0]) as usize;
    let chooses = matches!(geometry.method, PoolMethod::Max | PoolMethod::StochasticTrain);
    let has_mask_top = shapes.tops.len() == 2;
    let mask_len = if make.training && chooses && !has_mask_top { places } else { 0 };
    let key = random::key(make, step);
    Ok(with_gradient(
        make.backend.allocate(mask_len)?,
        move |mask, frame| {
            if has_mask_top {
                return frame.produce_two(|inputs, top, mask| {
                    let random = inputs.random(key);
                    inputs.backend.pooling_forward(&geometry, inputs.get(0), top, Some(mask), Some(&random))
                });
            }
            let mask = (mask_len > 0).then_some(mask);
            frame.produce(0, |inputs, top, _| {
                let random = inputs.random(key);
                inputs.backend.pooling_forward(&geometry, inputs.get(0), top, mask, Some(&random))
            })
        },
        move |mask, frame| {
            frame.overwrite(Of::Bottom(0), |inputs, dx| {
                let mask = chooses.then(|| if has_mask_top { inputs.top(1) } else { &*mask });
                inputs.backend.pooling_backward(&geometry, mask, inputs.top_gradient(0), dx)
            })
        },
    ))
}

/// N×C×H×W → N×(C·bins): one pooling a level, side by side; of a single level N×C×1×1.
pub(super) fn spp(make: &Make<'_>, step: &Step, p: &SppParams) -> Result<Box<dyn Operation>> {
    let shapes = make.shapes(step);
    let [batch, channels, height, width] = image(&shapes.bottoms[0]);
    let columns = count(&shapes.tops[0]) / batch.max(1);
    let mut levels = Vec::new();
    let mut start = 0;
    for level in 0..p.pyramid_height {
        let bins = 1_u32 << level;
        let kernel = [height, width].map(|extent| extent.div_ceil(bins));
        let pad = [(kernel[0] * bins - height).div_ceil(2), (kernel[1] * bins - width).div_ceil(2)];
        let geometry = PoolGeometry::new(
            method(p.method, make.layer(step).phase),
            [batch, channels, height, width],
            kernel,
        )
        .with_steps(kernel, pad, kernels::Rounding::Ceil);
        let part = channels * geometry.output[0] * geometry.output[1];
        levels.push((geometry, CopyGeometry::concat(batch, columns, 1, start, part), part));
        start += part;
    }
    let longest = levels.iter().map(|&(_, _, part)| batch * part).max().unwrap_or(0) as usize;
    let masks = levels.iter().map(|&(geometry, _, part)| {
        let mask = make.training && geometry.method == PoolMethod::Max;
        make.backend.allocate(if mask { (batch * part) as usize } else { 0 })
    });
    let masks = masks.collect::<kernels::Result<Vec<_>>>()?;
    let pooled: Buffer = make.backend.allocate(longest)?;
    Ok(with_gradient(
        (levels, masks, pooled, make.backend.allocate(0)?),
        |(levels, masks, pooled, _), frame| {
            frame.produce(0, |inputs, top, _| {
                for ((geometry, copy, _), mask) in levels.iter().zip(masks) {
                    let mask = if mask.is_empty() { None } else { Some(mask) };
                    inputs.backend.pooling_forward(geometry, inputs.get(0), pooled, mask, None)?;
                    inputs.backend.transform_tensor(copy, pooled, top)?;
                }
                Ok(())
            })
        },
        |(levels, masks, pooled, part), frame| {
            let len = frame.len(Of::Bottom(0));
            frame.add(Of::Bottom(0), |inputs, dx| {
                at_least(inputs.backend, part, len)?;
                for ((geometry, copy, _), mask) in levels.iter().zip(masks) {
                    inputs.backend.transform_tensor_backward(copy, inputs.top_gradient(0), false, pooled)?;
                    let mask = if mask.is_empty() { None } else { Some(&*mask) };
                    inputs.backend.pooling_backward(geometry, mask, pooled, part)?;
                    inputs.backend.axpy(1.0, len, part, dx)?;
                }
                Ok(())
            })
        },
    ))
}

fn method(method: params::PoolMethod, phase: Phase) -> PoolMethod {
    match (method, phase) {
        (params::PoolMethod::Max, _) => PoolMethod::Max,
        (params::PoolMethod::Average, _) => PoolMethod::Average,
        (params::PoolMethod::Stochastic, Phase::Train) => PoolMethod::StochasticTrain,
        (params::PoolMethod::Stochastic, Phase::Test) => PoolMethod::StochasticTest,
    }
}
