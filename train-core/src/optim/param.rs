//! A parameter as optimizers see it.

use caffe_proto::net::{Layer, LayerKind, Net, Shapes};
use kernels::Buffer;

/// What stays the same of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamInfo {
    /// The layer it is of.
    pub layer: String,
    /// Its path, as Chainer names it: `conv1/W`.
    pub name: String,
    /// The extent of each axis.
    pub shape: Vec<usize>,
    /// The factor of the learning rate: 0 is frozen.
    pub lr_mult: f32,
    /// The factor of the weight decay.
    pub decay_mult: f32,
}

/// A parameter for one update.
#[derive(Debug)]
pub struct ParamView<'a> {
    /// Its values.
    pub value: &'a mut [f32],
    /// Its gradient; `None` is frozen. What it holds after an update is not specified.
    pub grad: Option<&'a mut [f32]>,
}

/// A parameter for one update, where a backend keeps it.
#[derive(Debug)]
pub struct ParamBuffers<'a> {
    /// Its values.
    pub value: &'a mut Buffer,
    /// Its gradient; `None` is frozen. What it holds after an update is not specified.
    pub grad: Option<&'a mut Buffer>,
}

impl ParamInfo {
    /// A parameter of a layer, with Caffe's factors: 1 and 1.
    pub fn new(layer: impl Into<String>, leaf: &str, shape: impl Into<Vec<usize>>) -> Self {
        let layer = layer.into();
        let name = format!("{layer}/{leaf}");
        Self { layer, name, shape: shape.into(), lr_mult: 1.0, decay_mult: 1.0 }
    }

    /// All parameters of a net, in Caffe's order, one of each that is shared, frozen ones and statistics included. Leaves
    /// are named as Chainer names them.
    pub fn all_of(net: &Net, shapes: &Shapes) -> Vec<Self> {
        let mut all = Vec::new();
        for (layer, shapes) in net.layers.iter().zip(shapes.layers()) {
            for (index, (spec, shape)) in layer.params.iter().zip(&shapes.params).enumerate() {
                if spec.owner.is_none() {
                    let info = Self::new(&layer.name, &leaf(layer, index), shape.clone());
                    all.push(info.with_multipliers(spec.lr_mult, spec.decay_mult));
                }
            }
        }
        all
    }

    /// The same with other factors.
    pub fn with_multipliers(mut self, lr_mult: f32, decay_mult: f32) -> Self {
        self.lr_mult = lr_mult;
        self.decay_mult = decay_mult;
        self
    }

    /// How many values it has.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

fn leaf(layer: &Layer, index: usize) -> String {
    let name = match (&layer.kind, index) {
        (LayerKind::BatchNorm(_), 0) => "avg_mean",
        (LayerKind::BatchNorm(_), 1) => "avg_var",
        (LayerKind::BatchNorm(_), 2) => "N",
        (LayerKind::Bias(_), 0) => "b",
        (LayerKind::Scale(_), 1) => "bias/b",
        (_, 0) => "W",
        (_, 1) => "b",
        _ => return format!("blob{index}"),
    };
    name.to_owned()
}
