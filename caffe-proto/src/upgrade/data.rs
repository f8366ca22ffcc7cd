//! The image fields that V1 data layers had of their own, moved to `transform_param`.

use super::Carried;
use crate::proto::v1_layer_parameter::LayerType;
use crate::proto::{TransformationParameter, V1LayerParameter};

/// Moves `scale`, `mean_file`, `crop_size` and `mirror` of V1 data layers.
///
/// When one layer has any of them, all data layers get both messages, be they empty, as in real Caffe.
pub(super) fn upgrade(layers: &mut [Carried<V1LayerParameter>]) {
    if layers.iter().any(|layer| has_old_fields(&layer.layer)) {
        for layer in layers {
            move_fields(&mut layer.layer);
        }
    }
}

fn has_old_fields(layer: &V1LayerParameter) -> bool {
    match layer.r#type() {
        LayerType::Data => layer.data_param.as_ref().is_some_and(|old| {
            old.scale.is_some() || old.mean_file.is_some() || old.crop_size.is_some() || old.mirror.is_some()
        }),
        LayerType::ImageData => layer.image_data_param.as_ref().is_some_and(|old| {
            old.scale.is_some() || old.mean_file.is_some() || old.crop_size.is_some() || old.mirror.is_some()
        }),
        LayerType::WindowData => layer.window_data_param.as_ref().is_some_and(|old| {
            old.scale.is_some() || old.mean_file.is_some() || old.crop_size.is_some() || old.mirror.is_some()
        }),
        _ => false,
    }
}

fn move_fields(layer: &mut V1LayerParameter) {
    let (scale, mean_file, crop_size, mirror) = match layer.r#type() {
        LayerType::Data => {
            let old = layer.data_param.get_or_insert_default();
            (old.scale.take(), old.mean_file.take(), old.crop_size.take(), old.mirror.take())
        }
        LayerType::ImageData => {
            let old = layer.image_data_param.get_or_insert_default();
            (old.scale.take(), old.mean_file.take(), old.crop_size.take(), old.mirror.take())
        }
        LayerType::WindowData => {
            let old = layer.window_data_param.get_or_insert_default();
            (old.scale.take(), old.mean_file.take(), old.crop_size.take(), old.mirror.take())
        }
        _ => return,
    };
    let transform: &mut TransformationParameter = layer.transform_param.get_or_insert_default();
    transform.scale = scale.or(transform.scale);
    transform.mean_file = mean_file.or(transform.mean_file.take());
    transform.crop_size = crop_size.or(transform.crop_size);
    transform.mirror = mirror.or(transform.mirror);
}
