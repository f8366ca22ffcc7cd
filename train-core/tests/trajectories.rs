//! Fifty steps of every solver of real Caffe and every optimizer of real Chainer, on the gradients that they were fed:
//! `testdata/trajectories`; in main memory, and on the emulated device where there is one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use caffe_proto::proto::SolverParameter;
use caffe_proto::{Blob, Payload, SolverState, Storage, text};
use serde_json::Value;
use train_core::hooks::{GradientClipping, GradientHardClipping, GradientLars, Hook, Lasso, WeightDecay};
use train_core::optim::{
    AdaDelta, AdaGrad, Adam, Bounds, CorrectedMomentumSgd, MomentumSgd, Msvag, NesterovAg, NesterovForm,
    Optimizer, ParamInfo, ParamView, RmsProp, RmsPropGraves, Rule, Sgd, Smorms3, Solver,
};
use weight_io::Weights;

#[path = "support/place.rs"]
mod place;

use place::Place;

/// Of each value, relative to the largest that it has been: on its way through 0, a value has the roundings of before.
const TOLERANCE: f64 = 2e-6;

/// A file of trajectories.
struct Golden {
    arrays: Weights,
    index: Value,
    params: Vec<ParamInfo>,
    steps: Vec<usize>,
    start: Vec<f32>,
    gradients: Vec<f32>,
}

impl Golden {
    fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/trajectories").join(name);
        let arrays = Weights::open(path).unwrap();
        let index: Vec<u8> =
            arrays.get("index").unwrap().to_f32().unwrap().into_iter().map(|byte| byte as u8).collect();
        let index: Value = serde_json::from_slice(&index).unwrap();
        let params = index["params"].as_array().unwrap().iter().map(|param| {
            let (layer, leaf) = param["name"].as_str().unwrap().split_once('/').unwrap();
            let shape: Vec<usize> = serde_json::from_value(param["shape"].clone()).unwrap();
            let mult = |key: &str| param[key].as_f64().unwrap_or(1.0) as f32;
            ParamInfo::new(layer, leaf, shape).with_multipliers(mult("lr_mult"), mult("decay_mult"))
        });
        let floats = |key: &str| arrays.get(key).unwrap().to_f32().unwrap();
        Self {
            params: params.collect(),
            steps: serde_json::from_value(index["steps"].clone()).unwrap(),
            start: floats("start"),
            gradients: floats("gradients"),
            arrays,
            index,
        }
    }

    fn cases(&self) -> &[Value] {
        self.index["cases"].as_array().unwrap()
    }

    fn array(&self, case: &str, key: &str) -> Vec<f32> {
        self.arrays.get(&format!("{case}/{key}")).unwrap().to_f32().unwrap()
    }

    /// Runs all steps and returns the largest deviation.
    fn follow(&self, case: &str, mut update: impl FnMut(usize, &mut [ParamView<'_>])) -> f64 {
        let expected = self.array(case, "values");
        let (mut values, count) = (self.start.clone(), self.start.len());
        let mut scale: Vec<f32> = self.start.iter().map(|value| value.abs()).collect();
        let mut worst: f64 = 0.0;
        for step in 1..=*self.steps.last().unwrap() {
            let mut gradients = self.gradients[(step - 1) * count..step * count].to_vec();
            update(step, &mut views(&self.params, &mut values, &mut gradients));
            if let Some(row) = self.steps.iter().position(|&recorded| recorded == step) {
                let expected = &expected[row * count..(row + 1) * count];
                for (scale, value) in scale.iter_mut().zip(expected) {
                    *scale = scale.max(value.abs());
                }
                worst = worst.max(deviation(&values, expected, &scale));
            }
        }
        worst
    }
}

/// The parameters for an update, those with `lr_mult` 0 without a gradient.
fn views<'a>(params: &[ParamInfo], values: &'a mut [f32], gradients: &'a mut [f32]) -> Vec<ParamView<'a>> {
    let (mut values, mut gradients) = (values, gradients);
    let views = params.iter().map(|param| {
        let (value, rest) = std::mem::take(&mut values).split_at_mut(param.count());
        values = rest;
        let (grad, rest) = std::mem::take(&mut gradients).split_at_mut(param.count());
        gradients = rest;
        ParamView { value, grad: (param.lr_mult != 0.0).then_some(grad) }
    });
    views.collect()
}

fn deviation(found: &[f32], expected: &[f32], scale: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let each = found.iter().zip(expected).zip(scale).map(|((&f, &e), &scale)| {
        (f64::from(f) - f64::from(e)).abs() / f64::from(scale).max(f64::MIN_POSITIVE)
    });
    each.fold(0.0, |worst, each| if each.is_nan() { f64::INFINITY } else { worst.max(each) })
}

/// For state, of which only the end is known: relative to the value or, where it is small, to one tenth of the largest.
fn state_deviation(found: &[f32], expected: &[f32]) -> f64 {
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale: Vec<f32> = expected.iter().map(|value| value.abs().max(largest / 10.0)).collect();
    deviation(found, expected, &scale)
}

/// The largest deviation of each group of cases.
#[derive(Default)]
struct Report(BTreeMap<String, f64>);

impl Report {
    fn add(&mut self, group: &str, case: &str, worst: f64) {
        assert!(worst <= TOLERANCE, "{case}: {worst:.2e}");
        let entry = self.0.entry(group.to_owned()).or_default();
        *entry = entry.max(worst);
    }

    fn print(&self) {
        for (group, worst) in &self.0 {
            println!("{group:<24} {worst:.1e}");
        }
    }
}

fn solver(prototxt: &str) -> SolverParameter {
    let storage = Storage::from_vec("solver.prototxt", prototxt.as_bytes().to_vec());
    text::parse(&storage, text::Options::default()).unwrap().0
}

#[test]
fn caffe() {
    for place in Place::all() {
        caffe_at(&place);
    }
}

fn caffe_at(place: &Place) {
    let golden = Golden::open("caffe.npz");
    let mut report = Report::default();
    for case in golden.cases() {
        let name = case["name"].as_str().unwrap();
        let parameter = solver(case["solver"].as_str().unwrap());
        let mut solver = Solver::new(&parameter, golden.params.clone()).unwrap();
        let worst = golden.follow(name, |_, params| place.update(&mut solver, params).unwrap());
        report.add(name.split('_').next().unwrap(), name, worst);

        let state = solver.to_state(None).unwrap();
        assert_eq!(state.iter, 50);
        assert_eq!([state.current_step as f32][..], golden.array(name, "current_step/50"), "{name}");
        // Caffe lets the history of a frozen parameter follow its decay, to no effect; ours stays clean.
        let mut history = Vec::new();
        let mut expected = golden.array(name, "history/50");
        let mut at = 0;
        for (place, blob) in state.history.iter().enumerate() {
            let values = blob.to_vec().unwrap();
            let end = at + values.len();
            if golden.params[place % golden.params.len()].lr_mult == 0.0 {
                assert!(values.iter().all(|&value| value == 0.0), "{name}");
                expected.drain(at..end);
            } else {
                history.extend(values);
                at = end;
            }
        }
        report.add("history", name, state_deviation(&history, &expected));
    }
    report.print();
}

/// From Caffe's own state after step 20, we come to where Caffe came; from ours, by way of a file, to the bits of a run
/// without a break.
#[test]
fn caffe_s_states_are_read() {
    for place in Place::all() {
        caffe_s_states_at(&place);
    }
}

fn caffe_s_states_at(place: &Place) {
    let golden = Golden::open("caffe.npz");
    let count = golden.start.len();
    let row = |step| golden.steps.iter().position(|&recorded| recorded == step).unwrap() * count;
    let mut report = Report::default();
    for case in golden.cases() {
        let name = case["name"].as_str().unwrap();
        let parameter = solver(case["solver"].as_str().unwrap());
        let new = || Solver::new(&parameter, golden.params.clone()).unwrap();
        let recorded = golden.array(name, "values");
        let run = |solver: &mut Solver, values: &mut [f32], steps: Range<usize>| {
            for step in steps {
                let mut gradients = golden.gradients[step * count..(step + 1) * count].to_vec();
                place.update(solver, &mut views(&golden.params, values, &mut gradients)).unwrap();
            }
        };

        let mut history = Vec::new();
        let values = golden.array(name, "history/20");
        let mut values = values.as_slice();
        while !values.is_empty() {
            let param = &golden.params[history.len() % golden.params.len()];
            let (blob, rest) = values.split_at(param.count());
            history.push(Blob::new(param.shape.clone(), Payload::from_f32(blob)));
            values = rest;
        }
        let current_step = golden.array(name, "current_step/20")[0] as i32;
        let learned_net = Some("net.caffemodel".to_owned());
        let state = SolverState { iter: 20, learned_net, current_step, history, place: None };
        let mut theirs = new();
        theirs.restore(&reread(&state)).unwrap();
        let mut values = recorded[row(20)..][..count].to_vec();
        run(&mut theirs, &mut values, 20..50);
        let scale: Vec<f32> = golden.start.iter().zip(&values).map(|(a, b)| a.abs().max(b.abs())).collect();
        report.add(
            name.split('_').next().unwrap(),
            name,
            deviation(&values, &recorded[row(50)..][..count], &scale),
        );

        let (mut unbroken, mut resumed) = (new(), new());
        let (mut ours, mut again) = (golden.start.clone(), golden.start.clone());
        run(&mut unbroken, &mut ours, 0..50);
        run(&mut resumed, &mut again, 0..20);
        let rate = resumed.rate();
        let state = reread(&resumed.to_state(Some("net.caffemodel".to_owned())).unwrap());
        resumed = new();
        resumed.restore(&state).unwrap();
        assert_eq!((resumed.iteration(), resumed.rate()), (20, rate), "{name}");
        run(&mut resumed, &mut again, 20..50);
        assert_eq!(ours, again, "{name}");
    }
    report.print();
}

#[test]
fn caffe_refuses() {
    let golden = Golden::open("caffe.npz");
    let refused = golden.index["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 15);
    for case in refused {
        let parameter = solver(case["solver"].as_str().unwrap());
        let error = Solver::new(&parameter, golden.params.clone()).unwrap_err();
        println!("{}\n    {error}", case["log"].as_str().unwrap());
    }
}

#[test]
fn chainer() {
    for place in Place::all() {
        chainer_at(&place);
    }
}

fn chainer_at(place: &Place) {
    let golden = Golden::open("chainer.npz");
    let mut report = Report::default();
    for case in golden.cases() {
        let name = case["name"].as_str().unwrap();
        let mut optimizer = chainer_optimizer(case, &golden.params);
        let worst = golden.follow(name, |step, params| {
            place.update(&mut optimizer, params).unwrap();
            if let Some(factor) = case["rates"][step.to_string()].as_f64() {
                optimizer.set_rate(optimizer.rate() * factor);
            }
        });
        let kind = case["optimizer"].as_str().unwrap();
        report.add(if name.contains("hooks") { "hooks" } else { kind }, name, worst);

        optimizer.new_epoch();
        let state = optimizer.to_weights().unwrap();
        let prefix = format!("{name}/state/");
        let stored: Vec<_> = golden
            .arrays
            .iter()
            .filter_map(|(key, tensor)| Some((key.strip_prefix(&prefix)?, tensor)))
            .collect();
        if stored.is_empty() {
            continue;
        }
        let mut keys: Vec<_> = state.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        assert_eq!(keys, stored.iter().map(|(key, _)| *key).collect::<Vec<_>>(), "{name}");
        for (key, expected) in stored {
            let found = state.get(key).unwrap();
            assert_eq!((found.dtype(), found.shape()), (expected.dtype(), expected.shape()), "{name} {key}");
            let (found, expected) = (found.to_f32().unwrap(), expected.to_f32().unwrap());
            let worst = state_deviation(&found, &expected);
            report.add("state", &format!("{name} {key}"), worst);
        }
    }
    report.print();
}

/// From Chainer's own state after step 50, the next step is the one that goes on from ours.
#[test]
fn chainer_s_states_are_read() {
    for place in Place::all() {
        chainer_s_states_at(&place);
    }
}

fn chainer_s_states_at(place: &Place) {
    let golden = Golden::open("chainer.npz");
    let mut read = 0;
    for case in golden.cases() {
        let name = case["name"].as_str().unwrap();
        let prefix = format!("{name}/state/");
        let mut stored = Weights::new();
        for (key, tensor) in golden.arrays.iter() {
            if let Some(key) = key.strip_prefix(&prefix) {
                stored.insert(key, tensor.clone()).unwrap();
            }
        }
        if stored.is_empty() {
            continue;
        }
        let mut ours = chainer_optimizer(case, &golden.params);
        golden.follow(name, |_, params| place.update(&mut ours, params).unwrap());
        let mut theirs = chainer_optimizer(case, &golden.params);
        theirs.restore(&stored).unwrap();
        assert_eq!((theirs.t(), theirs.epoch()), (50, 1));
        let step = |optimizer: &mut Optimizer| {
            let (mut values, mut gradients) = (golden.start.clone(), golden.start.clone());
            place.update(optimizer, &mut views(&golden.params, &mut values, &mut gradients)).unwrap();
            values
        };
        let worst = state_deviation(&step(&mut ours), &step(&mut theirs));
        assert!(worst <= TOLERANCE, "{name}: {worst:.2e}");
        read += 1;
    }
    assert!(read >= 15);
}

#[test]
fn other_states_are_refused() {
    let params = || vec![ParamInfo::new("a", "W", [2, 3]), ParamInfo::new("b", "W", [2])];
    let mut adam = Adam::default().setup(params());
    let sgd = MomentumSgd::default().setup(params());
    let error = adam.restore_history(3, &sgd.history().unwrap()).unwrap_err().to_string();
    assert_eq!(
        error,
        "the solver state has 2 history blobs, where Adam needs 4: 2 for each of the net's 2 parameters"
    );
    let mut history = adam.history().unwrap();
    history[3] = Blob::new(vec![3], Payload::from_f32(&[0.0; 3]));
    let error = adam.restore_history(3, &history).unwrap_err().to_string();
    assert!(error.contains("`v` of parameter `b/W`"), "{error}");
    let error = adam.restore(&Weights::new()).unwrap_err().to_string();
    assert!(error.contains("no `t`"), "{error}");
}

fn chainer_optimizer(case: &Value, params: &[ParamInfo]) -> Optimizer {
    let rule = rule(case["optimizer"].as_str().unwrap(), &case["options"]);
    let mut optimizer = Optimizer::new(rule, params.to_vec());
    for hook in case["hooks"].as_array().into_iter().flatten() {
        with_hook(hook, &mut |hook| {
            optimizer.add_hook(hook).unwrap();
        });
    }
    for (param, hooks) in case["rule_hooks"].as_object().into_iter().flatten() {
        for hook in hooks.as_array().unwrap() {
            with_hook(hook, &mut |hook| {
                optimizer.add_param_hook(param, hook).unwrap();
            });
        }
    }
    optimizer
}

fn with_hook(hook: &Value, add: &mut dyn FnMut(Box<dyn Hook>)) {
    let option = |key: &str| hook[1][key].as_f64().unwrap();
    add(match hook[0].as_str().unwrap() {
        "WeightDecay" => Box::new(WeightDecay::new(option("rate"))),
        "Lasso" => Box::new(Lasso::new(option("rate"))),
        "GradientClipping" => Box::new(GradientClipping::new(option("threshold"))),
        "GradientHardClipping" => {
            Box::new(GradientHardClipping::new(option("lower_bound") as f32, option("upper_bound") as f32))
        }
        "GradientLARS" => Box::new(GradientLars {
            threshold: option("threshold"),
            weight_decay: option("weight_decay"),
            ..GradientLars::default()
        }),
        other => panic!("{other}"),
    });
}

fn rule(kind: &str, options: &Value) -> Box<dyn Rule> {
    let option = |key: &str, default: f64| options[key].as_f64().unwrap_or(default);
    let flag = |key: &str| options[key].as_bool().unwrap_or(false);
    match kind {
        "SGD" => Box::new(Sgd { rate: option("lr", Sgd::default().rate) }),
        "MomentumSGD" => {
            let d = MomentumSgd::default();
            Box::new(MomentumSgd { rate: option("lr", d.rate), momentum: option("momentum", d.momentum) })
        }
        "CorrectedMomentumSGD" => {
            let d = CorrectedMomentumSgd::default();
            Box::new(CorrectedMomentumSgd {
                rate: option("lr", d.rate),
                momentum: option("momentum", d.momentum),
            })
        }
        "NesterovAG" => {
            let d = NesterovAg::default();
            Box::new(NesterovAg {
                rate: option("lr", d.rate),
                momentum: option("momentum", d.momentum),
                form: NesterovForm::Chainer,
            })
        }
        "AdaGrad" => {
            let d = AdaGrad::default();
            Box::new(AdaGrad { rate: option("lr", d.rate), eps: option("eps", d.eps) })
        }
        "AdaDelta" => {
            let d = AdaDelta::default();
            Box::new(AdaDelta { rate: 1.0, rho: option("rho", d.rho), eps: option("eps", d.eps) })
        }
        "RMSprop" => {
            let d = RmsProp::default();
            Box::new(RmsProp {
                rate: option("lr", d.rate),
                alpha: option("alpha", d.alpha),
                eps: option("eps", d.eps),
                eps_inside_sqrt: flag("eps_inside_sqrt"),
            })
        }
        "RMSpropGraves" => {
            let d = RmsPropGraves::default();
            Box::new(RmsPropGraves {
                rate: option("lr", d.rate),
                alpha: option("alpha", d.alpha),
                momentum: option("momentum", d.momentum),
                eps: option("eps", d.eps),
            })
        }
        "SMORMS3" => {
            let d = Smorms3::default();
            Box::new(Smorms3 { rate: option("lr", d.rate), eps: option("eps", d.eps) })
        }
        "Adam" | "AdamW" | "AMSGrad" | "AdaBound" | "AMSBound" => {
            let (d, bounds) = (Adam::default(), Bounds::default());
            let bounded = flag("adabound") || kind.ends_with("Bound");
            Box::new(Adam {
                rate: option("alpha", d.rate),
                beta1: option("beta1", d.beta1),
                beta2: option("beta2", d.beta2),
                eps: option("eps", d.eps),
                eta: option("eta", d.eta),
                weight_decay_rate: option("weight_decay_rate", d.weight_decay_rate),
                amsgrad: flag("amsgrad") || kind.starts_with("AMS"),
                adabound: bounded.then(|| Bounds {
                    final_rate: option("final_lr", bounds.final_rate),
                    gamma: option("gamma", bounds.gamma),
                }),
            })
        }
        "MSVAG" => {
            let d = Msvag::default();
            Box::new(Msvag {
                rate: option("lr", d.rate),
                beta: option("beta", d.beta),
                eta: option("eta", d.eta),
                weight_decay_rate: option("weight_decay_rate", d.weight_decay_rate),
            })
        }
        other => panic!("{other}"),
    }
}

/// A state that went through a file.
fn reread(state: &SolverState) -> SolverState {
    let mut bytes = Vec::new();
    state.write_binary(&mut bytes).unwrap();
    SolverState::read(&Storage::from_vec("state.solverstate", bytes)).unwrap()
}
