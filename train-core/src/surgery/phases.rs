//! The layers of a definition in each phase.

use caffe_proto::Error;
use caffe_proto::net::Net;
use caffe_proto::proto::{NetParameter, NetState, Phase};

/// A net as one phase has it.
pub(super) struct InPhase {
    pub(super) net: Net,
    /// For each of its layers, which of the definition's it is.
    pub(super) places: Vec<usize>,
}

/// The definition without what only its last user needs, and its nets of the phases TRAIN and TEST. A definition that can
/// be built in one phase only is taken to be the same in both.
///
/// # Errors
/// When it can be built in neither.
pub(super) fn of(definition: &NetParameter) -> Result<(NetParameter, InPhase, InPhase), Error> {
    let mut definition = definition.clone();
    for layer in &mut definition.layer {
        // Caffe saves each layer with the phase it ran in.
        layer.phase = None;
        layer.blobs.clear();
    }
    if let Ok(built) = both(&definition) {
        return Ok((definition, built.0, built.1));
    }
    // A saved net has the layers of one phase, and the rules by which they were chosen among others.
    let mut without = definition.clone();
    for layer in &mut without.layer {
        layer.include.clear();
        layer.exclude.clear();
    }
    match both(&without) {
        Ok(built) => Ok((without, built.0, built.1)),
        Err(_) => both(&definition).map(|built| (definition, built.0, built.1)),
    }
}

fn both(definition: &NetParameter) -> Result<(InPhase, InPhase), Error> {
    let (train, test) = (in_phase(definition, Phase::Train), in_phase(definition, Phase::Test));
    match (train, test) {
        (Ok(train), Ok(test)) if has_source(&train) && has_source(&test) => Ok((train, test)),
        (Ok(train), _) if has_source(&train) => Ok((in_phase(definition, Phase::Train)?, train)),
        (_, Ok(test)) => Ok((in_phase(definition, Phase::Test)?, test)),
        (Ok(train), Err(_)) => Ok((in_phase(definition, Phase::Train)?, train)),
        (Err(error), Err(_)) => Err(error),
    }
}

fn in_phase(definition: &NetParameter, phase: Phase) -> Result<InPhase, Error> {
    let state = NetState { phase: Some(phase.into()), ..NetState::default() };
    let places = Net::layers_in(definition, &state)?;
    Ok(InPhase { net: Net::new(definition, &state)?, places })
}

fn has_source(phase: &InPhase) -> bool {
    phase.net.layers.iter().any(caffe_proto::net::Layer::is_given)
}
