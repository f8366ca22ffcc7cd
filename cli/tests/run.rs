//! `rebrew run`: the same values as real Caffe, whatever the form of net, weights and input.

mod scratch;

use std::fs;
use std::io::Read as _;
use std::path::Path;

use caffe_proto::{Storage, read_binaryproto};
use scratch::{Scratch, testdata};
use serde_json::Value;
use weight_io::{Opened, Weights};

#[test]
fn every_generation_computes_what_caffe_computes() {
    let scratch = Scratch::new();
    let expected = testdata("generations/forward.npz");
    let weights = testdata("generations/v2.caffemodel");
    let definition = testdata("generations/v2.prototxt");
    for format in ["npz", "h5", "safetensors", "caffemodel.h5"] {
        let output = format!("weights.{format}");
        scratch.succeeds(&["convert", &weights, "-o", &output, "--definition", &definition]);
    }
    let of = |file: &str| testdata(&format!("generations/{file}"));
    let mut nets = vec![(of("v2.caffemodel"), None)];
    for generation in ["v0", "v1", "v2"] {
        nets.push((of(&format!("{generation}.prototxt")), Some(of(&format!("{generation}.caffemodel")))));
    }
    for format in ["npz", "h5", "safetensors", "caffemodel.h5"] {
        nets.push((definition.clone(), Some(format!("weights.{format}"))));
    }
    for (definition, weights) in &nets {
        let mut arguments =
            vec!["run", definition, "--input", &expected, "-o", "out.npz", "--all-blobs", "--force"];
        arguments.extend(weights.iter().flat_map(|weights| ["--weights", weights]));
        scratch.succeeds(&arguments);
        assert_close(&scratch.path("out.npz"), Path::new(&expected));
    }
}

#[test]
fn the_bundled_model_knows_a_boot() {
    let scratch = Scratch::new();
    let image = first_image();
    scratch.write("image.npy", &npy("<f4", false, &[1, 1, 28, 28], &bytes(&image)));
    let (definition, weights) = fashion();
    let told = scratch.succeeds(&[
        "run",
        &definition,
        "-w",
        &weights,
        "--input",
        "image.npy",
        "--keep",
        "fc5",
        "-o",
        "out.npz",
    ]);
    assert!(told.starts_with("blob  shape        min        max       mean\nfc5   1×10  "), "{told}");
    assert!(told.contains("\nout.npz ("), "{told}");
    let golden: Value =
        serde_json::from_str(&fs::read_to_string(testdata("fashion/fashion.json")).unwrap()).unwrap();
    let out = read(&scratch.path("out.npz"));
    assert_eq!(out.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["fc5", "prob"]);
    for (name, found) in out.iter() {
        let expected = golden["first_test_image"][name].as_array().unwrap();
        let expected = expected.iter().map(|value| value.as_f64().unwrap() as f32).collect::<Vec<_>>();
        assert_eq!(found.shape(), [1, 10]);
        compare(name, &found.to_f32().unwrap(), &expected);
    }
}

#[test]
fn names_with_slashes_stay() {
    let scratch = Scratch::new();
    let [definition, weights, expected] =
        ["slashes.prototxt", "slashes.caffemodel", "slashes.forward.npz"].map(chainer);
    let input = format!("data={expected}");
    scratch.succeeds(&[
        "run",
        &definition,
        "-w",
        &weights,
        "--input",
        &input,
        "-o",
        "out.npz",
        "--all-blobs",
    ]);
    assert_close(&scratch.path("out.npz"), Path::new(&expected));
    assert!(read(&scratch.path("out.npz")).find("inc/3x3/bn").is_some());
}

#[test]
fn an_array_of_any_type_and_order_is_an_input() {
    let scratch = Scratch::new();
    let (definition, weights) = fashion();
    let pixels = (0..784).map(|place| (place * 7 % 251) as u8).collect::<Vec<_>>();
    // An image of one channel in Fortran's order is the image transposed.
    let transposed = (0..784).map(|place| pixels[place % 28 * 28 + place / 28]).collect::<Vec<_>>();
    let doubles = pixels.iter().flat_map(|&pixel| f64::from(pixel).to_be_bytes()).collect::<Vec<_>>();
    let shorts = pixels.iter().flat_map(|&pixel| i16::from(pixel).to_le_bytes()).collect::<Vec<_>>();
    let floats = pixels.iter().map(|&pixel| f32::from(pixel)).collect::<Vec<_>>();
    let shape = [1, 1, 28, 28];
    let mut results = Vec::new();
    for (name, array) in [
        ("f4", npy("<f4", false, &shape, &bytes(&floats))),
        ("f8", npy(">f8", false, &shape, &doubles)),
        ("i2", npy("<i2", false, &shape, &shorts)),
        ("u1", npy("|u1", false, &shape, &pixels)),
        ("fortran", npy("|u1", true, &shape, &transposed)),
    ] {
        let (input, output) = (format!("{name}.npy"), format!("{name}.npz"));
        scratch.write(&input, &array);
        let input = format!("data={input}");
        scratch.succeeds(&["run", &definition, "-w", &weights, "--input", &input, "-o", &output, "-q"]);
        results.push(fs::read(scratch.path(&output)).unwrap());
    }
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn the_array_says_how_large_the_batch_is() {
    let scratch = Scratch::new();
    let image = first_image();
    scratch.write("three.npy", &npy("<f4", false, &[3, 1, 28, 28], &bytes(&image.repeat(3))));
    let (definition, weights) = fashion();
    scratch.succeeds(&["run", &definition, "-w", &weights, "--input", "three.npy", "-o", "out.npz"]);
    let out = read(&scratch.path("out.npz"));
    let prob = out.get("prob").unwrap();
    assert_eq!(prob.shape(), [3, 10]);
    let values = prob.to_f32().unwrap();
    assert!(values.chunks(10).all(|row| row == &values[..10] && row[9] > 0.9), "{values:?}");
}

/// What Caffe saves says of each layer that it was trained; run for testing, Dropout is off and the data come in.
#[test]
fn a_snapshot_runs_with_its_own_definition() {
    let scratch = Scratch::new();
    let (definition, weights) = fashion();
    scratch.write("image.npy", &npy("<f4", false, &[1, 1, 28, 28], &bytes(&first_image())));
    scratch.write("label.npy", &npy("<i4", false, &[1], &9i32.to_le_bytes()));
    let inputs = ["--input", "data=image.npy", "--input", "label=label.npy"];
    let snapshot = [&["run", &weights, "-o", "loss.npz"], inputs.as_slice()].concat();
    scratch.succeeds(&snapshot);
    scratch.succeeds(&["run", &definition, "-w", &weights, "--input", "image.npy", "-o", "prob.npz"]);
    let loss = read(&scratch.path("loss.npz")).get("loss").unwrap().to_f32().unwrap();
    let prob = read(&scratch.path("prob.npz")).get("prob").unwrap().to_f32().unwrap();
    assert!((loss[0] + prob[9].ln()).abs() < 1e-6, "{loss:?}, {prob:?}");

    scratch.fails(
        &["run", &weights, "-o", "out.npz"],
        "rebrew: no values for inputs `data`, whose shape the definition leaves open, `label`, whose shape the definition \
         leaves open: give them with --input NAME=x.npy, or take noise with --random-input\n",
    );
    scratch.fails(
        &["run", &weights, "-o", "out.npz", "--input", "image.npy"],
        "rebrew: the net has 2 inputs: say which one image.npy is for, as in --input data=image.npy\n",
    );
    scratch.fails(
        &["run", &weights, "-o", "out.npz", "--random-input"],
        &format!(
            "rebrew: {weights}: layer `data` (HDF5Data): the definition does not tell the shape of `data`, its data do: \
             give it as an input (--input-shape NAME=SHAPE)\n"
        ),
    );
}

#[test]
fn noise_is_the_same_for_the_same_seed() {
    let scratch = Scratch::new();
    let (definition, weights) = fashion();
    let run = |output: &str, seed: &str, threads: &str| {
        let arguments = ["run", &definition, "-w", &weights, "--random-input", "-o", output];
        scratch.succeeds(&[arguments.as_slice(), &["--seed", seed, "--threads", threads, "-q"]].concat());
        fs::read(scratch.path(output)).unwrap()
    };
    let first = run("first.npz", "1", "1");
    assert_eq!(first, run("again.npz", "1", "2"));
    assert_ne!(first, run("other.npz", "2", "1"));
}

#[test]
fn another_size_must_be_asked_for() {
    let scratch = Scratch::new();
    let [definition, weights] = ["slashes.prototxt", "slashes.caffemodel"].map(chainer);
    scratch.write("small.npy", &npy("<f4", false, &[1, 1, 14, 14], &[0; 4 * 196]));
    let (fashion, model) = self::fashion();
    scratch.fails(
        &["run", &fashion, "-w", &model, "--input", "data=small.npy", "-o", "out.npz"],
        "rebrew: small.npy: input `data` has shape 1×1×28×28, the array has 1×1×14×14: only the first extent may be \
         another (to run the net at that size: --input-shape data=1,1,14,14)\n",
    );
    let shape = "data=1,1,14,14";
    scratch.fails(
        &["run", &fashion, "-w", &model, "--random-input", "--input-shape", shape, "-o", "out.npz"],
        &format!(
            "rebrew: {model}: parameter 0 of layer `fc4`: the net has shape 64×32, the weights have 64×288: rename the \
             layer to train it anew, or change the definition\n"
        ),
    );
    let shape = "dat=1,1,14,14";
    scratch.fails(
        &["run", &definition, "-w", &weights, "--random-input", "--input-shape", shape, "-o", "out.npz"],
        "rebrew: the net has no input `dat`; it has `data`\n",
    );
}

#[test]
fn what_is_missing_is_named() {
    let scratch = Scratch::new();
    let (definition, weights) = fashion();
    let net = ["run", &definition, "-o", "out.npz"];
    let fails = |more: &[&str], expected: &str| scratch.fails(&[&net, more].concat(), expected);
    fails(
        &["-w", &weights],
        "rebrew: no values for input `data` of shape 1×1×28×28: give them with --input data=x.npy, or take noise with \
         --random-input\n",
    );
    fails(
        &["--random-input"],
        &format!(
            "rebrew: {definition} holds no weights: give them with --weights, or fill the layers by their fillers with \
             --fill\n"
        ),
    );
    fails(
        &["-w", &weights, "--input", "image=x.npy"],
        "rebrew: the net has no input `image`; it has `data`\n",
    );
    fails(
        &["-w", &weights, "--input", "data=x.npy"],
        "rebrew: cannot open x.npy: No such file or directory (os error 2)\n",
    );
    scratch.write("x.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4'}\n");
    fails(&["-w", &weights, "--input", "x.npy"], "rebrew: x.npy: its header does not give `fortran_order`\n");
    fails(
        &["-w", &weights, "--input", &definition],
        &format!(
            "rebrew: {definition}: expected an .npy array, but this is a definition in text form (a prototxt)\n"
        ),
    );
    let forward = testdata("chainer/index.json");
    fails(
        &["-w", &forward, "--random-input"],
        &format!(
            "rebrew: {forward}: expected a file of weights, but this is a definition in text form (a prototxt); it holds no \
             weights: give it with --definition\n"
        ),
    );
    fails(
        &["-w", &weights, "--random-input", "--keep", "fc6"],
        &format!(
            "rebrew: {definition}: `fc6` is no blob that is kept; there is `conv1`, `conv2`, `conv3`, `data`, `fc4`, `fc5`, \
             `norm1`, `pool1`, `pool2`, `pool3`, `prob`\n"
        ),
    );
    if !cfg!(any(feature = "cuda", feature = "emulate")) {
        fails(
            &["-w", &weights, "--random-input", "--device", "cuda:0"],
            "rebrew: --device cuda:0: this build has no CUDA support: leave it out, or give cpu\n",
        );
        fails(
            &["-w", &weights, "--random-input", "--device", "tpu"],
            "rebrew: --device tpu: no such device; there is cpu\n",
        );
    }
    scratch.fails(
        &["run", &definition, "-w", &weights, "--random-input", "-o", "out.txt"],
        "rebrew: out.txt: blobs are written as .npz: end it so\n",
    );
}

#[cfg(feature = "cuda")]
#[test]
fn a_gpu_that_is_not_there_is_an_error() {
    let scratch = Scratch::new();
    let (definition, weights) = fashion();
    let solver = testdata("train/sgd/ours.prototxt");
    let images = testdata("fashion/t10k-sample-images-idx3-ubyte.gz");
    let boot = testdata("classify/boot.png");
    for command in [
        &["run", &definition, "-w", &weights, "--random-input", "-o", "out.npz"][..],
        &["finetune", &definition, "-w", &weights, "--data", &images, "-o", "out"],
        &["train", &solver],
        &["classify", &definition, "-w", &weights, &boot],
        &["verify", &weights, &weights, "--definition", &definition],
    ] {
        let output = scratch.run(&[command, &["--device", "cuda:77"]].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{told}");
        assert!(told.starts_with("rebrew: --device cuda:77: cannot use CUDA device 77: "), "{told}");
        // Without a driver, or with fewer than 78 devices.
        let why =
            ["there is no libcuda: NVIDIA's driver is not installed", " devices, counted from 0", "NVRTC"];
        assert!(why.iter().any(|why| told.contains(why)), "{told}");
        assert!(!scratch.path("out.npz").exists() && !scratch.path("out").exists());
    }
}

#[cfg(feature = "emulate")]
#[test]
fn the_emulated_gpu_computes_what_caffe_computes() {
    let scratch = Scratch::new();
    let expected = testdata("generations/forward.npz");
    let [definition, weights] = ["generations/v2.prototxt", "generations/v2.caffemodel"].map(testdata);
    let run =
        ["run", &definition, "-w", &weights, "--input", &expected, "--all-blobs", "--device", "emulate"];
    scratch.succeeds(&[&run[..], &["-o", "out.npz"]].concat());
    // The emulator measures nothing: there is nothing to pin.
    scratch.succeeds(&[&run[..], &["-o", "pinned.npz", "--deterministic"]].concat());
    assert!(fs::read(scratch.path("out.npz")).unwrap() == fs::read(scratch.path("pinned.npz")).unwrap());
    assert_close(&scratch.path("out.npz"), Path::new(&expected));
}

#[test]
fn layers_without_weights_are_filled_when_that_is_wanted() {
    let scratch = Scratch::new();
    let (definition, weights) = fashion();
    let text = fs::read_to_string(&definition).unwrap().replace("\"fc5\"", "\"fc5_new\"");
    scratch.write("new.prototxt", text.as_bytes());
    let net = ["run", "new.prototxt", "-w", &weights, "--random-input", "-o", "out.npz"];
    scratch.fails(
        &net,
        &format!(
            "rebrew: {weights} holds no weights for 1 of the net's layers: `fc5_new` (--fill fills them by their fillers)\n"
        ),
    );
    let output = scratch.run(&[net.as_slice(), &["--fill"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "note: filled by their fillers: `fc5_new`\nnote: the net has no use for these weights: `fc5`\n"
    );
    let quiet = scratch.run(&[net.as_slice(), &["--fill", "--force", "-q"]].concat());
    assert!(quiet.stderr.is_empty() && quiet.stdout.is_empty() && quiet.status.success(), "{quiet:?}");
}

#[test]
fn an_existing_output_needs_force() {
    let scratch = Scratch::new();
    let (definition, weights) = fashion();
    scratch.write("out.npz", b"mine");
    let net = ["run", &definition, "-w", &weights, "--random-input", "-o", "out.npz"];
    scratch.fails(&net, "rebrew: out.npz exists already (--force replaces it)\n");
    assert_eq!(fs::read(scratch.path("out.npz")).unwrap(), b"mine");
    scratch.succeeds(&[net.as_slice(), &["--force"]].concat());
    assert_eq!(read(&scratch.path("out.npz")).len(), 1);
}

#[test]
fn a_program_reads_the_same() {
    let scratch = Scratch::new();
    let (definition, weights) = fashion();
    let told =
        scratch.succeeds(&["run", &definition, "-w", &weights, "--random-input", "-o", "out.npz", "--json"]);
    let json: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(json["blobs"][0]["name"], "prob");
    assert_eq!(json["blobs"][0]["shape"], serde_json::json!([1, 10]));
    assert!((json["blobs"][0]["mean"].as_f64().unwrap() - 0.1).abs() < 1e-6);
    assert_eq!(json["output"], "out.npz");
}

/// The values of every array, which must be the same arrays in the same shapes, within 1e-5 of the largest.
fn assert_close(found: &Path, expected: &Path) {
    let (found, expected) = (read(found), read(expected));
    assert_eq!(found.len(), expected.len());
    for (name, expected) in expected.iter() {
        let found = found.get(name).unwrap();
        assert_eq!(found.shape(), expected.shape(), "{name}");
        compare(name, &found.to_f32().unwrap(), &expected.to_f32().unwrap());
    }
}

fn compare(name: &str, found: &[f32], expected: &[f32]) {
    let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-5 * largest, "{name}: {found} where Caffe has {expected}");
    }
}

fn read(path: &Path) -> Weights {
    Opened::open(path).unwrap().as_written()
}

fn fashion() -> (String, String) {
    (testdata("fashion/deploy.prototxt"), testdata("fashion/fashion.caffemodel"))
}

fn chainer(file: &str) -> String {
    testdata(&format!("chainer/{file}"))
}

/// The first test image as the net wants it.
fn first_image() -> Vec<f32> {
    let file = fs::File::open(testdata("fashion/t10k-sample-images-idx3-ubyte.gz")).unwrap();
    let mut idx = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut idx).unwrap();
    let mean = read_binaryproto(&Storage::open(testdata("fashion/mean.binaryproto")).unwrap()).unwrap();
    let pixels = idx[16..].iter().zip(mean.to_vec().unwrap());
    pixels.map(|(&pixel, mean)| (f32::from(pixel) - mean) * 0.007_812_5).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// An array as numpy saves it.
fn npy(descr: &str, fortran: bool, shape: &[usize], values: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let shape = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let dict = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({shape},), }}\n");
    let mut array = b"\x93NUMPY\x01\x00".to_vec();
    array.extend((dict.len() as u16).to_le_bytes());
    array.extend(dict.as_bytes());
    array.extend(values);
    array
}

#[test]
fn layers_that_cannot_run_are_named_at_once() {
    let scratch = Scratch::new();
    let definition = "two.prototxt";
    scratch.write(
        definition,
        b"layer { name: 'data' type: 'Python' top: 'data' }
         layer { name: 'a' type: 'Foo' bottom: 'data' top: 'a' }
         layer { name: 'relu' type: 'ReLU' bottom: 'a' top: 'a' }
         layer { name: 'loss' type: 'Bar' bottom: 'a' top: 'loss' }",
    );
    scratch.fails(
        &["run", definition, "--random-input", "-o", "out.npz"],
        &format!(
            "rebrew: {definition}: 2 of the net's layers cannot run: `a` (Foo: a type that is not known), \
             `loss` (Bar: a type that is not known)\n"
        ),
    );
    // A layer of data of an unknown type is an input like any other.
    let definition = "data.prototxt";
    scratch.write(
        definition,
        b"layer { name: 'data' type: 'Python' top: 'data' }
         layer { name: 'relu' type: 'ReLU' bottom: 'data' top: 'relu' }",
    );
    let arguments = ["run", definition, "--random-input", "--input-shape", "data=2,3", "-o", "out.npz", "-q"];
    scratch.succeeds(&arguments);
}
