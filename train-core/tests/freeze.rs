//! What freezes what: frozen parameters keep their bits, whatever rule, hooks, order of hooks and warm state are in use; in main
//! memory, and on the emulated device where there is one.

use std::collections::BTreeMap;

use caffe_proto::net::Net;
use caffe_proto::proto::{NetParameter, NetState, Phase, SolverParameter};
use caffe_proto::{SolverState, Storage, text};
use train_core::hooks::{
    Freeze, GradientClipping, GradientHardClipping, GradientLars, GradientNoise, Hook, Lasso, Until,
    WeightDecay,
};
use train_core::optim::{
    Adam, Bounds, Error, Msvag, NAMES, NesterovAg, Optimizer, ParamInfo, ParamView, Rule, Solver,
    rule_by_name,
};

#[path = "support/place.rs"]
mod place;

use place::Place;

/// More than one piece of work, and no multiple of anything.
const TRUNK: usize = 150_001;
const SMALL: usize = 37;
const WARM: u64 = 4;

/// How the trunk is frozen.
#[derive(Clone, Copy, Debug)]
enum Way {
    NoGradient,
    HookFirst,
    HookLast,
}

const WAYS: [Way; 3] = [Way::NoGradient, Way::HookFirst, Way::HookLast];

/// Every rule: all of Chainer's names, and the options that decay or remember on their own.
fn rules() -> Vec<Box<dyn Rule>> {
    let mut rules: Vec<Box<dyn Rule>> =
        NAMES.iter().map(|name| rule_by_name(name, Some(0.01)).unwrap()).collect();
    rules.push(Box::new(NesterovAg::default()));
    rules.push(Box::new(Adam { weight_decay_rate: 0.01, eta: 0.5, ..Adam::default() }));
    rules.push(Box::new(Adam {
        weight_decay_rate: 0.01,
        amsgrad: true,
        adabound: Some(Bounds::default()),
        ..Adam::default()
    }));
    rules.push(Box::new(Msvag { rate: 0.01, weight_decay_rate: 0.01, ..Msvag::default() }));
    rules
}

/// Every order of hooks that the table asks about.
fn hooks(which: usize) -> Option<Vec<Box<dyn Hook>>> {
    let decay = || Box::new(WeightDecay::new(0.01)) as Box<dyn Hook>;
    let clip = || Box::new(GradientClipping::new(0.5)) as Box<dyn Hook>;
    let lars = || Box::new(GradientLars { weight_decay: 0.01, ..GradientLars::default() }) as Box<dyn Hook>;
    let noise = || Box::new(GradientNoise::new(0.3, 5)) as Box<dyn Hook>;
    let all: [fn() -> Box<dyn Hook>; 3] = [
        || Box::new(Lasso::new(0.01)),
        || Box::new(GradientHardClipping::new(-0.5, 0.5)),
        || Box::new(GradientNoise::new(0.01, 9)),
    ];
    Some(match which {
        0 => vec![],
        1 => vec![decay()],
        2 => vec![decay(), clip()],
        3 => vec![clip(), decay()],
        4 => vec![lars(), clip()],
        5 => vec![noise(), decay(), clip()],
        6 => all.iter().map(|hook| hook()).chain([decay(), clip(), lars()]).collect(),
        _ => return None,
    })
}

fn params(trunk: usize) -> Vec<ParamInfo> {
    vec![
        ParamInfo::new("conv1", "W", [trunk]),
        ParamInfo::new("conv1", "b", [SMALL]),
        ParamInfo::new("conv10", "W", [SMALL]),
        ParamInfo::new("fc", "W", [SMALL]),
    ]
}

/// Numbers between −1 and 1 that are the same on every run.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn values(params: &[ParamInfo]) -> Vec<Vec<f32>> {
    params.iter().zip(1..).map(|(param, seed)| numbers(param.count(), seed)).collect()
}

/// One update; of the parameters that `without` picks there is no gradient.
fn update(
    place: &Place,
    optimizer: &mut Optimizer,
    values: &mut [Vec<f32>],
    step: u32,
    without: impl Fn(usize) -> bool,
) {
    let mut grads: Vec<Vec<f32>> = values
        .iter()
        .zip(1..)
        .map(|(values, seed)| numbers(values.len(), 1000 * step + seed + u32::from(values.len() != TRUNK)))
        .collect();
    let mut views: Vec<_> = values
        .iter_mut()
        .zip(&mut grads)
        .enumerate()
        .map(|(index, (value, grad))| ParamView { value, grad: (!without(index)).then_some(grad) })
        .collect();
    place.update(optimizer, &mut views).unwrap();
}

fn views<'a>(values: &'a mut [Vec<f32>], grads: &'a mut [Vec<f32>]) -> Vec<ParamView<'a>> {
    values.iter_mut().zip(grads).map(|(value, grad)| ParamView { value, grad: Some(grad) }).collect()
}

fn is_conv1(index: usize) -> bool {
    index < 2
}

fn bits(values: &[Vec<f32>]) -> Vec<Vec<u32>> {
    values.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
}

/// The table: each rule × each order of hooks × each way of freezing, after warm updates of everything.
#[test]
fn frozen_values_keep_their_bits() {
    for place in Place::all() {
        table_at(&place);
    }
}

fn table_at(place: &Place) {
    let mut rows = 0;
    for make in 0..rules().len() {
        for which in 0.. {
            if hooks(which).is_none() {
                break;
            }
            for way in WAYS {
                let rule = rules().swap_remove(make);
                let row = format!("{rule:?} with hooks {which}, {way:?}");
                let mut optimizer = Optimizer::new(rule, params(SMALL * 9));
                let freeze = || Freeze::layers(["conv1"]);
                for hook in hooks(which).unwrap() {
                    optimizer.add_hook(hook).unwrap();
                }
                optimizer.add_param_hook("conv1/W", WeightDecay::new(0.1)).unwrap();
                let mut values = values(optimizer.params());
                let start = bits(&values);
                for step in 0..WARM as u32 {
                    update(place, &mut optimizer, &mut values, step, |_| false);
                }
                let warm = bits(&values);
                assert!(start.iter().zip(&warm).all(|(a, b)| a != b), "{row}: nothing moved at first");
                match way {
                    Way::NoGradient => {}
                    Way::HookFirst => {
                        optimizer.insert_hook(0, freeze()).unwrap();
                    }
                    Way::HookLast => {
                        optimizer.add_hook(freeze()).unwrap();
                    }
                }
                for step in 10..13 {
                    update(place, &mut optimizer, &mut values, step, |index| {
                        matches!(way, Way::NoGradient) && is_conv1(index)
                    });
                }
                let end = bits(&values);
                assert_eq!(warm[..2], end[..2], "{row}: frozen values have moved");
                assert!(
                    warm[2..].iter().zip(&end[2..]).all(|(a, b)| a != b),
                    "{row}: trained values have not"
                );
                rows += 1;
            }
        }
    }
    assert_eq!(rows, rules().len() * 7 * 3);
}

/// The same of Caffe's solvers, whose momentum, decay and clipping are terms of the solver.
#[test]
fn frozen_values_keep_their_bits_in_solvers() {
    for place in Place::all() {
        table_of_solvers_at(&place);
    }
}

fn table_of_solvers_at(place: &Place) {
    for kind in ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"] {
        for regularization in ["L1", "L2"] {
            let parameter = SolverParameter {
                r#type: Some(kind.to_owned()),
                base_lr: Some(0.01),
                lr_policy: Some("fixed".to_owned()),
                momentum: (!["AdaGrad", "RMSProp"].contains(&kind)).then_some(0.9),
                weight_decay: Some(0.1),
                regularization_type: Some(regularization.to_owned()),
                clip_gradients: Some(0.5),
                iter_size: Some(2),
                ..SolverParameter::default()
            };
            let mut solver = Solver::new(&parameter, params(SMALL)).unwrap();
            let mut values = values(solver.optimizer().params());
            for step in 0..WARM as u32 {
                update(place, solver.optimizer_mut(), &mut values, step, |_| false);
            }
            let warm = bits(&values);
            solver.optimizer_mut().add_hook(Freeze::layers(["conv1"])).unwrap();
            for step in 10..13 {
                let mut grads: Vec<_> = (0..4).map(|seed| numbers(SMALL, 10 * step + seed)).collect();
                place.update(&mut solver, &mut views(&mut values, &mut grads)).unwrap();
            }
            let end = bits(&values);
            assert_eq!(warm[..2], end[..2], "{kind} {regularization}");
            assert!(warm[2..].iter().zip(&end[2..]).all(|(a, b)| a != b), "{kind} {regularization}");
        }
    }
}

/// What is trained goes as if what is frozen were not there: it is in no norm.
#[test]
fn frozen_parameters_leave_no_trace() {
    for place in Place::all() {
        no_trace_at(&place);
    }
}

fn no_trace_at(place: &Place) {
    for make in 0..rules().len() {
        let mut whole = Optimizer::new(rules().swap_remove(make), params(SMALL));
        let mut part = Optimizer::new(rules().swap_remove(make), params(SMALL).split_off(2));
        for optimizer in [&mut whole, &mut part] {
            for hook in hooks(6).unwrap() {
                optimizer.add_hook(hook).unwrap();
            }
        }
        whole.add_hook(Freeze::layers(["conv1"])).unwrap();
        let (mut all, mut some) = (values(whole.params()), values(whole.params()).split_off(2));
        for step in 0..3_u32 {
            let mut grads: Vec<_> = (0..4).map(|seed| numbers(SMALL, 10 * step + seed)).collect();
            grads[0].fill(f32::NAN);
            let mut rest = grads[2..].to_vec();
            place.update(&mut whole, &mut views(&mut all, &mut grads)).unwrap();
            place.update(&mut part, &mut views(&mut some, &mut rest)).unwrap();
        }
        assert_eq!(bits(&all[2..]), bits(&some), "{:?}", whole.rule());
    }
}

/// A thawed layer begins as one that was never trained.
#[test]
fn thawed_layers_begin_clean() {
    for place in Place::all() {
        thawed_at(&place);
    }
}

fn thawed_at(place: &Place) {
    for make in 0..rules().len() {
        let mut optimizer = Optimizer::new(rules().swap_remove(make), params(SMALL));
        let freeze = Freeze::layers(["conv1"]).until(Until::Iteration(WARM + 3));
        let mut values = values(optimizer.params());
        for step in 0..WARM as u32 {
            update(place, &mut optimizer, &mut values, step, |_| false);
        }
        optimizer.add_hook(freeze).unwrap();
        assert_eq!(optimizer.frozen_layers(), ["conv1"]);
        let warm = bits(&values);
        for step in 10..13 {
            assert!(optimizer.will_thaw());
            update(place, &mut optimizer, &mut values, step, |_| false);
        }
        assert_eq!(bits(&values[..2]), warm[..2]);
        assert_eq!((optimizer.frozen_layers().len(), optimizer.will_thaw()), (0, false));

        let mut fresh = Optimizer::new(rules().swap_remove(make), params(SMALL));
        let mut clean = values.clone();
        for step in 20..24 {
            update(place, &mut optimizer, &mut values, step, |_| false);
            update(place, &mut fresh, &mut clean, step, |_| false);
        }
        assert_eq!(bits(&values[..2]), bits(&clean[..2]), "{:?}", optimizer.rule());
    }
}

#[test]
fn epochs_thaw() {
    let mut optimizer = Adam::default().setup(params(SMALL));
    optimizer.add_hook(Freeze::schedule("conv1@2ep, conv10@1ep").unwrap()).unwrap();
    assert_eq!(optimizer.frozen_layers(), ["conv1", "conv10"]);
    optimizer.new_epoch();
    assert_eq!(optimizer.frozen(), [true, true, false, false]);
    optimizer.new_epoch();
    assert_eq!(optimizer.frozen(), [false; 4]);
}

#[test]
fn lr_mult_0_is_frozen() {
    let place = &Place::Host;
    let mut all = params(SMALL);
    all[0].lr_mult = 0.0;
    let mut optimizer = Adam::adam_w(0.1).setup(all);
    let mut values = values(optimizer.params());
    let before = bits(&values);
    update(place, &mut optimizer, &mut values, 1, |_| false);
    assert_eq!((optimizer.frozen()[0], bits(&values)[0] == before[0]), (true, true));
    assert!(optimizer.frozen_layers().is_empty(), "conv1/b is trained");

    let stats = (0..3).map(|i| ParamInfo::new("bn", &i.to_string(), [1]).with_multipliers(0.0, 0.0));
    let mut optimizer = Adam::default().setup(stats.collect());
    assert_eq!((optimizer.frozen_layers(), optimizer.held_layers()), (vec!["bn"], vec![]));
    optimizer.add_hook(Freeze::layers(["bn"])).unwrap();
    assert_eq!(optimizer.held_layers(), ["bn"]);
}

/// Cuts and threads show in no bit, noise and norms included.
#[test]
fn threads_change_no_bit() {
    let place = &Place::Host;
    for make in 0..rules().len() {
        let run = |threads: usize| {
            let mut optimizer = Optimizer::new(rules().swap_remove(make), params(TRUNK));
            optimizer.set_threads(threads);
            for hook in hooks(if make % 4 == 0 { 6 } else { 3 }).unwrap() {
                optimizer.add_hook(hook).unwrap();
            }
            let mut values = values(optimizer.params());
            for step in 0..2 {
                update(place, &mut optimizer, &mut values, step, |_| false);
            }
            bits(&values)
        };
        assert!(run(1) == run(3), "{:?}", rules()[make]);
    }
}

/// A saved state goes on to the same bits, with what is frozen, how often each was updated, and the noise.
#[test]
fn saved_states_go_on_to_the_same_bits() {
    for place in Place::all() {
        saved_states_at(&place);
    }
}

fn saved_states_at(place: &Place) {
    for make in 0..rules().len() {
        let new = || {
            let mut optimizer = Optimizer::new(rules().swap_remove(make), params(SMALL));
            optimizer.add_hook(GradientNoise::new(0.3, 5)).unwrap();
            optimizer.add_hook(Freeze::schedule("conv1@5it, conv10@1ep").unwrap()).unwrap();
            optimizer
        };
        let mut unbroken = new();
        let mut ours = values(unbroken.params());
        let mut theirs = ours.clone();
        let mut resumed = new();
        for step in 0..9 {
            if step == 7 {
                unbroken.new_epoch();
            }
            update(place, &mut unbroken, &mut ours, step, |_| false);
            let saved = resumed.to_weights().unwrap();
            resumed = new();
            resumed.restore(&saved).unwrap();
            if step == 7 {
                resumed.new_epoch();
            }
            update(place, &mut resumed, &mut theirs, step, |_| false);
            assert_eq!(bits(&ours), bits(&theirs), "{:?} step {step}", unbroken.rule());
        }
        assert!(unbroken.frozen_layers().is_empty());
    }
}

/// The variance is eta / (1 + t)^.55, where t counts this update for a hook on a parameter, and not yet for one on the
/// optimizer: Chainer's order.
#[test]
fn noise_dies_away() {
    for place in Place::all() {
        noise_at(&place);
    }
}

fn noise_at(place: &Place) {
    let deviation = |hook_on_param: bool, updates: u64| {
        let mut optimizer =
            rule_by_name("SGD", Some(1.0)).map(|rule| Optimizer::new(rule, params(TRUNK))).unwrap();
        let noise = GradientNoise::new(0.3, 1);
        if hook_on_param {
            optimizer.add_param_hook("conv1/W", noise).unwrap();
        } else {
            optimizer.add_hook(noise).unwrap();
        }
        let mut values = values(optimizer.params());
        for _ in 0..updates {
            values[0].fill(0.0);
            let mut grads: Vec<_> = values.iter().map(|values| vec![0.0; values.len()]).collect();
            place.update(&mut optimizer, &mut views(&mut values, &mut grads)).unwrap();
        }
        // No piece is drawn like another.
        assert!(values[0][..100].iter().zip(&values[0][1 << 15..]).all(|(a, b)| a != b));
        (values[0].iter().map(|value| value * value).sum::<f32>() / TRUNK as f32).sqrt()
    };
    for (on_param, updates, t) in [(false, 1, 0.0), (false, 5, 4.0), (true, 1, 1.0), (true, 5, 5.0)] {
        let expected = (0.3_f64 / (1.0_f64 + t).powf(0.55)).sqrt() as f32;
        let found = deviation(on_param, updates);
        assert!((found / expected - 1.0).abs() < 0.01, "{on_param} {updates}: {found} {expected}");
    }
}

#[test]
fn wrong_parameters_are_refused() {
    let mut optimizer = Adam::default().setup(params(SMALL));
    let error = optimizer.update(&mut []).unwrap_err();
    assert!(matches!(error, Error::ParamCount { expected: 4, found: 0 }));
    let mut values = values(optimizer.params());
    values[3].pop();
    let mut views: Vec<_> = values.iter_mut().map(|value| ParamView { value, grad: None }).collect();
    let error = optimizer.update(&mut views).unwrap_err().to_string();
    assert_eq!(error, "parameter `fc/W` has 37 values; its value has 36");
    let error = optimizer.add_param_hook("fc/b", WeightDecay::new(0.1)).unwrap_err().to_string();
    assert!(error.contains("`fc/b`"), "{error}");
    let error = optimizer.add_hook(Freeze::layers(["conv"])).unwrap_err().to_string();
    assert!(error.contains("did you mean `conv1`"), "{error}");
}

/// States that real Caffe has saved, in both formats, go in and come out the same.
#[test]
fn states_of_caffe() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/states/");
    let definition: NetParameter = parse(&format!("{folder}net.prototxt"));
    let net =
        Net::new(&definition, &NetState { phase: Some(Phase::Train.into()), ..NetState::default() }).unwrap();
    let params = ParamInfo::all_of(&net, &net.infer_shapes(&BTreeMap::new()).unwrap());
    let names: Vec<_> = params.iter().map(|param| (param.name.as_str(), param.lr_mult)).collect();
    let expected = [("conv/W", 1.0), ("conv/b", 1.0), ("frozen/W", 0.0), ("frozen/b", 0.0), ("head/W", 1.0)];
    assert_eq!(names, expected);
    for name in ["sgd", "nesterov", "adagrad", "rmsprop", "adadelta", "adam"] {
        let parameter: SolverParameter = parse(&format!("{folder}{name}.prototxt"));
        for suffix in ["", ".h5"] {
            let path = format!("{folder}{name}_iter_3.solverstate{suffix}");
            let state = SolverState::read(&Storage::open(path).unwrap()).unwrap();
            let mut solver = Solver::new(&parameter, params.clone()).unwrap();
            solver.restore(&state).unwrap();
            let again = solver.to_state(state.learned_net.clone()).unwrap();
            assert_eq!((again.iter, again.current_step), (3, 2), "{name}");
            assert_eq!(again.history.len(), state.history.len(), "{name}");
            for (ours, theirs) in again.history.iter().zip(&state.history) {
                assert_eq!(ours.shape(), theirs.shape(), "{name}");
                assert_eq!(ours.to_vec().unwrap(), theirs.to_vec().unwrap(), "{name}");
            }
            // Two steps at iterations 1 and 2: a quarter of the rate.
            assert_eq!(solver.rate(), 0.0025, "{name}");
        }
    }
}

fn parse<M: text::Root>(path: &str) -> M {
    text::parse(&Storage::open(path).unwrap(), text::Options::default()).unwrap().0
}
