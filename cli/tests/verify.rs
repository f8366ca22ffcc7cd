//! `rebrew verify`: whether two files of one net compute the same.

mod scratch;

use std::fs;

use scratch::{Scratch, testdata};
use serde_json::Value;

#[test]
fn a_conversion_computes_the_same() {
    let scratch = Scratch::new();
    let (definition, model) = fashion();
    for output in ["c.npz", "c.h5", "c.safetensors", "c.caffemodel", "c.caffemodel.h5"] {
        scratch.succeeds(&["convert", &model, "-o", output, "--definition", &definition]);
        let told = scratch.succeeds(&["verify", &model, output, "--definition", &definition]);
        assert!(told.ends_with("11 blobs are equal within 1e-5, 0.000e0 at most\n"), "{output}: {told}");
    }
    // The definition in the model serves a file that has none.
    let model = testdata("chainer/groups.caffemodel");
    scratch.succeeds(&["convert", &model, "-o", "dense.npz", "--conv", "dense"]);
    scratch.succeeds(&["verify", &model, "dense.npz"]);
    scratch.succeeds(&["verify", "dense.npz", &model]);
    let model = testdata("chainer/bn_scale.caffemodel");
    scratch.succeeds(&["convert", &model, "-o", "folded.npz", "--batchnorm", "folded"]);
    scratch.succeeds(&["verify", &model, "folded.npz", "--seed", "3"]);
}

#[test]
fn other_weights_are_an_answer() {
    let scratch = Scratch::new();
    let (definition, model) = fashion();
    let text = fs::read_to_string(&definition).unwrap();
    scratch.write("other.prototxt", text.replace("local_size: 5", "local_size: 3").as_bytes());
    let arguments =
        ["verify", &model, &model, "--definition", &definition, "--definition-out", "other.prototxt"];
    let output = scratch.run(&arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    let line = |blob: &str| told.lines().find(|line| line.starts_with(blob)).unwrap().to_owned();
    assert!(line("pool1").ends_with("0.000e0"), "{told}");
    assert!(line("norm1").ends_with("differs"), "{told}");

    let output = scratch.run(&[arguments.as_slice(), &["--json"]].concat());
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &json["equal"]), (Some(1), &Value::Bool(false)));
    scratch.succeeds(&[arguments.as_slice(), &["--rtol", "10"]].concat());
}

#[test]
fn what_cannot_run_is_an_error() {
    let scratch = Scratch::new();
    let (definition, model) = fashion();
    scratch.succeeds(&["convert", &model, "-o", "c.npz"]);
    scratch.succeeds(&["convert", &model, "-o", "c.onnx", "--definition", &definition]);
    scratch.fails(
        &["verify", &model, "c.onnx", "--definition", &definition],
        "rebrew: c.onnx: an .onnx is written, not run: verify the weights in another format, or run it where it is to be \
         used\n",
    );
    scratch.fails(
        &["verify", "c.npz", "c.npz"],
        "rebrew: c.npz: running it needs the net's definition: give it with --definition\n",
    );
    scratch.fails(&["verify", &model, &model, "--rtol=-1"], "rebrew: --rtol is -1, expected 0 or more\n");
    let groups = testdata("chainer/groups.caffemodel");
    scratch.fails(
        &["verify", &groups, &model],
        &format!("rebrew: {model}: its net has an input `label` that the first file's net has not\n"),
    );
}

#[test]
fn a_net_is_timed_step_by_step() {
    let scratch = Scratch::new();
    let (definition, model) = fashion();
    let arguments = ["inspect", &model, "--definition", &definition, "--time", "--passes", "3"];
    let told = scratch.succeeds(&arguments);
    assert!(told.contains("\nconv1  Convolution, ReLU "), "{told}");
    assert!(told.contains(" ms a pass, "), "{told}");
    let told = scratch.succeeds(&[arguments.as_slice(), &["--json", "--threads", "1"]].concat());
    let json: Value = serde_json::from_str(&told).unwrap();
    let steps = json["time"]["steps"].as_array().unwrap();
    assert_eq!(steps[0]["layers"], serde_json::json!(["conv1", "relu1"]));
    assert_eq!(steps[0]["macs"], 313_600);
    assert!(steps.iter().all(|step| step["seconds"].as_f64().unwrap() >= 0.0));
    assert!(json["running_bytes"].as_u64().unwrap() < json["activation_bytes"].as_u64().unwrap());
    // A prototxt alone runs with its fillers; weights alone do not run.
    scratch.succeeds(&["inspect", &definition, "--time", "--passes", "1"]);
    let hdf5 = testdata("fashion/fashion.caffemodel.h5");
    scratch.fails(
        &["inspect", &hdf5, "--time"],
        &format!("rebrew: {hdf5}: --time needs a net's definition: a prototxt or a .caffemodel\n"),
    );
}

fn fashion() -> (String, String) {
    (testdata("fashion/deploy.prototxt"), testdata("fashion/fashion.caffemodel"))
}
