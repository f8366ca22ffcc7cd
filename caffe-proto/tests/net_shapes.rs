//! Shapes against real Caffe's, and refusals against its refusals: `testdata/shapes`, written by
//! `testdata/gen/shapes.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use caffe_proto::net::{Net, Shapes};
use caffe_proto::proto::{NetState, Phase};
use caffe_proto::text::{self, Options};
use caffe_proto::{Error, Storage, upgrade};
use serde_json::Value;

/// Caffe's name for the top it makes for a loss that names none.
const AUTOMATIC: &str = "(automatic)";

#[test]
fn every_net_has_caffes_shapes_or_is_refused_as_by_caffe() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/shapes");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut taken, mut refused, mut faults) = (0, 0, Vec::new());
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let entries: Vec<Value> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        for entry in entries {
            let found = shapes(entry["net"].as_str().unwrap(), entry["phase"] == "TRAIN");
            let fault = match (entry.get("error").is_some(), found) {
                (true, Err(_)) => {
                    refused += 1;
                    None
                }
                (true, Ok(_)) => Some(format!("Caffe refuses it: {}", entry["message"])),
                (false, Ok((net, shapes))) => {
                    taken += 1;
                    difference(&entry, &net, &shapes)
                }
                // Caffe leaves an Input without a shape at `[]` until somebody reshapes it.
                (false, Err(error)) if error.to_string().contains("it has no shape") => None,
                (false, Err(error)) => Some(format!("Caffe takes it, and here: {error}")),
            };
            let name = file.file_name().unwrap().to_string_lossy();
            faults.extend(fault.map(|fault| format!("{name}: {fault}\n{}", entry["net"].as_str().unwrap())));
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {} nets differ:\n{}",
        faults.len(),
        faults.len() + taken + refused,
        faults.join("\n")
    );
    assert!(taken > 1000 && refused > 300, "{taken} taken and {refused} refused: are all files there?");
}

fn shapes(prototxt: &str, train: bool) -> Result<(Net, Shapes), Error> {
    let storage = Storage::from_vec("net.prototxt", prototxt.as_bytes().to_vec());
    let (definition, _) = text::parse_net(&storage, Options::default())?;
    let phase = if train { Phase::Train } else { Phase::Test };
    let state = NetState { phase: Some(phase.into()), ..NetState::default() };
    let definition = upgrade(storage.path(), definition, Vec::new())?.definition.unwrap();
    let net = Net::new(&definition, &state)?;
    let shapes = net.infer_shapes(&BTreeMap::new())?;
    Ok((net, shapes))
}

fn difference(entry: &Value, net: &Net, shapes: &Shapes) -> Option<String> {
    for blob in entry["blobs"].as_array().unwrap() {
        let (name, expected) = (blob[0].as_str().unwrap(), extents(&blob[1]));
        let found = if name == AUTOMATIC { Some(&[][..]) } else { shapes.blob(name) };
        if found != Some(&expected) {
            return Some(format!("blob `{name}` is {expected:?} in Caffe and {found:?} here"));
        }
    }
    let expected: Vec<(&str, Vec<Vec<usize>>)> = entry["params"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| (layer[0].as_str().unwrap(), layer[1].as_array().unwrap().iter().map(extents).collect()))
        .collect();
    let found: Vec<(&str, Vec<Vec<usize>>)> = net
        .layers
        .iter()
        .zip(shapes.layers())
        .filter(|(_, shapes)| !shapes.params.is_empty())
        .map(|(layer, shapes)| (layer.name.as_str(), shapes.params.clone()))
        .collect();
    (expected != found).then(|| format!("parameters are {expected:?} in Caffe and {found:?} here"))
}

fn extents(shape: &Value) -> Vec<usize> {
    shape.as_array().unwrap().iter().map(|extent| extent.as_u64().unwrap() as usize).collect()
}
