//! The shape of every blob and parameter, by Caffe's rules.

mod arrange;
mod convolution;
mod detection;
mod dims;
mod elementwise;
mod loss;
mod pooling;
mod product;
mod recurrent;
mod source;

pub use dims::text;

use std::collections::{BTreeMap, HashMap};

use super::LayerKind as K;
use super::{Layer, Net};
use crate::Error;

/// A net's shapes, found by [`Net::infer_shapes`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shapes {
    layers: Vec<LayerShapes>,
    blobs: BTreeMap<String, Vec<usize>>,
}

/// The shapes around one layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerShapes {
    /// Of each bottom as the layer finds it.
    pub bottoms: Vec<Vec<usize>>,
    /// Of each top as the layer leaves it, the automatic top of a loss included.
    pub tops: Vec<Vec<usize>>,
    /// Of each parameter blob; of an unsupported layer, none.
    pub params: Vec<Vec<usize>>,
    /// False when the data decide the first extent of the tops: then Filter's is the most there can be, and
    /// DetectionOutput's third is 1, as Caffe has them before the first forward pass.
    pub exact: bool,
}

impl Shapes {
    /// Of each layer, in order.
    pub fn layers(&self) -> &[LayerShapes] {
        &self.layers
    }

    /// Of a blob, once it is last written.
    pub fn blob(&self, name: &str) -> Option<&[usize]> {
        self.blobs.get(name).map(Vec::as_slice)
    }

    /// Of all blobs, by name, each once it is last written.
    pub fn blobs(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.blobs.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()))
    }
}

impl Net {
    /// The shapes of all blobs and parameters. `given` are shapes of blobs that come from outside, by name: they win
    /// over what Input and data layers say, and are needed where those do not say it. The tops of an unsupported layer
    /// can be given as well.
    ///
    /// # Errors
    /// [`Error::Layer`] naming the first layer that Caffe would refuse, or whose shape the definition does not tell.
    pub fn infer_shapes(&self, given: &BTreeMap<String, Vec<usize>>) -> Result<Shapes, Error> {
        self.check_given(given)?;
        let mut current: HashMap<&str, Vec<usize>> = HashMap::new();
        for name in &self.inputs {
            if let Some(shape) = given.get(name) {
                current.insert(name, shape.clone());
            }
        }
        let mut layers: Vec<LayerShapes> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let mut bottoms = Vec::with_capacity(layer.bottoms.len());
            for bottom in &layer.bottoms {
                let shape = current.get(bottom.as_str()).ok_or_else(|| {
                    layer.error(format!(
                        "the shape of its bottom `{bottom}` is not known: give it as an input"
                    ))
                })?;
                bottoms.push(shape.clone());
            }
            let mut found = infer(layer, &bottoms, given).map_err(|what| layer.error(what))?;
            found.bottoms = bottoms;
            check(layer, &found).map_err(|what| layer.error(what))?;
            for (name, shape) in layer.tops.iter().zip(&found.tops) {
                current.insert(name, shape.clone());
            }
            layers.push(found);
        }
        self.check_sharing(&layers)?;
        let blobs = current.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect();
        Ok(Shapes { layers, blobs })
    }

    fn check_given(&self, given: &BTreeMap<String, Vec<usize>>) -> Result<(), Error> {
        for (name, shape) in given {
            let maker = self.layers.iter().find(|layer| layer.tops.contains(name));
            let fault = match maker {
                Some(layer) if layer.kind.is_source() || matches!(layer.kind, K::Unsupported(_)) => {
                    dims::check(shape).err()
                }
                Some(layer) => Some(format!("it is made by layer `{}`, which decides its shape", layer.name)),
                None if self.inputs.contains(name) => dims::check(shape).err(),
                None => Some(format!("the net has no such input; it has {}", list(&self.inputs))),
            };
            if let Some(what) = fault {
                let what = format!("shape {} was given for this input: {what}", text(shape));
                return Err(Error::Layer { layer: name.clone(), kind: "input".to_owned(), what });
            }
        }
        Ok(())
    }

    fn check_sharing(&self, layers: &[LayerShapes]) -> Result<(), Error> {
        for (layer, shapes) in self.layers.iter().zip(layers) {
            for (blob, (spec, shape)) in layer.params.iter().zip(&shapes.params).enumerate() {
                let Some((owner, at)) = spec.owner else { continue };
                let Some(owned) = layers[owner].params.get(at) else { continue };
                let fits = match spec.share_mode {
                    super::ShareMode::Strict => owned == shape,
                    super::ShareMode::Permissive => dims::count(owned) == dims::count(shape),
                };
                if !fits {
                    return Err(layer.error(format!(
                        "its parameter {blob} of shape {} shares `{}` with layer `{}`, where it is {}: make the shapes equal",
                        text(shape),
                        spec.name.as_deref().unwrap_or_default(),
                        self.layers[owner].name,
                        text(owned)
                    )));
                }
            }
        }
        Ok(())
    }
}

/// What a layer makes of its bottoms; `bottoms` of the result are left empty.
type Found = Result<LayerShapes, String>;

fn tops(tops: Vec<Vec<usize>>) -> Found {
    Ok(LayerShapes { tops, exact: true, ..LayerShapes::default() })
}

fn with_params(tops: Vec<Vec<usize>>, params: Vec<Vec<usize>>) -> Found {
    Ok(LayerShapes { tops, params, exact: true, ..LayerShapes::default() })
}

fn infer(layer: &Layer, bottoms: &[Vec<usize>], given: &BTreeMap<String, Vec<usize>>) -> Found {
    super::counts::check(layer)?;
    // `counts::check` has made sure of the bottoms that are indexed below.
    let same = || tops(vec![bottoms[0].clone()]);
    match &layer.kind {
        K::AbsVal | K::Split | K::Reshape(_) | K::Flatten(_) if layer.tops.contains(&layer.bottoms[0]) => {
            Err("it cannot work in place: give its top another name than its bottom's".to_owned())
        }
        K::Convolution(p) => convolution::forward(p, bottoms, false),
        K::DepthwiseConvolution(p) => convolution::forward(p, bottoms, true),
        K::Deconvolution(p) => convolution::transposed(p, bottoms),
        K::Im2col(p) => convolution::im2col(p, bottoms),
        K::Pooling(p) => pooling::pooling(p, &bottoms[0], layer.tops.len()),
        K::Spp(p) => pooling::spp(p, &bottoms[0]),
        K::InnerProduct(p) => product::inner_product(p, &bottoms[0]),
        K::Embed(p) => product::embed(p, &bottoms[0]),
        K::Lrn(_) => elementwise::lrn(&bottoms[0]),
        K::BatchNorm(p) => elementwise::batch_norm(p, &bottoms[0]),
        K::Mvn(p) => elementwise::mvn(p, &bottoms[0]),
        K::Scale(p) => elementwise::scale(p, bottoms),
        K::Bias(p) => elementwise::bias(p, bottoms),
        K::PReLU { channel_shared } => elementwise::prelu(*channel_shared, &bottoms[0]),
        K::Softmax { axis } => elementwise::softmax(*axis, &bottoms[0]),
        K::Eltwise(_) => elementwise::eltwise(bottoms),
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
        | K::Threshold { .. }
        | K::Dropout { .. } => same(),
        K::Concat { axis } => arrange::concat(*axis, bottoms),
        K::Slice(p) => arrange::slice(p, &bottoms[0], layer.tops.len()),
        K::Split => tops(vec![bottoms[0].clone(); layer.tops.len()]),
        K::Crop(p) => arrange::crop(p, bottoms),
        K::Reshape(p) => arrange::reshape(p, &bottoms[0]),
        K::Flatten(p) => arrange::flatten(p, &bottoms[0]),
        K::Tile(p) => arrange::tile(p, &bottoms[0]),
        K::Reduction(p) => arrange::reduction(p, &bottoms[0]),
        K::ArgMax(p) => arrange::arg_max(p, &bottoms[0]),
        K::BatchReindex => arrange::batch_reindex(bottoms),
        K::Filter => arrange::filter(bottoms),
        K::Permute { order } => arrange::permute(order, &bottoms[0]),
        K::Silence | K::Hdf5Output { .. } => tops(Vec::new()),
        K::Parameter { shape } => {
            let shape = dims::from_i64(shape)?;
            with_params(vec![shape.clone()], vec![shape])
        }
        K::Lstm(p) => recurrent::lstm(p, bottoms),
        K::LstmUnit => recurrent::lstm_unit(bottoms),
        K::Rnn(p) => recurrent::rnn(p, bottoms),
        K::SoftmaxWithLoss(p) => loss::softmax(p, bottoms),
        K::EuclideanLoss => loss::euclidean(bottoms),
        K::HingeLoss { .. } => loss::scalar(bottoms),
        K::SigmoidCrossEntropyLoss(_) => loss::sigmoid_cross_entropy(bottoms),
        K::ContrastiveLoss(_) => loss::contrastive(bottoms),
        K::InfogainLoss(p) => loss::infogain(p, bottoms, layer.top_count()),
        K::MultinomialLogisticLoss => loss::multinomial(bottoms),
        K::SmoothL1Loss { .. } => loss::smooth_l1(bottoms),
        K::MultiBoxLoss(p) => loss::multi_box(p, bottoms),
        K::Accuracy(p) => loss::accuracy(p, bottoms, layer.tops.len()),
        K::Input(_)
        | K::Data(_)
        | K::ImageData(_)
        | K::Hdf5Data(_)
        | K::WindowData(_)
        | K::MemoryData(_)
        | K::DummyData(_)
        | K::AnnotatedData(_) => source::source(layer, given),
        K::Normalize(p) => detection::normalize(p, &bottoms[0]),
        K::PriorBox(p) => detection::prior_box(p, &bottoms[0]),
        K::DetectionOutput(p) => detection::detection_output(p, bottoms),
        K::ShuffleChannel { group } => detection::shuffle_channel(*group, &bottoms[0]),
        K::Interp(p) => detection::interp(p, &bottoms[0]),
        K::Upsample(p) => detection::upsample(p, bottoms),
        K::Unsupported(kind) => source::unsupported(layer, kind, given),
    }
}

/// What holds of every layer: no blob is too large, and what is filled or weighted has values.
fn check(layer: &Layer, found: &LayerShapes) -> Result<(), String> {
    for (top, shape) in found.tops.iter().enumerate() {
        dims::check(shape)
            .map_err(|what| format!("its top {top} would have shape {}: {what}", text(shape)))?;
        if dims::count(shape) == 0 && layer.loss_weight.get(top).is_some_and(|&weight| weight != 0.0) {
            return Err(format!("its top {top} of shape {} has a loss weight and no values", text(shape)));
        }
    }
    for (blob, shape) in found.params.iter().enumerate() {
        dims::check(shape)
            .map_err(|what| format!("its parameter {blob} would have shape {}: {what}", text(shape)))?;
        if let Some(filler) = layer.fillers.get(blob) {
            filler.check(shape).map_err(|what| format!("its parameter {blob}: {what}"))?;
        }
    }
    Ok(())
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
