//! Pooling, and pyramids of it.

use caffe_proto::net::params::{self, PoolingParams, SppParams};
use caffe_proto::proto::Phase;
use kernels::{Buffer, CopyGeometry, PoolGeometry, PoolMethod};

use super::frame::{Make, Operation, free_form, one_top};
use super::{count, image};
use crate::error::Result;
use crate::params::Stream;
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
    if geometry.method == PoolMethod::StochasticTrain {
        let mut random = Stream::new(make.params.seed(), &layer.name, 0);
        let mut drawn = vec![0.0; count(&shapes.tops[0]) as usize];
        let mut buffer = make.backend.allocate(drawn.len())?;
        return Ok(one_top(move |inputs, top| {
            drawn.fill_with(|| random.unit() as f32);
            inputs.backend.write(&mut buffer, 0, &drawn)?;
            inputs.backend.pooling_forward(&geometry, inputs.get(0), top, None, Some(&buffer))
        }));
    }
    if shapes.tops.len() == 2 {
        return Ok(free_form(move |frame| {
            frame.produce_two(|inputs, top, mask| {
                inputs.backend.pooling_forward(&geometry, inputs.get(0), top, Some(mask), None)
            })
        }));
    }
    Ok(one_top(move |inputs, top| inputs.backend.pooling_forward(&geometry, inputs.get(0), top, None, None)))
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
    let longest = levels.iter().map(|&(_, _, part)| batch * part).max().unwrap_or(0);
    let mut pooled: Buffer = make.backend.allocate(longest as usize)?;
    Ok(one_top(move |inputs, top| {
        for (geometry, copy, _) in &levels {
            inputs.backend.pooling_forward(geometry, inputs.get(0), &mut pooled, None, None)?;
            inputs.backend.transform_tensor(copy, &pooled, top)?;
        }
        Ok(())
    }))
}

fn method(method: params::PoolMethod, phase: Phase) -> PoolMethod {
    match (method, phase) {
        (params::PoolMethod::Max, _) => PoolMethod::Max,
        (params::PoolMethod::Average, _) => PoolMethod::Average,
        (params::PoolMethod::Stochastic, Phase::Train) => PoolMethod::StochasticTrain,
        (params::PoolMethod::Stochastic, Phase::Test) => PoolMethod::StochasticTest,
    }
}
