//! Everything that a run needs, found out before it begins.

use std::path::PathBuf;

use caffe_proto::Model;
use caffe_proto::net::Shapes;
use caffe_proto::proto::{NetParameter, NetState, Phase};
use weight_io::Weights;

use super::{Error, Result, Sets, data};
use crate::data::Feed as _;
use crate::params::blobs_by_name;
use crate::surgery::{Anatomy, Operated, Replacement, Wish};
use crate::{Match, Network};

/// What is to be fine-tuned, and on what.
pub struct Request<'r> {
    /// The definition, upgraded.
    pub definition: &'r NetParameter,
    /// The folder that files named in the definition may lie in, beside the one where the program was started.
    pub base: PathBuf,
    /// The weights; none from scratch.
    pub weights: Option<Given>,
    /// Images to learn from.
    pub data: PathBuf,
    /// Images to judge by; a tenth of the others, unless given.
    pub validation: Option<PathBuf>,
    /// The classes to take, by their numbers in the data, in their new order; all, unless given.
    pub classes: Option<Vec<usize>>,
    /// The classes' names, by their numbers in the data.
    pub class_names: Option<Vec<String>>,
    /// The most images of each class to take, the first.
    pub limit: Option<usize>,
    /// What is done to images.
    pub image: ImageOptions,
    /// Layers that are made anew.
    pub replace: Vec<Replacement>,
    /// How much faster these learn.
    pub head_lr_mult: f32,
    /// Images a step.
    pub batch_size: usize,
    /// What all chance depends on.
    pub seed: u64,
}

/// Weights of one or the other kind.
pub enum Given {
    /// Blobs by layer.
    Model(Box<Model>),
    /// Tensors under Chainer's names.
    Weights(Weights),
}

/// What is done to images, where the definition does not say so or something else is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageOptions {
    /// A mean file, or numbers.
    pub mean: Option<String>,
    /// The factor of what is left once the mean is subtracted.
    pub scale: Option<f32>,
    /// The height and width that image files are resized to.
    pub dims: Option<[usize; 2]>,
    /// The height and width that are cut from them.
    pub crop: Option<[usize; 2]>,
    /// Whether half of them are mirrored.
    pub mirror: bool,
}

/// A net and its images, ready to be trained.
pub struct Prepared {
    /// The net.
    pub operated: Operated,
    /// Its parameters at the start, layer by layer.
    pub base: Model,
    /// The images.
    pub sets: Sets,
    /// What should be known.
    pub notes: Vec<String>,
}

/// Finds out what there is, and puts it together.
///
/// # Errors
/// Whatever does not fit, before anything is computed.
pub fn prepare(request: &Request<'_>) -> Result<Prepared> {
    let mut notes = Vec::new();
    let anatomy = Anatomy::of(request.definition)?;
    let mut misfits = Vec::new();
    let weights = match &request.weights {
        None => Model::default(),
        Some(Given::Model(model)) => Model::clone(model),
        Some(Given::Weights(weights)) => {
            let by_name = blobs_by_name(anatomy.definition(), weights, Match::ByNameAndShape)?;
            misfits = by_name.misfits;
            by_name.model
        }
    };
    let of_layer =
        |name: &str| weights.layers.iter().find(|layer| layer.name == name && !layer.blobs.is_empty());
    let shape_of = |name: &str| of_layer(name).map(|layer| layer.blobs[0].shape().to_vec());
    let input = anatomy.input();
    let channels = input.channels.or_else(|| anatomy.channels_by_weights(&shape_of));
    let (sets, shape) = data::open(request, input, channels, &mut notes)?;
    let wish = Wish {
        replace: request.replace.clone(),
        classes: sets.classes.len(),
        input: shape,
        batch_size: request.batch_size,
        head_lr_mult: request.head_lr_mult,
    };
    let operated = anatomy.operate(&wish, &|name| of_layer(name).is_some())?;
    notes.extend(operated.notes.iter().cloned());
    if let Some((layer, what)) = misfits.into_iter().find(|(layer, _)| !operated.anew.contains(layer)) {
        return Err(Error::Misfit { layer, what });
    }
    check_labels(&operated, &sets)?;
    let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
    let mut network = Network::new(operated.train_val.clone(), &state)?;
    network.check_kinds()?;
    network.set_seed(request.seed);
    let taken = weights.layers.iter().filter(|layer| !operated.anew.contains(&layer.name)).cloned();
    let taken = Model { layers: taken.collect(), ..Model::default() };
    let report = network.initialise_from_model(&taken, Match::ByName)?;
    if request.weights.is_some() && report.matched.is_empty() && operated.anew.len() < report.missing.len() {
        return Err(Error::OtherWeights);
    }
    Ok(Prepared { base: network.to_model()?, operated, sets, notes })
}

/// Whether every label names an output.
fn check_labels(operated: &Operated, sets: &Sets) -> Result<()> {
    let network = Network::new(operated.deploy.clone(), &NetState::default())?;
    network.check_kinds()?;
    let shapes: Shapes = network.shapes()?;
    let shape = shapes.blob(&operated.scores).unwrap_or_default();
    let classes = match shape {
        [1, classes, rest @ ..] if rest.iter().all(|&size| size == 1) => *classes,
        _ => return Err(Error::Scores { blob: operated.scores.clone(), shape: shape.to_vec() }),
    };
    for (labels, images) in sets.labels.iter().zip([&sets.train, &sets.validation]) {
        if let Some(at) = labels.iter().position(|&label| label as usize >= classes) {
            return Err(Error::Label { sample: images.name(at), label: labels[at], classes });
        }
    }
    Ok(())
}
