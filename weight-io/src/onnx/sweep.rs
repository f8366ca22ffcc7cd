//! Every net that real Caffe could set up, exported.

use std::collections::BTreeMap;
use std::path::Path;

use caffe_proto::text::Options;
use caffe_proto::{Blob, LayerBlobs, Model, open_definition};
use serde_json::Value;

use super::export;
use crate::Error;
use crate::source::Zeros;

fn dims(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap() as usize).collect()
}

/// What errors say of nets that do not begin with inputs of known shape.
const NO_INPUTS: [&str; 3] = ["it reads data", "no layer makes its bottom", "it has no shape"];

/// What becomes of a net with zeros for weights: `exported`, or why not without the layer's name.
fn outcome(path: &Path, params: &Value) -> String {
    let layer = |entry: &Value| LayerBlobs {
        name: entry[0].as_str().unwrap().to_owned(),
        blobs: entry[1]
            .as_array()
            .unwrap()
            .iter()
            .map(|shape| {
                let shape = dims(shape);
                let len = shape.iter().product::<usize>() as u64 * 4;
                Blob::new(shape, Zeros::payload(len))
            })
            .collect(),
    };
    let model = Model { layers: params.as_array().unwrap().iter().map(layer).collect(), ..Model::default() };
    let definition = open_definition(path, Options::default()).unwrap().definition.unwrap();
    match export(&definition, &model) {
        Ok((graph, _)) => {
            assert!(!graph.outputs.is_empty());
            "exported".to_owned()
        }
        Err(Error::NotInOnnx { layers }) => {
            layers[0].split_once(' ').map_or_else(String::new, |(_, why)| why.to_owned())
        }
        Err(Error::NothingToRun) => "nothing to run".to_owned(),
        Err(error) if NO_INPUTS.iter().any(|why| error.to_string().contains(why)) => "no inputs".to_owned(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_caffe_sets_up_is_exported_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.prototxt");
    let shapes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/shapes");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for file in std::fs::read_dir(shapes).unwrap() {
        let text = std::fs::read(file.unwrap().path()).unwrap();
        for entry in serde_json::from_slice::<Value>(&text).unwrap().as_array().unwrap() {
            // The phase that is exported; in the other, Caffe may have refused what this one takes.
            if entry["error"] == true || entry["phase"] != "TEST" {
                continue;
            }
            std::fs::write(&path, entry["net"].as_str().unwrap()).unwrap();
            *counts.entry(outcome(&path, &entry["params"])).or_default() += 1;
        }
    }
    let others = counts.keys().map(String::as_str).filter(|why| *why != "exported").collect::<Vec<_>>();
    assert_eq!(
        others,
        ["(Pooling: `pool: STOCHASTIC`)", "(SPP: `pool: STOCHASTIC`)", "no inputs", "nothing to run"]
    );
    assert!(counts["exported"] > 1500, "{counts:?}");
}
