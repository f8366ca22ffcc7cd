//! V1 layers to today's: types by name, everything about a parameter in `param`.

use super::{Carried, blobs, fields, label};
use crate::Error;
use crate::proto::v1_layer_parameter::LayerType;
use crate::proto::{LayerParameter, ParamSpec, V1LayerParameter};

/// Moves blobs that lie in the definition to those beside it.
///
/// # Errors
/// When one does not hold as many values as its shape needs.
pub(super) fn take_inline_blobs(
    layers: &mut [Carried<V1LayerParameter>],
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    for layer in layers {
        let inline = std::mem::take(&mut layer.layer.blobs);
        let owner = (layer.layer.name(), type_name(layer.layer.r#type()));
        layer.blobs.extend(blobs::from_proto(&inline, owner, notes)?);
    }
    Ok(())
}

/// Makes V1 layers into today's.
pub(super) fn upgrade(
    layers: Vec<Carried<V1LayerParameter>>,
    notes: &mut Vec<String>,
) -> Vec<Carried<LayerParameter>> {
    let upgraded = layers.into_iter().map(|Carried { mut layer, blobs }| {
        let new = upgrade_layer(&mut layer);
        let label = label(new.name(), new.r#type());
        if LayerType::try_from(layer.r#type.take().unwrap_or_default()).is_err() {
            notes.push(format!(
                "{label}: V1's types do not include this number; it is kept as the type's name"
            ));
        }
        if let Some(left) = fields::set("caffe.V1LayerParameter", &layer) {
            notes.push(format!("{label}: {left} have no place in today's form: dropped"));
        }
        Carried { layer: new, blobs }
    });
    upgraded.collect()
}

/// Moves every field out of `old` that today's form has.
fn upgrade_layer(old: &mut V1LayerParameter) -> LayerParameter {
    let kind = old.r#type.map(|number| match LayerType::try_from(number) {
        Ok(kind) => type_name(kind).to_owned(),
        Err(_) => format!("V1 type {number}"),
    });
    LayerParameter {
        name: old.name.take(),
        r#type: kind,
        bottom: std::mem::take(&mut old.bottom),
        top: std::mem::take(&mut old.top),
        include: std::mem::take(&mut old.include),
        exclude: std::mem::take(&mut old.exclude),
        param: specs(old),
        loss_weight: std::mem::take(&mut old.loss_weight),
        transform_param: old.transform_param.take(),
        loss_param: old.loss_param.take(),
        accuracy_param: old.accuracy_param.take(),
        argmax_param: old.argmax_param.take(),
        bn_param: old.bn_param.take(),
        concat_param: old.concat_param.take(),
        contrastive_loss_param: old.contrastive_loss_param.take(),
        convolution_param: old.convolution_param.take(),
        data_param: old.data_param.take(),
        dropout_param: old.dropout_param.take(),
        dummy_data_param: old.dummy_data_param.take(),
        eltwise_param: old.eltwise_param.take(),
        exp_param: old.exp_param.take(),
        hdf5_data_param: old.hdf5_data_param.take(),
        hdf5_output_param: old.hdf5_output_param.take(),
        hinge_loss_param: old.hinge_loss_param.take(),
        image_data_param: old.image_data_param.take(),
        infogain_loss_param: old.infogain_loss_param.take(),
        inner_product_param: old.inner_product_param.take(),
        local_param: old.local_param.take(),
        lrn_param: old.lrn_param.take(),
        memory_data_param: old.memory_data_param.take(),
        mvn_param: old.mvn_param.take(),
        pooling_param: old.pooling_param.take(),
        power_param: old.power_param.take(),
        prelu_param: old.prelu_param.take(),
        relu_param: old.relu_param.take(),
        relu6_param: old.relu6_param.take(),
        roi_pooling_param: old.roi_pooling_param.take(),
        sigmoid_param: old.sigmoid_param.take(),
        slice_param: old.slice_param.take(),
        softmax_param: old.softmax_param.take(),
        tanh_param: old.tanh_param.take(),
        threshold_param: old.threshold_param.take(),
        triplet_loss_param: old.triplet_loss_param.take(),
        window_data_param: old.window_data_param.take(),
        ..LayerParameter::default()
    }
}

/// Joins V1's four lists about parameters, each as long as it likes, into one.
fn specs(old: &mut V1LayerParameter) -> Vec<ParamSpec> {
    let names = std::mem::take(&mut old.param);
    let share_modes = std::mem::take(&mut old.blob_share_mode);
    let lr_mults = std::mem::take(&mut old.blobs_lr);
    let decay_mults = std::mem::take(&mut old.weight_decay);
    let count = names.len().max(share_modes.len()).max(lr_mults.len()).max(decay_mults.len());
    let spec = |index: usize| ParamSpec {
        name: names.get(index).cloned(),
        // The two enums share their numbers.
        share_mode: share_modes.get(index).copied(),
        lr_mult: lr_mults.get(index).copied(),
        decay_mult: decay_mults.get(index).copied(),
    };
    (0..count).map(spec).collect()
}

fn type_name(kind: LayerType) -> &'static str {
    match kind {
        LayerType::None => "",
        LayerType::Absval => "AbsVal",
        LayerType::Accuracy => "Accuracy",
        LayerType::Argmax => "ArgMax",
        LayerType::Bnll => "BNLL",
        LayerType::Concat => "Concat",
        LayerType::ContrastiveLoss => "ContrastiveLoss",
        LayerType::Convolution => "Convolution",
        LayerType::Data => "Data",
        LayerType::Deconvolution => "Deconvolution",
        LayerType::Dropout => "Dropout",
        LayerType::DummyData => "DummyData",
        LayerType::Eltwise => "Eltwise",
        LayerType::EuclideanLoss => "EuclideanLoss",
        LayerType::Exp => "Exp",
        LayerType::Flatten => "Flatten",
        LayerType::Hdf5Data => "HDF5Data",
        LayerType::Hdf5Output => "HDF5Output",
        LayerType::HingeLoss => "HingeLoss",
        LayerType::Im2col => "Im2col",
        LayerType::ImageData => "ImageData",
        LayerType::InfogainLoss => "InfogainLoss",
        LayerType::InnerProduct => "InnerProduct",
        LayerType::Lrn => "LRN",
        LayerType::MemoryData => "MemoryData",
        LayerType::MultinomialLogisticLoss => "MultinomialLogisticLoss",
        LayerType::Mvn => "MVN",
        LayerType::Pooling => "Pooling",
        LayerType::Power => "Power",
        LayerType::Relu => "ReLU",
        LayerType::Relu6 => "ReLU6",
        LayerType::Sigmoid => "Sigmoid",
        LayerType::SigmoidCrossEntropyLoss => "SigmoidCrossEntropyLoss",
        LayerType::Silence => "Silence",
        LayerType::Slice => "Slice",
        LayerType::Softmax => "Softmax",
        LayerType::SoftmaxLoss => "SoftmaxWithLoss",
        LayerType::Split => "Split",
        LayerType::Tanh => "TanH",
        LayerType::Threshold => "Threshold",
        LayerType::WindowData => "WindowData",
    }
}
