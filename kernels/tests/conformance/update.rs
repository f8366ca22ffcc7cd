//! Updates of many tensors in one launch, against the formulas in f64. That whole steps of optimizers have the processor's bits, noise
//! included, train-core's tests show.

use kernels::prelude::*;
use kernels::{
    Buffer, DeviceBackend, EmbedGeometry, GradientChange, GradientStep, HostBuffer, LossTerm, Site,
    UpdateRule, UpdateTensor, Updates,
};
use proptest::prelude::*;

use crate::support::{buffer, check_devices, devices, numbers, open_devices, values};
use crate::table;

/// One of each kernel, with numbers of a third step or so.
fn rules() -> Vec<UpdateRule> {
    let adam = |amsgrad, bounds| UpdateRule::Adam {
        rate: 0.02,
        first: 0.1,
        second: 0.001,
        eps: 1e-8,
        eta: 0.5,
        kept: 0.99,
        amsgrad,
        bounds,
    };
    let rms_prop =
        |eps_inside_sqrt| UpdateRule::RmsProp { rate: 0.01, eps: 1e-3, old: 0.9, new: 0.1, eps_inside_sqrt };
    vec![
        UpdateRule::Sgd { rate: 0.1 },
        UpdateRule::MomentumSgd { rate: 0.1, momentum: 0.9 },
        UpdateRule::CorrectedMomentumSgd { rate: 0.1, momentum: 0.9 },
        UpdateRule::Nesterov { rate: 0.1, momentum: 0.9 },
        UpdateRule::NesterovAhead { rate: 0.1, momentum: 0.9, square: 0.81, ahead: 0.19 },
        UpdateRule::AdaGrad { rate: 0.1, eps: 1e-8 },
        UpdateRule::AdaDelta { rate: 1.0, eps: 1e-6, old: 0.95, new: 0.05 },
        rms_prop(false),
        rms_prop(true),
        UpdateRule::RmsPropGraves { rate: 0.01, momentum: 0.9, eps: 1e-2, old: 0.95, new: 0.05 },
        UpdateRule::Smorms3 { rate: 0.01, eps: 1e-16 },
        adam(false, None),
        adam(true, None),
        adam(false, Some((0.01, 0.05))),
        adam(true, Some((0.01, 0.05))),
        UpdateRule::Msvag {
            rate: 0.1,
            new: 0.1,
            seen: 0.271,
            unbiased: 0.6,
            rho: 0.4,
            eta: 0.5,
            decay: 0.01,
        },
    ]
}

/// What a rule makes of a value, its gradient and its arrays.
fn moved(rule: UpdateRule, w: &mut f64, g: f64, s: &mut [f64]) {
    match rule {
        UpdateRule::Sgd { rate } => *w -= f64::from(rate) * g,
        UpdateRule::MomentumSgd { rate, momentum } => {
            s[0] = f64::from(momentum) * s[0] + f64::from(rate) * g;
            *w -= s[0];
        }
        UpdateRule::CorrectedMomentumSgd { rate, momentum } => {
            s[0] = f64::from(momentum) * s[0] + g;
            *w -= f64::from(rate) * s[0];
        }
        UpdateRule::Nesterov { rate, momentum } => {
            let (momentum, before) = (f64::from(momentum), s[0]);
            s[0] = momentum * before + f64::from(rate) * g;
            *w -= (1.0 + momentum) * s[0] - momentum * before;
        }
        UpdateRule::NesterovAhead { rate, momentum, square, ahead } => {
            s[0] = f64::from(momentum) * s[0] + f64::from(rate) * g;
            *w -= f64::from(square) * s[0] + f64::from(ahead) * g;
        }
        UpdateRule::AdaGrad { rate, eps } => {
            s[0] += g * g;
            *w -= f64::from(rate) * g / (s[0].sqrt() + f64::from(eps));
        }
        UpdateRule::AdaDelta { rate, eps, old, new } => {
            let [rate, eps, old, new] = [rate, eps, old, new].map(f64::from);
            s[0] = old * s[0] + new * g * g;
            let d = ((s[1] + eps) / (s[0] + eps)).sqrt() * g;
            s[1] = old * s[1] + new * d * d;
            *w -= rate * d;
        }
        UpdateRule::RmsProp { rate, eps, old, new, eps_inside_sqrt } => {
            let [rate, eps, old, new] = [rate, eps, old, new].map(f64::from);
            s[0] = old * s[0] + new * g * g;
            *w -= rate * g / if eps_inside_sqrt { (s[0] + eps).sqrt() } else { s[0].sqrt() + eps };
        }
        UpdateRule::RmsPropGraves { rate, momentum, eps, old, new } => {
            let [rate, momentum, eps, old, new] = [rate, momentum, eps, old, new].map(f64::from);
            s[0] = old * s[0] + new * g * g;
            s[1] = old * s[1] + new * g;
            s[2] = momentum * s[2] - rate * g / (s[0] - s[1] * s[1] + eps).sqrt();
            *w += s[2];
        }
        UpdateRule::Smorms3 { rate, eps } => {
            let r = 1.0 / (s[0] + 1.0);
            s[1] = (1.0 - r) * s[1] + r * g;
            s[2] = (1.0 - r) * s[2] + r * g * g;
            let x = s[1] * s[1] / (s[2] + f64::from(eps));
            *w -= g * x.min(f64::from(rate)) / (s[2].sqrt() + f64::from(eps));
            s[0] = 1.0 + s[0] * (1.0 - x);
        }
        UpdateRule::Adam { rate, first, second, eps, eta, kept, amsgrad, bounds } => {
            let [rate, first, second, eps, eta, kept] = [rate, first, second, eps, eta, kept].map(f64::from);
            s[0] += first * (g - s[0]);
            s[1] += second * (g * g - s[1]);
            if amsgrad {
                s[2] = s[2].max(s[1]);
            }
            let mut scale = rate / (s[if amsgrad { 2 } else { 1 }].sqrt() + eps);
            if let Some((lower, upper)) = bounds {
                scale = scale.clamp(f64::from(lower), f64::from(upper));
            }
            *w = kept * *w - eta * scale * s[0];
        }
        UpdateRule::Msvag { rate, new, seen, unbiased, rho, eta, decay } => {
            let [rate, new, seen, unbiased, rho, eta, decay] =
                [rate, new, seen, unbiased, rho, eta, decay].map(f64::from);
            s[0] += new * (g - s[0]);
            s[1] += new * (g * g - s[1]);
            let (mean, square) = (s[0] / seen, s[1] / seen);
            let variance = (square - mean * mean) / unbiased;
            let factor = mean * mean / (mean * mean + rho * variance);
            *w -= eta * (rate * mean * factor.clamp(0.0, 1.0) + decay * *w);
        }
    }
}

/// What steps make of all gradients.
fn changed(steps: &[GradientStep], values: &[Vec<f64>], grads: &mut [Vec<f64>]) {
    let norm = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
    for step in steps {
        match step {
            GradientStep::Change(tensor, change) => {
                for (g, w) in grads[*tensor].iter_mut().zip(&values[*tensor]) {
                    match *change {
                        GradientChange::Scale(factor) => *g *= f64::from(factor),
                        GradientChange::AddValue(rate) => *g += f64::from(rate) * w,
                        GradientChange::AddSign(rate) => *g += f64::from(rate) * w.signum(),
                        GradientChange::Clamp(lower, upper) => *g = g.clamp(lower.into(), upper.into()),
                        GradientChange::AddNoise(_) => unreachable!("none is given"),
                    }
                }
            }
            GradientStep::Clip { tensors, threshold } => {
                let all: Vec<f64> = tensors.iter().flat_map(|&tensor| grads[tensor].clone()).collect();
                let factor = (threshold / norm(&all)).min(1.0);
                for &tensor in tensors {
                    grads[tensor].iter_mut().for_each(|g| *g *= factor);
                }
            }
            GradientStep::Lars { tensors, threshold, decay, eps } => {
                for &tensor in tensors {
                    let (of_values, of_grads) = (norm(&values[tensor]), norm(&grads[tensor]));
                    let factor = of_values / (eps + of_grads + decay * of_values);
                    for (g, w) in grads[tensor].iter_mut().zip(&values[tensor]) {
                        *g = (*g + decay * w) * if of_values > *threshold { factor } else { 1.0 };
                    }
                }
            }
        }
    }
}

/// Tensors in a device's memory.
struct Tensors {
    lens: Vec<usize>,
    buffers: Vec<[Vec<Buffer>; 3]>,
}

impl Tensors {
    /// Values and gradients within ±1; arrays above 0, as averages of squares are.
    fn new(device: &dyn Backend, lens: &[usize], rule: UpdateRule, seed: u64) -> Self {
        let buffers = lens.iter().zip(0..).map(|(&len, tensor)| {
            let [value, grad, state] = host(len, rule, seed + 10 * tensor);
            let all = |arrays: &[Vec<f32>]| arrays.iter().map(|array| buffer(device, array)).collect();
            [all(&[value[0].clone()]), all(&[grad[0].clone()]), all(&state)]
        });
        Self { lens: lens.to_vec(), buffers: buffers.collect() }
    }

    fn views(&mut self) -> Vec<UpdateTensor<'_>> {
        let tensors = self.lens.iter().zip(&mut self.buffers);
        let views = tensors.map(|(&len, [value, gradient, state])| UpdateTensor {
            len,
            value: &mut value[0],
            gradient: &mut gradient[0],
            state: state.iter_mut().collect(),
        });
        views.collect()
    }

    /// All values, and all arrays.
    fn read(&self, device: &dyn Backend) -> Vec<f32> {
        let tensors = self.lens.iter().zip(&self.buffers);
        let all = tensors.flat_map(|(&len, [value, _, state])| {
            value.iter().chain(state).flat_map(move |array| values(device, array, len))
        });
        all.collect()
    }
}

/// A tensor's values, gradient and arrays.
fn host(len: usize, rule: UpdateRule, seed: u64) -> [Vec<Vec<f32>>; 3] {
    // An average of squares is above the square of an average.
    let least = |array| if array == 0 { 1.3 } else { 0.1 };
    let positive =
        |array| numbers(seed + 2 + array, len).into_iter().map(|x| x.abs() + least(array)).collect();
    let state = (0..rule.state_len() as u64).map(positive);
    [vec![numbers(seed, len)], vec![numbers(seed + 1, len)], state.collect()]
}

fn expected(lens: &[usize], rule: UpdateRule, steps: &[GradientStep], seed: u64) -> Vec<f64> {
    let wide = |array: &Vec<f32>| array.iter().copied().map(f64::from).collect::<Vec<f64>>();
    let tensors: Vec<_> =
        lens.iter().zip(0..).map(|(&len, tensor)| host(len, rule, seed + 10 * tensor)).collect();
    let mut values: Vec<_> = tensors.iter().map(|[value, ..]| wide(&value[0])).collect();
    let mut grads: Vec<_> = tensors.iter().map(|[_, grad, _]| wide(&grad[0])).collect();
    changed(steps, &values, &mut grads);
    let mut all = Vec::new();
    for ((value, grad), [_, _, state]) in values.iter_mut().zip(&grads).zip(&tensors) {
        let mut state: Vec<Vec<f64>> = state.iter().map(wide).collect();
        for (at, (w, &g)) in value.iter_mut().zip(grad).enumerate() {
            let mut arrays: Vec<f64> = state.iter().map(|array| array[at]).collect();
            moved(rule, w, g, &mut arrays);
            state.iter_mut().zip(arrays).for_each(|(array, x)| array[at] = x);
        }
        all.append(value);
        for array in &mut state {
            all.append(array);
        }
    }
    all
}

fn updates(device: &DeviceBackend) -> Box<dyn Updates> {
    device.updates().unwrap()
}

fn after(
    device: &DeviceBackend,
    lens: &[usize],
    rule: UpdateRule,
    steps: &[GradientStep],
    seed: u64,
) -> Vec<f32> {
    let mut tensors = Tensors::new(device, lens, rule, seed);
    let mut updates = updates(device);
    updates.write(&mut tensors.views(), &vec![rule; lens.len()], steps).unwrap();
    updates.launch(&mut tensors.views(), None).unwrap();
    tensors.read(device)
}

/// Two changes, a norm of some tensors, one of each, and another change.
fn steps(count: usize) -> Vec<GradientStep> {
    let mut steps = Vec::new();
    for tensor in 0..count {
        steps.push(GradientStep::Change(tensor, GradientChange::AddValue(0.1)));
        steps.push(GradientStep::Change(tensor, GradientChange::AddSign(0.01)));
    }
    steps.push(GradientStep::Clip { tensors: (0..count).step_by(2).collect(), threshold: 3.0 });
    steps.push(GradientStep::Change(0, GradientChange::Clamp(-0.4, 0.3)));
    let tensors = (0..count).rev().collect();
    steps.push(GradientStep::Lars { tensors, threshold: 0.01, decay: 0.02, eps: 1e-9 });
    steps.push(GradientStep::Clip { tensors: (0..count).collect(), threshold: 1e6 });
    steps.push(GradientStep::Change(count - 1, GradientChange::Scale(0.5)));
    steps
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn rules_follow_their_formulas(
        lens in prop::collection::vec(prop_oneof![Just(0_usize), 1..80_usize, 8000..9000_usize], 1..5),
        seed in 0..1000_u64,
    ) {
        for rule in rules() {
            let expected = expected(&lens, rule, &[], seed);
            check_devices(&expected, 2e-6, 4e-6, |device| {
                let found = after(device, &lens, rule, &[], seed);
                table::note("updates", device, &found, &expected);
                found
            });
        }
    }

    #[test]
    fn gradients_are_changed_in_order(
        lens in prop::collection::vec(prop_oneof![Just(0_usize), 1..80_usize, 8000..20_000_usize], 1..6),
        seed in 0..1000_u64,
    ) {
        let rule = UpdateRule::MomentumSgd { rate: 0.1, momentum: 0.9 };
        let steps = steps(lens.len());
        check_devices(&expected(&lens, rule, &steps, seed), 1e-6, 1e-6, |device| after(device, &lens, rule, &steps, seed));
    }
}

/// Losses of a value and its weight each, which may be no number.
fn after_losses(device: &DeviceBackend, rule: UpdateRule, losses: &[(Vec<f32>, f32)]) -> [Vec<u32>; 2] {
    let lens = [300, 0, 8193];
    let mut tensors = Tensors::new(device, &lens, rule, 3);
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    let before = bits(tensors.read(device));
    let buffers: Vec<Buffer> = losses.iter().map(|(values, _)| buffer(device, values)).collect();
    let terms = buffers.iter().zip(losses);
    let terms: Vec<_> = terms
        .map(|(buffer, (values, weight))| LossTerm { values: buffer, len: values.len(), weight: *weight })
        .collect();
    let mut updates = updates(device);
    updates.write(&mut tensors.views(), &vec![rule; lens.len()], &steps(lens.len())).unwrap();
    assert!(updates.is_open().unwrap());
    updates.launch(&mut tensors.views(), Some(&terms)).unwrap();
    let after = bits(tensors.read(device));
    assert_eq!(updates.is_open().unwrap(), after != before);
    [before, after]
}

#[test]
fn losses_decide_whether_anything_moves() {
    let good = |len| (numbers(5, len), 0.5);
    let with = |mut loss: (Vec<f32>, f32), at: usize, value| {
        loss.0[at] = value;
        loss
    };
    let moving = [
        vec![],
        vec![good(1)],
        vec![good(0)],
        vec![good(700), with(good(1), 0, f32::MAX)],
        vec![(vec![f32::MAX; 3], f32::MAX)],
    ];
    let diverged = [
        vec![with(good(1), 0, f32::NAN)],
        vec![with(good(700), 699, f32::INFINITY)],
        vec![with(good(2), 1, f32::NEG_INFINITY), good(3)],
        vec![good(1), good(300), with(good(300), 256, f32::NAN)],
        vec![(vec![1.0], f32::INFINITY)],
        vec![(vec![0.0], f32::INFINITY)],
    ];
    for device in devices() {
        for rule in rules() {
            let expected = {
                let mut tensors = Tensors::new(device, &[300, 0, 8193], rule, 3);
                let mut updates = updates(device);
                updates.write(&mut tensors.views(), &[rule; 3], &steps(3)).unwrap();
                updates.launch(&mut tensors.views(), None).unwrap();
                tensors.read(device).into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            for losses in &moving {
                let [before, found] = after_losses(device, rule, losses);
                assert!(found == expected && found != before, "{rule:?} {losses:?}");
            }
            for losses in &diverged {
                let [before, found] = after_losses(device, rule, losses);
                assert!(found == before, "{rule:?} {losses:?}");
            }
        }
    }
}

#[test]
fn what_names_nothing_keeps_an_update_from_moving() {
    let rule = UpdateRule::Sgd { rate: 0.1 };
    for device in open_devices() {
        let geometry = EmbedGeometry { count: 1, rows: 2, length: 1 };
        let (index, table) = (buffer(&device, &[2.0]), buffer(&device, &[1.0, 2.0]));
        let mut y = buffer(&device, &[0.0]);
        device.embed_forward(&geometry, Site(7), &index, &table, None, &mut y).unwrap();
        let [before, found] = after_losses(&device, rule, &[(vec![1.0], 1.0)]);
        assert_eq!(found, before);
        // Until somebody has been told.
        assert!(device.synchronize().is_err());
        let [before, found] = after_losses(&device, rule, &[(vec![1.0], 1.0)]);
        assert_ne!(found, before);
    }
}

#[test]
fn losses_that_are_not_there_are_refused() {
    let rule = UpdateRule::Sgd { rate: 0.1 };
    for device in open_devices() {
        let mut tensors = Tensors::new(&device, &[3], rule, 1);
        let mut updates = updates(&device);
        updates.write(&mut tensors.views(), &[rule], &[]).unwrap();
        let loss = buffer(&device, &[1.0]);
        let mut refused = |values: &Buffer, len| {
            let terms = [LossTerm { values, len, weight: 1.0 }];
            updates.launch(&mut tensors.views(), Some(&terms)).unwrap_err().to_string()
        };
        assert_eq!(refused(&loss, 7), "update: a loss holds 6 floats, the geometry needs 7");
        let here = Buffer::Host(HostBuffer::from(vec![1.0]));
        assert_eq!(refused(&here, 1), "update: a loss is not in this device's memory");
    }
}

/// Only the table is written between replays.
#[test]
fn recorded_updates_go_by_what_is_written() {
    let lens = [300, 0, 9000, 1];
    let rule = |rate| UpdateRule::MomentumSgd { rate, momentum: 0.9 };
    let steps = |threshold| {
        let mut steps = steps(lens.len());
        steps.push(GradientStep::Clip { tensors: vec![0, 2], threshold });
        steps
    };
    for device in devices() {
        let [mut launched, mut replayed] = [1, 1].map(|seed| Tensors::new(device, &lens, rule(0.1), seed));
        let [mut one, mut other] = [updates(device), updates(device)];
        let mut recording = None;
        for (rate, threshold) in [(0.1, 0.1), (0.05, 0.2), (0.01, 1e-3)] {
            let (rules, steps) = ([rule(rate); 4], steps(threshold));
            one.write(&mut launched.views(), &rules, &steps).unwrap();
            one.launch(&mut launched.views(), None).unwrap();
            let layout = other.layout();
            other.write(&mut replayed.views(), &rules, &steps).unwrap();
            if recording.is_none() {
                // Whatever was never used is loaded.
                let mut outcome = Ok(());
                let tensors = &mut replayed;
                recording =
                    Some(device.record(&mut || outcome = other.launch(&mut tensors.views(), None)).unwrap());
                outcome.unwrap();
            } else {
                assert_eq!(other.layout(), layout);
            }
            device.replay(recording.as_ref().unwrap()).unwrap();
            assert_eq!(launched.read(device), replayed.read(device));
        }
        let layout = other.layout();
        other.write(&mut replayed.views(), &[rule(0.1); 4], &[]).unwrap();
        assert_ne!(other.layout(), layout);
    }
}

/// A recording's table names its own tensors, whatever is written for others that are gone by then.
#[test]
fn recorded_updates_do_not_touch_what_was_written_later() {
    let rule = UpdateRule::Sgd { rate: 0.1 };
    for device in devices() {
        let [mut launched, mut replayed] = [1, 1].map(|seed| Tensors::new(device, &[300], rule, seed));
        let [mut one, mut other] = [updates(device), updates(device)];
        one.write(&mut launched.views(), &[rule], &[]).unwrap();
        one.launch(&mut launched.views(), None).unwrap();
        other.write(&mut replayed.views(), &[rule], &[]).unwrap();
        let mut outcome = Ok(());
        let recording = device.record(&mut || outcome = other.launch(&mut replayed.views(), None)).unwrap();
        outcome.unwrap();
        let mut later = Tensors::new(device, &[300], rule, 2);
        other.write(&mut later.views(), &[rule], &[]).unwrap();
        drop(later);
        device.replay(&recording).unwrap();
        assert_eq!(launched.read(device), replayed.read(device));
    }
}

#[test]
fn what_cannot_be_updated_is_refused() {
    let sgd = UpdateRule::Sgd { rate: 0.1 };
    let momentum = UpdateRule::MomentumSgd { rate: 0.1, momentum: 0.9 };
    for device in open_devices() {
        let mut tensors = Tensors::new(&device, &[3, 4], sgd, 1);
        let mut others = Tensors::new(&device, &[3, 4], sgd, 1);
        let mut updates = updates(&device);
        let mut refused = |rules: &[UpdateRule], steps: &[GradientStep]| {
            updates.write(&mut tensors.views(), rules, steps).unwrap_err().to_string()
        };
        assert_eq!(refused(&[sgd], &[]), "update: 2 tensors, 1 rules");
        assert_eq!(refused(&[sgd, momentum], &[]), "update: rules of several kinds");
        assert_eq!(refused(&[momentum; 2], &[]), "update: 0 arrays; the rule keeps 1");
        let clip = GradientStep::Clip { tensors: vec![1, 2], threshold: 1.0 };
        assert_eq!(
            refused(&[sgd; 2], &[clip]),
            "update: Clip { tensors: [1, 2], threshold: 1.0 } of 2 tensors"
        );
        updates.write(&mut tensors.views(), &[sgd; 2], &[]).unwrap();
        let error = updates.launch(&mut others.views(), None).unwrap_err().to_string();
        assert_eq!(error, "update: other tensors than what was written is for");
        let mut long = tensors.views();
        long[1].len = 400;
        let error = updates.write(&mut long, &[sgd; 2], &[]).unwrap_err().to_string();
        assert_eq!(error, "update: a value holds 9 floats, the geometry needs 400");
    }
}
