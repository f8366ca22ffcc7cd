//! The bundled net, trained on the bundled images.

mod support;

use std::path::{Path, PathBuf};

use caffe_proto::proto::{NetState, Phase, SolverParameter};
use caffe_proto::{Model, Storage, text};
use flate2::read::GzDecoder;
use kernels::CpuBackend;
use std::io::Read;
use train_core::optim::{Adam, Optimizer, Solver};
use train_core::{Match, NetBuilder, Network, Trainee, TrainingOptions};
use weight_io::Weights;

const BATCH: usize = 32;
const PIXELS: usize = 28 * 28;

#[test]
fn loss_falls_from_scratch() {
    let cpu = CpuBackend::new(1).unwrap();
    let network = network();
    let mut trainee = network.trainee(&cpu, &TrainingOptions::default()).unwrap();
    let mut solver = solver(&trainee);
    let data = Data::open();
    let mut losses = Vec::new();
    for iteration in 0..64 {
        losses.push(step(&mut trainee, &data, iteration));
        solver.update(&mut trainee.params()).unwrap();
    }
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(&losses[..8]), mean(&losses[56..]));
    assert!(first > 1.5 && last < 0.7 * first, "{first} then {last}");
}

#[test]
fn what_is_frozen_keeps_its_bits_and_all_else_moves() {
    let cpu = CpuBackend::new(1).unwrap();
    let mut network = network();
    let weights = Weights::open(folder().join("fashion.caffemodel")).unwrap();
    network.initialise_from(&weights, Match::ByName).unwrap();
    let frozen = ["conv1", "norm1", "conv2", "conv3"];
    let options =
        TrainingOptions { frozen: frozen.map(str::to_owned).to_vec(), ..TrainingOptions::default() };
    let mut trainee = network.trainee(&cpu, &options).unwrap();
    // fc4 to the loss: fc4, ReLU, Dropout, fc5, loss.
    assert_eq!(trainee.backward_step_count(), 5);
    let mut optimizer = Optimizer::new(Box::new(Adam::default()), trainee.infos().to_vec());
    let before = trainee.to_model().unwrap();
    let data = Data::open();
    for iteration in 0..3 {
        step(&mut trainee, &data, iteration);
        optimizer.update(&mut trainee.params()).unwrap();
    }
    let changed = changed(&before, &trainee.to_model().unwrap());
    assert_eq!(changed, ["fc4", "fc4", "fc5", "fc5"]);

    // Thawed, it moves.
    trainee.freeze(&["conv1", "conv2"]).unwrap();
    step(&mut trainee, &data, 3);
    optimizer.update(&mut trainee.params()).unwrap();
    let changed = self::changed(&before, &trainee.to_model().unwrap());
    assert_eq!(changed, ["conv3", "conv3", "fc4", "fc4", "fc5", "fc5"]);
}

/// Real Caffe's fine-tuning, step by step: `testdata/gen/fine_tune.py`.
#[test]
fn ten_iterations_are_caffes() {
    let golden = Weights::open(folder().join("fine_tune.npz")).unwrap();
    let text = |name: &str| {
        let bytes = golden.get(name).unwrap().to_f32().unwrap();
        Storage::from_vec("golden", bytes.into_iter().map(|byte| byte as u8).collect())
    };
    let (solver, _) = caffe_proto::solver::read_solver(&text("solver"), text::Options::default()).unwrap();
    let (definition, _) = text::parse_net(&text("net"), text::Options::default()).unwrap();
    let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
    let mut network = Network::new(definition, &state).unwrap();
    let weights = Weights::open(folder().join("fashion.caffemodel")).unwrap();
    network.initialise_from(&weights, Match::ByName).unwrap();
    let cpu = CpuBackend::new(2).unwrap();
    let mut trainee = network.trainee(&cpu, &TrainingOptions::default()).unwrap();
    let mut solver = Solver::new(&solver, trainee.infos().to_vec()).unwrap();
    let (before, data) = (trainee.to_model().unwrap(), Data::open());
    let losses = golden.get("loss").unwrap().to_f32().unwrap();
    for (iteration, expected) in losses.into_iter().enumerate() {
        data.put(&mut trainee, iteration, BATCH);
        trainee.clear_gradients();
        for _ in 0..solver.iter_size() {
            trainee.forward().unwrap();
            trainee.backward().unwrap();
        }
        let found = trainee.loss().unwrap();
        assert!((found - f64::from(expected)).abs() < 1e-5, "iteration {iteration}: {found} for {expected}");
        solver.update(&mut trainee.params()).unwrap();
    }
    let after = trainee.to_model().unwrap();
    for layer in &after.layers {
        for (index, blob) in layer.blobs.iter().enumerate() {
            let name = format!("{}/{index}", layer.name);
            let expected = golden.get(&name).unwrap().to_f32().unwrap();
            let difference = support::difference(&blob.to_vec().unwrap(), &expected);
            println!("{name}: {difference:.1e}");
            assert!(difference < 1e-5, "{name}: {difference:.1e}");
        }
    }
    let changed = changed(&before, &after);
    assert_eq!(changed, ["conv2", "conv2", "conv3", "conv3", "fc4", "fc4", "fc5", "fc5"]);
}

/// Two passes' gradients are added up, as `iter_size` has it: nothing but Dropout's numbers tells their halves from one
/// pass over the whole.
#[test]
fn gradients_add_up_over_passes() {
    let cpu = CpuBackend::new(1).unwrap();
    let data = Data::open();
    let gradients = |batch: usize, passes: usize| -> Vec<Vec<f32>> {
        let mut network = network();
        network.set_input_shape("data", [batch, 1, 28, 28]);
        network.set_input_shape("label", [batch, 1]);
        let options = TrainingOptions { frozen: vec!["drop4".to_owned()], ..TrainingOptions::default() };
        let mut trainee = network.trainee(&cpu, &options).unwrap();
        trainee.clear_gradients();
        for pass in 0..passes {
            data.put(&mut trainee, pass, batch);
            trainee.forward().unwrap();
            trainee.backward().unwrap();
        }
        trainee.params().into_iter().map(|view| view.grad.unwrap().to_vec()).collect()
    };
    let (halves, whole) = (gradients(16, 2), gradients(32, 1));
    for (halves, mut whole) in halves.iter().zip(whole) {
        for value in &mut whole {
            *value *= 2.0;
        }
        assert!(support::difference(halves, &whole) < 1e-5);
    }
}

/// Gradients are zero once they are cleared, also those of layers that no loss follows from.
#[test]
fn cleared_gradients_are_zero() {
    let cpu = CpuBackend::new(1).unwrap();
    let net = NetBuilder::new("two heads").input("label", [4]).input("x", [4, 3]).inner_product("aside", 2);
    let net = net.from("x").inner_product("fc", 2).softmax_with_loss("label");
    let network = net.build_for_training().unwrap();
    let mut trainee = network.trainee(&cpu, &TrainingOptions::default()).unwrap();
    trainee.set_input("x", &[0.5; 12]).unwrap();
    trainee.set_input("label", &[0.0, 0.0, 0.0, 1.0]).unwrap();
    let spoil = |trainee: &mut Trainee<'_>| {
        trainee.params().into_iter().filter_map(|view| view.grad).for_each(|grad| grad.fill(7.0));
    };
    let gradients = |trainee: &mut Trainee<'_>| -> Vec<Vec<f32>> {
        trainee.params().into_iter().map(|view| view.grad.unwrap().to_vec()).collect()
    };
    let zeros = [vec![0.0; 6], vec![0.0; 2], vec![0.0; 6], vec![0.0; 2]];
    spoil(&mut trainee);
    trainee.clear_gradients();
    assert_eq!(gradients(&mut trainee), zeros);

    trainee.forward().unwrap();
    trainee.backward().unwrap();
    let once = gradients(&mut trainee);
    assert_eq!(once[..2], zeros[..2]);
    assert!(once[2..].iter().flatten().all(|&value| value != 0.0));
    spoil(&mut trainee);
    trainee.clear_gradients();
    trainee.backward().unwrap();
    assert_eq!(gradients(&mut trainee), once);
}

/// A run that goes on from its weights, optimizer and number of passes draws and computes what an unbroken one does.
#[test]
fn a_run_goes_on_to_the_same_bits() {
    let cpu = CpuBackend::new(2).unwrap();
    let data = Data::open();
    let network = network();
    let mut unbroken = network.trainee(&cpu, &TrainingOptions::default()).unwrap();
    let mut unbroken_solver = solver(&unbroken);
    for iteration in 0..4 {
        step(&mut unbroken, &data, iteration);
        unbroken_solver.update(&mut unbroken.params()).unwrap();
    }
    let (model, state) = (unbroken.to_model().unwrap(), unbroken_solver.to_state(None).unwrap());
    let mut broken = network.clone();
    broken.initialise_from_model(&model, Match::ByName).unwrap();
    let mut broken = broken.trainee(&cpu, &TrainingOptions::default()).unwrap();
    broken.set_passes(unbroken.passes());
    let mut broken_solver = solver(&broken);
    broken_solver.restore(&state).unwrap();
    for iteration in 4..7 {
        for (trainee, solver) in [(&mut unbroken, &mut unbroken_solver), (&mut broken, &mut broken_solver)] {
            step(trainee, &data, iteration);
            solver.update(&mut trainee.params()).unwrap();
        }
    }
    assert!(changed(&unbroken.to_model().unwrap(), &broken.to_model().unwrap()).is_empty());
}

/// The layers of the blobs that differ.
fn changed(before: &Model, after: &Model) -> Vec<String> {
    let mut changed = Vec::new();
    for (before, after) in before.layers.iter().zip(&after.layers) {
        for (old, new) in before.blobs.iter().zip(&after.blobs) {
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            if bits(old.to_vec().unwrap()) != bits(new.to_vec().unwrap()) {
                changed.push(before.name.clone());
            }
        }
    }
    changed
}

/// One forward and one backward pass; the loss.
fn step(trainee: &mut Trainee<'_>, data: &Data, iteration: usize) -> f64 {
    data.put(trainee, iteration, BATCH);
    trainee.clear_gradients();
    trainee.forward().unwrap();
    trainee.backward().unwrap();
    trainee.loss().unwrap()
}

fn solver(trainee: &Trainee<'_>) -> Solver {
    let solver = SolverParameter {
        base_lr: Some(0.01),
        lr_policy: Some("fixed".to_owned()),
        momentum: Some(0.9),
        weight_decay: Some(5e-4),
        ..SolverParameter::default()
    };
    Solver::new(&solver, trainee.infos().to_vec()).unwrap()
}

fn network() -> Network {
    let text = Storage::open(folder().join("train_val.prototxt")).unwrap();
    let (definition, _) = text::parse_net(&text, text::Options::default()).unwrap();
    let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
    let mut network = Network::new(definition, &state).unwrap();
    network.set_input_shape("data", [BATCH, 1, 28, 28]);
    network.set_input_shape("label", [BATCH, 1]);
    network
}

/// 256 images.
struct Data {
    images: Vec<f32>,
    labels: Vec<f32>,
}

impl Data {
    fn open() -> Self {
        let read = |name: &str, head: usize| -> Vec<f32> {
            let file = std::fs::File::open(folder().join(name)).unwrap();
            let mut bytes = Vec::new();
            GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
            bytes[head..].iter().map(|&byte| f32::from(byte)).collect()
        };
        let mut images = read("t10k-sample-images-idx3-ubyte.gz", 16);
        for pixel in &mut images {
            *pixel = (*pixel - 73.0) / 128.0;
        }
        Self { images, labels: read("t10k-sample-labels-idx1-ubyte.gz", 8) }
    }

    fn put(&self, trainee: &mut Trainee<'_>, batch: usize, size: usize) {
        let first = batch * size % self.labels.len();
        trainee.set_input("data", &self.images[first * PIXELS..(first + size) * PIXELS]).unwrap();
        trainee.set_input("label", &self.labels[first..first + size]).unwrap();
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/fashion")
}
