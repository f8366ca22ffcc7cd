//! Losses, the share of right labels, and values that name nothing.

use kernels::{
    AccuracyGeometry, AxisGeometry, Backend, Buffer, CpuBackend, EmbedGeometry, Error, LabelLoss,
    LabelLossGeometry, LossDivisor, PairLoss, PairLossGeometry, Result, Site,
};
use proptest::prelude::*;

use crate::support::{buffer, check, check_op, numbers, output, values};

/// The gradient of whatever is above the loss.
const ABOVE: f32 = 0.75;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn of_labels(
        scores in scores(),
        loss in label_loss(),
        ignored in 0..4u32,
        divisor in divisor(),
        seed in any::<u64>(),
    ) {
        // Nothing, one class, every label, or a label that is no class.
        let ignore_label = [None, Some(0), Some(0), Some(255)][ignored as usize];
        check_label_loss(&LabelLossGeometry { scores, loss, ignore_label, divisor }, ignored == 2, seed);
    }

    #[test]
    fn of_pairs(
        samples in 1..=5u32,
        length in prop_oneof![1..=9u32, 1..=700u32],
        loss in pair_loss(),
        weighted in any::<bool>(),
        divisor in divisor(),
        seed in any::<u64>(),
    ) {
        check_pair_loss(&PairLossGeometry { samples, length, loss, divisor }, weighted, seed);
    }

    #[test]
    fn shares_of_right_labels(scores in scores(), top_k in 1..=3u32, ignores in any::<bool>(), seed in any::<u64>()) {
        check_accuracy(&AccuracyGeometry { scores, top_k, ignore_label: ignores.then_some(1) }, seed);
    }
}

/// More than the blocks that leave a part each have threads.
#[test]
fn of_many_places() {
    let scores = AxisGeometry { outer: 2, axis: 2, inner: 35_000 };
    let (ignore_label, divisor) = (Some(1), LossDivisor::Counted);
    let geometry = LabelLossGeometry { scores, loss: LabelLoss::Softmax, ignore_label, divisor };
    check_label_loss(&geometry, false, 1);
    let loss = PairLoss::SigmoidCrossEntropy { ignore_label };
    check_pair_loss(&PairLossGeometry { samples: 2, length: 35_000, loss, divisor }, false, 2);
    let loss = PairLoss::Contrastive { margin: 1.0, legacy_version: false };
    check_pair_loss(&PairLossGeometry { samples: 300, length: 3, loss, divisor }, false, 3);
    check_accuracy(&AccuracyGeometry { scores, top_k: 1, ignore_label: None }, 4);
}

#[test]
fn what_is_no_number_stays_none() {
    let scores = AxisGeometry { outer: 1, axis: 2, inner: 1 };
    let geometry = LabelLossGeometry {
        scores,
        loss: LabelLoss::Softmax,
        ignore_label: None,
        divisor: LossDivisor::Samples,
    };
    check(&[f64::NAN], 0.0, 0.0, |backend| {
        let (x, label) = (buffer(backend, &[0.5, f32::NAN]), buffer(backend, &[1.0]));
        let (mut loss, mut totals) = (output(backend, 1), totals(backend));
        backend
            .label_loss_forward(&geometry, Site::default(), &x, &label, None, &mut loss, &mut totals)
            .unwrap();
        values(backend, &loss, 1)
    });
}

#[test]
fn a_label_that_names_no_class_is_an_error_and_no_wild_read() {
    on_all(|backend| {
        let scores = AxisGeometry { outer: 2, axis: 3, inner: 2 };
        for loss in [LabelLoss::Softmax, LabelLoss::Infogain, LabelLoss::Hinge] {
            let geometry =
                LabelLossGeometry { scores, loss, ignore_label: Some(7), divisor: LossDivisor::Counted };
            for (wrong, text) in
                [(3.0, "3"), (-1.5, "-1.5"), (f32::NAN, "NaN"), (1e20, "100000000000000000000")]
            {
                let x = buffer(backend, &[0.25; 12]);
                // 2.9 and −0.9 are rounded towards 0, and 7 is ignored; of the two that are wrong the first counts.
                let label = buffer(backend, &[2.9, 7.0, wrong, 1e9]);
                let matrix = (loss == LabelLoss::Infogain).then(|| buffer(backend, &[1.0; 9]));
                let (mut y, mut dx, mut totals) = (output(backend, 1), output(backend, 12), totals(backend));
                let forward = backend.label_loss_forward(
                    &geometry,
                    Site(5),
                    &x,
                    &label,
                    matrix.as_ref(),
                    &mut y,
                    &mut totals,
                );
                let expected = format!("label_loss: a label is {text}, and there are 3 classes: 0 to 2");
                reported(backend, forward, &expected, 5);
                if backend.allocate(0).unwrap().as_host().is_none() {
                    let dloss = buffer(backend, &[1.0]);
                    let matrix = matrix.as_ref();
                    backend
                        .label_loss_backward(&geometry, Site(5), &x, &label, matrix, &dloss, &totals, &mut dx)
                        .unwrap();
                    backend.synchronize().unwrap();
                }
            }
        }
        let geometry = AccuracyGeometry { scores, top_k: 1, ignore_label: None };
        let (x, label) = (buffer(backend, &[0.0; 12]), buffer(backend, &[0.0, 2.0, 4.0, -3.0]));
        let (mut share, mut shares, mut totals) = (output(backend, 1), output(backend, 3), totals(backend));
        let by_class = Some(&mut shares);
        let outcome =
            backend.accuracy_forward(&geometry, Site(9), &x, &label, &mut share, by_class, &mut totals);
        reported(backend, outcome, "accuracy: a label is 4, and there are 3 classes: 0 to 2", 9);
    });
}

#[test]
fn an_index_that_names_no_row_is_an_error_and_no_wild_read() {
    on_all(|backend| {
        let geometry = EmbedGeometry { count: 4, rows: 3, length: 2 };
        let index = buffer(backend, &[2.5, 0.0, 3.0, -1.0]);
        let table = buffer(backend, &[1.0; 6]);
        let mut y = output(backend, 8);
        let forward = backend.embed_forward(&geometry, Site(2), &index, &table, None, &mut y);
        reported(backend, forward, "embed_forward: index 3 names none of 3 rows", 2);
        let (dy, mut dtable) = (buffer(backend, &[1.0; 8]), buffer(backend, &[0.0; 6]));
        let backward = backend.embed_backward(&geometry, Site(4), &index, &dy, &mut dtable);
        reported(backend, backward, "embed_backward: index 3 names none of 3 rows", 4);
    });
}

#[test]
fn operands_that_a_loss_has_not_are_refused() {
    on_all(|backend| {
        let scores = AxisGeometry { outer: 1, axis: 2, inner: 1 };
        let one = buffer(backend, &[1.0; 4]);
        let (mut loss, mut totals) = (output(backend, 1), totals(backend));
        let mut refused = |kind, matrix| {
            let geometry =
                LabelLossGeometry { scores, loss: kind, ignore_label: None, divisor: LossDivisor::One };
            backend
                .label_loss_forward(&geometry, Site(0), &one, &one, matrix, &mut loss, &mut totals)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refused(LabelLoss::Infogain, None),
            "label_loss_forward: an infogain loss needs its matrix"
        );
        assert_eq!(refused(LabelLoss::Softmax, Some(&one)), "label_loss_forward: Softmax has no matrix");
        let loss_kind = PairLoss::SigmoidCrossEntropy { ignore_label: None };
        let geometry = PairLossGeometry { samples: 1, length: 2, loss: loss_kind, divisor: LossDivisor::One };
        let mut dx = output(backend, 2);
        let pair = [&one, &one];
        let refused =
            backend.pair_loss_backward(&geometry, 1, pair, [None; 2], &one, &totals, &mut dx).unwrap_err();
        assert!(refused.to_string().ends_with("has no gradient with respect to array 1"), "{refused}");
        let geometry = PairLossGeometry { loss: PairLoss::Euclidean, ..geometry };
        let extra = [Some(&one), None];
        assert!(backend.pair_loss_forward(&geometry, pair, extra, &mut loss, &mut totals).is_err());
    });
}

fn scores() -> impl Strategy<Value = AxisGeometry> {
    (1..=4u32, 1..=12u32, prop_oneof![Just(1u32), 1..=90u32]).prop_map(|(outer, axis, inner)| AxisGeometry {
        outer,
        axis,
        inner,
    })
}

fn divisor() -> impl Strategy<Value = LossDivisor> {
    prop_oneof![
        Just(LossDivisor::Places),
        Just(LossDivisor::Counted),
        Just(LossDivisor::Samples),
        Just(LossDivisor::One)
    ]
}

fn label_loss() -> impl Strategy<Value = LabelLoss> {
    prop_oneof![
        Just(LabelLoss::Softmax),
        Just(LabelLoss::Multinomial),
        Just(LabelLoss::Infogain),
        Just(LabelLoss::Hinge),
        Just(LabelLoss::SquaredHinge)
    ]
}

fn pair_loss() -> impl Strategy<Value = PairLoss> {
    prop_oneof![
        Just(PairLoss::Euclidean),
        Just(PairLoss::SmoothL1 { sigma: 1.5 }),
        prop_oneof![Just(None), Just(Some(1)), Just(Some(-1))]
            .prop_map(|ignore_label| PairLoss::SigmoidCrossEntropy { ignore_label }),
        any::<bool>().prop_map(|legacy_version| PairLoss::Contrastive { margin: 2.5, legacy_version }),
    ]
}

fn check_label_loss(geometry: &LabelLossGeometry, all_ignored: bool, seed: u64) {
    let [outer, classes, inner] =
        [geometry.scores.outer, geometry.scores.axis, geometry.scores.inner].map(|extent| extent as usize);
    let places = outer * inner;
    let is_hinge = matches!(geometry.loss, LabelLoss::Hinge | LabelLoss::SquaredHinge);
    let mut x = numbers(seed, places * classes);
    for x in &mut x {
        *x = if is_hinge { 2.0 * *x } else { x.abs() };
    }
    // A probability that has no logarithm.
    x[0] = if is_hinge { x[0] } else { 0.0 };
    let label: Vec<f32> = numbers(seed + 1, places)
        .iter()
        .map(|x| if all_ignored { 0.0 } else { (f32::midpoint(*x, 1.0) * classes as f32).floor() })
        .collect();
    let matrix = numbers(seed + 2, classes * classes);
    let h = |row: usize, class: usize| f64::from(matrix[row * classes + class]);
    let (mut sum, mut counted, mut slopes) = (0.0, 0, vec![0.0; x.len()]);
    for (place, &label) in label.iter().enumerate() {
        if geometry.ignore_label == Some(label as i32) {
            continue;
        }
        let right = label as usize;
        counted += 1;
        for class in 0..classes {
            let at = place / inner * classes * inner + class * inner + place % inner;
            let (value, own) = (f64::from(x[at]), class == right);
            let margin = (1.0 + if own { -value } else { value }).max(0.0);
            let sign = if own { -1.0 } else { 1.0 };
            let (least, old) = (f64::from(f32::MIN_POSITIVE), f64::from(1e-20f32));
            let row_sum: f64 = (0..classes).map(|class| h(right, class)).sum();
            let (loss, slope) = match geometry.loss {
                LabelLoss::Softmax => {
                    (if own { -value.max(least).ln() } else { 0.0 }, value - f64::from(u8::from(own)))
                }
                LabelLoss::Multinomial if own => (-value.max(old).ln(), -1.0 / value.max(old)),
                LabelLoss::Multinomial => (0.0, 0.0),
                LabelLoss::Infogain => {
                    (-h(right, class) * value.max(old).ln(), value * row_sum - h(right, class))
                }
                LabelLoss::Hinge => (margin, sign * f64::from(u8::from(margin > 0.0))),
                LabelLoss::SquaredHinge => (margin * margin, sign * 2.0 * margin),
            };
            sum += loss;
            slopes[at] = slope;
        }
    }
    let divisor = divided_by(geometry.divisor, outer, inner, counted);
    let mut expected = vec![sum / divisor];
    expected.extend(slopes.iter().map(|slope| slope * f64::from(ABOVE) / divisor));
    check_op("label_loss_forward, label_loss_backward", &expected, 2e-6, 3e-6, |backend| {
        let (x, label) = (buffer(backend, &x), buffer(backend, &label));
        let matrix = (geometry.loss == LabelLoss::Infogain).then(|| buffer(backend, &matrix));
        let (matrix, site) = (matrix.as_ref(), Site(3));
        let (mut loss, mut totals) = (output(backend, 1), totals(backend));
        backend.label_loss_forward(geometry, site, &x, &label, matrix, &mut loss, &mut totals).unwrap();
        let (dloss, mut dx) = (buffer(backend, &[ABOVE]), output(backend, slopes.len()));
        backend.label_loss_backward(geometry, site, &x, &label, matrix, &dloss, &totals, &mut dx).unwrap();
        backend.synchronize().unwrap();
        [values(backend, &loss, 1), values(backend, &dx, slopes.len())].concat()
    });
}

fn check_pair_loss(geometry: &PairLossGeometry, weighted: bool, seed: u64) {
    let (samples, length) = (geometry.samples as usize, geometry.length as usize);
    let len = samples * length;
    let (a, mut b) = (numbers(seed, len), numbers(seed + 1, len));
    if let PairLoss::SigmoidCrossEntropy { .. } = geometry.loss {
        // Targets 0, 1 and −1.
        for b in &mut b {
            *b = (*b * 1.5).round();
        }
    }
    let (mut first, second) = (numbers(seed + 2, len), numbers(seed + 3, len));
    let is_contrastive = matches!(geometry.loss, PairLoss::Contrastive { .. });
    if is_contrastive {
        first.truncate(samples);
        // 0.9 is read as 0.
        for mark in &mut first {
            *mark = if *mark > 0.0 { 1.0 } else { 0.9 };
        }
    }
    let has_extra = [
        is_contrastive || weighted && matches!(geometry.loss, PairLoss::SmoothL1 { .. }),
        weighted && matches!(geometry.loss, PairLoss::SmoothL1 { .. }),
    ];
    let weights = |at: usize| {
        let weight = |has: bool, weights: &[f32]| if has { f64::from(weights[at]) } else { 1.0 };
        (weight(has_extra[0], &first), weight(has_extra[1], &second))
    };
    let difference = |at: usize| f64::from(a[at]) - f64::from(b[at]);
    let (mut sum, mut counted, mut slopes) = (0.0, 0, vec![0.0; len]);
    for (sample, mark) in (0..samples).zip(&first) {
        let squared: f64 = (sample * length..(sample + 1) * length).map(|at| difference(at).powi(2)).sum();
        if let PairLoss::Contrastive { margin, legacy_version } = geometry.loss {
            let (margin, distance) = (f64::from(margin), squared.sqrt());
            let (loss, slope) = match (*mark == 1.0, legacy_version) {
                (true, _) => (squared, 1.0),
                (false, true) if margin > squared => (margin - squared, -1.0),
                (false, false) if margin > distance => {
                    ((margin - distance).powi(2), -(margin - distance) / (distance + 1e-4))
                }
                _ => (0.0, 0.0),
            };
            sum += loss / 2.0;
            (sample * length..(sample + 1) * length).for_each(|at| slopes[at] = slope * difference(at));
            continue;
        }
        for at in sample * length..(sample + 1) * length {
            let (loss, slope) = match geometry.loss {
                PairLoss::Euclidean => (difference(at).powi(2) / 2.0, difference(at)),
                PairLoss::SmoothL1 { sigma } => {
                    let (square, (inside, outside)) = (f64::from(sigma).powi(2), weights(at));
                    let difference = difference(at) * inside;
                    let (loss, slope) = if difference.abs() < 1.0 / square {
                        (square * difference * difference / 2.0, square * difference)
                    } else {
                        (difference.abs() - 0.5 / square, difference.signum())
                    };
                    (loss * outside, slope * inside * outside)
                }
                PairLoss::SigmoidCrossEntropy { ignore_label } if ignore_label == Some(b[at] as i32) => {
                    continue;
                }
                PairLoss::SigmoidCrossEntropy { .. } => {
                    let (x, target) = (f64::from(a[at]), f64::from(b[at]));
                    counted += 1;
                    (x.exp().ln_1p() - x * target, 1.0 / (1.0 + (-x).exp()) - target)
                }
                PairLoss::Contrastive { .. } => unreachable!("done above"),
            };
            sum += loss;
            slopes[at] = slope;
        }
    }
    let divisor = divided_by(geometry.divisor, samples, length, counted);
    let sides: &[f64] =
        if matches!(geometry.loss, PairLoss::SigmoidCrossEntropy { .. }) { &[1.0] } else { &[1.0, -1.0] };
    let mut expected = vec![sum / divisor];
    for sign in sides {
        expected.extend(slopes.iter().map(|slope| sign * slope * f64::from(ABOVE) / divisor));
    }
    check_op("pair_loss_forward, pair_loss_backward", &expected, 3e-6, 3e-6, |backend| {
        let (a, b) = (buffer(backend, &a), buffer(backend, &b));
        let extra =
            [has_extra[0].then(|| buffer(backend, &first)), has_extra[1].then(|| buffer(backend, &second))];
        let (pair, extra) = ([&a, &b], extra.each_ref().map(Option::as_ref));
        let (mut loss, mut totals) = (output(backend, 1), totals(backend));
        backend.pair_loss_forward(geometry, pair, extra, &mut loss, &mut totals).unwrap();
        let mut found = values(backend, &loss, 1);
        for which in 0..sides.len() {
            let (dloss, mut dx) = (buffer(backend, &[ABOVE]), output(backend, len));
            backend.pair_loss_backward(geometry, which, pair, extra, &dloss, &totals, &mut dx).unwrap();
            found.extend(values(backend, &dx, len));
        }
        found
    });
}

fn check_accuracy(geometry: &AccuracyGeometry, seed: u64) {
    let [outer, classes, inner] =
        [geometry.scores.outer, geometry.scores.axis, geometry.scores.inner].map(|extent| extent as usize);
    // Few different scores, so that there are ties.
    let x: Vec<f32> = numbers(seed, outer * classes * inner).iter().map(|x| (x * 3.0).round()).collect();
    let label: Vec<f32> = numbers(seed + 1, outer * inner)
        .iter()
        .map(|x| (f32::midpoint(*x, 1.0) * classes as f32).floor())
        .collect();
    let mut by_class = vec![(0, 0); classes];
    for (place, &label) in label.iter().enumerate() {
        if geometry.ignore_label == Some(label as i32) {
            continue;
        }
        let score = |class: usize| x[(place / inner * classes + class) * inner + place % inner];
        let own = score(label as usize);
        let higher = (0..classes).filter(|&other| other != label as usize && score(other) >= own).count();
        by_class[label as usize].0 += usize::from(higher < geometry.top_k as usize);
        by_class[label as usize].1 += 1;
    }
    let share = |(right, seen): (usize, usize)| if seen == 0 { 0.0 } else { right as f64 / seen as f64 };
    let all = by_class.iter().fold((0, 0), |all, class| (all.0 + class.0, all.1 + class.1));
    let expected: Vec<f64> = [all].into_iter().chain(by_class).map(share).collect();
    check_op("accuracy_forward", &expected, 0.0, 1e-7, |backend| {
        let (x, label) = (buffer(backend, &x), buffer(backend, &label));
        let (mut alone, mut share, mut shares) =
            (output(backend, 1), output(backend, 1), output(backend, classes));
        let (mut totals, site) = (totals(backend), Site(1));
        backend.accuracy_forward(geometry, site, &x, &label, &mut alone, None, &mut totals).unwrap();
        backend
            .accuracy_forward(geometry, site, &x, &label, &mut share, Some(&mut shares), &mut totals)
            .unwrap();
        backend.synchronize().unwrap();
        assert_eq!(values(backend, &alone, 1), values(backend, &share, 1));
        [values(backend, &share, 1), values(backend, &shares, classes)].concat()
    });
}

fn divided_by(divisor: LossDivisor, samples: usize, places: usize, counted: usize) -> f64 {
    let divisor = match divisor {
        LossDivisor::Places => samples * places,
        LossDivisor::Counted => counted,
        LossDivisor::Samples => samples,
        LossDivisor::One => 1,
    };
    divisor.max(1) as f64
}

fn totals(backend: &dyn Backend) -> Buffer {
    output(backend, backend.loss_totals_len())
}

fn on_all(test: impl Fn(&dyn Backend)) {
    test(&CpuBackend::new(1).unwrap());
    #[cfg(any(feature = "cuda", feature = "emulate"))]
    for device in crate::support::open_devices() {
        test(&device);
    }
}

/// The processor says it at once, a device when it is synchronized, and once.
#[track_caller]
fn reported(backend: &dyn Backend, outcome: Result<()>, expected: &str, site: u32) {
    let is_host = backend.allocate(0).unwrap().as_host().is_some();
    assert_eq!(outcome.is_err(), is_host, "{}", backend.name());
    let error: Error = outcome.and_then(|()| backend.synchronize()).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.site()), (expected, Some(Site(site))));
    backend.synchronize().unwrap();
}
