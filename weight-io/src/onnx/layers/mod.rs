//! Each type of layer in ONNX's operators.

mod activation;
mod affine;
mod arithmetic;
mod arrange;
mod convolution;
mod normalize;
mod pooling;
mod product;
mod recurrent;
mod resize;
mod select;
mod source;

pub(super) use normalize::uses_batch_statistics;

use caffe_proto::net::LayerKind as K;

use super::step::{Made, Step, refused};

/// Adds a layer's nodes; gives the values of its tops.
pub(super) fn convert(step: &mut Step<'_>) -> Made {
    let layer = step.layer;
    match &layer.kind {
        K::Convolution(p) => convolution::forward(step, p, p.group),
        K::DepthwiseConvolution(p) => convolution::depthwise(step, p),
        K::Deconvolution(p) => convolution::transposed(step, p),
        K::Im2col(p) => convolution::im2col(step, p),
        K::InnerProduct(p) => product::inner_product(step, p),
        K::Embed(_) => product::embed(step),
        K::Pooling(p) => pooling::pooling(step, p),
        K::Spp(p) => pooling::spp(step, p),
        K::Lrn(p) => normalize::lrn(step, p),
        K::BatchNorm(p) => normalize::batch_norm(step, p),
        K::Mvn(p) => normalize::mvn(step, p),
        K::Normalize(p) => normalize::normalize(step, p),
        K::Scale(p) => affine::scale(step, p),
        K::Bias(p) => affine::bias(step, p),
        K::ReLU { negative_slope } => activation::relu(step, *negative_slope),
        K::PReLU { channel_shared } => activation::prelu(step, *channel_shared),
        K::Elu { alpha } => activation::elu(step, *alpha),
        K::ReLU6 => activation::clip(step, 0.0, 6.0),
        K::Clip { min, max } => activation::clip(step, *min, *max),
        K::Sigmoid => activation::plain(step, "Sigmoid"),
        K::TanH => activation::plain(step, "Tanh"),
        K::AbsVal => activation::plain(step, "Abs"),
        K::Bnll => activation::plain(step, "Softplus"),
        K::Swish { beta } => activation::swish(step, *beta),
        K::Threshold { threshold } => activation::threshold(step, *threshold),
        K::Softmax { axis } => activation::softmax(step, *axis),
        K::Power(p) => arithmetic::power(step, p),
        K::Exp(p) => arithmetic::exp(step, p),
        K::Log(p) => arithmetic::log(step, p),
        K::Eltwise(p) => arithmetic::eltwise(step, p),
        K::Reduction(p) => arithmetic::reduction(step, p),
        K::Concat { axis } => arrange::concat(step, *axis),
        K::Slice(p) => arrange::slice(step, p),
        K::Crop(p) => arrange::crop(step, p),
        K::Reshape(_) | K::Flatten(_) => arrange::reshape(step),
        K::Tile(p) => arrange::tile(step, p),
        K::Permute { order } => arrange::permute(step, order),
        K::ShuffleChannel { group } => arrange::shuffle_channel(step, *group),
        K::ArgMax(p) => select::arg_max(step, p),
        K::BatchReindex => select::batch_reindex(step),
        K::Filter => select::filter(step),
        K::Interp(p) => resize::interp(step, p),
        K::Upsample(p) => resize::upsample(step, p),
        K::Lstm(p) => recurrent::lstm(step, p),
        K::LstmUnit => recurrent::lstm_unit(step),
        K::Rnn(p) => recurrent::rnn(step, p),
        K::DummyData(p) => source::dummy_data(step, p),
        K::Parameter { .. } => Ok(vec![step.param(0)]),
        // These make no nodes: the caller lets their tops be the bottom.
        K::Dropout { .. } | K::Split => Ok(vec![step.bottom(); layer.tops.len()]),
        K::Silence | K::Hdf5Output { .. } => Ok(Vec::new()),
        K::Accuracy(_) => Err(refused("a layer reads what it makes")),
        kind if kind.is_loss() => Err(refused("a layer reads what it makes")),
        _ => Err(refused("")),
    }
}
