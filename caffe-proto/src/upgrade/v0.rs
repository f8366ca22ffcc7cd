//! V0 layers, all of whose parameters are in one message, to V1.

use prost::Message;

use super::{Carried, blobs, fields, label, padding};
use crate::Error;
use crate::proto::v1_layer_parameter::LayerType;
use crate::proto::{
    ConcatParameter, ConvolutionParameter, DataParameter, DropoutParameter, Hdf5DataParameter,
    ImageDataParameter, InfogainLossParameter, InnerProductParameter, LrnParameter, NetParameter,
    PoolingParameter, TransformationParameter, V0LayerParameter, V1LayerParameter, WindowDataParameter,
    v0_layer_parameter,
};

/// The types of V0, and those of V1 that they became.
const TYPES: [(&str, LayerType); 24] = [
    ("accuracy", LayerType::Accuracy),
    ("bnll", LayerType::Bnll),
    ("concat", LayerType::Concat),
    ("conv", LayerType::Convolution),
    ("data", LayerType::Data),
    ("dropout", LayerType::Dropout),
    ("euclidean_loss", LayerType::EuclideanLoss),
    ("flatten", LayerType::Flatten),
    ("hdf5_data", LayerType::Hdf5Data),
    ("hdf5_output", LayerType::Hdf5Output),
    ("im2col", LayerType::Im2col),
    ("images", LayerType::ImageData),
    ("infogain_loss", LayerType::InfogainLoss),
    ("innerproduct", LayerType::InnerProduct),
    ("lrn", LayerType::Lrn),
    ("multinomial_logistic_loss", LayerType::MultinomialLogisticLoss),
    ("pool", LayerType::Pooling),
    ("relu", LayerType::Relu),
    ("sigmoid", LayerType::Sigmoid),
    ("softmax", LayerType::Softmax),
    ("softmax_loss", LayerType::SoftmaxLoss),
    ("split", LayerType::Split),
    ("tanh", LayerType::Tanh),
    ("window_data", LayerType::WindowData),
];

/// Keeps of a V0 net's own fields those that real Caffe keeps.
pub(super) fn upgrade_net(mut net: NetParameter, notes: &mut Vec<String>) -> NetParameter {
    let kept = NetParameter {
        name: net.name.take(),
        input: std::mem::take(&mut net.input),
        input_dim: std::mem::take(&mut net.input_dim),
        force_backward: net.force_backward.take(),
        ..NetParameter::default()
    };
    if let Some(left) = fields::set("caffe.NetParameter", &net) {
        notes.push(format!("the net: {left} dropped, which a V0 net cannot have; real Caffe drops it too"));
    }
    kept
}

/// Makes the layers of a V0 net into V1 layers; `inputs` are those of the net.
///
/// # Errors
/// For types that V0 did not have, and as [`padding::fold`].
pub(super) fn upgrade_layers(
    layers: Vec<Carried<V1LayerParameter>>,
    inputs: &[String],
    notes: &mut Vec<String>,
) -> Result<Vec<Carried<V1LayerParameter>>, Error> {
    let layers = padding::fold(layers, inputs, notes)?;
    layers.into_iter().map(|layer| upgrade_layer(layer, notes)).collect()
}

fn upgrade_layer(
    mut layer: Carried<V1LayerParameter>,
    notes: &mut Vec<String>,
) -> Result<Carried<V1LayerParameter>, Error> {
    let mut outer = layer.layer;
    let mut new = V1LayerParameter {
        bottom: std::mem::take(&mut outer.bottom),
        top: std::mem::take(&mut outer.top),
        ..V1LayerParameter::default()
    };
    let inner = outer.layer.take();
    let (name, kind) = inner.as_ref().map_or(("", ""), |inner| (inner.name(), inner.r#type()));
    let label = label(if inner.is_some() { name } else { outer.name() }, kind);
    if let Some(left) = fields::set("caffe.V1LayerParameter", &outer) {
        let what = "beside `layer { }` are V1's, in a V0 net: dropped; real Caffe drops them too";
        notes.push(format!("{label}: {left} {what}"));
    }
    let Some(mut old) = inner else {
        if !layer.blobs.is_empty() {
            notes.push(format!("{label}: its blobs are dropped; real Caffe drops them too"));
        }
        return Ok(Carried { layer: new, blobs: Vec::new() });
    };
    let inline = std::mem::take(&mut old.blobs);
    layer.blobs.extend(blobs::from_proto(&inline, (old.name(), old.r#type()), notes)?);
    convert(&mut old, &mut new)?;
    if let Some(left) = fields::set("caffe.V0LayerParameter", &*old) {
        notes.push(format!("{label}: {left} mean nothing to this type: dropped; real Caffe drops them too"));
    }
    Ok(Carried { layer: new, blobs: layer.blobs })
}

/// Moves every field that the layer's type knows from `old` to `new`.
fn convert(old: &mut V0LayerParameter, new: &mut V1LayerParameter) -> Result<(), Error> {
    let kind = old.r#type.take();
    if let Some(kind) = &kind {
        let known = TYPES.iter().find(|(name, _)| name == kind);
        let Some(&(_, upgraded)) = known else {
            let layer = old.name().to_owned();
            let what = "V0 nets have no such type; their types are written in small letters, such as `conv`";
            return Err(Error::Layer { layer, kind: kind.clone(), what: what.to_owned() });
        };
        new.r#type = Some(upgraded.into());
    }
    new.name = old.name.take();
    new.blobs_lr = std::mem::take(&mut old.blobs_lr);
    new.weight_decay = std::mem::take(&mut old.weight_decay);
    new.transform_param = unless_empty(TransformationParameter {
        scale: old.scale.take(),
        mean_file: old.meanfile.take(),
        crop_size: old.cropsize.take(),
        mirror: old.mirror.take(),
        ..TransformationParameter::default()
    });
    match kind.as_deref().unwrap_or_default() {
        "conv" => new.convolution_param = unless_empty(convolution(old)),
        "innerproduct" => {
            new.inner_product_param = unless_empty(InnerProductParameter {
                num_output: old.num_output.take(),
                bias_term: old.biasterm.take(),
                weight_filler: old.weight_filler.take().map(|filler| *filler),
                bias_filler: old.bias_filler.take().map(|filler| *filler),
                ..InnerProductParameter::default()
            });
        }
        "pool" => new.pooling_param = unless_empty(pooling(old)),
        "dropout" => {
            new.dropout_param = unless_empty(DropoutParameter {
                dropout_ratio: old.dropout_ratio.take(),
                ..DropoutParameter::default()
            });
        }
        "lrn" => {
            new.lrn_param = unless_empty(LrnParameter {
                local_size: old.local_size.take(),
                alpha: old.alpha.take(),
                beta: old.beta.take(),
                k: old.k.take(),
                ..LrnParameter::default()
            });
        }
        "concat" => {
            new.concat_param = unless_empty(ConcatParameter {
                concat_dim: old.concat_dim.take(),
                ..ConcatParameter::default()
            });
        }
        "data" => {
            new.data_param = unless_empty(DataParameter {
                source: old.source.take(),
                batch_size: old.batchsize.take(),
                rand_skip: old.rand_skip.take(),
                ..DataParameter::default()
            });
        }
        "hdf5_data" => {
            new.hdf5_data_param = unless_empty(Hdf5DataParameter {
                source: old.source.take(),
                batch_size: old.batchsize.take(),
                ..Hdf5DataParameter::default()
            });
        }
        "images" => new.image_data_param = unless_empty(images(old)),
        "window_data" => new.window_data_param = unless_empty(windows(old)),
        "infogain_loss" => {
            new.infogain_loss_param = unless_empty(InfogainLossParameter {
                source: old.source.take(),
                ..InfogainLossParameter::default()
            });
        }
        "hdf5_output" => new.hdf5_output_param = old.hdf5_output_param.take(),
        _ => {}
    }
    Ok(())
}

fn convolution(old: &mut V0LayerParameter) -> ConvolutionParameter {
    ConvolutionParameter {
        num_output: old.num_output.take(),
        bias_term: old.biasterm.take(),
        weight_filler: old.weight_filler.take().map(|filler| *filler),
        bias_filler: old.bias_filler.take().map(|filler| *filler),
        pad: old.pad.take().into_iter().collect(),
        kernel_size: old.kernelsize.take().into_iter().collect(),
        stride: old.stride.take().into_iter().collect(),
        group: old.group.take(),
        ..ConvolutionParameter::default()
    }
}

fn pooling(old: &mut V0LayerParameter) -> PoolingParameter {
    // The two enums share their numbers; one that neither has stays behind.
    let known = |&mut method: &mut i32| v0_layer_parameter::PoolMethod::try_from(method).is_ok();
    PoolingParameter {
        pool: old.pool.take_if(known),
        pad: old.pad.take(),
        kernel_size: old.kernelsize.take(),
        stride: old.stride.take(),
        ..PoolingParameter::default()
    }
}

fn images(old: &mut V0LayerParameter) -> ImageDataParameter {
    ImageDataParameter {
        source: old.source.take(),
        batch_size: old.batchsize.take(),
        rand_skip: old.rand_skip.take(),
        shuffle: old.shuffle_images.take(),
        new_height: old.new_height.take().map(|height| height as u32),
        new_width: old.new_width.take().map(|width| width as u32),
        ..ImageDataParameter::default()
    }
}

fn windows(old: &mut V0LayerParameter) -> WindowDataParameter {
    WindowDataParameter {
        source: old.source.take(),
        batch_size: old.batchsize.take(),
        fg_threshold: old.det_fg_threshold.take(),
        bg_threshold: old.det_bg_threshold.take(),
        fg_fraction: old.det_fg_fraction.take(),
        context_pad: old.det_context_pad.take(),
        crop_mode: old.det_crop_mode.take(),
        ..WindowDataParameter::default()
    }
}

/// A message none of whose fields was given does not come to be.
fn unless_empty<M: Message>(message: M) -> Option<Box<M>> {
    (message.encoded_len() > 0).then(|| Box::new(message))
}
