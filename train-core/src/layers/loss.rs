//! Losses of scores and labels.

use caffe_proto::net::params::{HingeNorm, InfogainLossParams, LossParams, Normalization, SoftmaxLossParams};
use caffe_proto::{Storage, read_binaryproto};
use kernels::AxisGeometry;

use super::frame::Operation;
use super::host::{is_ignored, label, loss_on_host};
use super::make::Make;
use super::{axis, extents};
use crate::error::{Error, Result};
use crate::plan::Step;

/// −Σ log p(label), over the divisor.
pub(super) fn softmax(make: &Make<'_>, step: &Step, p: &SoftmaxLossParams) -> Box<dyn Operation> {
    let scores = Scores::of(make, step, p.axis);
    let (params, gradient_params) = (p.loss.clone(), p.loss.clone());
    let mut probabilities = vec![0.0; scores.len()];
    loss_on_host(
        make,
        step,
        "softmax loss",
        move |bottoms, tops| {
            scores.softmax(bottoms[0], &mut probabilities);
            let (mut loss, mut counted) = (0.0, 0);
            for (place, &given) in bottoms[1].iter().enumerate() {
                if !is_ignored(given, params.ignore_label) {
                    let class = label(given, scores.classes)?;
                    loss -= log(probabilities[scores.at(place, class)], f32::MIN_POSITIVE);
                    counted += 1;
                }
            }
            tops[0][0] = (loss / divisor(&params, scores.outer, scores.inner, counted)) as f32;
            Ok(())
        },
        move |bottoms, _, scale, dx| {
            // (p − [class = label]) / the divisor.
            scores.softmax(bottoms[0], dx);
            let mut counted = 0;
            for (place, &given) in bottoms[1].iter().enumerate() {
                if is_ignored(given, gradient_params.ignore_label) {
                    (0..scores.classes).for_each(|class| dx[scores.at(place, class)] = 0.0);
                } else {
                    dx[scores.at(place, label(given, scores.classes)?)] -= 1.0;
                    counted += 1;
                }
            }
            let factor = scale / divisor(&gradient_params, scores.outer, scores.inner, counted);
            multiply(dx, factor);
            Ok(())
        },
    )
}

/// −Σ H(label, class) · log p(class), over the divisor; a second top has the probabilities.
pub(super) fn infogain(make: &Make<'_>, step: &Step, p: &InfogainLossParams) -> Result<Box<dyn Operation>> {
    let scores = Scores::of(make, step, p.axis);
    let (params, gradient_params) = (p.loss.clone(), p.loss.clone());
    let matrix = match (&p.source, step.bottoms.len()) {
        (Some(source), ..3) => matrix(make, step, source, scores.classes)?,
        _ => Vec::new(),
    };
    let mut probabilities = vec![0.0; scores.len()];
    let gradient_matrix = matrix.clone();
    Ok(loss_on_host(
        make,
        step,
        "infogain loss",
        move |bottoms, tops| {
            let matrix = bottoms.get(2).copied().unwrap_or(&matrix);
            scores.softmax(bottoms[0], &mut probabilities);
            let (mut loss, mut counted) = (0.0, 0);
            for (place, &given) in bottoms[1].iter().enumerate() {
                if is_ignored(given, params.ignore_label) {
                    continue;
                }
                let row = label(given, scores.classes)? * scores.classes;
                for (class, &weight) in matrix[row..row + scores.classes].iter().enumerate() {
                    loss -= f64::from(weight) * log(probabilities[scores.at(place, class)], LEAST);
                }
                counted += 1;
            }
            tops[0][0] = (loss / divisor(&params, scores.outer, scores.inner, counted)) as f32;
            if let Some(second) = tops.get_mut(1) {
                second.copy_from_slice(&probabilities);
            }
            Ok(())
        },
        move |bottoms, _, scale, dx| {
            // p · Σ H(label, ·) − H(label, class), over the divisor.
            let matrix = bottoms.get(2).copied().unwrap_or(&gradient_matrix);
            scores.softmax(bottoms[0], dx);
            let mut counted = 0;
            for (place, &given) in bottoms[1].iter().enumerate() {
                if is_ignored(given, gradient_params.ignore_label) {
                    (0..scores.classes).for_each(|class| dx[scores.at(place, class)] = 0.0);
                    continue;
                }
                let row = label(given, scores.classes)? * scores.classes;
                let row = &matrix[row..row + scores.classes];
                let sum: f64 = row.iter().map(|&weight| f64::from(weight)).sum();
                for (class, &weight) in row.iter().enumerate() {
                    let dx = &mut dx[scores.at(place, class)];
                    *dx = (f64::from(*dx) * sum - f64::from(weight)) as f32;
                }
                counted += 1;
            }
            let factor = scale / divisor(&gradient_params, scores.outer, scores.inner, counted);
            multiply(dx, factor);
            Ok(())
        },
    ))
}

/// −Σ log p(label) / N, of probabilities.
pub(super) fn multinomial(make: &Make<'_>, step: &Step) -> Box<dyn Operation> {
    let samples = make.shapes(step).bottoms[0][0];
    loss_on_host(
        make,
        step,
        "multinomial logistic loss",
        move |bottoms, tops| {
            let classes = bottoms[0].len() / samples;
            let mut loss = 0.0;
            for (sample, &given) in bottoms[0].chunks_exact(classes).zip(bottoms[1]) {
                loss -= log(sample[label(given, classes)?], LEAST);
            }
            tops[0][0] = (loss / samples as f64) as f32;
            Ok(())
        },
        move |bottoms, _, scale, dx| {
            let classes = bottoms[0].len() / samples;
            for ((sample, dx), &given) in
                bottoms[0].chunks_exact(classes).zip(dx.chunks_exact_mut(classes)).zip(bottoms[1])
            {
                let class = label(given, classes)?;
                let probability = if sample[class] < LEAST { LEAST } else { sample[class] };
                dx[class] = (-scale / samples as f64 / f64::from(probability)) as f32;
            }
            Ok(())
        },
    )
}

/// Cross entropy of each value with its target, in a form that cannot overflow, over the divisor.
pub(super) fn sigmoid_cross_entropy(make: &Make<'_>, step: &Step, p: &LossParams) -> Box<dyn Operation> {
    let bottom = &make.shapes(step).bottoms[0];
    let (outer, inner) = (bottom[0], bottom[1..].iter().product());
    let (params, gradient_params) = (p.clone(), p.clone());
    loss_on_host(
        make,
        step,
        "sigmoid cross entropy loss",
        move |bottoms, tops| {
            let (mut loss, mut counted) = (0.0, 0);
            for (&score, &target) in bottoms[0].iter().zip(bottoms[1]) {
                if !is_ignored(target, params.ignore_label) {
                    let (x, target) = (f64::from(score), f64::from(target));
                    loss += x.max(0.0) - x * target + (-x.abs()).exp().ln_1p();
                    counted += 1;
                }
            }
            tops[0][0] = (loss / divisor(&params, outer, inner, counted)) as f32;
            Ok(())
        },
        move |bottoms, _, scale, dx| {
            let mut counted = 0;
            for ((dx, &score), &target) in dx.iter_mut().zip(bottoms[0]).zip(bottoms[1]) {
                if !is_ignored(target, gradient_params.ignore_label) {
                    *dx = (1.0 / (1.0 + (-f64::from(score)).exp()) - f64::from(target)) as f32;
                    counted += 1;
                }
            }
            let factor = scale / divisor(&gradient_params, outer, inner, counted);
            multiply(dx, factor);
            Ok(())
        },
    )
}

/// Σ max(0, 1 − x) of the label's score and Σ max(0, 1 + x) of the others', or their squares, / N.
pub(super) fn hinge(make: &Make<'_>, step: &Step, norm: HingeNorm) -> Box<dyn Operation> {
    let samples = make.shapes(step).bottoms[0][0];
    loss_on_host(
        make,
        step,
        "hinge loss",
        move |bottoms, tops| {
            let classes = bottoms[0].len() / samples;
            let mut loss = 0.0;
            for (sample, &given) in bottoms[0].chunks_exact(classes).zip(bottoms[1]) {
                let right = label(given, classes)?;
                for (class, &score) in sample.iter().enumerate() {
                    let margin = f64::from((1.0 + if class == right { -score } else { score }).max(0.0));
                    loss += match norm {
                        HingeNorm::L1 => margin,
                        HingeNorm::L2 => margin * margin,
                    };
                }
            }
            tops[0][0] = (loss / samples as f64) as f32;
            Ok(())
        },
        move |bottoms, _, scale, dx| {
            let classes = bottoms[0].len() / samples;
            for ((sample, dx), &given) in
                bottoms[0].chunks_exact(classes).zip(dx.chunks_exact_mut(classes)).zip(bottoms[1])
            {
                let right = label(given, classes)?;
                for (class, (dx, &score)) in dx.iter_mut().zip(sample).enumerate() {
                    let sign = if class == right { -1.0 } else { 1.0 };
                    let margin = f64::from((1.0 + sign as f32 * score).max(0.0));
                    let slope = match norm {
                        HingeNorm::L1 => f64::from(u8::from(margin > 0.0)),
                        HingeNorm::L2 => 2.0 * margin,
                    };
                    *dx = (sign * slope * scale / samples as f64) as f32;
                }
            }
            Ok(())
        },
    )
}

/// The least probability that has a logarithm, in Caffe's older losses.
const LEAST: f32 = 1e-20;

/// Scores outer×classes×inner.
#[derive(Clone, Copy)]
struct Scores {
    outer: usize,
    classes: usize,
    inner: usize,
}

impl Scores {
    fn of(make: &Make<'_>, step: &Step, along: i32) -> Self {
        let bottom = extents(&make.shapes(step).bottoms[0]);
        let along = axis(along, bottom.len());
        let AxisGeometry { outer, axis, inner } = AxisGeometry::around(&bottom, along, along + 1);
        Self { outer: outer as usize, classes: axis as usize, inner: inner as usize }
    }

    fn len(&self) -> usize {
        self.outer * self.classes * self.inner
    }

    /// Where the score of `class` at a place, of outer×inner, is.
    fn at(&self, place: usize, class: usize) -> usize {
        (place / self.inner * self.classes + class) * self.inner + place % self.inner
    }

    fn softmax(&self, scores: &[f32], probabilities: &mut [f32]) {
        for place in 0..self.outer * self.inner {
            let all = || (0..self.classes).map(|class| self.at(place, class));
            let largest = all().map(|at| scores[at]).fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for at in all() {
                probabilities[at] = (scores[at] - largest).exp();
                sum += probabilities[at];
            }
            all().for_each(|at| probabilities[at] /= sum);
        }
    }
}

/// Never less than 1: a batch that is ignored whole has no loss (loss_layer.cpp).
fn divisor(p: &LossParams, outer: usize, inner: usize, counted: usize) -> f64 {
    let divisor = match p.normalization {
        Normalization::Full => outer * inner,
        Normalization::Valid => counted,
        Normalization::BatchSize => outer,
        Normalization::None => 1,
    };
    divisor.max(1) as f64
}

fn multiply(values: &mut [f32], factor: f64) {
    for value in values {
        *value = (f64::from(*value) * factor) as f32;
    }
}

fn log(probability: f32, least: f32) -> f64 {
    // Not `max`, which would hide a NaN.
    f64::from(if probability < least { least } else { probability }).ln()
}

fn matrix(make: &Make<'_>, step: &Step, source: &str, classes: usize) -> Result<Vec<f32>> {
    let blob = read_binaryproto(&Storage::open(source)?)?;
    if blob.count() == classes * classes {
        return Ok(blob.to_vec()?);
    }
    let layer = make.layer(step);
    Err(Error::Values {
        layer: layer.name.clone(),
        kind: layer.type_name.clone(),
        what: format!(
            "its matrix {source} has {} values; for {classes} classes it must have {classes}²",
            blob.count()
        ),
    })
}
