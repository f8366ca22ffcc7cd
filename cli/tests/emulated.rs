//! `finetune`, `train` and `classify` on the emulated GPU, where every access of every kernel is checked: what comes out is what the
//! processor makes, and what is frozen has its bits.

mod scratch;

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Output};

use scratch::{Scratch, testdata};
use serde_json::Value;
use weight_io::Weights;

/// Relative to an array's largest value.
const TOLERANCE: f64 = 1e-4;

/// A net with a layer that stays and layers that learn, grouped and padded, of small images.
const NET: &str = r#"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 14 dim: 14 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 5 stride: 2 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 3 alpha: 0.01 beta: 0.75 } }
layer { name: "conv2" type: "Convolution" bottom: "norm1" top: "conv2"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 group: 2 weight_filler { type: "msra" } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "fc3" type: "InnerProduct" bottom: "pool2" top: "fc3"
  inner_product_param { num_output: 12 weight_filler { type: "msra" } } }
layer { name: "relu3" type: "ReLU" bottom: "fc3" top: "fc3" }
layer { name: "fc4" type: "InnerProduct" bottom: "fc3" top: "fc4"
  inner_product_param { num_output: 2 weight_filler { type: "msra" } } }
layer { name: "prob" type: "Softmax" bottom: "fc4" top: "prob" }
"#;

/// The net, images of two classes in folders, and a list of them, in a folder of the test's own.
struct Task(Scratch);

impl Task {
    fn new() -> Self {
        let scratch = Scratch::new();
        scratch.write("net.prototxt", NET.as_bytes());
        let mut list = String::new();
        for (label, class) in ["bag", "boot"].into_iter().enumerate() {
            fs::create_dir_all(scratch.path(&format!("images/{class}"))).unwrap();
            for number in 0..5 {
                let image = ["scene.png", "boot.png"][(number + label) % 2];
                let to = format!("images/{class}/{number}.png");
                fs::copy(testdata(&format!("classify/{image}")), scratch.path(&to)).unwrap();
                writeln!(list, "{to} {label}").unwrap();
            }
        }
        scratch.write("list.txt", list.as_bytes());
        Self(scratch)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rebrew"));
        command.args(arguments).current_dir(self.0.path(""));
        command.env("REBREW_CACHE", self.0.path("cache")).output().unwrap()
    }

    fn succeeds(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    }

    /// `rebrew finetune` with all that the runs have in common.
    fn finetune(&self, device: &str, output: &str, more: &[&str]) -> Output {
        let fixed = [
            "finetune",
            "net.prototxt",
            "-w",
            "start.npz",
            "--data",
            "images",
            "--optimizer",
            "momentumsgd",
            "--lr",
            "0.01",
            "--batch-size",
            "3",
            "--threads",
            "1",
        ];
        self.run(&[&fixed[..], &["--device", device, "-o", output], more].concat())
    }

    fn weights(&self, name: &str) -> Weights {
        Weights::open(self.0.path(name)).unwrap()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path(name)).unwrap()
    }

    fn settings(&self, run: &str) -> Value {
        serde_json::from_slice(&self.bytes(&format!("{run}/run.json"))).unwrap()
    }
}

/// A file of weights to begin with, from a run on the processor.
fn begin(task: &Task) {
    let arguments = ["finetune", "net.prototxt", "--from-scratch", "--data", "images", "--epochs", "1"];
    task.succeeds(&[&arguments[..], &["--seed", "5", "-o", "scratch", "-q"]].concat());
    fs::rename(task.0.path("scratch/last.caffemodel"), task.0.path("start.caffemodel")).unwrap();
    task.succeeds(&["convert", "start.caffemodel", "-o", "start.npz", "--definition", "net.prototxt"]);
}

/// Every array within the tolerance of the other's; whether each has the bits of `start`'s.
fn agree(found: &Weights, expected: &Weights, start: &Weights) -> Vec<(String, bool)> {
    assert_eq!(found.len(), expected.len());
    let mut kept = Vec::new();
    for (name, tensor) in found.iter() {
        let values = tensor.to_f32().unwrap();
        let expected = expected.get(name).unwrap().to_f32().unwrap();
        assert_eq!(values.len(), expected.len(), "{name}");
        let largest = expected.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
        let differences = values.iter().zip(&expected).map(|(a, b)| f64::from((a - b).abs()));
        let worst = differences.fold(0.0, f64::max) / f64::from(largest);
        assert!(worst <= TOLERANCE, "{name}: {worst:e}");
        let before = start.get(name).unwrap().to_f32().unwrap();
        let same = values.iter().map(|value| value.to_bits()).eq(before.iter().map(|value| value.to_bits()));
        kept.push((name.to_owned(), same));
    }
    kept
}

#[test]
fn a_net_is_fine_tuned_and_what_is_frozen_stays() {
    let task = Task::new();
    begin(&task);
    let start = task.weights("start.npz");
    for (freeze, cache) in [("conv*", "on"), ("conv1", "off"), ("conv2", "auto")] {
        let mut runs = Vec::new();
        for device in ["cpu", "emulate"] {
            let run = format!("{device}-{freeze}").replace('*', "");
            let more = ["--freeze", freeze, "--cache-features", cache, "--epochs", "2", "-q"];
            let output = task.finetune(device, &run, &more);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            runs.push(run);
        }
        let settings = task.settings(&runs[1]);
        assert_eq!(settings["device"], "emulated GPU");
        assert!(task.settings(&runs[0])["device"].as_str().unwrap().starts_with("CPU, "));
        let [expected, found] =
            [0, 1].map(|run: usize| task.weights(&format!("{}/last.caffemodel", runs[run])));
        for (array, same) in agree(&found, &expected, &start) {
            assert_eq!(same, array.starts_with(freeze.trim_end_matches('*')), "{freeze}: {array}");
        }
        task.succeeds(&["report", &runs[1], "-o", "report.html"]);
        let page = String::from_utf8(task.bytes("report.html")).unwrap();
        assert!(page.contains("<th scope=\"row\">device</th><td>emulated GPU</td>"));
        fs::remove_file(task.0.path("report.html")).unwrap();
    }
    // Features of one device are not taken for another's: two sets of images, two devices.
    assert_eq!(fs::read_dir(task.0.path("cache/features")).unwrap().count(), 4);

    // What was made can be used there.
    let boot = testdata("classify/boot.png");
    let net =
        ["classify", "emulate-conv/deploy.prototxt", "-w", "emulate-conv/last.caffemodel", &boot, "--json"];
    let scores = ["cpu", "emulate"].map(|device| {
        let output = task.run(&[&net[..], &["--device", device]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let classes = told["images"][0]["classes"].as_array().unwrap();
        classes.iter().map(|class| class["score"].as_f64().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(scores.each_ref().map(Vec::len), [2, 2]);
    assert!(scores[0].iter().zip(&scores[1]).all(|(a, b)| (a - b).abs() < TOLERANCE), "{scores:?}");
}

#[test]
fn a_run_goes_on_to_the_same_bits_on_its_own_device_only() {
    let task = Task::new();
    begin(&task);
    let more = |epochs: &'static str| ["--freeze", "conv1", "--epochs", epochs, "-q"];
    for (epochs, run, resume) in [("2", "whole", &[][..]), ("1", "parts", &[]), ("2", "parts", &["--resume"])]
    {
        let output = task.finetune("emulate", run, &[&more(epochs)[..], resume].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    for file in ["last.caffemodel", "state.npz"] {
        assert!(task.bytes(&format!("parts/{file}")) == task.bytes(&format!("whole/{file}")), "{file}");
    }
    let output = task.finetune("cpu", "parts", &[&more("3")[..], &["--resume"]].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    let expected =
        "rebrew: cannot go on: the device's arithmetic was `emulated GPU` when the run was begun, and is `";
    assert!(told.starts_with(expected), "{told}");
}

#[test]
fn a_solver_is_followed() {
    let task = Task::new();
    let data = r#"
layer { name: "data" type: "ImageData" top: "data" top: "label"
  transform_param { scale: 0.0078125 mean_value: 100 }
  image_data_param { source: "list.txt" batch_size: 4 new_height: 14 new_width: 14 is_color: false } }"#;
    let layers = NET.lines().skip(2).filter(|line| !line.contains("prob")).collect::<Vec<_>>().join("\n");
    let frozen =
        layers.replacen("top: \"conv1\"", "top: \"conv1\" param { lr_mult: 0 } param { lr_mult: 0 }", 1);
    let loss = r#"layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc4" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "fc4" bottom: "label" top: "accuracy" include { phase: TEST } }"#;
    task.0.write("train.prototxt", format!("{data}\n{frozen}\n{loss}\n").as_bytes());
    for device in ["cpu", "emulate"] {
        let solver = format!(
            "net: \"train.prototxt\" base_lr: 0.01 momentum: 0.9 weight_decay: 0.001 lr_policy: \"fixed\" max_iter: 5 \
             test_iter: 1 test_interval: 2 random_seed: 7 snapshot: 1 snapshot_prefix: \"{device}\"\n"
        );
        let file = format!("{device}.prototxt");
        task.0.write(&file, solver.as_bytes());
        task.succeeds(&["train", &file, "--device", device]);
    }
    let [before, expected, found] = ["cpu_iter_1", "cpu_iter_5", "emulate_iter_5"]
        .map(|snapshot| task.weights(&format!("{snapshot}.caffemodel")));
    for (array, same) in agree(&found, &expected, &before) {
        assert_eq!(same, array.starts_with("conv1"), "{array}");
    }
    // Where the loader was in time, the next batch was on its way to the device when these were written.
    let unbroken = task.bytes("emulate_iter_5.solverstate");
    fs::remove_file(task.0.path("emulate_iter_5.solverstate")).unwrap();
    task.succeeds(&[
        "train",
        "emulate.prototxt",
        "--snapshot",
        "emulate_iter_3.solverstate",
        "--device",
        "emulate",
    ]);
    assert!(task.bytes("emulate_iter_5.solverstate") == unbroken);
}
