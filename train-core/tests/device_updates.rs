//! Updates on the emulated device: the processor's bits, whatever the rule, the hooks and the sizes.

use caffe_proto::proto::{NetState, Phase, SolverParameter};
use caffe_proto::{Storage, text};
use kernels::{Device, DeviceBackend, MemoryOps};
use train_core::hooks::{
    Freeze, GradientClipping, GradientHardClipping, GradientLars, GradientNoise, GradientScaling, Hook,
    Lasso, WeightDecay,
};
use train_core::optim::{
    Adam, Bounds, Error, Gradients, Msvag, NAMES, NesterovAg, Optimizer, ParamBuffers, ParamInfo, ParamView,
    RmsProp, Rule, Solver, State, StateArray, Step, rule_by_name,
};
use train_core::{Network, Trainer, TrainingOptions};

#[path = "support/place.rs"]
mod place;

use place::Place;

/// Around the pieces that blocks work on, and those of the processor.
const LENS: [usize; 9] = [0, 1, 7, 8191, 8192, 8193, 37, 0, 33_000];

fn device() -> Place {
    Place::Device(kernels::open(Device::Emulated, 1).unwrap())
}

/// Every rule, with every option.
fn rules() -> Vec<Box<dyn Rule>> {
    let mut rules: Vec<Box<dyn Rule>> =
        NAMES.iter().map(|name| rule_by_name(name, Some(0.01)).unwrap()).collect();
    rules.push(Box::new(NesterovAg::default()));
    rules.push(Box::new(RmsProp { eps_inside_sqrt: true, ..RmsProp::default() }));
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

/// In many orders.
fn hooks() -> Vec<Vec<Box<dyn Hook>>> {
    let decay = || Box::new(WeightDecay::new(0.01)) as Box<dyn Hook>;
    let lasso = || Box::new(Lasso::new(0.01)) as Box<dyn Hook>;
    let clip = || Box::new(GradientClipping::new(0.5)) as Box<dyn Hook>;
    let loose = || Box::new(GradientClipping::new(1e9)) as Box<dyn Hook>;
    let hard = || Box::new(GradientHardClipping::new(-0.5, 0.4)) as Box<dyn Hook>;
    let half = || Box::new(GradientScaling::new(0.5)) as Box<dyn Hook>;
    let noise = |seed| Box::new(GradientNoise::new(0.3, seed)) as Box<dyn Hook>;
    let lars =
        |weight_decay| Box::new(GradientLars { weight_decay, ..GradientLars::default() }) as Box<dyn Hook>;
    vec![
        vec![],
        vec![decay(), lasso(), half(), hard()],
        vec![clip(), half(), decay()],
        vec![decay(), loose(), clip(), lars(0.01), clip()],
        vec![lars(0.0)],
        vec![half(), noise(5), decay(), noise(6), clip(), hard()],
        vec![lars(0.02), noise(7)],
    ]
}

fn params() -> Vec<ParamInfo> {
    let params = LENS.iter().enumerate().map(|(index, &len)| {
        let lr_mult = if index == 6 { 0.0 } else { 1.0 + index as f32 / 4.0 };
        ParamInfo::new(format!("layer{index}"), "W", [len]).with_multipliers(lr_mult, (index % 3) as f32)
    });
    params.collect()
}

/// Numbers between −1 and 1 that are the same on every run.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// The parameters after some updates with gradients that differ by orders of magnitude.
fn after(place: &Place, optimizer: &mut Optimizer, steps: u32) -> Vec<Vec<f32>> {
    let mut values: Vec<Vec<f32>> = LENS.iter().zip(1..).map(|(&len, seed)| numbers(len, seed)).collect();
    go_on(place, optimizer, &mut values, 0..steps);
    values
}

fn go_on(place: &Place, optimizer: &mut Optimizer, values: &mut [Vec<f32>], steps: std::ops::Range<u32>) {
    for step in steps {
        let grad = |(index, &len): (usize, &usize)| {
            let scale = [1.0, 1e-3, 30.0][index % 3];
            let grad = numbers(len, 1000 * step + index as u32);
            grad.into_iter().map(|g| scale * g).collect::<Vec<f32>>()
        };
        let mut grads: Vec<Vec<f32>> = LENS.iter().enumerate().map(grad).collect();
        // An average of gradients that have always been 0.
        grads[3][..100].fill(0.0);
        let mut views: Vec<_> = values
            .iter_mut()
            .zip(&mut grads)
            .enumerate()
            .map(|(index, (value, grad))| ParamView { value, grad: (index != 2).then_some(grad) })
            .collect();
        place.update(optimizer, &mut views).unwrap();
    }
}

fn bits(values: &[Vec<f32>]) -> Vec<Vec<u32>> {
    values.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
}

/// All that an optimizer remembers.
fn remembered(optimizer: &Optimizer) -> Vec<(String, Vec<u32>)> {
    let weights = optimizer.to_weights().unwrap();
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    weights.iter().map(|(name, tensor)| (name.to_owned(), bits(tensor.to_f32().unwrap()))).collect()
}

/// Sums of squares are added up in another order there, in f64, which shows in no bit of these factors.
#[test]
fn every_rule_and_hook_gives_the_processor_s_bits() {
    for make in 0..rules().len() {
        for which in 0..hooks().len() {
            let new = || {
                let mut optimizer = Optimizer::new(rules().swap_remove(make), params());
                for hook in hooks().swap_remove(which) {
                    optimizer.add_hook(hook).unwrap();
                }
                optimizer.add_param_hook("layer3/W", WeightDecay::new(0.1)).unwrap();
                optimizer.add_param_hook("layer5/W", GradientClipping::new(0.1)).unwrap();
                optimizer
            };
            let (mut here, mut there) = (new(), new());
            let (expected, found) = (after(&Place::Host, &mut here, 3), after(&device(), &mut there, 3));
            let row = format!("{:?} with hooks {which}", here.rule());
            assert!(bits(&expected) == bits(&found), "{row}");
            assert!(remembered(&here) == remembered(&there), "{row}");
        }
    }
}

/// From the device's memory to a file's arrays and back, and from there to the processor and back.
#[test]
fn states_go_from_device_to_device() {
    for make in 0..rules().len() {
        let new = || {
            let mut optimizer = Optimizer::new(rules().swap_remove(make), params());
            optimizer.add_hook(Freeze::schedule("layer8@4it, layer1@2it").unwrap()).unwrap();
            optimizer
        };
        let mut unbroken = new();
        let expected = after(&Place::Host, &mut unbroken, 6);
        let places = [device(), Place::Host, device(), device(), Place::Host, device()];
        let (mut moved, mut handed) = (new(), new());
        let mut values = after(&places[0], &mut moved, 1);
        let mut again = after(&places[0], &mut handed, 1);
        for (step, place) in (1..).zip(&places[1..]) {
            let state = moved.to_weights().unwrap();
            moved = new();
            moved.restore(&state).unwrap();
            go_on(place, &mut moved, &mut values, step..step + 1);
            // The same optimizer, on one device after the other.
            let place = if step < 3 { &places[0] } else { &Place::Host };
            go_on(place, &mut handed, &mut again, step..step + 1);
        }
        assert!(bits(&expected) == bits(&values), "{:?}", unbroken.rule());
        assert!(bits(&expected) == bits(&again), "{:?}", unbroken.rule());
        assert!(remembered(&unbroken) == remembered(&moved));
    }
}

/// A hook that the kernels know nothing of: gradients are brought to it, with all that was done to them.
#[derive(Debug)]
struct Centre;

impl Hook for Centre {
    fn name(&self) -> &'static str {
        "Centre"
    }

    fn before_update(&mut self, gradients: &mut Gradients<'_, '_>) {
        let norm = gradients.norm() as f32;
        for index in gradients.indices() {
            let first = gradients.value(index).first().copied().unwrap_or_default();
            // One that is not updated.
            let other = gradients.value(6)[3];
            let grad = gradients.grad_mut(index);
            let mean = grad.iter().sum::<f32>() / grad.len().max(1) as f32;
            for g in grad {
                *g += first * other - mean / norm;
            }
        }
    }
}

/// A rule of one's own.
#[derive(Debug)]
struct Signed;

impl Rule for Signed {
    fn name(&self) -> &'static str {
        "Signed"
    }

    fn rate(&self) -> f64 {
        0.01
    }

    fn state(&self) -> &'static [StateArray] {
        const { &[StateArray { name: "m", initial: 0.5, negated: false }] }
    }

    fn update(&self, step: &Step, value: &mut [f32], grad: &[f32], [m, ..]: State<'_>) {
        for ((w, g), m) in value.iter_mut().zip(grad).zip(m) {
            *m = 0.9 * *m + g;
            *w -= step.rate as f32 * m.signum();
        }
    }
}

#[test]
fn hooks_and_rules_of_one_s_own_get_what_they_ask_for() {
    for own_rule in [false, true] {
        for own_hook in [false, true] {
            let new = || {
                let rule: Box<dyn Rule> =
                    if own_rule { Box::new(Signed) } else { Box::new(Adam::adam_w(0.01)) };
                let mut optimizer = Optimizer::new(rule, params());
                let mut add = |hook: Box<dyn Hook>| {
                    optimizer.add_hook(hook).unwrap();
                };
                add(Box::new(GradientClipping::new(2.0)));
                add(Box::new(WeightDecay::new(0.01)));
                add(Box::new(GradientNoise::new(0.1, 3)));
                if own_hook {
                    add(Box::new(Centre));
                }
                add(Box::<GradientLars>::default());
                add(Box::new(GradientHardClipping::new(-0.2, 0.3)));
                optimizer
            };
            let (mut here, mut there) = (new(), new());
            let (expected, found) = (after(&Place::Host, &mut here, 3), after(&device(), &mut there, 3));
            assert!(bits(&expected) == bits(&found), "{own_rule} {own_hook}");
            assert!(remembered(&here) == remembered(&there), "{own_rule} {own_hook}");
        }
    }
}

/// A hook that goes by numbers of its own, of parameters that are not updated, too.
#[derive(Debug)]
struct Everywhere {
    fetches: bool,
}

impl Hook for Everywhere {
    fn name(&self) -> &'static str {
        "Everywhere"
    }

    fn before_update(&mut self, gradients: &mut Gradients<'_, '_>) {
        if self.fetches {
            gradients.norm();
        }
        for index in 0..LENS.len() {
            gradients.scale(index, 1.5 + index as f32);
            gradients.add_value(index, 0.1);
        }
    }
}

/// Without a gradient the third, frozen by their factor or by a hook the seventh and the last.
#[test]
fn what_is_not_updated_is_not_changed_in_another_s_place() {
    for fetches in [false, true] {
        let new = || {
            let mut optimizer = Optimizer::new(Box::new(Adam::adam_w(0.01)), params());
            optimizer.add_hook(Freeze::layers(["layer8"])).unwrap();
            optimizer.add_hook(Everywhere { fetches }).unwrap();
            optimizer
        };
        let (mut here, mut there) = (new(), new());
        let (expected, found) = (after(&Place::Host, &mut here, 2), after(&device(), &mut there, 2));
        assert!(bits(&expected) == bits(&found), "fetches: {fetches}");
        assert!(remembered(&here) == remembered(&there), "fetches: {fetches}");
    }
}

/// Gradients of which the sum of squares is beyond f32.
#[test]
fn norms_do_not_overflow() {
    let run = |place: &Place| {
        let mut optimizer =
            Optimizer::new(rule_by_name("SGD", Some(1.0)).unwrap(), vec![ParamInfo::new("a", "W", [3])]);
        optimizer.add_hook(GradientClipping::new(1e30)).unwrap();
        let (mut value, mut grad) = ([0.0; 3], [3e38, -3e38, 1e20]);
        place.update(&mut optimizer, &mut [ParamView { value: &mut value, grad: Some(&mut grad) }]).unwrap();
        value
    };
    assert_eq!(run(&Place::Host), run(&device()));
    assert!((run(&device())[1] / 7.071_068e29 - 1.0).abs() < 1e-6);
}

#[test]
fn parameters_elsewhere_are_refused() {
    let (one, other) =
        (kernels::open(Device::Emulated, 1).unwrap(), kernels::open(Device::Emulated, 1).unwrap());
    let mut optimizer = Optimizer::new(Box::new(Adam::default()), vec![ParamInfo::new("a", "W", [3])]);
    let (mut value, mut grad) = (one.allocate(3).unwrap(), other.allocate(3).unwrap());
    let mut params = [ParamBuffers { value: &mut value, grad: Some(&mut grad) }];
    let error = optimizer.update_on(&*one, &mut params).unwrap_err().to_string();
    assert_eq!(error, "update: a gradient is not in this device's memory");
    let mut short = one.allocate(2).unwrap();
    let mut params = [ParamBuffers { value: &mut value, grad: Some(&mut short) }];
    let error = optimizer.update_on(&*one, &mut params).unwrap_err().to_string();
    assert_eq!(error, "parameter `a/W` has 3 values; its gradient has 2");
}

/// A net whose loss is computed by layers that devices have.
const NET: &str = r#"
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv1" type: "Convolution" bottom: "x" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv2" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "msra" } } }
layer { name: "loss" type: "Reduction" bottom: "fc" top: "loss" loss_weight: 0.1 reduction_param { operation: SUMSQ } }"#;

const SOLVER: &str = r#"base_lr: 0.01 lr_policy: "step" stepsize: 2 gamma: 0.5 momentum: 0.9 weight_decay: 0.01
clip_gradients: 0.5 iter_size: 2 type: "Nesterov""#;

/// Steps, with a layer frozen in the second and third, come to the processor's losses and parameters; what comes back from
/// the device is the loss of each pass.
/// An update whose launch fails has counted nothing, forgets nothing, and leaves nothing for a later one to undo.
#[test]
fn an_update_that_is_not_launched_is_taken_back() {
    let device = DeviceBackend::emulated().unwrap();
    let infos = ["a", "b", "c"].map(|layer| ParamInfo::new(layer, "W", [100]));
    let mut optimizer = Optimizer::new(rule_by_name("momentumsgd", Some(0.1)).unwrap(), infos.to_vec());
    optimizer.add_hook(Freeze::layers(["c"]).until(train_core::hooks::Until::Iteration(1))).unwrap();
    let mut values = device.allocate_all(&[100; 3]).unwrap();
    let mut gradients = device.allocate_all(&[100; 3]).unwrap();
    let mut update = |optimizer: &mut Optimizer, is_there: bool, count: usize| {
        for gradient in &mut gradients {
            device.write(gradient, 0, &numbers(100, 1)).unwrap();
            if !is_there {
                device.discard(gradient).unwrap();
            }
        }
        let params = values.iter_mut().zip(&mut gradients);
        let params = params.map(|(value, grad)| ParamBuffers { value, grad: Some(grad) });
        optimizer.update_on(&device, &mut params.take(count).collect::<Vec<_>>()).map_err(Box::new)
    };
    for iteration in 0..3 {
        let before = remembered(&optimizer);
        // The kernel reads what is not there.
        assert!(matches!(*update(&mut optimizer, false, 3).unwrap_err(), Error::Device(_)));
        assert!(remembered(&optimizer) == before, "iteration {iteration}");
        assert!(matches!(*update(&mut optimizer, true, 2).unwrap_err(), Error::ParamCount { .. }));
        assert!(remembered(&optimizer) == before, "iteration {iteration}");
        update(&mut optimizer, true, 3).unwrap();
        assert_eq!(optimizer.t(), iteration + 1);
    }
}

#[test]
fn a_step_reads_nothing_but_the_loss() {
    let text = |text: &str| Storage::from_vec("text", text.as_bytes().to_vec());
    let (definition, _) = text::parse_net(&text(NET), text::Options::default()).unwrap();
    let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
    let network = Network::new(definition, &state).unwrap();
    let parameter: SolverParameter = text::parse(&text(SOLVER), text::Options::default()).unwrap().0;
    let device = DeviceBackend::emulated().unwrap();
    let cpu = kernels::CpuBackend::new(1).unwrap();
    let trainers = [&cpu as &dyn kernels::Backend, &device].map(|backend| {
        let trainee = network.trainee(backend, &TrainingOptions::default()).unwrap();
        let mut solver = Solver::new(&parameter, trainee.infos().to_vec()).unwrap();
        solver.optimizer_mut().add_hook(GradientNoise::new(1e-3, 4)).unwrap();
        Trainer::new(trainee, solver).unwrap()
    });
    let [mut here, mut there] = trainers;
    for step in 0..4 {
        for trainer in [&mut here, &mut there] {
            if step == 1 {
                let freeze = Freeze::layers(["conv1"]).until(train_core::hooks::Until::Iteration(3));
                trainer.solver_mut().optimizer_mut().add_hook(freeze).unwrap();
            }
        }
        let before = device.copies_to_host();
        let [expected, found] = [&mut here, &mut there].map(|trainer| {
            let mut pass = 0;
            trainer
                .step(&mut |net| {
                    pass += 1;
                    net.set_input("x", &numbers(384, 10 * step + pass))
                })
                .unwrap()
        });
        assert_eq!(device.copies_to_host() - before, 4, "for each pass a loss, and the record of faults");
        assert_eq!((found.rate, &found.thawed), (expected.rate, &expected.thawed));
        assert!(
            (found.loss / expected.loss - 1.0).abs() < 1e-5,
            "step {step}: {} {}",
            found.loss,
            expected.loss
        );
    }
    for place in 0..here.trainee().infos().len() {
        let [expected, found] = [&here, &there].map(|trainer| trainer.trainee().param(place).unwrap());
        let worst = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "parameter {place}: {worst:e}");
    }
}
