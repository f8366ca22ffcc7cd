//! The typed net: what a definition says once it is filtered, resolved and checked.
//!
//! ```
//! use std::collections::BTreeMap;
//! use caffe_proto::net::Net;
//! use caffe_proto::proto::{BlobShape, InputParameter, LayerParameter, NetParameter, NetState};
//!
//! let input = LayerParameter {
//!     name: Some("data".into()),
//!     r#type: Some("Input".into()),
//!     top: vec!["data".into()],
//!     input_param: Some(Box::new(InputParameter { shape: vec![BlobShape { dim: vec![1, 3, 8, 8] }] })),
//!     ..Default::default()
//! };
//! let softmax = LayerParameter {
//!     name: Some("prob".into()),
//!     r#type: Some("Softmax".into()),
//!     bottom: vec!["data".into()],
//!     top: vec!["prob".into()],
//!     ..Default::default()
//! };
//! let definition = NetParameter { layer: vec![input, softmax], ..Default::default() };
//! let net = Net::new(&definition, &NetState::default())?;
//! assert_eq!(net.outputs, ["prob"]);
//! let shapes = net.infer_shapes(&BTreeMap::new())?;
//! assert_eq!(shapes.blob("prob"), Some(&[1, 3, 8, 8][..]));
//! # Ok::<(), caffe_proto::Error>(())
//! ```

mod cost;
mod counts;
mod filler;
mod filter;
mod graph;
mod kind;
mod layer;
pub mod params;
mod resolve;
pub mod shape;

pub use cost::Cost;
pub use filler::{Fan, Filler};
pub use kind::LayerKind;
pub use layer::{Layer, ParamSpec, ShareMode};
pub use shape::{LayerShapes, Shapes};

use crate::Error;
use crate::proto::{LayerParameter, NetParameter, NetState, Phase};

/// A net: its layers in order, typed, with defaults resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Net {
    /// Its name.
    pub name: String,
    /// The phase it was built for.
    pub phase: Phase,
    /// Whether the gradient is wanted down to the inputs, learnable or not.
    pub force_backward: bool,
    /// Its layers, in the order they run.
    pub layers: Vec<Layer>,
    /// The tops of Input layers, and bottoms that no layer makes (only [`Net::unfiltered`] lets those pass), in order.
    pub inputs: Vec<String>,
    /// The blobs that nobody reads, by name as Caffe lists them. An automatic top of a loss has no name.
    pub outputs: Vec<String>,
}

impl Net {
    /// The net that an upgraded `definition` makes in `state`: layers whose rules say so are left out, and the rest is
    /// checked as Caffe checks it. Stages that the definition itself sets are added to the state's.
    ///
    /// # Errors
    /// [`Error::Layer`] for parameters that contradict each other or are missing, a wrong number of bottoms or tops, a
    /// bottom nobody makes, a top with two makers, sharers of a parameter that disagree.
    pub fn new(definition: &NetParameter, state: &NetState) -> Result<Self, Error> {
        let kept: Vec<&LayerParameter> =
            Self::layers_in(definition, state)?.into_iter().map(|index| &definition.layer[index]).collect();
        let mut layers = Vec::with_capacity(kept.len());
        for definition in &kept {
            let layer = Layer::resolve(definition, state.phase())?;
            layer.check(definition)?;
            layers.push(layer);
        }
        graph::check(&layers, &kept)?;
        graph::share(&mut layers, &kept)?;
        Ok(Self::assemble(definition, state.phase(), layers))
    }

    /// The layers, by index, that an upgraded `definition` has in `state`: those that [`Net::new`] builds.
    ///
    /// # Errors
    /// [`Error::Layer`] for a layer with both kinds of rules.
    pub fn layers_in(definition: &NetParameter, state: &NetState) -> Result<Vec<usize>, Error> {
        let mut state = state.clone();
        if let Some(own) = &definition.state {
            state.stage.extend(own.stage.iter().cloned());
        }
        let mut kept = Vec::with_capacity(definition.layer.len());
        for (index, layer) in definition.layer.iter().enumerate() {
            if filter::is_in(layer, &state).map_err(|what| layer::error(layer, what))? {
                kept.push(index);
            }
        }
        Ok(kept)
    }

    /// The definition of the net that [`Net::new`] makes: without the layers whose rules leave them out.
    ///
    /// # Errors
    /// [`Error::Layer`] for a layer with both kinds of rules.
    pub fn kept(definition: &NetParameter, state: &NetState) -> Result<NetParameter, Error> {
        let indices = Self::layers_in(definition, state)?;
        let layer = indices.into_iter().map(|index| definition.layer[index].clone()).collect();
        Ok(NetParameter { layer, ..definition.clone() })
    }

    /// Every layer of an upgraded `definition`, whatever its rules say and however they are connected: what names and
    /// lays out weights.
    ///
    /// # Errors
    /// [`Error::Layer`] for parameters of a layer that contradict each other or are missing.
    pub fn unfiltered(definition: &NetParameter) -> Result<Self, Error> {
        let phase = definition.state.as_ref().map_or(Phase::Test, NetState::phase);
        let layers = definition
            .layer
            .iter()
            .map(|layer| Layer::resolve(layer, phase))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::assemble(definition, phase, layers))
    }

    /// The first layer of this name, which is the one that weights go to.
    pub fn layer(&self, name: &str) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.name == name)
    }

    fn assemble(definition: &NetParameter, phase: Phase, layers: Vec<Layer>) -> Self {
        Self {
            name: definition.name().to_owned(),
            phase,
            force_backward: definition.force_backward(),
            inputs: graph::inputs(&layers),
            outputs: graph::outputs(&layers),
            layers,
        }
    }
}
