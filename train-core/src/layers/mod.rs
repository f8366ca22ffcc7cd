//! The layers, one family a file: what they need to know of a net, and how they run.

mod accuracy;
mod activation;
mod arrange;
mod convolution;
mod detection;
mod eltwise;
mod folding;
mod frame;
mod inner_product;
mod loss;
mod make;
mod mapped;
mod normalization;
mod pairs;
mod pooling;
mod prior_box;
mod random;
mod recurrent;
mod resize;
mod scale;
mod select;

use caffe_proto::net::params::PoolMethod;
use caffe_proto::net::{Filler, Layer, LayerKind as K, LayerShapes};
use caffe_proto::proto::Phase;
use kernels::{Activation, MAX_AXES, MAX_SPATIAL};

use crate::error::Result;
use crate::plan::Step;

pub(crate) use frame::{Flow, Frame, Operation, Training, Want};
pub(crate) use make::Make;

/// Makes a step ready to run.
pub(crate) fn make(make: &Make<'_>, step: &Step) -> Result<Box<dyn Operation>> {
    let layer = make.layer(step);
    match &layer.kind {
        K::Convolution(p) => convolution::convolution(make, step, p, false),
        K::DepthwiseConvolution(p) => convolution::convolution(make, step, p, true),
        K::Deconvolution(p) => convolution::deconvolution(make, step, p),
        K::Im2col(p) => Ok(convolution::im2col(make, step, p)),
        K::InnerProduct(p) => inner_product::inner_product(make, step, p),
        K::Embed(p) => inner_product::embed(make, step, p),
        K::Pooling(p) => Ok(pooling::pooling(make, step, p)?),
        K::Spp(p) => Ok(pooling::spp(make, step, p)?),
        K::Lrn(p) => Ok(normalization::lrn(make, step, p)),
        K::BatchNorm(p) => normalization::batch_norm(make, step, p),
        K::Mvn(p) => Ok(normalization::mvn(make, step, p)),
        K::Normalize(p) => normalization::normalize(make, step, p),
        K::Softmax { axis } => Ok(normalization::softmax(make, step, *axis)),
        K::Scale(p) => scale::scale(make, step, p),
        K::Bias(p) => scale::bias(make, step, p),
        K::PReLU { .. } => activation::prelu(make, step),
        K::Dropout { ratio } => Ok(random::dropout(make, step, *ratio)),
        K::DummyData(p) => random::dummy_data(make, step, p),
        K::Eltwise(p) => Ok(eltwise::eltwise(make, step, p)),
        K::Reduction(p) => Ok(eltwise::reduction(make, step, p)),
        K::ArgMax(p) => Ok(eltwise::arg_max(make, step, p)),
        K::Concat { axis } => Ok(arrange::concat(make, step, *axis)),
        K::Slice(p) => Ok(arrange::slice(make, step, p)),
        K::Crop(p) => Ok(arrange::crop(make, step, p)),
        K::Tile(p) => Ok(arrange::tile(make, step, p)),
        K::Permute { order } => Ok(arrange::permute(make, step, order)),
        K::ShuffleChannel { group } => Ok(arrange::shuffle_channel(make, step, *group)),
        K::BatchReindex => Ok(select::batch_reindex(make, step)),
        K::Filter => Ok(select::filter(make, step)?),
        K::Interp(p) => Ok(resize::interp(make, step, p)?),
        K::Upsample(p) => Ok(resize::upsample(make, step, p)),
        K::Parameter { .. } => {
            let values = make.weight(step.layer, 0)?;
            Ok(frame::one_top_with_gradient(
                move |inputs, top| inputs.copy(values.get(inputs), top),
                |frame| frame.pass_on(frame::Of::Param(0)),
            ))
        }
        K::Lstm(p) => recurrent::lstm(make, step, p),
        K::Rnn(p) => recurrent::rnn(make, step, p),
        K::LstmUnit => Ok(recurrent::lstm_unit(make, step)?),
        K::SoftmaxWithLoss(p) => loss::softmax(make, step, p),
        K::InfogainLoss(p) => loss::infogain(make, step, p),
        K::MultinomialLogisticLoss => loss::multinomial(make, step),
        K::SigmoidCrossEntropyLoss(p) => pairs::sigmoid_cross_entropy(make, step, p),
        K::HingeLoss { norm } => loss::hinge(make, step, *norm),
        K::EuclideanLoss => pairs::euclidean(make, step),
        K::SmoothL1Loss { sigma } => pairs::smooth_l1(make, step, *sigma),
        K::ContrastiveLoss(p) => pairs::contrastive(make, step, p),
        K::Accuracy(p) => accuracy::accuracy(make, step, p),
        K::PriorBox(p) => Ok(prior_box::prior_box(make, step, p)),
        K::DetectionOutput(p) => Ok(detection::detection_output(make, step, p)),
        K::ReLU { .. }
        | K::Elu { .. }
        | K::ReLU6
        | K::Sigmoid
        | K::TanH
        | K::AbsVal
        | K::Bnll
        | K::Power(_)
        | K::Exp(_)
        | K::Log(_)
        | K::Clip { .. }
        | K::Swish { .. }
        | K::Threshold { .. } => Ok(activation::activation(make, step)),
        K::Split
        | K::Reshape(_)
        | K::Flatten(_)
        | K::Silence
        | K::Input(_)
        | K::Data(_)
        | K::ImageData(_)
        | K::Hdf5Data(_)
        | K::WindowData(_)
        | K::MemoryData(_)
        | K::AnnotatedData(_)
        | K::Hdf5Output { .. }
        | K::MultiBoxLoss(_)
        | K::Unsupported(_) => unreachable!("`{}` is no step of a plan", layer.type_name),
    }
}

/// Why a layer cannot run whatever its shapes, if it cannot.
pub(crate) fn refusal_of_kind(layer: &Layer) -> Option<String> {
    match &layer.kind {
        K::Unsupported(_) if !layer.is_given() => Some("a type that is not known".to_owned()),
        K::MultiBoxLoss(_) => Some("the loss of SSD is not computed".to_owned()),
        K::Hdf5Output { .. } => Some("it writes a file: remove it and keep its bottoms instead".to_owned()),
        K::InfogainLoss(p) if p.source.is_none() && layer.bottoms.len() < 3 => {
            Some("it has no matrix: give `source`, or a third bottom".to_owned())
        }
        K::DetectionOutput(_) if layer.bottoms.len() > 3 => {
            Some("a fourth bottom, which SSD's has not".to_owned())
        }
        K::DummyData(p) => p.fillers.iter().find_map(|filler| match filler {
            Filler::Other(name) => Some(format!("the filler `{name}` is not known")),
            _ => None,
        }),
        _ => None,
    }
}

/// Why a layer cannot run with these shapes, if it cannot.
pub(crate) fn refusal(layer: &Layer, shapes: &LayerShapes) -> Option<String> {
    let axes = shapes.bottoms.first().map_or(0, Vec::len);
    match &layer.kind {
        K::Convolution(p) | K::DepthwiseConvolution(p) | K::Deconvolution(p) | K::Im2col(p)
            if axes.saturating_sub(axis(p.axis, axes) + 1) > MAX_SPATIAL =>
        {
            Some(format!("more than {MAX_SPATIAL} spatial axes"))
        }
        K::Crop(_) | K::Permute { .. } if axes > MAX_AXES => {
            Some(format!("{axes} axes; {MAX_AXES} is the most it can arrange"))
        }
        _ => refusal_of_kind(layer),
    }
}

/// Why no gradient passes from a layer's tops to a bottom, or with none to its parameters, if none does.
pub(crate) fn gradient_refusal(layer: &Layer, bottom: Option<usize>) -> Option<String> {
    let second = bottom.is_some_and(|bottom| bottom > 0);
    let none = match &layer.kind {
        K::Eltwise(_) if layer.tops.first().is_some_and(|top| layer.bottoms.contains(top)) => {
            return Some("in place it sees its own partial results: give its top another name".to_owned());
        }
        K::Pooling(p) if p.method == PoolMethod::Stochastic && layer.phase == Phase::Test => {
            return Some("stochastic pooling has a gradient in the phase TRAIN only".to_owned());
        }
        K::Spp(p) if p.method == PoolMethod::Stochastic => {
            return Some("a pyramid of stochastic pooling".to_owned());
        }
        K::ArgMax(_)
        | K::Accuracy(_)
        | K::PriorBox(_)
        | K::DetectionOutput(_)
        | K::Threshold { .. }
        | K::DummyData(_) => true,
        K::Embed(_) => bottom.is_some(),
        K::Crop(_)
        | K::BatchReindex
        | K::Upsample(_)
        | K::SoftmaxWithLoss(_)
        | K::InfogainLoss(_)
        | K::MultinomialLogisticLoss
        | K::SigmoidCrossEntropyLoss(_)
        | K::HingeLoss { .. } => second,
        K::Lstm(_) | K::Rnn(_) => bottom == Some(1),
        K::LstmUnit => bottom == Some(2),
        K::ContrastiveLoss(_) | K::SmoothL1Loss { .. } => bottom.is_some_and(|bottom| bottom > 1),
        K::Filter => bottom.is_some_and(|bottom| bottom + 1 == layer.bottoms.len()),
        _ => false,
    };
    none.then(|| match bottom {
        Some(bottom) => format!("its results do not follow `{}` smoothly", layer.bottoms[bottom]),
        None => "its results do not follow its parameters smoothly".to_owned(),
    })
}

/// Whether the top is the bottom, under another name or shape.
pub(crate) fn is_alias(layer: &Layer) -> bool {
    shares_memory(layer) || matches!(layer.kind, K::Dropout { .. }) && layer.phase == Phase::Test
}

/// Whether Caffe has the top in the bottom's memory.
pub(crate) fn shares_memory(layer: &Layer) -> bool {
    match layer.kind {
        K::Split | K::Reshape(_) | K::Flatten(_) => true,
        K::Concat { .. } => layer.bottoms.len() == 1,
        K::Slice(_) => layer.tops.len() == 1,
        _ => false,
    }
}

/// Whether the tops depend on no input.
pub(crate) fn is_constant(kind: &K) -> bool {
    match kind {
        K::Parameter { .. } | K::PriorBox(_) => true,
        K::DummyData(p) => p.fillers.iter().all(|filler| matches!(filler, Filler::Constant(_))),
        _ => false,
    }
}

/// Whether the result can be computed in the first bottom's memory.
pub(crate) fn can_rewrite(kind: &K) -> bool {
    activation(kind).is_some()
        || matches!(kind, K::BatchNorm(_) | K::Scale(_) | K::Bias(_) | K::PReLU { .. } | K::Softmax { .. })
}

/// The most floats that a top can have.
pub(crate) fn capacity(layer: &Layer, shapes: &LayerShapes, top: usize) -> usize {
    match &layer.kind {
        K::DetectionOutput(p) => detection::most_rows(p, &shapes.bottoms) * detection::ROW,
        _ => shapes.tops[top].iter().product(),
    }
}

/// The function of one number that the layer applies to each value.
pub(crate) fn activation(kind: &K) -> Option<Activation> {
    Some(match kind {
        K::ReLU { negative_slope: 0.0 } => Activation::Relu,
        K::ReLU { negative_slope } => Activation::LeakyRelu { slope: *negative_slope },
        K::Elu { alpha } => Activation::Elu { alpha: *alpha },
        K::ReLU6 => Activation::Relu6,
        K::Sigmoid => Activation::Sigmoid,
        K::TanH => Activation::Tanh,
        K::AbsVal => Activation::AbsVal,
        K::Bnll => Activation::Bnll,
        K::Power(p) => Activation::Power { power: p.power, scale: p.scale, shift: p.shift },
        K::Exp(p) => Activation::Exp { base: p.base.unwrap_or(-1.0), scale: p.scale, shift: p.shift },
        K::Log(p) => Activation::Log { base: p.base.unwrap_or(-1.0), scale: p.scale, shift: p.shift },
        K::Clip { min, max } => Activation::Clip { low: *min, high: *max },
        K::Swish { beta } => Activation::Swish { beta: *beta },
        K::Threshold { threshold } => Activation::Threshold { threshold: *threshold },
        _ => return None,
    })
}

/// An axis counted from the front, of a shape that was checked.
pub(crate) fn axis(axis: i32, axes: usize) -> usize {
    if axis < 0 { axes.saturating_sub(axis.unsigned_abs() as usize) } else { axis as usize }
}

/// Whether a BatchNorm goes by its blobs, not by the batch.
pub(crate) fn uses_stored_statistics(layer: &Layer) -> bool {
    matches!(&layer.kind, K::BatchNorm(p) if p.use_global_stats.unwrap_or(layer.phase == Phase::Test))
}

/// A shape in the kernels' integers: Caffe's blobs have fewer than 2³¹ values.
fn extents(shape: &[usize]) -> Vec<u32> {
    shape.iter().map(|&extent| extent as u32).collect()
}

/// N, C, H, W of a shape of up to four axes: those that are missing are 1.
fn image(shape: &[usize]) -> [u32; 4] {
    std::array::from_fn(|axis| shape.get(axis).map_or(1, |&extent| extent as u32))
}

fn count(shape: &[usize]) -> u32 {
    shape.iter().product::<usize>() as u32
}
