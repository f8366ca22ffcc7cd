//! `rebrew finetune`: nets learn other classes, what is frozen stays, and a run that was broken off goes on to the same bits.

mod scratch;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use scratch::{Scratch, testdata};
use serde_json::Value;
use weight_io::Weights;

/// Arguments to fine-tune the bundled model; the cache is the test's own.
struct Bundled {
    scratch: Scratch,
    fixed: Vec<String>,
}

impl Bundled {
    fn new() -> Self {
        let fixed = [
            "finetune".to_owned(),
            testdata("fashion/deploy.prototxt"),
            "--data".to_owned(),
            testdata("fashion/t10k-sample-images-idx3-ubyte.gz"),
            "--mean".to_owned(),
            testdata("fashion/mean.binaryproto"),
            "--input-scale".to_owned(),
            "0.0078125".to_owned(),
            "--batch-size".to_owned(),
            "16".to_owned(),
            "--threads".to_owned(),
            "2".to_owned(),
        ];
        Self { scratch: Scratch::new(), fixed: fixed.to_vec() }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rebrew"));
        command.args(&self.fixed).args(more).current_dir(self.scratch.path(""));
        command.env("REBREW_CACHE", self.scratch.path("cache")).stdin(Stdio::null());
        command
    }

    fn weights(more: &[&str]) -> Vec<String> {
        let weights = testdata("fashion/fashion.caffemodel");
        ["-w", &weights].iter().chain(more).map(|&argument| argument.to_owned()).collect()
    }

    /// Runs from the bundled weights, and gives the summary.
    fn succeeds(&self, more: &[&str]) -> Value {
        let arguments = Self::weights(more);
        let arguments = arguments.iter().map(String::as_str).chain(["--json"]).collect::<Vec<_>>();
        let output = self.command(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{more:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn fails(&self, more: &[&str], expected: &str) {
        let arguments = Self::weights(more);
        let output =
            self.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        let told = told.lines().filter(|line| !line.starts_with("note: ")).collect::<Vec<_>>().join("\n");
        assert_eq!(told, format!("rebrew: {expected}"), "{more:?}");
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.scratch.path(name)).unwrap()
    }

    fn kinds(&self, run: &str) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for line in String::from_utf8(self.bytes(&format!("{run}/metrics.jsonl"))).unwrap().lines() {
            let metric: Value = serde_json::from_str(line).unwrap();
            *kinds.entry(metric["kind"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        kinds
    }
}

#[test]
fn a_net_learns_other_classes_and_what_is_frozen_stays() {
    let bundled = Bundled::new();
    let few = ["--classes", "9,0,4,6", "--freeze", "conv*", "--epochs", "12"];
    let told = bundled.succeeds(&[&few[..], &["-o", "run"]].concat());
    assert!(told["best_accuracy"].as_f64().unwrap() >= 0.8, "{told}");
    assert!(told["features"].as_str().unwrap().starts_with("`pool3`, below `fc4`, of 98 images"), "{told}");

    let source = Weights::open(testdata("fashion/fashion.caffemodel")).unwrap();
    for name in ["best", "last"] {
        let tuned = Weights::open(bundled.scratch.path(&format!("run/{name}.caffemodel"))).unwrap();
        for (array, tensor) in source.iter() {
            let (old, new) = (tensor.to_f32().unwrap(), tuned.get(array).unwrap().to_f32().unwrap());
            let same = old.iter().map(|x| x.to_bits()).eq(new.iter().map(|x| x.to_bits()));
            assert_eq!(same, array.starts_with("conv"), "{name}: {array}");
        }
    }
    let kinds = bundled.kinds("run");
    assert_eq!((kinds["validation"], kinds["outputs"], kinds["snapshot"]), (12, 12, 12));
    assert_eq!(kinds["step"], (88 * 12_usize).div_ceil(16));

    // What was made can be used.
    let mean = testdata("fashion/mean.binaryproto");
    let boot = testdata("classify/boot.png");
    let told = bundled.scratch.succeeds(&[
        "classify",
        "run/deploy.prototxt",
        "--weights",
        "run/best.caffemodel",
        &boot,
        "--mean",
        &mean,
        "--input-scale",
        "0.0078125",
        "--top",
        "1",
        "--labels",
        "run/labels.txt",
    ]);
    assert!(told.lines().last().unwrap().ends_with("0  9"), "{told}");
    let same = ["--definition", "run/train_val.prototxt", "-q"];
    bundled.scratch.succeeds(&[&["inspect", "run/last.caffemodel"][..], &same].concat());
}

#[test]
fn kept_features_change_no_bit() {
    let bundled = Bundled::new();
    let few = [
        "--classes",
        "0,3,8",
        "--epochs",
        "3",
        "--freeze",
        "conv1",
        "--freeze-schedule",
        "conv2@1ep, conv3@9it",
    ];
    for (cache, output) in [("on", "on"), ("off", "off"), ("auto", "again")] {
        let told = bundled.succeeds(&[&few[..], &["--cache-features", cache, "-o", output]].concat());
        let features = told["features"].as_str().unwrap();
        match cache {
            "off" => assert_eq!(features, "nothing is cached: --cache-features off"),
            // Of the last stage, in which only conv1 is frozen.
            _ => assert!(features.starts_with("`norm1`, below `conv2`"), "{features}"),
        }
    }
    assert_eq!(bundled.kinds("on")["thawed"], 2);
    for output in ["off", "again"] {
        let same = bundled.bytes(&format!("{output}/last.caffemodel")) == bundled.bytes("on/last.caffemodel");
        assert!(same, "{output}");
    }
    // Cut at two places, since conv3 lies above conv2, of two sets of images.
    assert_eq!(fs::read_dir(bundled.scratch.path("cache/features")).unwrap().count(), 4);
    let source = Weights::open(testdata("fashion/fashion.caffemodel")).unwrap();
    let tuned = Weights::open(bundled.scratch.path("on/last.caffemodel")).unwrap();
    let is_same = |name: &str| {
        let values = [&source, &tuned].map(|weights| weights.get(name).unwrap().to_f32().unwrap());
        values[0] == values[1]
    };
    assert_eq!(["conv1/W", "conv2/W", "conv3/W"].map(is_same), [true, false, false]);
}

#[test]
fn damaged_features_are_computed_again() {
    let bundled = Bundled::new();
    let few = ["--classes", "1,5", "--freeze", "conv*", "--epochs", "2"];
    bundled.succeeds(&[&few[..], &["-o", "a"]].concat());
    for file in fs::read_dir(bundled.scratch.path("cache/features")).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let told = bundled.succeeds(&[&few[..], &["-o", "b"]].concat());
    assert!(told["features"].as_str().unwrap().ends_with("computed once"), "{told}");
    let told = bundled.succeeds(&[&few[..], &["-o", "c"]].concat());
    assert!(told["features"].as_str().unwrap().ends_with("found in the cache"), "{told}");
    assert!(bundled.bytes("a/last.caffemodel") == bundled.bytes("b/last.caffemodel"));
    // A folder that cannot be written is no obstacle.
    let arguments = Bundled::weights(&[&few[..], &["--cache-features", "on", "-o", "d", "--json"]].concat());
    let mut command = bundled.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let output = command.env("REBREW_CACHE", "/proc/none").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(bundled.bytes("a/last.caffemodel") == bundled.bytes("d/last.caffemodel"));
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let bundled = Bundled::new();
    // All layers learn, Dropout drops, images are mirrored, and a layer is thawed on the way.
    let same = [
        "--classes",
        "0,2,6",
        "--mirror",
        "--epochs",
        "40",
        "--freeze-schedule",
        "conv1@30it",
        "--snapshot-every",
        "3",
    ];
    bundled.succeeds(&[&same[..], &["-o", "whole"]].concat());
    let broken = Bundled::weights(&[&same[..], &["-o", "broken", "-q"]].concat());
    let broken = broken.iter().map(String::as_str).collect::<Vec<_>>();
    let resumed = [&broken[..], &["--resume"]].concat();
    let begin = |arguments: &[&str]| -> Child {
        bundled.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut killed = 0;
    let mut child = begin(&broken);
    for wait in [60, 45, 75, 50] {
        // The first state is there soon after the start.
        while !bundled.scratch.path("broken/state.npz").exists() {
            thread::sleep(Duration::from_millis(2));
        }
        thread::sleep(Duration::from_millis(wait));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        child = begin(&resumed);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(killed > 0, "the run ended before it was killed");
    for file in ["last.caffemodel", "best.caffemodel", "state.npz", "validation.json", "filters.npz"] {
        let same = bundled.bytes(&format!("broken/{file}")) == bundled.bytes(&format!("whole/{file}"));
        assert!(same, "{file}");
    }
    let (broken, whole) = (bundled.kinds("broken"), bundled.kinds("whole"));
    assert_eq!((broken["step"], broken["validation"]), (whole["step"], whole["validation"]));
}

#[test]
fn a_finished_run_can_be_made_longer_and_nothing_else() {
    let bundled = Bundled::new();
    let few = ["--classes", "0,2", "--freeze", "conv*", "-o", "run"];
    bundled.succeeds(&[&few[..], &["--epochs", "2"]].concat());
    bundled.fails(
        &[&few[..], &["--epochs", "4", "--resume", "--seed", "5"]].concat(),
        "cannot go on: --seed was `0` when the run was begun, and is `5` now; give the same, or start anew (--force)",
    );
    // Images to which something else is done, and other weights, though no name or number tells so.
    let refused = |weights: &str, more: &str, what: &str| {
        let arguments =
            [&["-w", weights], &few[..], &["--epochs", "4", "--resume", "--replace", "fc5=2"]].concat();
        let more = [more].into_iter().filter(|more| !more.is_empty());
        let output = bundled.command(&arguments).args(more).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(
            told.contains(&format!("rebrew: cannot go on: the fingerprint of the {what} was `")),
            "{told}"
        );
    };
    refused(&testdata("fashion/fashion.caffemodel"), "--mirror", "images and of what is done to them");
    refused("run/last.caffemodel", "", "weights to begin with");
    bundled.fails(
        &few,
        "run holds a training run already: `run.json` (--resume continues it, --force replaces it)",
    );
    let told = bundled.succeeds(&[&few[..], &["--epochs", "4", "--resume"]].concat());
    assert_eq!(told["epochs"], 4);
    bundled.succeeds(&[&few[..], &["--epochs", "4", "--force"]].concat());
    bundled.fails(
        &["--classes", "0,2", "-o", "none", "--resume"],
        "none is no folder of a training run: there is none",
    );
}

#[test]
fn weights_of_every_format_are_taken() {
    let bundled = Bundled::new();
    let source = testdata("fashion/fashion.caffemodel");
    let few = ["--classes", "0,2", "--epochs", "1"];
    bundled.succeeds(&[&few[..], &["-o", "caffemodel"]].concat());
    for format in ["npz", "h5", "safetensors", "caffemodel.h5"] {
        let file = format!("weights.{format}");
        let definition = testdata("fashion/deploy.prototxt");
        bundled.scratch.succeeds(&["convert", &source, "-o", &file, "--definition", &definition]);
        let output = bundled.command(&[&few[..], &["-w", &file, "-o", format]].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let same = bundled.bytes(&format!("{format}/last.caffemodel"))
            == bundled.bytes("caffemodel/last.caffemodel");
        assert!(same, "{format}");
    }
}

/// A folder for each class, with `count` images in each.
fn folders(scratch: &Scratch, count: usize) {
    for (class, image) in [("bag", "scene.png"), ("boot", "boot.png")] {
        fs::create_dir_all(scratch.path(&format!("images/{class}"))).unwrap();
        for number in 0..count {
            let to = scratch.path(&format!("images/{class}/{number:02}.png"));
            fs::copy(testdata(&format!("classify/{image}")), to).unwrap();
        }
    }
}

#[test]
fn broken_images_are_named_or_end_the_run() {
    let bundled = Bundled::new();
    folders(&bundled.scratch, 8);
    bundled.scratch.write("images/bag/03.png", b"no image");
    let definition = testdata("fashion/deploy.prototxt");
    let weights = testdata("fashion/fashion.caffemodel");
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rebrew"));
        command.args([
            "finetune",
            &definition,
            "-w",
            &weights,
            "--data",
            "images",
            "--epochs",
            "2",
            "--batch-size",
            "4",
        ]);
        command.args(more).current_dir(bundled.scratch.path(""));
        command.env("REBREW_CACHE", bundled.scratch.path("cache")).output().unwrap()
    };
    for cache in ["on", "off"] {
        let output = run(&["--freeze", "conv*", "--cache-features", cache, "-o", cache, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        let named = "note: cannot be used: images/bag/03.png: expected a JPEG or PNG image, but this is something else";
        assert!(told.contains(named), "{told}");
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(summary["broken_images"], 1);
        let output =
            run(&["--freeze", "conv*", "--cache-features", cache, "-o", "strict", "--strict", "--force"]);
        let told = String::from_utf8(output.stderr).unwrap();
        let ending = "rebrew: images/bag/03.png: expected a JPEG or PNG image, but this is something else\n";
        assert!(told.ends_with(ending), "{told}");
        assert_eq!(output.status.code(), Some(2));
    }
    assert!(bundled.bytes("on/last.caffemodel") == bundled.bytes("off/last.caffemodel"));
    assert_eq!(bundled.bytes("on/labels.txt"), b"bag\nboot\n");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_computed() {
    let bundled = Bundled::new();
    let near = "did you mean";
    bundled.fails(
        &["--replace", "fc6=3", "-o", "run"],
        &format!("there is no layer `fc6` to replace; {near} `fc4`, `fc5`?"),
    );
    bundled.fails(
        &["--freeze", "conv4", "-o", "run"],
        &format!("`conv4` matches no layer with parameters; {near} `conv1`, `conv2`, `conv3`?"),
    );
    bundled
        .fails(&["--freeze", "*", "-o", "run"], "every layer with parameters is frozen: nothing would learn");
    let images = testdata("fashion/t10k-sample-images-idx3-ubyte.gz");
    let output = bundled.command(&["--replace", "fc5=4", "-o", "run"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let expected = format!("rebrew: {images}, image ");
    assert!(told.starts_with(&expected), "{told}");
    assert!(told.contains("and the net has 4 outputs, so classes are 0 to 3: "), "{told}");
    bundled.fails(
        &["--cache-features", "on", "-o", "run"],
        "--cache-features on: no layer at the net's beginning is frozen",
    );
    bundled.fails(
        &["--freeze", "conv*", "--mirror", "--epochs", "1", "--optimizer", "adm", "-o", "run"],
        "there is no optimizer `adm`: expected one of SGD, MomentumSGD, CorrectedMomentumSGD, NesterovAG, AdaGrad, AdaDelta, \
         RMSprop, RMSpropGraves, SMORMS3, Adam, AdamW, AMSGrad, AdaBound, AMSBound, MSVAG",
    );
    bundled.fails(
        &["--optimizer", "sgd", "--lr", "1e30", "-o", "run"],
        "training diverged in iteration 1: blob `conv3` of layer `conv3` (Convolution) holds values that are no numbers: lower the \
         learning rate, or clip gradients; the last good state is in run/state.npz",
    );
    assert!(bundled.scratch.path("run/state.npz").exists());
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_the_run_goes_on_to_the_same_bits() {
    let bundled = Bundled::new();
    let same = ["--classes", "0,2,6", "--mirror", "--epochs", "60"];
    bundled.succeeds(&[&same[..], &["-o", "whole"]].concat());
    let broken = Bundled::weights(&[&same[..], &["-o", "broken", "-q"]].concat());
    let broken = broken.iter().map(String::as_str).collect::<Vec<_>>();
    let child = bundled.command(&broken).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while !bundled.scratch.path("broken/state.npz").exists() {
        thread::sleep(Duration::from_millis(2));
    }
    thread::sleep(Duration::from_millis(60));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("steps; the same command with --resume goes on from there"), "{told}");
    let resumed = bundled.command(&[&broken[..], &["--resume"]].concat()).output().unwrap();
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    for file in ["last.caffemodel", "best.caffemodel", "state.npz"] {
        let same = bundled.bytes(&format!("broken/{file}")) == bundled.bytes(&format!("whole/{file}"));
        assert!(same, "{file}");
    }
}

#[test]
fn random_crops_come_from_ten_that_are_kept() {
    let bundled = Bundled::new();
    let few = ["--from-scratch", "--classes", "0,8", "--freeze", "conv1", "--mirror", "--crop", "24,24"];
    for output in ["a", "b"] {
        let more = ["--epochs", "3", "--cache-features", "on", "-o", output, "--json"];
        let output = bundled.command(&[&few[..], &more].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    assert!(bundled.bytes("a/last.caffemodel") == bundled.bytes("b/last.caffemodel"));
    let output =
        bundled.command(&[&few[..], &["--epochs", "3", "-o", "c", "--json"]].concat()).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Those of before are there, and cost nothing more.
    assert!(told["features"].as_str().unwrap().ends_with("found in the cache"), "{told}");
    assert!(bundled.bytes("a/last.caffemodel") == bundled.bytes("c/last.caffemodel"));
}

#[test]
fn images_come_from_lists_lmdb_and_hdf5() {
    let bundled = Bundled::new();
    let scratch = &bundled.scratch;
    folders(scratch, 6);
    let lines = ["bag", "boot"].iter().enumerate().flat_map(|(label, class)| {
        (0..6).map(move |number| format!("images/{class}/{number:02}.png {label}\n"))
    });
    scratch.write("list.txt", lines.collect::<String>().as_bytes());
    scratch.write("h5.txt", format!("{}\n", testdata("train/data.h5")).as_bytes());
    fs::create_dir(scratch.path("lmdb")).unwrap();
    let mut database = Vec::new();
    let packed = fs::File::open(testdata("data/grey.mdb.gz")).unwrap();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut database).unwrap();
    scratch.write("lmdb/data.mdb", &database);
    let definition = testdata("fashion/deploy.prototxt");
    for (data, more) in
        [("images", &[][..]), ("list.txt", &[]), ("h5.txt", &[]), ("lmdb", &["--crop", "9,9"])]
    {
        let output = data.trim_end_matches(".txt").to_owned() + "-run";
        let told = scratch.succeeds(
            &[
                &["finetune", &definition, "--from-scratch", "--data", data, "--epochs", "2"][..],
                &["--batch-size", "4", "--cache-features", "off", "--json", "-o", &output],
                more,
            ]
            .concat(),
        );
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            (&told["finished"], &told["epochs"], &told["broken_images"]),
            (&true.into(), &2.into(), &0.into())
        );
    }
    assert!(bundled.bytes("images-run/last.caffemodel") == bundled.bytes("list-run/last.caffemodel"));
}
