//! BatchNorm layers and the Scale layers that complete them.

use caffe_proto::net::{Layer, LayerKind};

/// The Scale layer that directly follows the BatchNorm layer `at` on the same blob, so that the two are one
/// normalization: nothing reads or writes the blob between them, and nobody else reads what lies between.
pub(crate) fn partner(layers: &[Layer], at: usize) -> Option<&Layer> {
    let LayerKind::BatchNorm(params) = &layers[at].kind else { return None };
    let [blob] = &layers[at].tops[..] else { return None };
    if params.scale_bias {
        return None;
    }
    let touches = |layer: &&Layer| layer.bottoms.contains(blob) || layer.tops.contains(blob);
    let mut later = layers[at + 1..].iter().filter(touches);
    let scale = later.next()?;
    let LayerKind::Scale(params) = &scale.kind else { return None };
    let alone = scale.bottoms == [blob.clone()] && params.axis == 1 && params.num_axes == 1;
    // In place, the blob after it is the scaled one; otherwise the unscaled one must have no other reader, before
    // another layer writes the blob anew.
    let unread = scale.tops.contains(blob) || later.next().is_none_or(|layer| !layer.bottoms.contains(blob));
    (alone && unread).then_some(scale)
}
