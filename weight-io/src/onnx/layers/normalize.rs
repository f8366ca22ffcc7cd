//! Means and variances, and what is divided by them.

use caffe_proto::net::params::{BatchNormParams, LrnParams, LrnRegion, MvnParams, NormalizeParams};
use caffe_proto::net::{Layer, LayerKind};
use caffe_proto::{Blob, Payload};

use super::super::attribute::{flag, float, int, ints};
use super::super::extent::{Extent, product};
use super::super::step::{Made, Step, fixed, refused};
use crate::chainer::Factor;

/// Whether a BatchNorm takes its statistics from the batch even when it only infers.
pub(in super::super) fn uses_batch_statistics(layer: &Layer) -> bool {
    matches!(&layer.kind, LayerKind::BatchNorm(p) if p.use_global_stats == Some(false))
}

pub(super) fn lrn(step: &mut Step<'_>, p: &LrnParams) -> Made {
    let bottom = step.bottom();
    if p.region == LrnRegion::AcrossChannels {
        let attributes = vec![
            float("alpha", p.alpha),
            float("beta", p.beta),
            float("bias", p.k),
            int("size", p.local_size as i64),
        ];
        return Ok(vec![step.node("LRN", &[&bottom], attributes)]);
    }
    let square = step.node("Mul", &[&bottom, &bottom], Vec::new());
    let half = (p.local_size - 1) / 2;
    let attributes = vec![
        flag("count_include_pad", true),
        ints("kernel_shape", [p.local_size; 2]),
        ints("pads", [half; 4]),
    ];
    let mut sum = step.node("AveragePool", &[&square], attributes);
    sum = step.times(sum, p.alpha);
    sum = step.plus(sum, 1.0);
    let exponent = step.scalar(-p.beta);
    let factor = step.node("Pow", &[&sum, &exponent], Vec::new());
    Ok(vec![step.node("Mul", &[&bottom, &factor], Vec::new())])
}

/// With the Scale layer that completes it, if the parameters after the third are such.
pub(super) fn batch_norm(step: &mut Step<'_>, p: &BatchNormParams) -> Made {
    if uses_batch_statistics(step.layer) {
        return batch_statistics(step, p);
    }
    let around = step.around;
    let channels = step.params[0].shape.iter().product::<usize>();
    let factor = &step.params[2];
    let factor = Factor::read(&Blob::new(factor.shape.clone(), factor.values.clone()))?;
    for param in &mut step.params[..2] {
        param.values = factor.average(&param.values);
        param.shape = vec![channels];
    }
    let scale = affine(step, 3, "scale", channels, 1.0);
    let bias = affine(step, 4, "bias", channels, 0.0);
    let [mean, variance] = [0, 1].map(|index| step.param(index));
    let extents = &around.bottoms[0];
    // A blob of one axis has one channel.
    let image = if extents.len() == 1 { vec![extents[0], Extent::Fixed(1)] } else { extents.clone() };
    let bottom = step.bottom();
    let bottom = step.reshape(&bottom, extents, &image)?;
    let inputs = [&bottom, &scale, &bias, &mean, &variance].map(String::as_str);
    let value = step.node("BatchNormalization", &inputs, vec![float("epsilon", p.eps)]);
    Ok(vec![step.reshape(&value, &image, extents)?])
}

/// The scale or bias that is parameter `index`, or a constant.
fn affine(step: &mut Step<'_>, index: usize, what: &str, channels: usize, otherwise: f32) -> String {
    if step.params.len() > index {
        return step.param_as(index, &[channels]);
    }
    let name = format!("{}/{what}", step.layer.name);
    let values = Payload::from_f32(&vec![otherwise; channels]);
    step.graph.weight(&name, &[channels], &values)
}

fn batch_statistics(step: &mut Step<'_>, p: &BatchNormParams) -> Made {
    let around = step.around;
    let extents = &around.bottoms[0];
    let image = if extents.len() == 1 { vec![extents[0], Extent::Fixed(1)] } else { extents.clone() };
    let bottom = step.bottom();
    let value = step.reshape(&bottom, extents, &image)?;
    let axes = (0..image.len()).filter(|&axis| axis != 1).collect::<Vec<_>>();
    let (centred, variance) = moments(step, &value, &axes);
    let variance = step.plus(variance, p.eps);
    let deviation = step.node("Sqrt", &[&variance], Vec::new());
    let mut value = step.node("Div", &[&centred, &deviation], Vec::new());
    if step.params.len() > 4 {
        let mut dims = step.params[3].shape.clone();
        dims.resize(image.len() - 1, 1);
        let [scale, bias] = [3, 4].map(|index| step.param_as(index, &dims));
        value = step.node("Mul", &[&value, &scale], Vec::new());
        value = step.node("Add", &[&value, &bias], Vec::new());
    }
    Ok(vec![step.reshape(&value, &image, extents)?])
}

/// (x − mean) / (standard deviation + eps), of each channel, or of each sample.
pub(super) fn mvn(step: &mut Step<'_>, p: &MvnParams) -> Made {
    let around = step.around;
    let extents = &around.bottoms[0];
    let kept = if p.across_channels { 1 } else { 2 }.min(extents.len());
    let (Some(rows), Some(Extent::Fixed(columns))) = (product(&extents[..kept]), product(&extents[kept..]))
    else {
        return Err(refused("its shape follows the batch in more than one way"));
    };
    let matrix = [rows, Extent::Fixed(columns)];
    let bottom = step.bottom();
    let value = step.reshape(&bottom, extents, &matrix)?;
    let (mut value, variance) = moments(step, &value, &[1]);
    if p.normalize_variance {
        let deviation = step.node("Sqrt", &[&variance], Vec::new());
        let divisor = step.plus(deviation, p.eps);
        value = step.node("Div", &[&value, &divisor], Vec::new());
    }
    // Caffe's result has four axes, whatever its bottom has.
    Ok(vec![step.reshape(&value, &matrix, &around.tops[0])?])
}

/// `value` less its mean, and its variance.
fn moments(step: &mut Step<'_>, value: &str, axes: &[usize]) -> (String, String) {
    let mean = step.reduce("ReduceMean", value, axes, true);
    let centred = step.node("Sub", &[value, &mean], Vec::new());
    let square = step.node("Mul", &[&centred, &centred], Vec::new());
    let variance = step.reduce("ReduceMean", &square, axes, true);
    (centred, variance)
}

/// x / ‖x‖ · scale; the norm is of a sample, or of the channels in each place.
pub(super) fn normalize(step: &mut Step<'_>, p: &NormalizeParams) -> Made {
    let bottom = step.bottom();
    let axes = if p.across_spatial { (1..step.axes()).collect::<Vec<_>>() } else { vec![1] };
    let mut sum = step.reduce("ReduceSumSquare", &bottom, &axes, true);
    sum = step.plus(sum, p.eps);
    let norm = step.node("Sqrt", &[&sum], Vec::new());
    let value = step.node("Div", &[&bottom, &norm], Vec::new());
    let channels = if p.channel_shared { 1 } else { fixed(step.extents()[1])? };
    let mut dims = vec![channels];
    dims.resize(step.axes() - 1, 1);
    let scale = step.param_as(0, &dims);
    Ok(vec![step.node("Mul", &[&value, &scale], Vec::new())])
}
