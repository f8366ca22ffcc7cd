//! Against what real Chainer wrote: `testdata/chainer`, made by the scripts in `testdata/gen`.

use std::path::{Path, PathBuf};

use weight_io::chainer::{Conv, Options, to_blobs, to_links};
use weight_io::{Dtype, Opened, Tolerance, Weights, compare};

const DENSE: Options = Options { conv: Conv::Dense, batchnorm: weight_io::chainer::BatchNorm::Caffe };

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/chainer").join(name)
}

fn assert_equal(a: &Weights, b: &Weights, what: &str) {
    let comparison = compare(a, b, Tolerance::default(), &mut |_, _| ()).unwrap();
    assert!(comparison.is_equal(), "{what}: {comparison:?}");
    let lifted = comparison.compared.iter().filter(|difference| difference.lifted.is_some());
    assert_eq!(lifted.count(), 0, "{what}: not the same layout");
    for (name, tensor) in a.iter() {
        assert_eq!(tensor.dtype(), b.get(name).unwrap().dtype(), "{what}: {name}");
    }
}

#[test]
fn dense_weights_are_what_caffe_function_makes() {
    for name in ["groups", "deconvolution", "bn_scale", "slashes"] {
        let model = Opened::open(golden(&format!("{name}.caffemodel"))).unwrap();
        let (ours, _) = model.weights(DENSE).unwrap();
        for ending in ["npz", "stored.npz", "h5"] {
            let theirs = Weights::open(golden(&format!("caffefunction/{name}.{ending}"))).unwrap();
            assert_equal(&ours, &theirs, &format!("{name}.{ending}"));
        }
    }
}

#[test]
fn a_scale_factor_of_zero_gives_zeros_where_caffe_function_gives_nan() {
    let model = Opened::open(golden("bn_zero.caffemodel")).unwrap();
    let (ours, notes) = model.weights(DENSE).unwrap();
    let theirs = Weights::open(golden("caffefunction/bn_zero.npz")).unwrap();
    assert!(theirs.get("bn/avg_mean").unwrap().to_f32().unwrap().iter().all(|value| value.is_nan()));
    for name in ["bn/avg_mean", "bn/avg_var"] {
        assert!(ours.get(name).unwrap().to_f32().unwrap().iter().all(|&value| value == 0.0));
    }
    let notes = notes.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(notes.iter().any(|note| note.contains("scale factor 0 read as zeros") && note.contains("`bn`")));
}

#[test]
fn caffe_functions_files_go_back_into_the_model() {
    for name in ["groups", "deconvolution", "bn_scale", "slashes"] {
        let model = Opened::open(golden(&format!("{name}.caffemodel"))).unwrap();
        let definition = model.definition().unwrap();
        for ending in ["npz", "h5"] {
            let theirs = Weights::open(golden(&format!("caffefunction/{name}.{ending}"))).unwrap();
            let (back, _) = to_blobs(definition, &theirs).unwrap();
            let (again, _) = to_links(definition, &back, DENSE).unwrap();
            assert_equal(&again, &theirs, name);
        }
    }
}

#[test]
fn chainers_formats_hold_the_same() {
    for name in ["groups", "half", "nested", "normalised"] {
        let npz = Weights::open(golden(&format!("handmade/{name}.npz"))).unwrap();
        for ending in ["stored.npz", "h5"] {
            let other = Weights::open(golden(&format!("handmade/{name}.{ending}"))).unwrap();
            assert_equal(&npz, &other, name);
        }
    }
    let half = Weights::open(golden("handmade/half.npz")).unwrap();
    assert_eq!(half.get("half/W").unwrap().dtype(), Dtype::F16);
    assert_eq!(half.get("double/W").unwrap().dtype(), Dtype::F64);
}

#[test]
fn a_snapshot_is_cut_down_to_the_net() {
    for ending in ["npz", "h5"] {
        let snapshot = Opened::open(golden(&format!("handmade/snapshot.{ending}"))).unwrap();
        let (weights, _) = snapshot.weights(Options::default()).unwrap();
        let mut names = weights.iter().map(|(name, _)| name).collect::<Vec<_>>();
        names.sort_unstable();
        assert_eq!(names, ["0/W", "0/b", "1/W", "1/b"]);
        assert_eq!(snapshot.notes().len(), 3, "{:?}", snapshot.notes());
    }
}

#[test]
fn parameters_that_were_never_initialised_are_named() {
    for ending in ["npz", "stored.npz", "h5"] {
        let error =
            Weights::open(golden(&format!("handmade/uninitialised.{ending}"))).unwrap_err().to_string();
        assert!(error.starts_with("tensor `lazy") && error.contains("not initialised"), "{error}");
    }
}
