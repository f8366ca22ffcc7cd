//! A net with its parameters.

use std::borrow::Cow;
use std::collections::BTreeMap;

use caffe_proto::net::{Net, Shapes};
use caffe_proto::proto::{NetParameter, NetState};
use caffe_proto::{LayerBlobs, Model};
use kernels::Backend;
use weight_io::Weights;

use crate::error::{Error, Refusal, Result};
use crate::executor::Executor;
use crate::layers;
use crate::params::{self, ByName, Match, MatchReport, Params};
use crate::plan::Options;
use crate::training::{Trainee, TrainingOptions};

/// A definition that was resolved and checked, with the shapes of its inputs and the values of its parameters.
#[derive(Clone, Debug)]
pub struct Network {
    definition: NetParameter,
    net: Net,
    given: BTreeMap<String, Vec<usize>>,
    params: Params,
}

impl Network {
    /// The net that an upgraded definition makes in `state`; see [`Net::new`].
    ///
    /// # Errors
    /// Those of [`Net::new`].
    pub fn new(definition: NetParameter, state: &NetState) -> Result<Self> {
        let net = Net::new(&definition, state)?;
        let params = Params::new(&net, 0);
        Ok(Self { definition, net, given: BTreeMap::new(), params })
    }

    /// Its layers.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// The definition that it was made from.
    pub fn definition(&self) -> &NetParameter {
        &self.definition
    }

    /// Sets the shape of an input: another batch, another image size, or one that the definition leaves open.
    pub fn set_input_shape(&mut self, name: impl Into<String>, shape: impl Into<Vec<usize>>) {
        self.given.insert(name.into(), shape.into());
    }

    /// Sets the seed of everything random: fillers, and what is drawn while the net runs. It is 0 otherwise.
    pub fn set_seed(&mut self, seed: u64) {
        self.params.set_seed(seed);
    }

    /// The shapes of all blobs and parameters.
    ///
    /// # Errors
    /// Those of [`Net::infer_shapes`]: a layer that Caffe would refuse, or an input whose shape is not known.
    pub fn shapes(&self) -> Result<Shapes> {
        Ok(self.net.infer_shapes(&self.given)?)
    }

    /// Takes parameters from `weights`, whose names are Chainer's: from wherever [`Weights::open`] had them.
    ///
    /// Shapes are checked at once where the net's are known, else when the net is to run. Layers for which there are no
    /// weights are filled by their fillers.
    ///
    /// # Errors
    /// Weights of a layer's name that do not fit it, unless `by` says to leave such out.
    pub fn initialise_from(&mut self, weights: &Weights, by: Match) -> Result<MatchReport> {
        let ByName { model, unused, misfits } = params::blobs_by_name(&self.definition, weights, by)?;
        let mut report = self.initialise_from_model(&model, by)?;
        report.missing.retain(|name| misfits.iter().all(|(misfit, _)| misfit != name));
        report.misfits.extend(misfits);
        report.unused = unused;
        Ok(report)
    }

    /// Takes parameters from the blobs of `model`, by layer name.
    ///
    /// # Errors
    /// As [`Network::initialise_from`].
    pub fn initialise_from_model(&mut self, model: &Model, by: Match) -> Result<MatchReport> {
        let shapes = self.shapes().ok();
        params::take_model(&self.net, shapes.as_ref(), &mut self.params, model, by)
    }

    /// The parameters as a model file holds them, those of sharers too: what was given as it was given, the rest from its
    /// fillers.
    ///
    /// # Errors
    /// Those of [`Network::shapes`], parameters of another shape, a filler that is not known.
    pub fn to_model(&self) -> Result<Model> {
        let shapes = self.shapes()?;
        let mut model = Model::default();
        for (index, layer) in self.net.layers.iter().enumerate().filter(|(_, layer)| !layer.params.is_empty())
        {
            let values = (0..layer.params.len()).map(|at| self.params.value(&self.net, &shapes, index, at));
            let blobs = values.map(|value| value.map(Cow::into_owned)).collect::<Result<_>>()?;
            model.layers.push(LayerBlobs { name: layer.name.clone(), blobs });
        }
        Ok(model)
    }

    /// Whether there is no layer that cannot run whatever its shapes: shapes can be told of nets without such layers only.
    ///
    /// # Errors
    /// [`Error::CannotRun`] with all of them.
    pub fn check_kinds(&self) -> Result<()> {
        let refused = self.net.layers.iter().filter_map(|layer| {
            let why = layers::refusal_of_kind(layer)?;
            Some(Refusal { layer: layer.name.clone(), kind: layer.type_name.clone(), why })
        });
        let refused: Vec<Refusal> = refused.collect();
        if refused.is_empty() { Ok(()) } else { Err(Error::CannotRun(refused)) }
    }

    /// Plans a forward pass and makes everything ready for it on `backend`.
    ///
    /// # Errors
    /// One that names every layer that cannot run; parameters of another shape than the net's; no memory.
    pub fn executor<'b>(&self, backend: &'b dyn Backend, options: &Options) -> Result<Executor<'b>> {
        self.check_kinds()?;
        let shapes = self.shapes()?;
        self.params.check(&self.net, &shapes)?;
        Executor::new(&self.net, &shapes, &self.params, backend, options)
    }

    /// Makes everything ready to train the net on `backend`. It should be one of the phase TRAIN.
    ///
    /// # Errors
    /// Those of [`Network::executor`]; [`Error::NoLoss`](crate::Error::NoLoss); and
    /// [`Error::CannotTrain`](crate::Error::CannotTrain) with every layer in a gradient's way.
    pub fn trainee<'b>(&self, backend: &'b dyn Backend, options: &TrainingOptions) -> Result<Trainee<'b>> {
        let shapes = self.shapes()?;
        self.params.check(&self.net, &shapes)?;
        Trainee::new(&self.net, &shapes, &self.params, backend, options)
    }
}
