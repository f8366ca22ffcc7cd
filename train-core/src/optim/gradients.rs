//! What hooks see before an update.

use super::change::{Change, changed_blocks, changed_squares};
use super::work::{PIECE, for_each, sum_of_squares};
use super::{ParamInfo, ParamView};
use crate::hooks::Noise;

/// The gradients of the parameters that are about to be updated: all that are not frozen, or the one that the hook is on.
///
/// Changes are put off until the update reads the gradient anyway, so hooks cost no pass over memory, but for norms.
#[derive(Debug)]
pub struct Gradients<'g, 'v> {
    pub(super) params: &'g [ParamInfo],
    pub(super) views: &'g mut [ParamView<'v>],
    pub(super) updates: Vec<u64>,
    pub(super) active: &'g [usize],
    pub(super) changes: &'g mut [Vec<Change>],
    pub(super) threads: usize,
}

impl Gradients<'_, '_> {
    /// The parameters, by index.
    pub fn indices(&self) -> Vec<usize> {
        self.active.to_vec()
    }

    /// A parameter.
    pub fn info(&self, index: usize) -> &ParamInfo {
        &self.params[index]
    }

    /// What Chainer's `rule.t` is now: how often a parameter was updated, this time included where the hook is on it alone.
    pub fn t(&self, index: usize) -> u64 {
        self.updates[index]
    }

    /// A parameter's values.
    pub fn value(&self, index: usize) -> &[f32] {
        self.views[index].value
    }

    /// A parameter's gradient, all changes made: for hooks that do what no other method does.
    pub fn grad_mut(&mut self, index: usize) -> &mut [f32] {
        let view = &mut self.views[index];
        let Some(grad) = view.grad.as_deref_mut() else { return &mut [] };
        let changes = std::mem::take(&mut self.changes[index]);
        if !changes.is_empty() {
            let mut tasks = Vec::new();
            for (piece, (value, grad)) in view.value.chunks_mut(PIECE).zip(grad.chunks_mut(PIECE)).enumerate()
            {
                tasks.push((piece * PIECE, value, grad));
            }
            for_each(self.threads, tasks, |(offset, value, grad)| {
                let before = grad.to_vec();
                changed_blocks(&changes, offset, value, &before, |range, _, changed| {
                    grad[range].copy_from_slice(changed);
                });
            });
        }
        grad
    }

    /// `g *= factor`
    pub fn scale(&mut self, index: usize, factor: f32) {
        self.changes[index].push(Change::Scale(factor));
    }

    /// `g += rate · W`
    pub fn add_value(&mut self, index: usize, rate: f32) {
        self.changes[index].push(Change::AddValue(rate));
    }

    /// `g += rate · sign W`
    pub fn add_sign(&mut self, index: usize, rate: f32) {
        self.changes[index].push(Change::AddSign(rate));
    }

    /// Keeps `g` between both; at `upper` where they cross.
    pub fn clamp(&mut self, index: usize, lower: f32, upper: f32) {
        self.changes[index].push(Change::Clamp(lower, upper));
    }

    /// `g += noise`
    pub fn add(&mut self, index: usize, noise: Noise) {
        self.changes[index].push(Change::Add(noise));
    }

    /// The L2 norm of all gradients together.
    pub fn norm(&self) -> f64 {
        self.grad_squares(self.active).sqrt()
    }

    /// The L2 norm of a parameter's gradient.
    pub fn grad_norm(&self, index: usize) -> f64 {
        self.grad_squares(&[index]).sqrt()
    }

    /// The L2 norm of a parameter's values.
    pub fn value_norm(&self, index: usize) -> f64 {
        let pieces: Vec<_> = self.value(index).chunks(PIECE).collect();
        let mut sums = vec![0.0; pieces.len()];
        let tasks = pieces.into_iter().zip(&mut sums).collect();
        for_each(self.threads, tasks, |(piece, sum)| *sum = sum_of_squares(piece));
        sums.iter().sum::<f64>().sqrt()
    }

    fn grad_squares(&self, indices: &[usize]) -> f64 {
        let mut pieces = Vec::new();
        for &index in indices {
            let view = &self.views[index];
            let Some(grad) = view.grad.as_deref() else { continue };
            for (piece, (value, grad)) in view.value.chunks(PIECE).zip(grad.chunks(PIECE)).enumerate() {
                pieces.push((&self.changes[index], piece * PIECE, value, grad));
            }
        }
        let mut sums = vec![0.0; pieces.len()];
        let tasks = pieces.into_iter().zip(&mut sums).collect();
        for_each(self.threads, tasks, |((changes, offset, value, grad), sum): (_, &mut f64)| {
            *sum = changed_squares(changes, offset, value, grad);
        });
        sums.iter().sum()
    }
}
