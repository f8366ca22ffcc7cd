//! Losses of pairs of arrays.

use caffe_proto::net::params::ContrastiveLossParams;

use super::frame::Operation;
use super::host::loss_on_host;
use super::make::Make;
use crate::plan::Step;

/// Σ (a − b)² / 2N.
pub(super) fn euclidean(make: &Make<'_>, step: &Step) -> Box<dyn Operation> {
    let samples = make.shapes(step).bottoms[0][0];
    loss_on_host(
        make,
        step,
        "euclidean loss",
        move |bottoms, tops| {
            tops[0][0] = (squared_distance(bottoms[0], bottoms[1]) / samples as f64 / 2.0) as f32;
            Ok(())
        },
        move |bottoms, which, scale, dx| {
            let factor = sign(which) * scale / samples as f64;
            for ((dx, &a), &b) in dx.iter_mut().zip(bottoms[0]).zip(bottoms[1]) {
                *dx = (f64::from(a - b) * factor) as f32;
            }
            Ok(())
        },
    )
}

/// Quadratic near 0, linear past 1/sigma², weighted inside by the third bottom and outside by the fourth, / N.
pub(super) fn smooth_l1(make: &Make<'_>, step: &Step, sigma: f32) -> Box<dyn Operation> {
    let samples = make.shapes(step).bottoms[0][0];
    let square = f64::from(sigma * sigma);
    loss_on_host(
        make,
        step,
        "smooth L1 loss",
        move |bottoms, tops| {
            let weight =
                |bottom: usize, at: usize| bottoms.get(bottom).map_or(1.0, |weights| f64::from(weights[at]));
            let mut loss = 0.0;
            for (at, (&a, &b)) in bottoms[0].iter().zip(bottoms[1]).enumerate() {
                let difference = (f64::from(a - b) * weight(2, at)).abs();
                let error = if difference < 1.0 / square {
                    difference * difference * square / 2.0
                } else {
                    difference - 0.5 / square
                };
                loss += error * weight(3, at);
            }
            tops[0][0] = (loss / samples as f64) as f32;
            Ok(())
        },
        move |bottoms, which, scale, dx| {
            let weight =
                |bottom: usize, at: usize| bottoms.get(bottom).map_or(1.0, |weights| f64::from(weights[at]));
            let factor = sign(which) * scale / samples as f64;
            for (at, ((dx, &a), &b)) in dx.iter_mut().zip(bottoms[0]).zip(bottoms[1]).enumerate() {
                let difference = f64::from(a - b) * weight(2, at);
                let slope = if difference.abs() < 1.0 / square {
                    difference * square
                } else {
                    f64::from(i8::from(difference > 0.0) - i8::from(difference < 0.0))
                };
                *dx = (slope * weight(2, at) * weight(3, at) * factor) as f32;
            }
            Ok(())
        },
    )
}

/// Like pairs cost their squared distance, unlike ones what is missing to the margin, / 2N.
pub(super) fn contrastive(make: &Make<'_>, step: &Step, p: &ContrastiveLossParams) -> Box<dyn Operation> {
    let bottom = &make.shapes(step).bottoms[0];
    let (samples, width) = (bottom[0], bottom[1..].iter().product::<usize>());
    let (margin, legacy_version) = (f64::from(p.margin), p.legacy_version);
    loss_on_host(
        make,
        step,
        "contrastive loss",
        move |bottoms, tops| {
            let mut loss = 0.0;
            for (sample, &like) in bottoms[2].iter().enumerate() {
                let part = sample * width..(sample + 1) * width;
                let squared = squared_distance(&bottoms[0][part.clone()], &bottoms[1][part]);
                // A label is read as an integer: 0.9 is unlike.
                loss += if like as i32 != 0 {
                    squared
                } else if legacy_version {
                    (margin - squared).max(0.0)
                } else {
                    (margin - squared.sqrt()).max(0.0).powi(2)
                };
            }
            tops[0][0] = (loss / samples as f64 / 2.0) as f32;
            Ok(())
        },
        move |bottoms, which, scale, dx| {
            let factor = sign(which) * scale / samples as f64;
            for (sample, &like) in bottoms[2].iter().enumerate() {
                let part = sample * width..(sample + 1) * width;
                let (a, b) = (&bottoms[0][part.clone()], &bottoms[1][part.clone()]);
                let squared = squared_distance(a, b);
                let slope = match (like as i32 != 0, legacy_version) {
                    (true, _) => 1.0,
                    (false, true) if margin - squared > 0.0 => -1.0,
                    // Caffe adds 1e-4 to the distance it divides by.
                    (false, false) if margin - squared.sqrt() > 0.0 => {
                        -(margin - squared.sqrt()) / (squared.sqrt() + 1e-4)
                    }
                    _ => 0.0,
                };
                for ((dx, &a), &b) in dx[part].iter_mut().zip(a).zip(b) {
                    *dx = (slope * factor * f64::from(a - b)) as f32;
                }
            }
            Ok(())
        },
    )
}

fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

/// The second array counts against the first.
fn sign(bottom: usize) -> f64 {
    if bottom == 0 { 1.0 } else { -1.0 }
}
