//! Which value is in which buffer.
//!
//! A backend's operations take whole buffers, so the arena is a handful of them, each as long as the longest value that
//! ever lives in it, handed on from a value that is used up to one that begins.

use caffe_proto::net::Net;

use super::{Plan, Step, ValueId};
use crate::layers::{self, Flow, Want};

/// Which memory each gradient of a backward pass is in.
#[derive(Debug, Default)]
pub(crate) struct GradientMemory {
    /// By storage: the place of its gradient's memory among all. Those that stay have their storage's own number, those that are
    /// handed on share numbers behind these.
    pub(crate) places: Vec<usize>,
    /// Floats of each memory; `None` where there is none.
    pub(crate) lens: Vec<Option<usize>>,
}

impl GradientMemory {
    /// A gradient lives from the step that first writes it, among `flows` from last to first, to the one that made its value;
    /// then its memory is another's. Of those that are `needed`, those that `stay` are left alone: they are read after the pass or
    /// written before it.
    pub(crate) fn assign(plan: &Plan, flows: &[Flow], needed: &[bool], stay: &[bool]) -> Self {
        let own = plan.storages.len();
        let mut places: Vec<usize> = (0..own).collect();
        let mut arena = Arena::default();
        for (step, flow) in plan.steps.iter().zip(flows).rev() {
            for (&bottom, &want) in step.bottoms.iter().zip(&flow.bottoms) {
                let storage = plan.storage(bottom);
                if want == Want::First && !stay[storage] {
                    places[storage] = own + arena.take(plan.storages[storage]);
                }
            }
            for &top in &step.tops {
                if let Some(shared) = places[plan.storage(top)].checked_sub(own) {
                    arena.give_back(shared);
                }
            }
        }
        let alone = (0..own).map(|at| (needed[at] && places[at] == at).then_some(plan.storages[at]));
        let lens = alone.chain(arena.lens.iter().copied().map(Some)).collect();
        Self { places, lens }
    }
}

/// Gives every value a buffer.
pub(super) fn assign(net: &Net, plan: &mut Plan) {
    let last_use = last_uses(plan);
    let mut arena = Arena::default();
    for value in 0..plan.values.len() {
        if plan.values[value].root == value && plan.values[value].pinned {
            plan.values[value].storage = arena.add(plan.values[value].capacity);
        }
    }
    for at in 0..plan.steps.len() {
        for place in 0..plan.steps[at].tops.len() {
            let step = &plan.steps[at];
            let top = step.tops[place];
            let storage = match overwritten(net, plan, &last_use, step, at, place) {
                Some(used_up) => arena.hand_on(plan.storage(used_up)),
                None => arena.take(plan.values[top].capacity),
            };
            plan.values[top].storage = storage;
        }
        let step = &plan.steps[at];
        let ends = |value: ValueId| last_use[plan.root(value)] == Some(at);
        for &value in step.bottoms.iter().chain(&step.tops) {
            if ends(value) {
                arena.give_back(plan.storage(value));
            }
        }
        arena.settle();
    }
    plan.storages = arena.lens;
}

/// Gives every value a buffer of its own, in the values' order.
pub(super) fn assign_each(plan: &mut Plan) {
    let mut arena = Arena::default();
    for (index, value) in plan.values.iter_mut().enumerate() {
        if value.root == index {
            value.storage = arena.add(value.capacity);
        }
    }
    plan.storages = arena.lens;
}

/// The last step that needs each root; `None` where it is needed after the pass.
fn last_uses(plan: &Plan) -> Vec<Option<usize>> {
    let mut last = vec![Some(0); plan.values.len()];
    for (at, step) in plan.steps.iter().enumerate() {
        for &value in step.bottoms.iter().chain(&step.tops).chain(&step.accumulate) {
            last[plan.root(value)] = Some(at);
        }
    }
    for (value, last) in plan.values.iter().zip(&mut last) {
        if value.kept || value.pinned {
            *last = None;
        }
    }
    last
}

/// The value that is used up by this step and in whose memory the top can be computed.
fn overwritten(
    net: &Net,
    plan: &Plan,
    last_use: &[Option<usize>],
    step: &Step,
    at: usize,
    place: usize,
) -> Option<ValueId> {
    if step.accumulate.is_some() {
        return step.accumulate;
    }
    let &bottom = step.bottoms.first().filter(|_| place == 0)?;
    let root = plan.root(bottom);
    let read_once = step.bottoms.iter().filter(|&&other| plan.root(other) == root).count() == 1;
    let in_place = layers::can_rewrite(&net.layers[step.layer].kind) && step.tops.len() == 1;
    (in_place && read_once && last_use[root] == Some(at)).then_some(bottom)
}

#[derive(Default)]
struct Arena {
    lens: Vec<usize>,
    free: Vec<usize>,
    /// Handed from a bottom to a top within the current step.
    handed: Vec<usize>,
}

impl Arena {
    fn add(&mut self, len: usize) -> usize {
        self.lens.push(len);
        self.lens.len() - 1
    }

    /// The shortest free buffer that is long enough, or the longest one made longer, or a new one.
    fn take(&mut self, len: usize) -> usize {
        let fitting = |&&storage: &&usize| self.lens[storage] >= len;
        let best = match self.free.iter().filter(fitting).min_by_key(|&&storage| self.lens[storage]) {
            Some(&storage) => Some(storage),
            None => self.free.iter().max_by_key(|&&storage| self.lens[storage]).copied(),
        };
        let Some(storage) = best else { return self.add(len) };
        self.free.retain(|&other| other != storage);
        self.lens[storage] = self.lens[storage].max(len);
        storage
    }

    fn hand_on(&mut self, storage: usize) -> usize {
        self.handed.push(storage);
        storage
    }

    fn give_back(&mut self, storage: usize) {
        if !self.free.contains(&storage) && !self.handed.contains(&storage) {
            self.free.push(storage);
        }
    }

    fn settle(&mut self) {
        self.handed.clear();
    }
}
