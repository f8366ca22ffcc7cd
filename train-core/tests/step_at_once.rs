//! Whole steps as one recording on the emulated GPU: the bits of steps in parts, and nothing moved by a step that fails.

use caffe_proto::proto::{NetState, Phase, SolverParameter};
use caffe_proto::{Storage, text};
use kernels::{Backend, DeviceBackend};
use train_core::hooks::{Freeze, GradientClipping, Hook, Until};
use train_core::optim::{Gradients, Solver};
use train_core::{Error, Network, Stepped, Trainer, TrainingOptions};

const NET: &str = r#"
layer { name: "in" type: "Input" top: "x" top: "y" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 5 } shape { dim: 2 } } }
layer { name: "c1" type: "Convolution" bottom: "x" top: "c1"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2"
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "d" type: "Dropout" bottom: "c2" top: "d" }
layer { name: "f" type: "InnerProduct" bottom: "d" top: "f"
  inner_product_param { num_output: 4 weight_filler { type: "msra" } } }
layer { name: "small" type: "Reduction" bottom: "f" top: "small" loss_weight: 0.01 reduction_param { operation: SUMSQ } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "y" top: "loss" }"#;

type MakeHook = fn() -> Box<dyn Hook>;

/// Takes an input's name and values.
type Set<'s> = &'s mut dyn FnMut(&str, &[f32]) -> Result<(), Error>;

/// What an iteration is fed with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Batch {
    Good,
    /// Values that are too large for the first layer.
    Huge,
    NotANumber,
    /// A label that names no class.
    Mislabelled,
}

#[test]
fn a_step_is_one_recording() {
    for (iter_size, replays) in [(1, 1), (2, 5)] {
        let device = DeviceBackend::emulated().unwrap();
        let mut trainer = trainer(&device, iter_size, false);
        for iteration in 0..5 {
            let before = (device.replays(), device.launches(), device.copies_to_host());
            step(&mut trainer, iteration, Batch::Good).unwrap();
            let found = (device.replays() - before.0, device.launches() - before.1);
            match iteration {
                // Of two passes the second may be replayed.
                0 => assert!(found.0 < replays && found.1 > 20, "{found:?}"),
                1 => {}
                _ => assert_eq!(found, (replays, 0), "{iter_size} passes"),
            }
            // Two losses and the record of faults, each pass; and whether the update was made, where the device decides that.
            assert_eq!(device.copies_to_host() - before.2, [4, 6][iter_size as usize - 1]);
            assert_eq!(trainer.is_recorded(), iteration > 0);
        }
    }
}

#[test]
fn a_step_that_fails_changes_nothing() {
    for bad in [Batch::Huge, Batch::NotANumber, Batch::Mislabelled] {
        // In the first step, in that which is recorded, and in replayed ones; in passes that are summed up, too.
        for (iter_size, failing) in [(1, 0), (1, 1), (1, 2), (1, 4), (2, 3)] {
            let device = DeviceBackend::emulated().unwrap();
            let [mut trainer, mut reference] = [1, 2].map(|_| trainer(&device, iter_size, false));
            for iteration in 0..6 {
                if iteration == failing {
                    let before = everything(&trainer);
                    for _ in 0..2 {
                        let error = step(&mut trainer, iteration, bad).unwrap_err();
                        assert_eq!(said(&error, bad), expected(bad, iteration), "{error}");
                    }
                    assert!(
                        everything(&trainer) == before,
                        "{bad:?} in iteration {failing} of {iter_size} passes"
                    );
                    // As if they had been no passes.
                    let passes = reference.trainee().passes();
                    trainer.trainee_mut().set_passes(passes);
                }
                let [found, expected] = [&mut trainer, &mut reference]
                    .map(|trainer| step(trainer, iteration, Batch::Good).unwrap());
                assert_eq!((found.loss.to_bits(), found.rate), (expected.loss.to_bits(), expected.rate));
                assert!(everything(&trainer) == everything(&reference), "{bad:?}, iteration {iteration}");
            }
        }
    }
}

/// Who has met or is told of a label that names no class while a step is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Elsewhere {
    /// The step's own net, and asks for its loss.
    AskedMeanwhile,
    /// The step's own net, and somebody waits for the device.
    WaitedMeanwhile,
    /// Another net before the step, and asks for its loss.
    OtherBefore,
    /// Another net behind the step.
    OtherBehind,
}

/// A step is counted if the device has made it, whoever is told of what kept the device from that.
#[test]
fn what_the_device_has_decided_counts() {
    use Elsewhere::{AskedMeanwhile, OtherBefore, OtherBehind, WaitedMeanwhile};
    for (case, failing) in [AskedMeanwhile, WaitedMeanwhile, OtherBefore, OtherBehind]
        .into_iter()
        .flat_map(|case| [(case, 1), (case, 3)])
    {
        let device = DeviceBackend::emulated().unwrap();
        let [mut trainer, mut reference, mut other] = [1, 2, 3].map(|_| trainer(&device, 1, false));
        for iteration in 0..failing {
            for trainer in [&mut trainer, &mut reference] {
                step(trainer, iteration, Batch::Good).unwrap();
            }
        }
        let other = other.trainee_mut();
        give(Batch::Mislabelled, 0, 1, &mut |name, values| other.set_input(name, values)).unwrap();
        if case == OtherBefore {
            other.forward().unwrap();
        }
        let before = everything(&trainer);
        let own =
            if matches!(case, AskedMeanwhile | WaitedMeanwhile) { Batch::Mislabelled } else { Batch::Good };
        let outcome = trainer.step_and(
            &mut |net| give(own, failing, 1, &mut |name, values| net.set_input(name, values)),
            &mut |net| {
                match case {
                    AskedMeanwhile => assert!(net.loss().is_err()),
                    WaitedMeanwhile => assert!(device.synchronize().is_err()),
                    OtherBefore => assert!(other.loss().is_err()),
                    OtherBehind => other.forward()?,
                }
                Ok(())
            },
        );
        let error = outcome.unwrap_err();
        if case == OtherBehind {
            assert!(matches!(error, Error::Layer { .. }), "{case:?}: {error}");
            step(&mut reference, failing, Batch::Good).unwrap();
        } else {
            assert!(
                matches!(error, Error::NotUpdated { iteration } if iteration == failing),
                "{case:?}: {error}"
            );
            assert!(everything(&trainer) == before, "{case:?} in iteration {failing}");
            trainer.trainee_mut().set_passes(reference.trainee().passes());
        }
        for _ in 0..2 {
            assert_eq!(trainer.iteration(), reference.iteration(), "{case:?}");
            assert!(everything(&trainer) == everything(&reference), "{case:?} in iteration {failing}");
            let iteration = trainer.iteration();
            for trainer in [&mut trainer, &mut reference] {
                step(trainer, iteration, Batch::Good).unwrap();
            }
        }
    }
}

/// What a layer's rule remembers is forgotten with the first update without it, and not with one that was taken back.
#[test]
fn a_step_that_fails_forgets_nothing() {
    let device = DeviceBackend::emulated().unwrap();
    let mut trainer = trainer(&device, 1, false);
    (0..3).for_each(|iteration| drop(step(&mut trainer, iteration, Batch::Good).unwrap()));
    let freeze = Freeze::layers(["c1"]).until(Until::Iteration(5));
    trainer.solver_mut().optimizer_mut().add_hook(freeze).unwrap();
    let before = everything(&trainer);
    assert!(before.iter().any(|(name, _)| name == "optimizer/c1/W/v"));
    step(&mut trainer, 3, Batch::Huge).unwrap_err();
    assert!(everything(&trainer) == before);
    step(&mut trainer, 3, Batch::Good).unwrap();
    assert!(everything(&trainer).iter().all(|(name, _)| name != "optimizer/c1/W/v"));
}

/// Goes by numbers in these iterations, and scales in each.
#[derive(Debug)]
struct Asking(fn(u64) -> bool);

impl Hook for Asking {
    fn name(&self) -> &'static str {
        "Asking"
    }

    fn before_update(&mut self, gradients: &mut Gradients<'_, '_>) {
        for index in gradients.indices() {
            if self.0(gradients.t(index)) {
                let norm = gradients.grad_norm(index) as f32;
                gradients.grad_mut(index).iter_mut().for_each(|g| *g /= 1.0 + norm);
            }
            gradients.scale(index, 0.5);
        }
    }
}

/// Clips in every other iteration: what is launched is another thing each time.
#[derive(Debug)]
struct Alternating(GradientClipping);

impl Hook for Alternating {
    fn name(&self) -> &'static str {
        "Alternating"
    }

    fn before_update(&mut self, gradients: &mut Gradients<'_, '_>) {
        if gradients.t(0).is_multiple_of(2) {
            self.0.before_update(gradients);
        }
    }
}

#[test]
fn hooks_get_what_they_ask_for_before_the_update() {
    let hooks: [(MakeHook, &[u64]); 4] = [
        (|| Box::new(Asking(|_| false)), &[1, 2, 3, 4, 5, 6, 7]),
        // From then on in three parts.
        (|| Box::new(Asking(|t| t == 3)), &[1, 2, 5, 6, 7]),
        (|| Box::new(Asking(|_| true)), &[1, 2, 3, 4, 5, 6, 7]),
        // Passes are replayed, and no update is.
        (|| Box::new(Alternating(GradientClipping::new(0.5))), &[]),
    ];
    for (hook, recorded) in hooks {
        let device = DeviceBackend::emulated().unwrap();
        let [mut trainer, mut anew] = [false, true].map(|unrecorded| {
            let mut trainer = trainer(&device, 1, unrecorded);
            trainer.solver_mut().optimizer_mut().add_hook(hook()).unwrap();
            trainer
        });
        let mut found = Vec::new();
        for iteration in 0..8 {
            let steps =
                [&mut trainer, &mut anew].map(|trainer| step(trainer, iteration, Batch::Good).unwrap());
            assert_eq!(steps[0].loss.to_bits(), steps[1].loss.to_bits());
            assert!(everything(&trainer) == everything(&anew), "{:?}, iteration {iteration}", hook());
            if trainer.is_recorded() {
                found.push(iteration);
            }
            assert!(trainer.trainee().is_recorded() || iteration < 2);
        }
        assert_eq!(found, recorded, "{:?}", hook());
        let before = everything(&trainer);
        let error = step(&mut trainer, 8, Batch::Huge).unwrap_err();
        assert_eq!(said(&error, Batch::Huge), expected(Batch::Huge, 8));
        assert!(everything(&trainer) == before, "{:?}", hook());
    }
}

/// Passes of one's own between steps go by the parameters of then.
#[test]
fn passes_between_steps_see_what_was_updated() {
    let device = DeviceBackend::emulated().unwrap();
    let losses = [false, true].map(|unrecorded| {
        let mut trainer = trainer(&device, 1, unrecorded);
        let mut losses = Vec::new();
        for iteration in 0..6 {
            losses.push(step(&mut trainer, iteration, Batch::Good).unwrap().loss.to_bits());
            trainer.trainee_mut().forward().unwrap();
            losses.push(trainer.trainee().loss().unwrap().to_bits());
        }
        losses
    });
    assert_eq!(losses[0], losses[1]);
}

/// The next inputs are on their way while a step is computed, and it does not see them.
#[test]
fn inputs_come_ahead_of_their_step() {
    for (iter_size, unrecorded) in [(1, false), (1, true), (2, false)] {
        let device = DeviceBackend::emulated().unwrap();
        let [mut trainer, mut reference] = [1, 2].map(|_| trainer(&device, iter_size, unrecorded));
        for iteration in 0..5 {
            let expected = step(&mut reference, iteration, Batch::Good).unwrap();
            let mut first = iteration > 0;
            let mut pass = 0;
            let found = trainer.step_and(
                &mut |net| {
                    pass += 1;
                    if std::mem::take(&mut first) {
                        return net.take_inputs_ahead();
                    }
                    give(Batch::Good, iteration, pass, &mut |name, values| net.set_input(name, values))
                },
                &mut |net| {
                    // What is set again counts.
                    net.set_input_ahead("x", &pattern(2 * 3 * 25, 7))?;
                    give(Batch::Good, iteration + 1, 1, &mut |name, values| net.set_input_ahead(name, values))
                },
            );
            assert_eq!(found.unwrap().loss.to_bits(), expected.loss.to_bits(), "iteration {iteration}");
            assert!(everything(&trainer) == everything(&reference));
        }
        // What has come is no part of what failed; and what is wrong with it is told when the step is done.
        let before = everything(&trainer);
        let mut is_called = false;
        let error = trainer.step_and(
            &mut |net| give(Batch::NotANumber, 5, 1, &mut |name, values| net.set_input(name, values)),
            &mut |net| {
                is_called = true;
                give(Batch::Good, 6, 1, &mut |name, values| net.set_input_ahead(name, values))
            },
        );
        assert_eq!(said(&error.unwrap_err(), Batch::NotANumber), expected(Batch::NotANumber, 5));
        assert_eq!(is_called, iter_size == 1 && !unrecorded);
        assert!(everything(&trainer) == before);
        let error = trainer.step_and(
            &mut |net| give(Batch::Good, 5, 1, &mut |name, values| net.set_input(name, values)),
            &mut |net| net.set_input_ahead("z", &[]),
        );
        assert!(matches!(error, Err(Error::NoInput { .. })));
        assert!(everything(&trainer) != before);
        let memory = trainer.trainee().memory();
        assert_eq!(memory.inputs_ahead, 2 * 3 * 25 + 2);
    }
}

fn trainer(backend: &dyn Backend, iter_size: i32, unrecorded: bool) -> Trainer<'_> {
    let text = Storage::from_vec("net", NET.as_bytes().to_vec());
    let (definition, _) = text::parse_net(&text, text::Options::default()).unwrap();
    let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
    let network = Network::new(definition, &state).unwrap();
    let options = TrainingOptions { unrecorded, ..TrainingOptions::default() };
    let trainee = network.trainee(backend, &options).unwrap();
    let parameter = SolverParameter {
        base_lr: Some(0.01),
        lr_policy: Some("multistep".to_owned()),
        gamma: Some(0.5),
        stepvalue: vec![2, 4],
        momentum: Some(0.5),
        weight_decay: Some(1e-3),
        clip_gradients: Some(2.0),
        iter_size: Some(iter_size),
        ..SolverParameter::default()
    };
    let solver = Solver::new(&parameter, trainee.infos().to_vec()).unwrap();
    Trainer::new(trainee, solver).unwrap()
}

/// One iteration, of which the last pass is bad.
fn step(trainer: &mut Trainer<'_>, iteration: u64, batch: Batch) -> Result<Stepped, Error> {
    let (mut pass, passes) = (0, trainer.solver().iter_size());
    trainer.step(&mut |net| {
        pass += 1;
        let batch = if pass == passes { batch } else { Batch::Good };
        give(batch, iteration, pass, &mut |name, values| net.set_input(name, values))
    })
}

/// The inputs of a pass.
fn give(batch: Batch, iteration: u64, pass: i32, set: Set<'_>) -> Result<(), Error> {
    let mut x = pattern(2 * 3 * 25, iteration as u32 * 10 + pass as u32);
    match batch {
        Batch::Huge => x.fill(3e38),
        Batch::NotANumber => x[7] = f32::NAN,
        Batch::Good | Batch::Mislabelled => {}
    }
    set("x", &x)?;
    set("y", &[if batch == Batch::Mislabelled { 4.0 } else { 2.0 }, 1.0])
}

/// Where an error lies: the layer, what is wrong there, and for those that are counted the iteration.
fn said(error: &Error, bad: Batch) -> String {
    match error {
        Error::Diverged { iteration, layer, what, .. } => format!("{iteration}: {layer}: {what}"),
        Error::Layer { layer, source, .. } => format!("{layer}: {source}"),
        other => format!("{bad:?}: {other}"),
    }
}

fn expected(bad: Batch, iteration: u64) -> String {
    match bad {
        Batch::Huge => format!("{iteration}: c1: blob `c1`"),
        Batch::NotANumber => format!("{iteration}: in: input `x`"),
        Batch::Good | Batch::Mislabelled => {
            "loss: label_loss: a label is 4, and there are 4 classes: 0 to 3".to_owned()
        }
    }
}

/// Parameters, what the rule remembers, and all counts but that of passes.
fn everything(trainer: &Trainer<'_>) -> Vec<(String, Vec<u32>)> {
    let state = trainer.to_state().unwrap();
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    let arrays = state.iter().filter(|(name, _)| *name != "passes");
    let arrays = arrays.map(|(name, tensor)| (name.to_owned(), bits(tensor.to_f32().unwrap())));
    let rate = trainer.solver().optimizer().rate() as f32;
    arrays.chain([("rate".to_owned(), vec![rate.to_bits()])]).collect()
}

/// Numbers in [−1, 1) that do not repeat soon.
fn pattern(len: usize, seed: u32) -> Vec<f32> {
    let number = |at: u32| (at ^ seed << 16).wrapping_mul(2_654_435_761) >> 8;
    (0..len as u32).map(|at| number(at) as f32 / (1 << 23) as f32 - 1.0).collect()
}
