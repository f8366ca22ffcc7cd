//! What the tests of nets share.

#![allow(dead_code)]

use std::collections::BTreeMap;

use caffe_proto::net::{Net, Shapes};
use caffe_proto::proto::{NetParameter, NetState, Phase};
use caffe_proto::text::{self, Options};
use caffe_proto::{Error, Storage, upgrade};

/// The definition that a prototxt holds, upgraded.
pub(crate) fn parse(prototxt: &str) -> NetParameter {
    let storage = Storage::from_vec("net.prototxt", prototxt.as_bytes().to_vec());
    let (definition, _) = text::parse_net(&storage, Options::default()).unwrap();
    upgrade(storage.path(), definition, Vec::new()).unwrap().definition.unwrap()
}

/// A state of this phase.
pub(crate) fn state(phase: Phase) -> NetState {
    NetState { phase: Some(phase.into()), ..NetState::default() }
}

/// The net of the TEST phase.
pub(crate) fn net(prototxt: &str) -> Result<Net, Error> {
    Net::new(&parse(prototxt), &state(Phase::Test))
}

/// The shapes of the net of the TEST phase.
pub(crate) fn shapes(prototxt: &str) -> Result<Shapes, Error> {
    net(prototxt)?.infer_shapes(&BTreeMap::new())
}

/// An Input layer with one top of this shape.
pub(crate) fn input(name: &str, shape: &[usize]) -> String {
    format!(
        "layer {{ name: '{name}' type: 'Input' top: '{name}' input_param {{ shape {{ dim: {shape:?} }} }} }}\n"
    )
}

/// The text of the error that building a net or finding its shapes gives.
pub(crate) fn error(prototxt: &str) -> String {
    match shapes(prototxt) {
        Ok(shapes) => panic!("no error, but {shapes:?}"),
        Err(error) => error.to_string(),
    }
}
