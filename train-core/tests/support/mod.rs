//! Golden passes: what `testdata/gen/forward.py`, `forks.py` and `backward.py` wrote.
#![allow(dead_code, reason = "each test uses its part")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use caffe_proto::proto::NetState;
use caffe_proto::{Blob, LayerBlobs, Model, Payload, Storage, text};
use kernels::{Backend, CpuBackend, Device};
use train_core::Network;
use weight_io::Weights;

/// One file of `testdata/layers`.
pub(crate) struct Golden {
    arrays: Weights,
    cases: Vec<Case>,
}

/// A net, and the names of what went in and came out.
pub(crate) struct Case {
    pub(crate) number: u64,
    pub(crate) net: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) params: Vec<String>,
    pub(crate) out: Vec<String>,
    /// Blobs whose gradients were given.
    pub(crate) seeds: Vec<String>,
    pub(crate) param_gradients: Vec<String>,
}

impl Golden {
    pub(crate) fn open(name: &str) -> Self {
        Self::open_in("layers", name)
    }

    /// A file of another folder of `testdata`.
    pub(crate) fn open_in(folder: &str, name: &str) -> Self {
        let arrays = Weights::open(testdata().join(folder).join(format!("{name}.npz"))).unwrap();
        let index = arrays.get("index").unwrap().to_f32().unwrap();
        let index: Vec<u8> = index.into_iter().map(|byte| byte as u8).collect();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        let names = |value: &serde_json::Value| -> Vec<String> {
            value.as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        let cases = index.as_array().unwrap().iter().map(|case| Case {
            number: case["case"].as_u64().unwrap(),
            net: case["net"].as_str().unwrap().to_owned(),
            inputs: names(&case["in"]),
            params: names(&case["param"]),
            out: names(&case["out"]),
            seeds: names(&case["seed"]),
            param_gradients: names(&case["dparam"]),
        });
        Self { cases: cases.collect(), arrays }
    }

    pub(crate) fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// Whether its layers go on in one pass where they stopped in the one before.
    pub(crate) fn is_recurrent(&self) -> bool {
        self.cases.iter().any(|case| case.net.contains("recurrent_param"))
    }

    /// An array's shape and values.
    pub(crate) fn array(&self, case: &Case, group: &str, name: &str) -> (Vec<usize>, Vec<f32>) {
        let tensor = self.arrays.get(&format!("{}/{group}/{name}", case.number)).unwrap();
        (tensor.shape().to_vec(), tensor.to_f32().unwrap())
    }

    /// The case's parameters as a model file holds them.
    pub(crate) fn model(&self, case: &Case) -> Model {
        let mut layers: Vec<LayerBlobs> = Vec::new();
        for param in &case.params {
            let (name, _) = param.rsplit_once('/').unwrap();
            let (shape, values) = self.array(case, "param", param);
            let blob = Blob::new(shape, Payload::from_f32(&values));
            match layers.iter_mut().find(|layer| layer.name == name) {
                Some(layer) => layer.blobs.push(blob),
                None => layers.push(LayerBlobs { name: name.to_owned(), blobs: vec![blob] }),
            }
        }
        Model { layers, ..Model::default() }
    }
}

impl Case {
    pub(crate) fn network(&self) -> Result<Network, String> {
        let text = Storage::from_vec("golden", self.net.clone().into_bytes());
        let (definition, _) = text::parse_net(&text, text::Options::default()).unwrap();
        let upgraded = caffe_proto::upgrade(Path::new("golden"), definition, Vec::new()).unwrap();
        Network::new(upgraded.definition.unwrap(), &NetState::default()).map_err(|error| chain(&error))
    }
}

/// The processor, and with the feature `emulate` the emulated GPU.
pub(crate) fn backends() -> Vec<Box<dyn Backend>> {
    let mut backends: Vec<Box<dyn Backend>> = vec![Box::new(CpuBackend::new(1).unwrap())];
    if cfg!(feature = "emulate") {
        backends.push(kernels::open(Device::Emulated, 1).unwrap());
    }
    backends
}

/// The files there are, without their ending, in the order of their names.
pub(crate) fn names() -> Vec<String> {
    names_in("layers")
}

/// Those of another folder of `testdata`.
pub(crate) fn names_in(folder: &str) -> Vec<String> {
    let files = fs::read_dir(testdata().join(folder)).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// The largest difference over the largest value; NaN where they differ in what is NaN or infinite.
pub(crate) fn difference(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let (mut largest, mut worst) = (0.0_f64, 0.0_f64);
    for (&found, &expected) in found.iter().zip(expected) {
        if expected.is_nan() && found.is_nan() || found == expected {
            largest = if expected.is_finite() { largest.max(f64::from(expected.abs())) } else { largest };
            continue;
        }
        if !(found.is_finite() && expected.is_finite()) {
            return f64::NAN;
        }
        largest = largest.max(f64::from(expected.abs()));
        worst = worst.max((f64::from(found) - f64::from(expected)).abs());
    }
    if worst == 0.0 { 0.0 } else { worst / largest.max(1e-6) }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata")
}
