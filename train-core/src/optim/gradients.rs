//! What hooks see before an update.

use super::ParamInfo;
use super::change::{self, Change, changed_squares};
use super::operation::Operation;
use super::place::Place;
use super::work::{PIECE, for_each, sum_of_squares};
use crate::hooks::Noise;

/// The gradients of the parameters that are about to be updated: all that are not frozen, or the one that the hook is on.
///
/// Changes are put off until the update reads the gradient anyway, so hooks cost no pass over memory, but for norms. On a
/// device, all that hooks say here is done there; but numbers that a hook asks for, with [`value`](Self::value), [`grad_mut`](Self::grad_mut) or
/// a norm, are copied to main memory, and gradients back: slow, and never wrong.
#[derive(Debug)]
pub struct Gradients<'g, 'v> {
    pub(super) params: &'g [ParamInfo],
    pub(super) place: Place<'g, 'v>,
    pub(super) updates: Vec<u64>,
    /// The parameters that this hook sees, and all that are updated.
    pub(super) seen: &'g [usize],
    pub(super) active: &'g [usize],
    pub(super) changes: &'g mut [Vec<Change>],
    pub(super) threads: usize,
}

impl Gradients<'_, '_> {
    /// The parameters, by index.
    pub fn indices(&self) -> Vec<usize> {
        self.seen.to_vec()
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
    pub fn value(&mut self, index: usize) -> &[f32] {
        self.fetch();
        if let Place::Device(remote) = &mut self.place {
            remote.fetch_value(index);
        }
        self.place.view(index).0
    }

    /// A parameter's gradient, all changes made: for hooks that do what no other method does.
    pub fn grad_mut(&mut self, index: usize) -> &mut [f32] {
        self.fetch();
        let view = self.place.view_mut(index);
        let Some(grad) = view.grad else { return &mut [] };
        let changes = std::mem::take(&mut self.changes[index]);
        change::apply(&changes, view.value, grad, self.threads);
        grad
    }

    /// `g *= factor`
    pub fn scale(&mut self, index: usize, factor: f32) {
        self.take(Operation::Change(index, Change::Scale(factor)));
    }

    /// `g += rate · W`
    pub fn add_value(&mut self, index: usize, rate: f32) {
        self.take(Operation::Change(index, Change::AddValue(rate)));
    }

    /// `g += rate · sign W`
    pub fn add_sign(&mut self, index: usize, rate: f32) {
        self.take(Operation::Change(index, Change::AddSign(rate)));
    }

    /// Keeps `g` between both; at `upper` where they cross.
    pub fn clamp(&mut self, index: usize, lower: f32, upper: f32) {
        self.take(Operation::Change(index, Change::Clamp(lower, upper)));
    }

    /// `g += noise`
    pub fn add(&mut self, index: usize, noise: Noise) {
        self.take(Operation::Change(index, Change::Add(noise)));
    }

    /// `g *= threshold / |G|` where the L2 norm `|G|` of all gradients together is above the threshold.
    pub fn clip(&mut self, threshold: f64) {
        self.take(Operation::Clip { params: self.seen.to_vec(), threshold });
    }

    /// `g = (g + decay · W) · |W| / (eps + |g| + decay · |W|)`, parameter by parameter; where `|W|` is not above the threshold, only the
    /// decay is added.
    pub fn scale_by_norms(&mut self, threshold: f64, decay: f64, eps: f64) {
        self.take(Operation::Lars { params: self.seen.to_vec(), threshold, decay, eps });
    }

    /// The L2 norm of all gradients together.
    pub fn norm(&mut self) -> f64 {
        self.fetch();
        self.grad_squares(self.seen).sqrt()
    }

    /// The L2 norm of a parameter's gradient.
    pub fn grad_norm(&mut self, index: usize) -> f64 {
        self.fetch();
        self.grad_squares(&[index]).sqrt()
    }

    /// The L2 norm of a parameter's values.
    pub fn value_norm(&mut self, index: usize) -> f64 {
        let threads = self.threads;
        value_squares(self.value(index), threads).sqrt()
    }

    /// Notes an operation that will be done on a device, or does it. A parameter that is not updated has nothing to change.
    fn take(&mut self, operation: Operation) {
        if let Operation::Change(index, _) = operation
            && self.active.binary_search(&index).is_err()
        {
            return;
        }
        match &mut self.place {
            Place::Device(remote) if remote.fetched.is_none() => remote.notes.push(operation),
            _ => self.perform(&operation),
        }
    }

    /// Sees to it that values and gradients are in main memory, and does there what was noted.
    fn fetch(&mut self) {
        let Place::Device(remote) = &mut self.place else { return };
        if remote.fetched.is_none() {
            remote.fetch(self.active);
            let notes = std::mem::take(&mut remote.notes);
            for operation in &notes {
                self.perform(operation);
            }
        }
    }

    fn perform(&mut self, operation: &Operation) {
        match *operation {
            Operation::Change(index, change) => self.changes[index].push(change),
            Operation::Clip { ref params, threshold } => {
                let norm = self.grad_squares(params).sqrt();
                if norm > threshold {
                    let factor = Change::Scale((threshold / norm) as f32);
                    for &index in params {
                        self.changes[index].push(factor);
                    }
                }
            }
            Operation::Lars { ref params, threshold, decay, eps } => {
                for &index in params {
                    let values = value_squares(self.place.view(index).0, self.threads).sqrt();
                    let grads = self.grad_squares(&[index]).sqrt();
                    if decay != 0.0 {
                        self.changes[index].push(Change::AddValue(decay as f32));
                    }
                    if values > threshold {
                        let factor = values / (eps + grads + decay * values);
                        self.changes[index].push(Change::Scale(factor as f32));
                    }
                }
            }
        }
    }

    fn grad_squares(&self, indices: &[usize]) -> f64 {
        let mut pieces = Vec::new();
        for &index in indices {
            let (value, Some(grad)) = self.place.view(index) else { continue };
            for (piece, (value, grad)) in value.chunks(PIECE).zip(grad.chunks(PIECE)).enumerate() {
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

fn value_squares(values: &[f32], threads: usize) -> f64 {
    let pieces: Vec<_> = values.chunks(PIECE).collect();
    let mut sums = vec![0.0; pieces.len()];
    let tasks = pieces.into_iter().zip(&mut sums).collect();
    for_each(threads, tasks, |(piece, sum)| *sum = sum_of_squares(piece));
    sums.iter().sum()
}
