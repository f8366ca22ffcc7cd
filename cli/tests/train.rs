//! `rebrew train` beside real Caffe's snapshots, and beside itself when it is broken off.

mod scratch;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use scratch::{Scratch, testdata};

/// A net with everything that chance has a part in: the order of the data, cuts and mirroring, Dropout.
const NET: &str = r#"
layer { name: "data" type: "ImageData" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mirror: true crop_size: 20 scale: 0.0078125 mean_value: 100 }
  image_data_param { source: "list.txt" batch_size: 5 shuffle: true new_height: 24 new_width: 24 } }
layer { name: "test" type: "ImageData" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 20 scale: 0.0078125 mean_value: 100 }
  image_data_param { source: "list.txt" batch_size: 4 new_height: 24 new_width: 24 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 6 kernel_size: 5 stride: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" include { phase: TEST } }
"#;

const SOLVER: &str = r#"net: "net.prototxt" type: "Adam" base_lr: 0.001 momentum: 0.9 momentum2: 0.999 lr_policy: "multistep" gamma: 0.5
stepvalue: 20 stepvalue: 50 weight_decay: 0.001 test_iter: 2 test_interval: 16 random_seed: 4
"#;

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("net.prototxt", NET.as_bytes());
    let images = ["scene.png", "boot.png", "cat.png"];
    let images: Vec<String> = images
        .iter()
        .map(|name| format!("{}/{name}", testdata("classify")))
        .filter(|path| Path::new(path).is_file())
        .collect();
    let lines = (0..12).map(|at| format!("{} {}\n", images[at % images.len()], at % 2));
    scratch.write("list.txt", lines.collect::<String>().as_bytes());
    scratch
}

fn solver(scratch: &Scratch, name: &str, more: &str) {
    scratch.write(name, format!("{SOLVER}{more}").as_bytes());
}

fn golden(case: &str) -> Scratch {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("case")).unwrap();
    for file in ["data.h5", "data.txt"] {
        fs::copy(testdata(&format!("train/{file}")), scratch.path(file)).unwrap();
    }
    for entry in fs::read_dir(testdata(&format!("train/{case}"))).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, scratch.path("case").join(path.file_name().unwrap())).unwrap();
    }
    scratch
}

#[test]
fn trains_as_caffe_does_and_goes_on_from_its_snapshots() {
    for case in ["sgd", "adam"] {
        let scratch = golden(case);
        // Paths begin beside the solver where the net is there, and not where we stand.
        let log = scratch.succeeds(&["train", "case/ours.prototxt", "--weights", "case/start.caffemodel"]);
        assert!(log.contains("frozen: frozen, bn"), "{log}");
        scratch.succeeds(&["train", "case/on.prototxt", "--snapshot", "case/caffe_iter_10.solverstate"]);
        for (ours, caffes) in [("ours_iter_10", "caffe_iter_10"), ("on_iter_20", "caffe_iter_20")] {
            let [ours, caffes] = [ours, caffes].map(|name| format!("case/{name}.caffemodel"));
            scratch.succeeds(&["diff", &ours, &caffes, "--rtol", "1e-5", "--atol", "3e-6"]);
            let moved =
                scratch.run(&["diff", &ours, "case/start.caffemodel", "--rtol", "1e-5", "--atol", "3e-6"]);
            assert_eq!(moved.status.code(), Some(1));
        }
    }
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let scratch = scratch();
    solver(&scratch, "whole.prototxt", "max_iter: 64 snapshot: 64 snapshot_prefix: \"whole\"");
    solver(&scratch, "broken.prototxt", "max_iter: 64 snapshot: 1 snapshot_prefix: \"broken\"");
    scratch.succeeds(&["train", "whole.prototxt"]);
    let last = |scratch: &Scratch| {
        (1..=64).rev().find(|n| scratch.path(&format!("broken_iter_{n}.solverstate")).is_file())
    };
    let mut kills = 0;
    for delay in (0..40).map(|at| 90 + 7 * (at * 5 % 11)) {
        let state = last(&scratch).map(|n| format!("broken_iter_{n}.solverstate"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_rebrew"));
        command.args(["train", "broken.prototxt"]).current_dir(scratch.path("")).stdout(Stdio::null());
        if let Some(state) = &state {
            command.args(["--snapshot", state]);
        }
        let mut child = command.spawn().unwrap();
        sleep(Duration::from_millis(delay));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    if last(&scratch) != Some(64) {
        let state = last(&scratch).map(|n| format!("broken_iter_{n}.solverstate"));
        let mut arguments = vec!["train", "broken.prototxt"];
        arguments.extend(state.iter().flat_map(|state| ["--snapshot", state.as_str()]));
        scratch.succeeds(&arguments);
    }
    println!("{kills} kills");
    assert!(kills > 0);
    for kind in ["caffemodel", "solverstate"] {
        let [whole, broken] = ["whole", "broken"]
            .map(|name| fs::read(scratch.path(&format!("{name}_iter_64.{kind}"))).unwrap());
        if kind == "caffemodel" {
            assert!(whole == broken, "{kind}, after {kills} kills");
        } else {
            // The names of the weights in it differ.
            assert_eq!(whole.len(), broken.len() - 1, "{kind}");
        }
    }
}

#[test]
fn a_run_of_hdf5_snapshots_goes_on_to_the_same_bits() {
    let scratch = scratch();
    solver(
        &scratch,
        "whole.prototxt",
        "max_iter: 9 snapshot: 4 snapshot_format: HDF5 snapshot_prefix: \"whole\"",
    );
    solver(&scratch, "on.prototxt", "max_iter: 9 snapshot_format: HDF5 snapshot_prefix: \"on\"");
    scratch.succeeds(&["train", "whole.prototxt"]);
    scratch.succeeds(&["train", "on.prototxt", "--snapshot", "whole_iter_4.solverstate.h5"]);
    let [whole, on] =
        ["whole", "on"].map(|name| fs::read(scratch.path(&format!("{name}_iter_9.caffemodel.h5"))).unwrap());
    assert!(whole == on);
}

#[test]
fn metrics_are_lines_that_curves_are_drawn_from() {
    let scratch = scratch();
    solver(&scratch, "solver.prototxt", "max_iter: 20 display: 2 snapshot: 10 snapshot_prefix: \"s\"");
    scratch.succeeds(&["train", "solver.prototxt", "--metrics", "m.jsonl"]);
    let whole = fs::read_to_string(scratch.path("m.jsonl")).unwrap();
    assert_eq!(whole.matches(r#""kind":"step""#).count(), 10);
    assert_eq!(whole.matches(r#""kind":"validation""#).count(), 2);
    scratch.succeeds(&["plot", "curves", "m.jsonl", "-o", "m.svg"]);
    scratch.succeeds(&[
        "train",
        "solver.prototxt",
        "--snapshot",
        "s_iter_10.solverstate",
        "--metrics",
        "m.jsonl",
    ]);
    let resumed = fs::read_to_string(scratch.path("m.jsonl")).unwrap();
    assert_eq!(resumed.matches(r#""kind":"step""#).count(), 10);
    assert_eq!(resumed.matches(r#""kind":"resumed""#).count(), 1);
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let scratch = scratch();
    solver(&scratch, "solver.prototxt", "max_iter: 1000000 snapshot_prefix: \"s\"");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rebrew"));
    command.args(["train", "solver.prototxt"]).current_dir(scratch.path("")).stdout(Stdio::null());
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    sleep(Duration::from_millis(700));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    let state = told.trim_end().rsplit(' ').next().unwrap();
    assert!(told.contains("to go on: rebrew train solver.prototxt --snapshot s_iter_"), "{told}");
    assert!(scratch.path(state).is_file(), "{told}");
}

#[test]
fn what_cannot_be_trained_is_one_message() {
    let scratch = scratch();
    let refused = |more: &str, expected: &str| {
        solver(&scratch, "s.prototxt", more);
        scratch.fails(&["train", "s.prototxt"], &format!("rebrew: s.prototxt: {expected}\n"));
    };
    refused("", "the solver cannot be followed: it has no `max_iter`: how long shall it train?");
    refused(
        "max_iter: 1 train_net: \"net.prototxt\"",
        "the solver cannot be followed: it must have one of `net`, `train_net`, `net_param` and `train_net_param`",
    );
    refused(
        "max_iter: 1 larc: true min_lr: 0.1",
        "the solver cannot be followed: it has `min_lr`, `larc`, of a fork of Caffe's, without which it would be another \
         training: remove them",
    );
    refused(
        "max_iter: 1 test_state { stage: \"a\" } test_state { stage: \"b\" }",
        "the solver cannot be followed: it has 2 `test_state` for 1 test nets",
    );
    solver(&scratch, "s.prototxt", "max_iter: 1 snapshot_prefix: \"nowhere/s\"");
    scratch.fails(
        &["train", "s.prototxt"],
        "rebrew: snapshots shall go to nowhere, which is no folder: make it, or change the solver's snapshot_prefix\n",
    );
    scratch.fails(
        &["train", "s.prototxt", "--snapshot", "none.solverstate"],
        "rebrew: cannot open none.solverstate: No such file or directory (os error 2)\n",
    );
}

#[test]
fn divergence_names_the_layer() {
    let scratch = scratch();
    let text = SOLVER.replace("base_lr: 0.001", "base_lr: 1e38").replace("\"Adam\"", "\"SGD\"");
    scratch.write("s.prototxt", format!("{text}max_iter: 30 snapshot_prefix: \"s\"").as_bytes());
    let output = scratch.run(&["train", "s.prototxt"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("training diverged in iteration"), "{told}");
    assert!(told.contains("of layer `conv` (Convolution) holds values that are no numbers"), "{told}");
}
