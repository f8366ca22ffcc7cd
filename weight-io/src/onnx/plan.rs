//! What of a net goes into a file that only infers: the rules that make a deploy net.

use std::collections::{BTreeSet, HashSet};

use caffe_proto::net::{Layer, LayerKind, Net};

use crate::Error;
use crate::layout::error;

/// What becomes of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    /// It goes into the file.
    Kept,
    /// It does not.
    Dropped,
    /// A loss of which the file has what it takes of its first bottom.
    Softmax {
        /// The axis of the classes.
        axis: i32,
    },
    /// The same, of a sigmoid.
    Sigmoid,
}

/// The fates of a net's layers, and its outputs.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) fates: Vec<Fate>,
    /// Blobs that no kept layer reads once they are last written, by name. Inputs are none.
    pub(super) outputs: BTreeSet<String>,
    /// Blobs that a kept layer reads.
    pub(super) read: HashSet<String>,
}

impl Plan {
    pub(super) fn new(net: &Net) -> Self {
        let mut fates = vec![Fate::Kept; net.layers.len()];
        let mut read: HashSet<String> = HashSet::new();
        for (layer, fate) in net.layers.iter().zip(&mut fates).rev() {
            *fate = of(layer, &read);
            let reads = match fate {
                Fate::Kept => &layer.bottoms[..],
                Fate::Dropped => &[],
                Fate::Softmax { .. } | Fate::Sigmoid => &layer.bottoms[..1],
            };
            read.extend(reads.iter().cloned());
        }
        let mut outputs = BTreeSet::new();
        for (layer, fate) in net.layers.iter().zip(&fates) {
            match fate {
                Fate::Kept => {
                    outputs.retain(|blob| !layer.bottoms.contains(blob));
                    if !matches!(layer.kind, LayerKind::Input(_)) {
                        outputs.extend(layer.tops.iter().cloned());
                    }
                }
                Fate::Dropped => {}
                Fate::Softmax { .. } | Fate::Sigmoid => outputs.retain(|blob| *blob != layer.bottoms[0]),
            }
        }
        Self { fates, outputs, read }
    }
}

/// Refuses a net that is made for training: one that reads data in the phase that is looked at, or in another while
/// there is no input.
///
/// # Errors
/// [`Error::Layer`] for a layer that reads data, or a blob that none makes.
pub(super) fn check_inputs(whole: &Net, net: Option<&Net>) -> Result<(), Error> {
    let has_inputs = whole.layers.iter().any(|layer| matches!(layer.kind, LayerKind::Input(_)));
    let layers = if has_inputs { net.map_or(&[][..], |net| &net.layers) } else { &whole.layers };
    if let Some(layer) = layers.iter().find(|layer| is_data(&layer.kind)) {
        return Err(error(layer, format!("it reads data, and {NEEDED}")));
    }
    let blob = whole.inputs.first().filter(|_| !has_inputs);
    match blob.and_then(|blob| Some((blob, whole.layers.iter().find(|layer| layer.bottoms.contains(blob))?)))
    {
        Some((blob, layer)) => Err(error(layer, format!("no layer makes its bottom `{blob}`, and {NEEDED}"))),
        None => Ok(()),
    }
}

const NEEDED: &str =
    "an .onnx begins with inputs: give the deploy prototxt, which has Input layers, with --definition";

/// What a layer becomes whose tops are read as `read` says.
fn of(layer: &Layer, read: &HashSet<String>) -> Fate {
    if layer.tops.iter().any(|top| read.contains(top)) {
        return Fate::Kept;
    }
    match &layer.kind {
        LayerKind::SoftmaxWithLoss(params) => Fate::Softmax { axis: params.axis },
        LayerKind::InfogainLoss(_)
        | LayerKind::Accuracy(_)
        | LayerKind::Silence
        | LayerKind::Hdf5Output { .. } => Fate::Dropped,
        LayerKind::SigmoidCrossEntropyLoss(_) => Fate::Sigmoid,
        kind if kind.is_loss() => Fate::Dropped,
        _ => Fate::Kept,
    }
}

fn is_data(kind: &LayerKind) -> bool {
    kind.is_source() && !matches!(kind, LayerKind::Input(_) | LayerKind::DummyData(_))
}
