//! Losses, whose first top is a scalar, and Accuracy.

use super::dims::{self, text};
use super::{Found, tops};
use crate::net::params::{AccuracyParams, InfogainLossParams, MultiBoxLossParams, SoftmaxLossParams};

/// Predictions and labels with the same first extent → scalar: all that HingeLoss asks for.
pub(super) fn scalar(bottoms: &[Vec<usize>]) -> Found {
    let (predicted, label) = (&bottoms[0], &bottoms[1]);
    if predicted.is_empty() || label.is_empty() || predicted[0] != label[0] {
        return Err(format!(
            "predictions of shape {} and labels of shape {} must have the same first extent",
            text(predicted),
            text(label)
        ));
    }
    tops(vec![Vec::new()])
}

/// One label for each place of the predictions.
pub(super) fn softmax(p: &SoftmaxLossParams, bottoms: &[Vec<usize>]) -> Found {
    super::elementwise::softmax(p.axis, &bottoms[0])?;
    labels(p.axis, bottoms)?;
    scalar(bottoms)
}

/// As [`softmax`]; the matrix has a row and a column for each class, and a second top the probabilities.
pub(super) fn infogain(p: &InfogainLossParams, bottoms: &[Vec<usize>], top_count: usize) -> Found {
    super::elementwise::softmax(p.axis, &bottoms[0])?;
    let classes = labels(p.axis, bottoms)?;
    if let Some(matrix) = bottoms.get(2)
        && classes.checked_mul(classes) != Some(dims::count(matrix))
    {
        return Err(format!(
            "its matrix has shape {}; for {classes} classes it must have {classes}²",
            text(matrix)
        ));
    }
    let mut found = scalar(bottoms)?;
    found.tops.extend((top_count > 1).then(|| bottoms[0].clone()));
    Ok(found)
}

/// As many values a sample.
pub(super) fn euclidean(bottoms: &[Vec<usize>]) -> Found {
    let found = scalar(bottoms)?;
    equal(dims::count(&bottoms[0][1..]), dims::count(&bottoms[1][1..]), bottoms)?;
    Ok(found)
}

/// As many values.
pub(super) fn sigmoid_cross_entropy(bottoms: &[Vec<usize>]) -> Found {
    let found = scalar(bottoms)?;
    equal(dims::count(&bottoms[0]), dims::count(&bottoms[1]), bottoms)?;
    Ok(found)
}

/// Two of N×C(×1×1) and N labels.
pub(super) fn contrastive(bottoms: &[Vec<usize>]) -> Found {
    let [first, second, label] = [&bottoms[0], &bottoms[1], &bottoms[2]].map(|bottom| dims::legacy(bottom));
    let (first, second, label) = (first?, second?, label?);
    if first[1] != second[1] || first[2..] != [1, 1] || second[2..] != [1, 1] || label[1..] != [1, 1, 1] {
        return Err(format!(
            "its bottoms have shapes {}, {} and {}; they must be N×C, N×C and N",
            text(&bottoms[0]),
            text(&bottoms[1]),
            text(&bottoms[2])
        ));
    }
    scalar(bottoms)
}

/// One label a sample.
pub(super) fn multinomial(bottoms: &[Vec<usize>]) -> Found {
    if dims::legacy(&bottoms[1])?[1..] != [1, 1, 1] {
        return Err(format!("its labels have shape {}; there must be one a sample", text(&bottoms[1])));
    }
    scalar(bottoms)
}

/// All bottoms, weights too, of the same C×H×W.
pub(super) fn smooth_l1(bottoms: &[Vec<usize>]) -> Found {
    let first = dims::legacy(&bottoms[0])?;
    for bottom in bottoms {
        if dims::legacy(bottom)?[1..] != first[1..] {
            return Err(format!(
                "its bottoms have shapes {} and {}; they must be equal",
                text(&bottoms[0]),
                text(bottom)
            ));
        }
    }
    scalar(bottoms)
}

/// Places N×(P·4), classes N×(P·classes), priors 1×2×(P·4) and true boxes.
pub(super) fn multi_box(p: &MultiBoxLossParams, bottoms: &[Vec<usize>]) -> Found {
    super::detection::check_priors(p.num_classes, p.share_location, bottoms)?;
    dims::legacy(&bottoms[3])?;
    scalar(bottoms)
}

/// One label for each place → scalar; a second top has one value a class.
pub(super) fn accuracy(p: &AccuracyParams, bottoms: &[Vec<usize>], top_count: usize) -> Found {
    dims::some_values(&bottoms[1], &bottoms[1])?;
    let classes = labels(p.axis, bottoms)?;
    let most = dims::count(&bottoms[0]) / dims::count(&bottoms[1]);
    if p.top_k > most {
        return Err(format!("`top_k: {}` of {most} classes", p.top_k));
    }
    let mut found = tops(vec![Vec::new()])?;
    found.tops.extend((top_count > 1).then(|| vec![classes]));
    Ok(found)
}

/// Checks that there is one label for each place, and gives the number of classes.
fn labels(axis: i32, bottoms: &[Vec<usize>]) -> Result<usize, String> {
    let (scores, label) = (&bottoms[0], &bottoms[1]);
    let axis = dims::axis(axis, scores)?;
    let places = dims::count(&scores[..axis]).saturating_mul(dims::count(&scores[axis + 1..]));
    if places != dims::count(label) {
        return Err(format!(
            "scores of shape {} with classes on axis {axis} need {places} labels, and their shape is {}",
            text(scores),
            text(label)
        ));
    }
    Ok(scores[axis])
}

fn equal(left: usize, right: usize, bottoms: &[Vec<usize>]) -> Result<(), String> {
    if left == right {
        return Ok(());
    }
    Err(format!(
        "its bottoms have shapes {} and {}; they must have as many values",
        text(&bottoms[0]),
        text(&bottoms[1])
    ))
}
