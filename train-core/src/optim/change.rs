//! What a hook does to a gradient, put off until the gradient is in the cache.

use std::ops::Range;

use super::work::{BLOCK, PIECE, for_each, sum_of_squares};
use crate::hooks::Noise;

/// One change of a gradient, value by value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    /// `g *= factor`
    Scale(f32),
    /// `g += rate · W`
    AddValue(f32),
    /// `g += rate · sign W`
    AddSign(f32),
    /// `g` is kept between both.
    Clamp(f32, f32),
    /// `g += noise`
    Add(Noise),
}

/// Makes all changes to a parameter's gradient, where it lies.
pub(super) fn apply(changes: &[Change], value: &mut [f32], grad: &mut [f32], threads: usize) {
    if changes.is_empty() {
        return;
    }
    let pieces = value.chunks_mut(PIECE).zip(grad.chunks_mut(PIECE)).enumerate();
    let tasks = pieces.map(|(piece, (value, grad))| (piece * PIECE, value, grad)).collect();
    for_each(threads, tasks, |(offset, value, grad): (usize, &mut [f32], &mut [f32])| {
        let before = grad.to_vec();
        changed_blocks(changes, offset, value, &before, |range, _, changed| {
            grad[range].copy_from_slice(changed);
        });
    });
}

/// Calls `body` with each block of a piece that begins at `offset`: its values, and its changed gradients.
pub(crate) fn changed_blocks(
    changes: &[Change],
    offset: usize,
    value: &mut [f32],
    grad: &[f32],
    mut body: impl FnMut(Range<usize>, &mut [f32], &[f32]),
) {
    let mut scratch = [0.0; BLOCK];
    for (block, (value, grad)) in value.chunks_mut(BLOCK).zip(grad.chunks(BLOCK)).enumerate() {
        let start = block * BLOCK;
        let changed = change(changes, offset + start, value, grad, &mut scratch[..grad.len()]);
        body(start..start + grad.len(), value, changed);
    }
}

/// The sum of squares of changed gradients.
pub(crate) fn changed_squares(changes: &[Change], offset: usize, value: &[f32], grad: &[f32]) -> f64 {
    let mut scratch = [0.0; BLOCK];
    let blocks = value.chunks(BLOCK).zip(grad.chunks(BLOCK)).enumerate();
    let squares = blocks.map(|(block, (value, grad))| {
        sum_of_squares(change(changes, offset + block * BLOCK, value, grad, &mut scratch[..grad.len()]))
    });
    squares.sum()
}

/// The gradients after all changes, in `scratch` if there are any.
fn change<'a>(
    changes: &[Change],
    offset: usize,
    value: &[f32],
    grad: &'a [f32],
    scratch: &'a mut [f32],
) -> &'a [f32] {
    let Some((first, rest)) = changes.split_first() else { return grad };
    first.write(offset, value, grad, scratch);
    for change in rest {
        change.apply(offset, value, scratch);
    }
    scratch
}

impl Change {
    /// Puts the changed gradients of `value`, which begin at `offset` of their parameter, into `out`.
    fn write(self, offset: usize, value: &[f32], grad: &[f32], out: &mut [f32]) {
        let both = out.iter_mut().zip(grad);
        match self {
            Self::Scale(factor) => both.for_each(|(out, &g)| *out = g * factor),
            Self::AddValue(rate) => both.zip(value).for_each(|((out, &g), &w)| *out = g + rate * w),
            Self::AddSign(rate) => both.zip(value).for_each(|((out, &g), &w)| *out = g + rate * sign(w)),
            Self::Clamp(lower, upper) => both.for_each(|(out, &g)| *out = clamp(g, lower, upper)),
            Self::Add(noise) => {
                out.copy_from_slice(grad);
                noise.add(offset, out);
            }
        }
    }

    /// The same in place.
    fn apply(self, offset: usize, value: &[f32], grad: &mut [f32]) {
        let both = grad.iter_mut().zip(value);
        match self {
            Self::Scale(factor) => both.for_each(|(g, _)| *g *= factor),
            Self::AddValue(rate) => both.for_each(|(g, &w)| *g += rate * w),
            Self::AddSign(rate) => both.for_each(|(g, &w)| *g += rate * sign(w)),
            Self::Clamp(lower, upper) => both.for_each(|(g, _)| *g = clamp(*g, lower, upper)),
            Self::Add(noise) => noise.add(offset, grad),
        }
    }
}

/// Between both, at `upper` where they cross; NaN stays.
fn clamp(x: f32, lower: f32, upper: f32) -> f32 {
    let above = if x < lower { lower } else { x };
    if above > upper { upper } else { above }
}

/// 1, 0 or −1.
fn sign(x: f32) -> f32 {
    f32::from(i8::from(x > 0.0) - i8::from(x < 0.0))
}
