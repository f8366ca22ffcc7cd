//! Element-by-element combinations of several arrays.

use super::CpuBackend;
use crate::backend::EltwiseOp;

/// Elements worked on at a time: the partial result stays in the first-level cache.
const CHUNK: usize = 4 * 1024;

/// The most inputs at a time.
pub(crate) const MAX_INPUTS: usize = 32;

/// Combines `inputs`, each as long as `y`.
pub(crate) fn forward(cpu: &CpuBackend, op: EltwiseOp<'_>, inputs: &[&[f32]], y: &mut [f32]) {
    cpu.threads.chunks(y, CHUNK, inputs.len(), |index, y| {
        let part = |input: usize| &inputs[input][index * CHUNK..];
        let (first, second) = (part(0), (inputs.len() > 1).then(|| part(1)));
        let coefficient = |input: usize| match op {
            EltwiseOp::Sum(coefficients) => coefficients.get(input).copied().unwrap_or(1.0),
            _ => 1.0,
        };
        cpu.level.vectorize(
            #[inline(always)]
            || {
                let (a, b) = (coefficient(0), coefficient(1));
                match (op, second) {
                    (EltwiseOp::Sum(_), Some(second)) => pair(y, first, second, |x, z| a * x + b * z),
                    (EltwiseOp::Product, Some(second)) => pair(y, first, second, |x, z| x * z),
                    // Of equals, the later bottom's: Caffe's eltwise_layer.cpp.
                    (EltwiseOp::Max, Some(second)) => {
                        pair(y, first, second, |x, z| if x > z { x } else { z });
                    }
                    (_, None) => pair(y, first, first, |x, _| a * x),
                }
                for input in 2..inputs.len() {
                    let (x, c) = (part(input), coefficient(input));
                    match op {
                        EltwiseOp::Sum(_) => fold(y, x, |y, x| y + c * x),
                        EltwiseOp::Product => fold(y, x, |y, x| y * x),
                        EltwiseOp::Max => fold(y, x, |y, x| if x > y { x } else { y }),
                    }
                }
            },
        );
    });
}

#[inline(always)]
fn pair(y: &mut [f32], a: &[f32], b: &[f32], function: impl Fn(f32, f32) -> f32) {
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        *y = function(a, b);
    }
}

#[inline(always)]
fn fold(y: &mut [f32], x: &[f32], function: impl Fn(f32, f32) -> f32) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = function(*y, x);
    }
}
