//! How much two sets of tensors differ.

use std::cmp::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use caffe_proto::Payload;

use crate::source::{Element as _, Spread};
use crate::{Error, Progress, Tensor, Weights};

/// How far apart two values may be: |a − b| ≤ atol + rtol · |b|. Two NaN are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tolerance {
    /// Relative to the second set's value.
    pub rtol: f64,
    /// Absolute.
    pub atol: f64,
}

/// What two sets have in common, and what not.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// The tensors of both sets whose values could be compared.
    pub compared: Vec<Difference>,
    /// Names of the first set only.
    pub only_first: Vec<String>,
    /// Names of the second set only.
    pub only_second: Vec<String>,
    /// Tensors of one name whose shapes have nothing to do with each other: name, first and second shape.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
}

/// How much one tensor differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its name in the first set.
    pub name: String,
    /// How many values were compared.
    pub count: u64,
    /// How many are further apart than allowed.
    pub over: u64,
    /// The largest |a − b|; NaN where only one is a number.
    pub max_abs: f64,
    /// The largest |a − b| / |b|; infinite where b is zero and a is not.
    pub max_rel: f64,
    /// The largest |b| that is a number and finite: what `max_abs` is a part of.
    pub largest: f64,
    /// What was done before the values could be compared.
    pub lifted: Option<&'static str>,
}

impl Comparison {
    /// Whether nothing differs by more than was allowed.
    pub fn is_equal(&self) -> bool {
        self.only_first.is_empty()
            && self.only_second.is_empty()
            && self.shapes.is_empty()
            && self.compared.iter().all(|difference| difference.over == 0)
    }
}

/// Compares two sets tensor by tensor.
///
/// A grouped array and a dense one are compared as dense ones; a `gamma` and `beta` on one side with the Scale of
/// equal values on the other. `progress` is told the bytes of values done, and those there are.
///
/// # Errors
/// When values cannot be read.
pub fn compare(
    first: &Weights,
    second: &Weights,
    tolerance: Tolerance,
    progress: &mut Progress<'_>,
) -> Result<Comparison, Error> {
    let mut comparison = Comparison::default();
    let mut pairs = Vec::new();
    for (name, tensor) in first.iter() {
        match second.find(name) {
            Some(other) => pairs.push((name, tensor, other, None)),
            None => comparison.only_first.push(name.to_owned()),
        }
    }
    let missing = second.iter().map(|(name, _)| name).filter(|name| first.find(name).is_none());
    comparison.only_second = missing.map(str::to_owned).collect();
    for turned in [false, true] {
        let (folded, split) = if turned { (second, first) } else { (first, second) };
        let (only_folded, only_split) = if turned {
            (&mut comparison.only_second, &mut comparison.only_first)
        } else {
            (&mut comparison.only_first, &mut comparison.only_second)
        };
        for fold in folds(folded, split, only_folded, only_split)? {
            only_folded.retain(|name| *name != fold.folded);
            only_split.retain(|name| Some(name) != fold.split.as_ref());
            let joined = fold.split.as_deref().map(|name| split.get(name)).transpose()?;
            // What has no partner was found to be zeros.
            if let (Some((name, a)), Some(b)) = (folded.entry(&fold.folded), joined) {
                let (a, b) = if turned { (b, a) } else { (a, b) };
                pairs.push((name, a, b, Some("Scale folded into BatchNorm")));
            }
        }
    }
    let lifted = pairs.iter().map(|(_, a, b, _)| lift(a, b)).collect::<Vec<_>>();
    let total = lifted.iter().flatten().map(|(a, ..)| a.len()).sum();
    let mut done = 0;
    let mut advance = |bytes| {
        done += bytes;
        progress(done, total);
    };
    for ((name, a, b, lifted), values) in pairs.into_iter().zip(lifted) {
        match values {
            Some((a, b, dense)) => {
                let mut difference = differences(&a, &b, tolerance, &mut advance)?;
                name.clone_into(&mut difference.name);
                difference.lifted = lifted.or(dense.then_some("group convolution made dense"));
                comparison.compared.push(difference);
            }
            None => comparison.shapes.push((name.to_owned(), a.shape().to_vec(), b.shape().to_vec())),
        }
    }
    Ok(comparison)
}

/// The values of both as `f64` in one layout, and whether one had to be made dense for that; `None` where their shapes
/// are no two layouts of one array.
fn lift(a: &Tensor, b: &Tensor) -> Option<(Payload, Payload, bool)> {
    if a.shape() == b.shape() {
        return Some((a.f64_values(), b.f64_values(), false));
    }
    let dense = |grouped: &Tensor, dense: &Tensor| {
        let ([rows, width, kernel @ ..], [dense_rows, dense_width, dense_kernel @ ..]) =
            (grouped.shape(), dense.shape())
        else {
            return None;
        };
        let groups = dense_width.checked_div(*width)?;
        let fits = rows == dense_rows && kernel == dense_kernel && !kernel.is_empty() && groups > 0;
        let divides = fits && width * groups == *dense_width && rows.is_multiple_of(groups);
        divides.then(|| Spread::payload(*rows, groups, grouped.f64_values()))
    };
    if let Some(values) = dense(a, b) {
        Some((values, b.f64_values(), true))
    } else {
        dense(b, a).map(|values| (a.f64_values(), values, true))
    }
}

/// An array that one side has as `gamma` or `beta` and the other as a Scale's.
struct Folded {
    /// The name within the BatchNorm's link.
    folded: String,
    /// The name within the Scale's link; `None` for a beta of zeros, which a Scale without bias stands for.
    split: Option<String>,
}

/// What `folded` has within BatchNorm links and `split` within the links of Scales of equal values.
fn folds(
    folded: &Weights,
    split: &Weights,
    only_folded: &[String],
    only_split: &[String],
) -> Result<Vec<Folded>, Error> {
    let mut found: Vec<Folded> = Vec::new();
    for gamma in only_folded.iter().filter(|name| name.ends_with("/gamma")) {
        let beta = format!("{}beta", gamma.strip_suffix("gamma").unwrap_or_default());
        for weight in only_split.iter().filter(|name| name.ends_with("/W")) {
            let taken = found.iter().any(|fold| fold.split.as_ref() == Some(weight));
            if taken || !same(folded.find(gamma), split.find(weight))? {
                continue;
            }
            let bias = format!("{}bias/b", weight.strip_suffix('W').unwrap_or_default());
            let bias = split.find(&bias).map(|_| bias);
            let fits = match (folded.find(&beta), &bias) {
                (Some(beta), Some(bias)) => same(Some(beta), split.find(bias))?,
                (Some(beta), None) => beta.is_zero()?,
                (None, bias) => bias.is_none(),
            };
            if fits {
                found.push(Folded { folded: gamma.clone(), split: Some(weight.clone()) });
                if folded.find(&beta).is_some() {
                    found.push(Folded { folded: beta, split: bias });
                }
                break;
            }
        }
    }
    Ok(found)
}

fn same(a: Option<&Tensor>, b: Option<&Tensor>) -> Result<bool, Error> {
    match (a, b) {
        (Some(a), Some(b)) if a.shape() == b.shape() && a.shape().len() == 1 => {
            let tolerance = Tolerance { rtol: 1e-5, atol: 0.0 };
            Ok(differences(&a.f64_values(), &b.f64_values(), tolerance, &mut |_| ())?.over == 0)
        }
        _ => Ok(false),
    }
}

/// Compares `f64` values, as many on either side.
fn differences(
    a: &Payload,
    b: &Payload,
    tolerance: Tolerance,
    advance: &mut dyn FnMut(u64),
) -> Result<Difference, Error> {
    let mut found = Difference {
        name: String::new(),
        count: 0,
        over: 0,
        max_abs: 0.0,
        max_rel: 0.0,
        largest: 0.0,
        lifted: None,
    };
    // Both sides are read in order, each at its own pace: one in a thread of its own, a few pieces ahead.
    thread::scope(|scope| {
        let (send, receive) = sync_channel::<Vec<u8>>(4);
        let reader = scope.spawn(move || {
            let mut stopped = false;
            let read = b.read(&mut |bytes| {
                // Nobody receives once the other side has failed, whose error is the one to report.
                stopped = stopped || send.send(bytes.to_vec()).is_err();
                Ok(())
            });
            read.map_err(Error::from)
        });
        let mut other = Pieces { receive, piece: Vec::new(), at: 0 };
        let read = a.read(&mut |bytes| {
            for value in f64::decode(bytes) {
                if let Some(wanted) = other.next() {
                    found.count += 1;
                    note(&mut found, value, wanted, tolerance);
                }
            }
            advance(bytes.len() as u64);
            Ok(())
        });
        drop(other);
        let other = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        read?;
        other
    })?;
    Ok(found)
}

/// Values that another thread reads.
struct Pieces {
    receive: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Pieces {
    fn next(&mut self) -> Option<f64> {
        if self.at == self.piece.len() {
            self.piece = self.receive.recv().ok()?;
            self.at = 0;
        }
        let value = f64::decode(&self.piece[self.at..]).next();
        self.at += size_of::<f64>();
        value
    }
}

fn note(found: &mut Difference, a: f64, b: f64, tolerance: Tolerance) {
    if b.is_finite() {
        found.largest = found.largest.max(b.abs());
    }
    // Equal infinities are equal, though their difference is not a number.
    if a.partial_cmp(&b) == Some(Ordering::Equal) || (a.is_nan() && b.is_nan()) {
        return;
    }
    let abs = (a - b).abs();
    let rel = abs / b.abs();
    let within = abs <= tolerance.atol + tolerance.rtol * b.abs();
    found.over += u64::from(!within);
    if abs.is_nan() || abs > found.max_abs {
        found.max_abs = abs;
    }
    if rel.is_nan() || rel > found.max_rel {
        found.max_rel = rel;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(tensors: &[(&str, &[usize], &[f32])]) -> Weights {
        let mut weights = Weights::new();
        for (name, shape, values) in tensors {
            weights.insert(*name, Tensor::from_f32(shape.to_vec(), values).unwrap()).unwrap();
        }
        weights
    }

    #[test]
    fn differences_are_counted_and_measured() {
        let a =
            weights(&[("x/W", &[3], &[1.0, 2.0, f32::NAN]), ("y/W", &[1], &[0.0]), ("z/W", &[2], &[0.0; 2])]);
        let b =
            weights(&[("x/W", &[3], &[1.0, 2.5, f32::NAN]), ("v/W", &[1], &[0.0]), ("z/W", &[1], &[0.0])]);
        let comparison = compare(&a, &b, Tolerance::default(), &mut |_, _| ()).unwrap();
        let difference = &comparison.compared[0];
        assert_eq!(
            (difference.count, difference.over, difference.max_abs, difference.max_rel, difference.largest),
            (3, 1, 0.5, 0.2, 2.5)
        );
        assert_eq!(
            (&comparison.only_first[..], &comparison.only_second[..]),
            (&["y/W".to_owned()][..], &["v/W".to_owned()][..])
        );
        assert_eq!(comparison.shapes, [("z/W".to_owned(), vec![2], vec![1])]);
        assert!(!comparison.is_equal());
        let comparison = compare(&a, &b, Tolerance { rtol: 0.25, atol: 0.0 }, &mut |_, _| ()).unwrap();
        assert_eq!(comparison.compared[0].over, 0);
    }

    #[test]
    fn grouped_equals_dense_and_folded_equals_split() {
        let a = weights(&[
            ("conv/W", &[2, 1, 1, 1], &[3.0, 4.0]),
            ("bn/avg_mean", &[2], &[1.0, 1.0]),
            ("bn/gamma", &[2], &[5.0, 6.0]),
            ("bn/beta", &[2], &[7.0, 8.0]),
        ]);
        let b = weights(&[
            ("conv/W", &[2, 2, 1, 1], &[3.0, 0.0, 0.0, 4.0]),
            ("bn/avg_mean", &[2], &[1.0, 1.0]),
            ("sc/W", &[2], &[5.0, 6.0]),
            ("sc/bias/b", &[2], &[7.0, 8.0]),
        ]);
        for (a, b) in [(&a, &b), (&b, &a)] {
            let comparison = compare(a, b, Tolerance::default(), &mut |_, _| ()).unwrap();
            assert!(comparison.is_equal(), "{comparison:?}");
            assert_eq!(comparison.compared.len(), 4);
        }
    }

    #[test]
    fn a_beta_of_zeros_equals_a_scale_without_bias() {
        let split = weights(&[("bn/avg_mean", &[2], &[1.0, 1.0]), ("sc/W", &[2], &[5.0, 6.0])]);
        let folded = |beta| {
            let gamma: (&str, &[usize], &[f32]) = ("bn/gamma", &[2], &[5.0, 6.0]);
            weights(&[("bn/avg_mean", &[2], &[1.0, 1.0]), gamma, ("bn/beta", &[2], beta)])
        };
        for (beta, equal) in [(&[0.0, -0.0], true), (&[0.0, 1.0], false)] {
            let folded = folded(beta);
            assert_eq!(
                compare(&folded, &split, Tolerance::default(), &mut |_, _| ()).unwrap().is_equal(),
                equal
            );
            assert_eq!(
                compare(&split, &folded, Tolerance::default(), &mut |_, _| ()).unwrap().is_equal(),
                equal
            );
        }
    }
}
