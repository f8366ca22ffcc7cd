//! The upgrade against real Caffe's: what each made of the same nets and solvers.

use std::fs;
use std::path::{Path, PathBuf};

use caffe_proto::proto::{BlobProto, NetParameter, SolverParameter};
use caffe_proto::solver::read_solver;
use caffe_proto::text::{Options, parse, parse_net};
use caffe_proto::{Blob, Generation, Model, Storage, upgrade};
use prost::Message;

/// Nets that real Caffe takes and we refuse, and why.
const REFUSED: [(&str, &str); 2] = [
    ("empty", "an empty file is a cut download, not a net"),
    ("input_too_few_dims", "real Caffe reads what happens to lie behind the dimensions"),
];

fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(folder)
}

/// The files `NAME.EXTENSION`, and beside each what real Caffe made of it, `NAME.MADE.EXTENSION`, if it did.
fn pairs(folder: &str, made: &str, extension: &str) -> Vec<(String, PathBuf, Option<PathBuf>)> {
    let ending = format!(".{extension}");
    let mut pairs = Vec::new();
    for entry in fs::read_dir(testdata(folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = name.strip_suffix(&ending).filter(|name| !name.contains('.')) else { continue };
        let real = path.with_file_name(format!("{name}.{made}{ending}"));
        pairs.push((name.to_owned(), path.clone(), real.exists().then_some(real)));
    }
    pairs.sort();
    assert!(!pairs.is_empty());
    pairs
}

fn net(path: &Path) -> NetParameter {
    if path.extension().is_some_and(|extension| extension == "caffemodel") {
        return NetParameter::decode(fs::read(path).unwrap().as_slice()).unwrap();
    }
    parse_net(&Storage::open(path).unwrap(), Options::default()).unwrap_or_else(|error| panic!("{error}")).0
}

fn same_blob(ours: &Blob, real: &BlobProto) -> bool {
    let legacy = [real.num, real.channels, real.height, real.width];
    let shape: Vec<usize> = match &real.shape {
        Some(shape) => shape.dim.iter().map(|&extent| extent as usize).collect(),
        None => legacy.iter().map(|extent| extent.unwrap() as usize).collect(),
    };
    let values: Vec<f32> = match real.double_data.as_slice() {
        [] => real.data.clone(),
        doubles => doubles.iter().map(|&value| value as f32).collect(),
    };
    ours.shape() == shape && ours.to_vec().unwrap() == values && ours.is_legacy() == real.shape.is_none()
}

fn assert_same(name: &str, ours: &Model, mut real: NetParameter) {
    let definition = ours.definition.as_ref().unwrap();
    assert_eq!(ours.layers.len(), definition.layer.len(), "{name}");
    assert_eq!(ours.layers.len(), real.layer.len(), "{name}");
    for (ours, real) in ours.layers.iter().zip(&mut real.layer) {
        let blobs = std::mem::take(&mut real.blobs);
        assert_eq!(ours.name, real.name(), "{name}");
        assert_eq!(ours.blobs.len(), blobs.len(), "{name}, {}", ours.name);
        assert!(
            ours.blobs.iter().zip(&blobs).all(|(ours, real)| same_blob(ours, real)),
            "{name}, {}",
            ours.name
        );
    }
    for (ours, real) in definition.layer.iter().zip(&real.layer) {
        assert_eq!(ours, real, "{name}");
    }
    assert_eq!(*definition, real, "{name}");
}

#[test]
fn nets_become_what_real_caffe_makes_of_them() {
    let mut refused = 0;
    for (name, path, real) in pairs("upgrade", "upgraded", "prototxt") {
        if name.starts_with("solver") {
            continue;
        }
        let ours = parse_net(&Storage::open(&path).unwrap(), Options::default())
            .and_then(|(net, _)| upgrade(&path, net, Vec::new()));
        if REFUSED.iter().any(|(known, _)| *known == name) {
            assert!(ours.is_err(), "{name} is not refused any more");
            continue;
        }
        match (ours, real) {
            (Ok(ours), Some(real)) => assert_same(&name, &ours, net(&real)),
            (Err(_), None) => refused += 1,
            (Ok(_), None) => panic!("{name}: real Caffe refuses it"),
            (Err(error), Some(_)) => panic!("{name}: real Caffe takes it, but {error}"),
        }
    }
    assert!(refused >= 8);
}

#[test]
fn solvers_become_what_real_caffe_makes_of_them() {
    for (name, path, real) in pairs("upgrade", "upgraded", "prototxt") {
        if !name.starts_with("solver") {
            continue;
        }
        // Real Caffe was started in the folder: the default prefix comes from the path that it was given.
        let text = Storage::from_vec(format!("{name}.prototxt"), fs::read(&path).unwrap());
        match (read_solver(&text, Options::default()), real) {
            (Ok((ours, _)), Some(real)) => {
                let (real, _) =
                    parse::<SolverParameter>(&Storage::open(real).unwrap(), Options::default()).unwrap();
                assert_eq!(ours, real, "{name}");
            }
            (Err(_), None) => {}
            (ours, real) => panic!("{name}: ours {ours:?}, real {real:?}"),
        }
    }
}

#[test]
fn every_generation_becomes_what_real_caffe_makes_of_it() {
    for (made, extension) in [("upgraded", "prototxt"), ("reread", "caffemodel")] {
        for (name, path, real) in pairs("generations", made, extension) {
            let Some(real) = real else { continue };
            let ours = upgrade(&path, net(&path), Vec::new()).unwrap();
            let generation = match name.as_str() {
                "v0" => Generation::V0,
                "v1" | "v1_input_without_dims" => Generation::V1,
                _ => Generation::V2,
            };
            assert_eq!(ours.generation, generation, "{name}");
            assert_same(&name, &ours, net(&real));
        }
    }
}

#[test]
fn upgrading_twice_changes_nothing() {
    for (name, path, real) in pairs("upgrade", "upgraded", "prototxt") {
        if name.starts_with("solver") || real.is_none() || REFUSED.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let once = upgrade(&path, net(&path), Vec::new()).unwrap();
        let blobs = once.layers.iter().map(|layer| layer.blobs.clone()).collect();
        let twice = upgrade(&path, once.definition.clone().unwrap(), blobs).unwrap();
        assert_eq!(once.definition, twice.definition, "{name}");
        assert_eq!(twice.notes, Vec::<String>::new(), "{name}");
        let shapes = |model: &Model| -> Vec<Vec<Vec<usize>>> {
            let layers = model.layers.iter();
            layers.map(|layer| layer.blobs.iter().map(|blob| blob.shape().to_vec()).collect()).collect()
        };
        assert_eq!(shapes(&once), shapes(&twice), "{name}");
    }
}
