//! Every layer type, and whole nets, against a backward pass of real Caffe, `testdata/backward`, and what that Caffe
//! computes wrongly against real Chainer, `testdata/backward_chainer`.

mod support;

use kernels::Backend;
use support::{Golden, difference};
use train_core::{Match, TrainingOptions};

/// Relative to the largest value of a gradient: sums are in another order here.
const TOLERANCE: f64 = 1e-5;

#[test]
fn gradients_are_caffes() {
    for backend in support::backends() {
        check_all(&*backend, "backward", 40);
    }
}

/// BatchNorm by the statistics of the batch.
#[test]
fn gradients_are_chainers() {
    for backend in support::backends() {
        check_all(&*backend, "backward_chainer", 0);
    }
}

/// Every file of a folder, which has more than so many.
fn check_all(backend: &dyn Backend, folder: &str, count: usize) {
    let mut faults = Vec::new();
    let names = support::names_in(folder);
    assert!(names.len() > count, "{names:?}");
    for name in names {
        let golden = Golden::open_in(folder, &name);
        let mut worst = 0.0_f64;
        for case in golden.cases() {
            match check(&golden, case, backend) {
                Ok(found) => worst = worst.max(found),
                Err(what) => faults.push(format!("{name}, case {}: {what}\n{}", case.number, case.net)),
            }
        }
        println!("{name:<24} {:>3} cases, worst {worst:.1e}", golden.cases().len());
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// Two backward passes, which give the same but for parameters' gradients, which add up; the worst difference.
fn check(golden: &Golden, case: &support::Case, backend: &dyn Backend) -> Result<f64, String> {
    let say = |error: train_core::Error| support::chain(&error);
    let mut network = case.network()?;
    network.initialise_from_model(&golden.model(case), Match::ByName).map_err(say)?;
    let options = TrainingOptions { given: case.seeds.clone(), ..TrainingOptions::default() };
    let mut trainee = network.trainee(backend, &options).map_err(say)?;
    let mut worst = 0.0_f64;
    let mut compare = |what: &str, found: &[f32], expected: &[f32]| {
        let difference = difference(found, expected);
        if !found.iter().chain(expected).all(|value| value.abs() < 1e-6) {
            worst = worst.max(difference);
        }
        // A gradient that is nothing but rounding: of a normalization of two values.
        let is_nothing = found.iter().chain(expected).all(|value| value.abs() < 1e-6);
        if difference <= TOLERANCE || is_nothing {
            return Ok(());
        }
        let few = |values: &[f32]| values[..values.len().min(24)].to_vec();
        Err(format!(
            "`{what}` differs by {difference:.2e}\nfound    {:?}\nexpected {:?}",
            few(found),
            few(expected)
        ))
    };
    // A second pass of a recurrent layer goes on where the first has stopped.
    for pass in 1..=if golden.is_recurrent() { 1 } else { 2 } {
        for name in &case.inputs {
            trainee.set_input(name, &golden.array(case, "in", name).1).map_err(say)?;
        }
        // The tops of a Split are one array, with one gradient.
        let mut sum = Vec::new();
        for name in &case.seeds {
            let (_, seed) = golden.array(case, "seed", name);
            let is_split = case.net.contains("type:\"Split\" bottom:\"a\" top:\"y0\"");
            if !is_split || sum.is_empty() {
                sum = seed;
            } else {
                sum.iter_mut().zip(seed).for_each(|(sum, seed)| *sum += seed);
            }
            trainee.set_gradient(name, &sum).map_err(say)?;
        }
        trainee.forward().map_err(say)?;
        for name in &case.out {
            let found = trainee.blob(name).map_err(say)?.1;
            compare(name, &found, &golden.array(case, "out", name).1)?;
        }
        trainee.backward().map_err(say)?;
        for name in &case.inputs {
            let (_, expected) = golden.array(case, "din", name);
            let found = trainee.input_gradient(name).map_err(say)?;
            compare(name, &found.unwrap_or_else(|| vec![0.0; expected.len()]), &expected)?;
        }
        let infos = trainee.infos().to_vec();
        for name in &case.param_gradients {
            let (_, mut expected) = golden.array(case, "dparam", name);
            for value in &mut expected {
                *value *= pass as f32;
            }
            let (layer, index) = name.rsplit_once('/').unwrap();
            let index: usize = index.parse().unwrap();
            let place = infos.iter().position(|info| info.layer == layer).unwrap() + index;
            let found = trainee.param_gradient(place).map_err(say)?;
            compare(name, &found.ok_or_else(|| format!("no gradient of {name}"))?, &expected)?;
        }
    }
    Ok(worst)
}
