//! What each blob of a layer is called, and what shape it needs.

use std::collections::{BTreeMap, HashMap};

use caffe_proto::net::params::ConvolutionParams;
use caffe_proto::net::{Layer, LayerKind, Net};
use caffe_proto::proto::{NetParameter, NetState};

use crate::Error;
use crate::layout::{Extent, Need};

/// One blob of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Slot<'a> {
    /// The array's name within the link.
    pub(crate) key: String,
    /// How its values are kept.
    pub(crate) form: Form,
    pub(crate) need: Need<'a>,
}

/// How a blob's values differ from the array's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Not at all.
    Same,
    /// Weights of so many groups, which a dense array has zeros between.
    Groups(usize),
    /// Rows and columns change places.
    Transposed,
    /// A mean or variance, to be divided by blob 2.
    Statistic,
    /// The number that statistics are divided by; it has no array.
    Factor,
}

/// A definition's layers, with the shapes of their parameters as far as they can be told.
pub(crate) struct Layers {
    net: Net,
    shapes: HashMap<String, Vec<Vec<usize>>>,
}

impl Layers {
    pub(crate) fn new(definition: &NetParameter) -> Result<Self, Error> {
        let net = Net::unfiltered(definition)?;
        let mut shapes = HashMap::new();
        // Many a definition does not tell its input's shape, or is of a net that does not run: names and kernels remain.
        if let Ok(runs) = Net::new(definition, &NetState::default())
            && let Ok(found) = runs.infer_shapes(&BTreeMap::new())
        {
            for (layer, found) in runs.layers.iter().zip(found.layers()) {
                shapes.entry(layer.name.clone()).or_insert_with(|| found.params.clone());
            }
        }
        Ok(Self { net, shapes })
    }

    pub(crate) fn all(&self) -> &[Layer] {
        &self.net.layers
    }

    /// The first layer of a name, which is the one that weights go to.
    pub(crate) fn find(&self, name: &str) -> Option<&Layer> {
        self.net.layer(name)
    }

    /// How many blobs the layer has; `None` when its type does not tell.
    pub(crate) fn blob_count(layer: &Layer) -> Option<usize> {
        layer.kind.blob_count(layer.bottoms.len())
    }

    /// The layer's blobs, `count` of them. `axes` is how many axes its weights have, where that is known.
    pub(crate) fn slots<'a>(&'a self, layer: &'a Layer, count: usize, axes: Option<usize>) -> Vec<Slot<'a>> {
        let mut slots = named(layer, count, axes);
        if let Some(shapes) = self.shapes.get(&layer.name)
            && shapes.len() == slots.len()
        {
            for (slot, shape) in slots.iter_mut().zip(shapes) {
                slot.need.shape = Some(shape.iter().copied().map(Some).collect());
            }
        }
        slots
    }
}

/// The blobs by what the layer's own parameters say.
pub(crate) fn named(layer: &Layer, count: usize, axes: Option<usize>) -> Vec<Slot<'_>> {
    let slot =
        |key: &str, what, form, shape| Slot { key: key.to_owned(), form, need: Need { layer, what, shape } };
    let same = |key: &str, what, shape| slot(key, what, Form::Same, Some(shape));
    let some = |extents: &[usize]| extents.iter().copied().map(Some).collect::<Vec<Extent>>();
    let mut slots = match &layer.kind {
        LayerKind::Convolution(p) => vec![
            slot("W", "weight", groups(p.group), Some(kernel(p, [Some(p.num_output), None], axes))),
            same("b", "bias", some(&[p.num_output])),
        ],
        LayerKind::Deconvolution(p) => {
            let outputs = p.num_output / p.group.max(1);
            vec![
                slot("W", "weight", groups(p.group), Some(kernel(p, [None, Some(outputs)], axes))),
                same("b", "bias", some(&[p.num_output])),
            ]
        }
        // As many groups as channels; how many channels that are, a multiplier leaves open.
        LayerKind::DepthwiseConvolution(p) => {
            vec![
                slot(
                    "W",
                    "weight",
                    groups(p.num_output),
                    Some(kernel(p, [Some(p.num_output), Some(1)], axes)),
                ),
                same("b", "bias", some(&[p.num_output])),
            ]
        }
        LayerKind::InnerProduct(p) => vec![
            if p.transpose {
                slot("W", "weight", Form::Transposed, Some(vec![None, Some(p.num_output)]))
            } else {
                same("W", "weight", vec![Some(p.num_output), None])
            },
            same("b", "bias", some(&[p.num_output])),
        ],
        LayerKind::BatchNorm(_) => vec![
            slot("avg_mean", "mean", Form::Statistic, Some(vec![None])),
            slot("avg_var", "variance", Form::Statistic, Some(vec![None])),
            slot("", "scale factor", Form::Factor, Some(some(&[1]))),
            same("gamma", "scale", vec![None]),
            same("beta", "bias", vec![None]),
        ],
        LayerKind::Scale(p) => {
            let shape = usize::try_from(p.num_axes).ok().map(|axes| vec![None; axes]);
            let bias = slot("bias/b", "bias", Form::Same, shape.clone());
            // The second bottom is the scale where there is one.
            if layer.bottoms.len() > 1 {
                vec![bias]
            } else {
                vec![slot("W", "scale", Form::Same, shape), bias]
            }
        }
        LayerKind::Bias(p) => {
            let shape = usize::try_from(p.num_axes).ok().map(|axes| vec![None; axes]);
            vec![slot("b", "bias", Form::Same, shape)]
        }
        LayerKind::PReLU { channel_shared } => vec![same("W", "slope", channels(*channel_shared))],
        LayerKind::Normalize(p) => vec![same("scale", "scale", channels(p.channel_shared))],
        LayerKind::Embed(p) => {
            vec![
                same("W", "weight", some(&[p.input_dim, p.num_output])),
                same("b", "bias", some(&[p.num_output])),
            ]
        }
        LayerKind::Parameter { .. } => vec![slot("W", "parameter", Form::Same, None)],
        LayerKind::Lstm(p) => recurrent(count == 4, "c", 4 * p.num_output, p.num_output, &same),
        LayerKind::Rnn(p) => {
            let h = p.num_output;
            let mut slots = recurrent(count == 6, "h", h, h, &same);
            slots.push(same("W_ho", "W_ho", some(&[h, h])));
            slots.push(same("b_o", "b_o", some(&[h])));
            slots
        }
        _ => Vec::new(),
    };
    slots.truncate(count);
    for index in slots.len()..count {
        slots.push(slot(&format!("blob{index}"), "", Form::Same, None));
    }
    slots
}

fn recurrent<'a>(
    has_static: bool,
    state: &str,
    gates: usize,
    hidden: usize,
    same: &dyn Fn(&str, &'static str, Vec<Extent>) -> Slot<'a>,
) -> Vec<Slot<'a>> {
    let mut slots = vec![
        same(&format!("W_x{state}"), "input weight", vec![Some(gates), None]),
        same(&format!("b_{state}"), "bias", vec![Some(gates)]),
    ];
    if has_static {
        slots.push(same(&format!("W_x{state}_static"), "static weight", vec![Some(gates), None]));
    }
    slots.push(same(&format!("W_h{state}"), "hidden weight", vec![Some(gates), Some(hidden)]));
    slots
}

fn groups(count: usize) -> Form {
    if count > 1 { Form::Groups(count) } else { Form::Same }
}

fn channels(shared: bool) -> Vec<Extent> {
    if shared { Vec::new() } else { vec![None] }
}

/// Two channel axes and the kernel's.
fn kernel(params: &ConvolutionParams, channels: [Extent; 2], axes: Option<usize>) -> Vec<Extent> {
    let spatial = match params.kernel[..] {
        // One extent for all axes, which usually are two.
        [all] => vec![all; axes.unwrap_or(4).saturating_sub(2)],
        _ => params.kernel.clone(),
    };
    channels.into_iter().chain(spatial.into_iter().map(Some)).collect()
}
