//! Losses of scores and labels, and the share of right labels. Sums are in f64, in the order of the places.

use super::CpuBackend;
use crate::backend::Site;
use crate::error::{Error, Result};
use crate::geometry::{AccuracyGeometry, AxisGeometry, LabelLoss, LabelLossGeometry};

/// The sum of the losses, and how many places counted.
pub(crate) fn forward(
    geometry: &LabelLossGeometry,
    site: Site,
    [x, label, matrix]: [&[f32]; 3],
) -> Result<(f64, u32)> {
    let (_, classes, inner) = geometry.scores.sizes();
    let (mut sum, mut counted) = (0.0, 0);
    for (place, &given) in label.iter().enumerate() {
        if is_ignored(given, geometry.ignore_label) {
            continue;
        }
        let right = class(given, classes, NAME, site)?;
        let first = first_score(&geometry.scores, place);
        let score = |class: usize| x[first + class * inner];
        match geometry.loss {
            LabelLoss::Softmax => sum -= log(score(right), f32::MIN_POSITIVE),
            LabelLoss::Multinomial => sum -= log(score(right), LEAST),
            LabelLoss::Infogain => {
                for (class, &weight) in matrix[right * classes..][..classes].iter().enumerate() {
                    sum -= f64::from(weight) * log(score(class), LEAST);
                }
            }
            LabelLoss::Hinge => (0..classes).for_each(|class| sum += margin(score(class), class == right)),
            LabelLoss::SquaredHinge => {
                (0..classes).for_each(|class| sum += margin(score(class), class == right).powi(2));
            }
        }
        counted += 1;
    }
    Ok((sum, counted))
}

/// The gradient, times `factor`: the loss's own over the divisor.
pub(crate) fn backward(
    cpu: &CpuBackend,
    geometry: &LabelLossGeometry,
    site: Site,
    [x, label, matrix]: [&[f32]; 3],
    factor: f64,
    dx: &mut [f32],
) -> Result<()> {
    let (_, classes, inner) = geometry.scores.sizes();
    for &given in label.iter().filter(|&&given| !is_ignored(given, geometry.ignore_label)) {
        class(given, classes, NAME, site)?;
    }
    cpu.threads.chunks(dx, classes * inner, 2, |sample, dx| {
        let x = &x[sample * classes * inner..][..dx.len()];
        if geometry.loss == LabelLoss::Softmax {
            cpu.level.vectorize(
                #[inline(always)]
                || dx.iter_mut().zip(x).for_each(|(dx, &x)| *dx = (f64::from(x) * factor) as f32),
            );
        }
        for (place, &given) in label[sample * inner..][..inner].iter().enumerate() {
            let places = (place..dx.len()).step_by(inner);
            if is_ignored(given, geometry.ignore_label) {
                places.for_each(|at| dx[at] = 0.0);
                continue;
            }
            let right = given as usize;
            let own = place + right * inner;
            match geometry.loss {
                LabelLoss::Softmax => dx[own] = (f64::from(x[own] - 1.0) * factor) as f32,
                LabelLoss::Multinomial => {
                    places.for_each(|at| dx[at] = 0.0);
                    dx[own] = (-factor / f64::from(at_least(x[own], LEAST))) as f32;
                }
                LabelLoss::Infogain => {
                    let row = &matrix[right * classes..][..classes];
                    let sum: f64 = row.iter().map(|&weight| f64::from(weight)).sum();
                    for (at, &weight) in places.zip(row) {
                        dx[at] = ((f64::from(x[at]) * sum - f64::from(weight)) * factor) as f32;
                    }
                }
                LabelLoss::Hinge | LabelLoss::SquaredHinge => {
                    for (class, at) in places.enumerate() {
                        let margin = margin(x[at], class == right);
                        let slope = if geometry.loss == LabelLoss::SquaredHinge {
                            2.0 * margin
                        } else {
                            f64::from(u8::from(margin > 0.0))
                        };
                        dx[at] = (if class == right { -slope } else { slope } * factor) as f32;
                    }
                }
            }
        }
    });
    Ok(())
}

/// The share of right labels, and into `by_class` that of each class.
pub(crate) fn accuracy(
    geometry: &AccuracyGeometry,
    site: Site,
    [x, label]: [&[f32]; 2],
    by_class: Option<&mut [f32]>,
) -> Result<f32> {
    let (_, classes, inner) = geometry.scores.sizes();
    let is_right = |place: usize, class: usize| {
        let first = first_score(&geometry.scores, place);
        let own = x[first + class * inner];
        let as_high = (0..classes).filter(|other| x[first + other * inner] >= own).count();
        // A NaN is not as high as itself; it is right, as in Caffe.
        as_high <= geometry.top_k as usize
    };
    let counted = || {
        let places = label.iter().enumerate();
        places.filter(|&(_, &given)| !is_ignored(given, geometry.ignore_label))
    };
    let (mut right, mut seen) = (0, 0);
    for (place, &given) in counted() {
        right += u32::from(is_right(place, class(given, classes, ACCURACY, site)?));
        seen += 1;
    }
    for (class, share_of_class) in by_class.unwrap_or_default().iter_mut().enumerate() {
        let of_class = || counted().filter(|&(_, &given)| given as usize == class);
        let right = of_class().filter(|&(place, _)| is_right(place, class)).count();
        *share_of_class = share(right as u32, of_class().count() as u32);
    }
    Ok(share(right, seen))
}

/// The least probability that has a logarithm, in Caffe's older losses.
const LEAST: f32 = 1e-20;

const NAME: &str = "label_loss";

const ACCURACY: &str = "accuracy";

/// Whether a label is the one that counts for nothing.
pub(crate) fn is_ignored(value: f32, ignore_label: Option<i32>) -> bool {
    ignore_label.is_some_and(|ignored| value as i32 == ignored)
}

/// A label as an index below `classes`.
fn class(value: f32, classes: usize, op: &'static str, site: Site) -> Result<usize> {
    match usize::try_from(value as i64) {
        Ok(index) if index < classes && !value.is_nan() => Ok(index),
        _ => Err(Error::Label { op, site, value, classes: classes as u32 }),
    }
}

/// Where the first class's score of a place is.
fn first_score(scores: &AxisGeometry, place: usize) -> usize {
    let (_, classes, inner) = scores.sizes();
    place / inner * classes * inner + place % inner
}

/// What a score lacks to 1 on its side of 0.
fn margin(score: f32, is_label: bool) -> f64 {
    f64::from((1.0 + if is_label { -score } else { score }).max(0.0))
}

fn log(probability: f32, least: f32) -> f64 {
    f64::from(at_least(probability, least)).ln()
}

/// Not `max`, which would hide a NaN.
fn at_least(value: f32, least: f32) -> f32 {
    if value < least { least } else { value }
}

fn share(right: u32, seen: u32) -> f32 {
    if seen == 0 { 0.0 } else { right as f32 / seen as f32 }
}
