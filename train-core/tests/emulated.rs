//! Whole nets on the emulated GPU, where every access of every kernel is checked: the processor's numbers come out.

use std::path::Path;

use caffe_proto::proto::{NetState, Phase};
use caffe_proto::{Storage, text};
use kernels::{Backend, CpuBackend, Device, DeviceBackend};
use train_core::optim::{Adam, Optimizer};
use train_core::{Match, Network, Options, TrainingOptions};
use weight_io::Weights;

/// Relative to a blob's largest value.
const TOLERANCE: f64 = 1e-4;

/// An AlexNet with all of its kinds of layers, of small images and few channels.
const ALEXNET: &str = r#"
layer { name: "in" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 3 dim: 3 dim: 59 dim: 59 } shape { dim: 3 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 12 kernel_size: 11 stride: 4 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 16 kernel_size: 5 pad: 2 group: 2 weight_filler { type: "msra" } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "norm2" type: "LRN" bottom: "conv2" top: "norm2" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layer { name: "conv3" type: "Convolution" bottom: "norm2" top: "conv3"
  convolution_param { num_output: 24 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "relu3" type: "ReLU" bottom: "conv3" top: "conv3" }
layer { name: "pool5" type: "Pooling" bottom: "conv3" top: "pool5" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "fc6" type: "InnerProduct" bottom: "pool5" top: "fc6"
  inner_product_param { num_output: 64 weight_filler { type: "msra" } } }
layer { name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }
layer { name: "drop6" type: "Dropout" bottom: "fc6" top: "fc6" }
layer { name: "fc8" type: "InnerProduct" bottom: "fc6" top: "fc8"
  inner_product_param { num_output: 10 weight_filler { type: "msra" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc8" bottom: "label" top: "loss" }"#;

#[test]
fn the_bundled_net_runs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/fashion");
    let deploy = Storage::open(folder.join("deploy.prototxt")).unwrap();
    let (definition, _) = text::parse_net(&deploy, text::Options::default()).unwrap();
    let mut network = Network::new(definition, &NetState::default()).unwrap();
    let weights = Weights::open(folder.join("fashion.caffemodel")).unwrap();
    network.initialise_from(&weights, Match::ByName).unwrap();
    for all_blobs in [true, false] {
        let options = Options { all_blobs, ..Options::default() };
        let pass = |backend: &dyn Backend| {
            let mut executor = network.executor(backend, &options).unwrap();
            let (name, shape) =
                executor.inputs().next().map(|(name, shape)| (name.to_owned(), shape.to_vec())).unwrap();
            executor.set_input(&name, &pattern(shape.iter().product())).unwrap();
            executor.forward().unwrap();
            let names: Vec<String> = executor.blobs().map(|(name, _)| name.to_owned()).collect();
            names.into_iter().map(|name| (executor.blob(&name).unwrap().1, name)).collect::<Vec<_>>()
        };
        agree(&pass(&cpu()), &pass(&*emulated()));
    }
}

#[test]
fn an_alexnet_learns() {
    let text = Storage::from_vec("alexnet", ALEXNET.as_bytes().to_vec());
    let (definition, _) = text::parse_net(&text, text::Options::default()).unwrap();
    let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
    let network = Network::new(definition, &state).unwrap();
    for frozen in [&[][..], &["conv1", "norm1", "conv2", "norm2"]] {
        let options = TrainingOptions {
            frozen: frozen.iter().map(|&name| name.to_owned()).collect(),
            ..TrainingOptions::default()
        };
        let steps = |backend: &dyn Backend| {
            let mut trainee = network.trainee(backend, &options).unwrap();
            let mut optimizer = Optimizer::new(Box::new(Adam::default()), trainee.infos().to_vec());
            let before = trainee.to_model().unwrap();
            trainee.set_input("data", &pattern(3 * 3 * 59 * 59)).unwrap();
            trainee.set_input("label", &[1.0, 7.0, 3.0]).unwrap();
            let mut found = Vec::new();
            for step in 0..2 {
                trainee.clear_gradients();
                trainee.forward().unwrap();
                trainee.backward().unwrap();
                found.push((vec![trainee.loss().unwrap() as f32], format!("loss {step}")));
                for (index, info) in trainee.infos().to_vec().iter().enumerate() {
                    let gradient = trainee.param_gradient(index).unwrap();
                    assert_eq!(gradient.is_some(), !frozen.contains(&info.layer.as_str()), "{}", info.layer);
                    found.extend(
                        gradient.map(|gradient| (gradient, format!("{} {index}, {step}", info.layer))),
                    );
                }
                optimizer.update_on(backend, &mut trainee.param_buffers().unwrap()).unwrap();
            }
            // What is frozen has its bits, all else has moved.
            for (layer, old) in trainee.to_model().unwrap().layers.iter().zip(&before.layers) {
                for (new, old) in layer.blobs.iter().zip(&old.blobs) {
                    let [new, old] = [new, old].map(|blob| blob.to_vec().unwrap());
                    let bits =
                        |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                    assert_eq!(
                        bits(&new) == bits(&old),
                        frozen.contains(&layer.name.as_str()),
                        "{}",
                        layer.name
                    );
                }
            }
            found
        };
        agree(&steps(&cpu()), &steps(&*emulated()));
    }
}

/// Layers that draw, gather and count: what they need is on the device.
const LEARNER: &str = r#"
layer { name: "in" type: "Input" top: "data" top: "label" top: "words"
  input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } shape { dim: 4 } shape { dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm" }
layer { name: "held" type: "BatchNorm" bottom: "norm" top: "held" batch_norm_param { use_global_stats: true } }
layer { name: "pool" type: "Pooling" bottom: "held" top: "pool" pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "drop" }
layer { name: "fc" type: "InnerProduct" bottom: "drop" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "msra" } } }
layer { name: "embed" type: "Embed" bottom: "words" top: "embed"
  embed_param { input_dim: 7 num_output: 5 weight_filler { type: "msra" } } }
layer { name: "sum" type: "Eltwise" bottom: "fc" bottom: "embed" top: "sum" }
layer { name: "accuracy" type: "Accuracy" bottom: "sum" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "sum" bottom: "label" top: "loss" }"#;

#[test]
fn a_step_leaves_the_device_for_the_loss_alone() {
    let (processor, device) = (cpu(), DeviceBackend::emulated().unwrap());
    let options = TrainingOptions::default();
    for frozen in [&[][..], &["norm", "drop"]] {
        let network = training_network(LEARNER);
        let mut trainee = network.trainee(&device, &options).unwrap();
        trainee.freeze(frozen).unwrap();
        let mut reference = network.trainee(&processor, &options).unwrap();
        reference.freeze(frozen).unwrap();
        for net in [&mut trainee, &mut reference] {
            net.set_input("data", &pattern(4 * 3 * 8 * 8)).unwrap();
            net.set_input("label", &[1.0, 0.0, 4.0, 3.0]).unwrap();
            net.set_input("words", &[6.0, 0.0, 2.0, 6.0]).unwrap();
        }
        for _ in 0..3 {
            let before = device.copies_to_host();
            trainee.clear_gradients();
            trainee.forward().unwrap();
            trainee.backward().unwrap();
            assert_eq!(device.copies_to_host() - before, 0, "in a pass forward and back");
            let loss = trainee.loss().unwrap();
            // The loss, and whether a label or an index named nothing.
            assert_eq!(device.copies_to_host() - before, 2);
            reference.clear_gradients();
            reference.forward().unwrap();
            reference.backward().unwrap();
            // The same numbers were drawn: else the losses would lie far apart.
            assert!((loss - reference.loss().unwrap()).abs() < 1e-5 * loss, "{loss}");
        }
        let [found, expected] = [&trainee, &reference].map(|net| net.blob("accuracy").unwrap().1);
        assert_eq!(found, expected);
        for name in ["norm", "drop"] {
            let [found, expected] = [&trainee, &reference].map(|net| net.blob(name).unwrap().1);
            agree(&[(expected, name.to_owned())], &[(found, name.to_owned())]);
        }
        for (place, info) in trainee.infos().iter().enumerate() {
            let [found, expected] = [&trainee, &reference].map(|net| net.param(place).unwrap());
            // Biases, and statistics that are not gathered, are 0.
            let is_gathered = info.layer == "norm" && frozen.is_empty();
            if is_gathered || expected.iter().any(|&value| value != 0.0) {
                agree(&[(expected, info.name.clone())], &[(found, info.name.clone())]);
            }
        }
    }
}

#[test]
fn what_names_nothing_is_the_error_of_its_layer() {
    let (processor, device) = (cpu(), emulated());
    let network = training_network(LEARNER);
    for backend in [&processor as &dyn Backend, &*device] {
        let mut trainee = network.trainee(backend, &TrainingOptions::default()).unwrap();
        trainee.set_input("data", &pattern(4 * 3 * 8 * 8)).unwrap();
        let mut step = |label: f32, word: f32| {
            trainee.set_input("label", &[1.0, 0.0, label, 3.0]).unwrap();
            trainee.set_input("words", &[6.0, word, 2.0, 6.0]).unwrap();
            trainee.clear_gradients();
            trainee.forward()?;
            trainee.loss()
        };
        let mut fails = |label, word| {
            let error = step(label, word).unwrap_err();
            format!("{error}: {}", std::error::Error::source(&error).unwrap())
        };
        let label = "a label is 5, and there are 5 classes: 0 to 4";
        assert_eq!(fails(5.0, 1.0), format!("layer `accuracy` (Accuracy): accuracy: {label}"));
        let word = "layer `embed` (Embed): embed_forward: index -1 names none of 7 rows";
        assert_eq!(fails(2.0, -1.0), word);
        // The first in the order of the layers.
        assert_eq!(fails(-2.0, -1.0), word);
        assert!(step(4.0, 6.0).unwrap().is_finite());
    }
}

fn training_network(prototxt: &str) -> Network {
    let text = Storage::from_vec("net", prototxt.as_bytes().to_vec());
    let (definition, _) = text::parse_net(&text, text::Options::default()).unwrap();
    let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
    Network::new(definition, &state).unwrap()
}

fn cpu() -> CpuBackend {
    CpuBackend::new(1).unwrap()
}

fn emulated() -> Box<dyn Backend> {
    let backend = kernels::open(Device::Emulated, 1).unwrap();
    assert_eq!(backend.name(), "emulated GPU");
    backend
}

/// Numbers in [−1, 1) that do not repeat soon.
fn pattern(len: usize) -> Vec<f32> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

#[track_caller]
fn agree(expected: &[(Vec<f32>, String)], found: &[(Vec<f32>, String)]) {
    assert_eq!(expected.len(), found.len());
    assert!(!expected.is_empty());
    for ((expected, name), (found, other)) in expected.iter().zip(found) {
        assert_eq!((name, expected.len()), (other, found.len()));
        let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let differences = expected.iter().zip(found).map(|(a, b)| f64::from((a - b).abs()));
        let worst = differences.fold(0.0, f64::max) / f64::from(largest);
        assert!(worst <= TOLERANCE, "{name}: {worst:e}");
    }
}
