//! Steps and passes that are replayed on the emulated GPU have the bits of steps whose kernels are launched one by one.

use caffe_proto::proto::{NetState, Phase, SolverParameter};
use caffe_proto::{Storage, text};
use kernels::{Backend, Device};
use train_core::hooks::{Freeze, Until};
use train_core::optim::Solver;
use train_core::{Network, Options, Trainer, TrainingOptions};

/// Convolutions that pack their weights in both directions (Winograd and plain, in groups), chance, statistics, and a blob
/// that two layers read.
const NET: &str = r#"
layer { name: "in" type: "Input" top: "x" top: "y" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 9 } shape { dim: 2 } } }
layer { name: "c1" type: "Convolution" bottom: "x" top: "c1"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "n1" type: "BatchNorm" bottom: "c1" top: "n1" }
layer { name: "r1" type: "ReLU" bottom: "n1" top: "n1" }
layer { name: "c2" type: "Convolution" bottom: "n1" top: "c2"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 group: 2 weight_filler { type: "msra" } } }
layer { name: "e" type: "Eltwise" bottom: "n1" bottom: "c2" top: "e" }
layer { name: "p" type: "Pooling" bottom: "e" top: "p" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "c3" type: "Convolution" bottom: "p" top: "c3"
  convolution_param { num_output: 5 kernel_size: 3 stride: 2 weight_filler { type: "msra" } } }
layer { name: "d" type: "Dropout" bottom: "c3" top: "d" }
layer { name: "f" type: "InnerProduct" bottom: "d" top: "f"
  inner_product_param { num_output: 4 weight_filler { type: "msra" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "y" top: "loss" }"#;

#[test]
fn replayed_steps_have_the_bits_of_others() {
    let device = kernels::open(Device::Emulated, 1).unwrap();
    for iter_size in [1, 2] {
        let [anew, replayed] = [true, false].map(|unrecorded| {
            let (mut found, mut recorded) = (Vec::new(), Vec::new());
            let mut trainer = trainer(&*device, NET, unrecorded, iter_size);
            for iteration in 0..12 {
                // The loss, what was thawed, and whether it was replayed.
                let step = step(&mut trainer, iteration);
                // From outside, what is frozen and what learns.
                for (at, layer) in [(1, "c1"), (8, "c2")] {
                    if iteration == at {
                        halve(&mut trainer, layer);
                    }
                }
                found.push((step, bits(&trainer)));
                recorded.push(trainer.is_recorded());
            }
            let expected: &[usize] = if unrecorded { &[] } else { &[3, 6, 7, 8, 9, 10, 11] };
            let recorded = (0..12).filter(|&iteration| recorded[iteration]).collect::<Vec<_>>();
            assert_eq!(recorded, expected, "{iter_size} passes each");
            found
        });
        for (iteration, (replayed, anew)) in replayed.iter().zip(&anew).enumerate() {
            assert!(replayed == anew, "iteration {iteration}, {iter_size} passes each");
        }
    }
}

/// A hook that comes between steps holds the layer from the next one on: its statistics, too.
#[test]
fn a_layer_that_is_frozen_on_the_way_keeps_its_statistics() {
    for device in [Device::Cpu, Device::Emulated] {
        let backend = kernels::open(device, 1).unwrap();
        let mut trainer = trainer(&*backend, NET, false, 1);
        let statistics = |trainer: &Trainer<'_>| {
            let infos = trainer.trainee().infos().iter().zip(bits(trainer));
            infos.filter(|(info, _)| info.layer == "n1").map(|(_, bits)| bits).collect::<Vec<_>>()
        };
        let begun = statistics(&trainer);
        (0..3).for_each(|iteration| drop(step(&mut trainer, iteration)));
        let before = statistics(&trainer);
        assert_ne!(begun, before);
        let freeze = Freeze::layers(["n1"]).until(Until::Iteration(5));
        trainer.solver_mut().optimizer_mut().add_hook(freeze).unwrap();
        let thawed = (3..5).map(|iteration| step(&mut trainer, iteration).2).collect::<Vec<_>>();
        assert_eq!(statistics(&trainer), before, "{device:?}");
        assert_eq!(thawed, [vec![], vec!["c1".to_owned(), "n1".to_owned()]]);
        step(&mut trainer, 5);
        assert_ne!(statistics(&trainer), before, "{device:?}");
    }
}

/// What chance fills in main memory is drawn once a pass, whether or not a pass could be recorded.
#[test]
fn what_cannot_be_recorded_goes_on_as_it_did() {
    let device = kernels::open(Device::Emulated, 1).unwrap();
    let cpu = kernels::open(Device::Cpu, 1).unwrap();
    let noise = r#"
layer { name: "noise" type: "DummyData" top: "noise"
  dummy_data_param { shape { dim: 2 dim: 4 } data_filler { type: "gaussian" std: 1 } } }
layer { name: "sum" type: "Eltwise" bottom: "f" bottom: "noise" top: "sum" }
layer { name: "loss""#;
    let net = NET
        .replace("layer { name: \"loss\"", noise)
        .replace("bottom: \"f\" bottom: \"y\"", "bottom: \"sum\" bottom: \"y\"");
    let [found, expected] = [&*device, &*cpu].map(|backend| {
        let mut trainer = trainer(backend, &net, false, 1);
        let drawn = (0..5).map(|iteration| {
            step(&mut trainer, iteration);
            assert!(!trainer.is_recorded());
            trainer.trainee().blob("noise").unwrap().1
        });
        drawn.collect::<Vec<_>>()
    });
    assert_eq!(found, expected);
    assert_ne!(found[0], found[1]);
}

#[test]
fn replayed_inference_has_the_bits_of_a_first_pass() {
    let device = kernels::open(Device::Emulated, 1).unwrap();
    let network = network(NET, Phase::Test);
    let mut executor = network.executor(&*device, &Options::default()).unwrap();
    for seed in 0..4 {
        let x = pattern(2 * 3 * 81, seed);
        let inputs = [("x", x.as_slice()), ("y", &[0.0, 3.0])];
        let replayed = executor.run(&inputs).unwrap();
        assert_eq!(executor.is_recorded(), seed > 0);
        let mut other = network.executor(&*device, &Options::default()).unwrap();
        assert_eq!(replayed, other.run(&inputs).unwrap(), "pass {seed}");
        assert!(!other.is_recorded());
    }
}

/// c1 learns from the sixth iteration on.
fn trainer<'b>(backend: &'b dyn Backend, net: &str, unrecorded: bool, iter_size: i32) -> Trainer<'b> {
    let network = network(net, Phase::Train);
    let options = TrainingOptions { unrecorded, ..TrainingOptions::default() };
    let trainee = network.trainee(backend, &options).unwrap();
    let parameter = SolverParameter {
        base_lr: Some(0.01),
        lr_policy: Some("exp".to_owned()),
        gamma: Some(0.9),
        momentum: Some(0.5),
        weight_decay: Some(1e-3),
        iter_size: Some(iter_size),
        ..SolverParameter::default()
    };
    let mut solver = Solver::new(&parameter, trainee.infos().to_vec()).unwrap();
    let freeze = Freeze::layers(["c1"]).until(Until::Iteration(5));
    solver.optimizer_mut().add_hook(freeze).unwrap();
    Trainer::new(trainee, solver).unwrap()
}

fn network(net: &str, phase: Phase) -> Network {
    let text = Storage::from_vec("net", net.as_bytes().to_vec());
    let (definition, _) = text::parse_net(&text, text::Options::default()).unwrap();
    let state = NetState { phase: Some(phase.into()), ..NetState::default() };
    Network::new(definition, &state).unwrap()
}

fn step(trainer: &mut Trainer<'_>, iteration: u32) -> (u64, u32, Vec<String>) {
    let mut pass = 0;
    let step = trainer.step(&mut |net| {
        pass += 1;
        let seed = iteration * 10 + pass;
        net.set_input("x", &pattern(2 * 3 * 81, seed))?;
        net.set_input("y", &[(seed % 4) as f32, (seed / 4 % 4) as f32])
    });
    let step = step.unwrap();
    (step.loss.to_bits(), step.rate.to_bits(), step.thawed)
}

fn halve(trainer: &mut Trainer<'_>, layer: &str) {
    let trainee = trainer.trainee_mut();
    let Some(place) = trainee.infos().iter().position(|info| info.layer == layer) else {
        unreachable!("{layer}")
    };
    let mut values = trainee.param(place).unwrap();
    for value in &mut values {
        *value *= 0.5;
    }
    trainee.set_param(place, &values).unwrap();
}

fn bits(trainer: &Trainer<'_>) -> Vec<Vec<u32>> {
    let trainee = trainer.trainee();
    let params = (0..trainee.infos().len()).map(|place| trainee.param(place).unwrap());
    params.map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
}

/// Numbers in [−1, 1) that do not repeat soon.
fn pattern(len: usize, seed: u32) -> Vec<f32> {
    let number = |at: u32| (at ^ seed << 16).wrapping_mul(2_654_435_761) >> 8;
    (0..len as u32).map(|at| number(at) as f32 / (1 << 23) as f32 - 1.0).collect()
}
