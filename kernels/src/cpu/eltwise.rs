//! Element-by-element combinations of several arrays.

use super::CpuBackend;
use crate::backend::EltwiseOp;

/// Elements worked on at a time: the partial result stays in the first-level cache.
const CHUNK: usize = 4 * 1024;

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

/// The gradient with respect to input `index`. Of a product it is `dy` times the other inputs, or with `y` the quotient
/// `dy · y / x` (Caffe's `stable_prod_grad` and its opposite).
pub(crate) fn backward(
    cpu: &CpuBackend,
    op: EltwiseOp<'_>,
    index: usize,
    inputs: &[&[f32]],
    y: Option<&[f32]>,
    dy: &[f32],
    dx: &mut [f32],
) {
    cpu.threads.chunks(dx, CHUNK, inputs.len(), |chunk, dx| {
        let range = chunk * CHUNK..chunk * CHUNK + dx.len();
        dx.copy_from_slice(&dy[range.clone()]);
        let part = |input: usize| &inputs[input][range.clone()];
        cpu.level.vectorize(
            #[inline(always)]
            || match (op, y) {
                (EltwiseOp::Sum(coefficients), _) => {
                    let coefficient = coefficients.get(index).copied().unwrap_or(1.0);
                    for dx in dx.iter_mut() {
                        *dx *= coefficient;
                    }
                }
                (EltwiseOp::Product, Some(y)) => {
                    let quotients = part(index).iter().zip(&y[range.clone()]);
                    dx.iter_mut().zip(quotients).for_each(|(dx, (x, y))| *dx *= y / x);
                }
                (EltwiseOp::Product, None) => {
                    for input in (0..inputs.len()).filter(|&input| input != index) {
                        fold(dx, part(input), |dx, x| dx * x);
                    }
                }
                (EltwiseOp::Max, _) => {
                    // The largest so far, and whether it is the one in question.
                    let (mut best, mut ours) = ([0.0; CHUNK], [1.0; CHUNK]);
                    best[..dx.len()].copy_from_slice(part(0));
                    ours.fill(f32::from(u8::from(index == 0)));
                    for input in 1..inputs.len() {
                        let own = f32::from(u8::from(index == input));
                        for ((best, ours), &x) in best.iter_mut().zip(&mut ours).zip(part(input)) {
                            // Of equals in the first pair, the later.
                            let stays = if input == 1 { *best > x } else { *best >= x };
                            (*best, *ours) = if stays { (*best, *ours) } else { (x, own) };
                        }
                    }
                    fold(dx, &ours, |dx, ours| dx * ours);
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
