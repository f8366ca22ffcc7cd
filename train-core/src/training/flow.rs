//! Which gradients are computed, and in which order they meet.

use caffe_proto::net::{LayerKind as K, Net};

use crate::error::{Error, Refusal, Result};
use crate::layers::{self, Flow, Want};
use crate::plan::{Plan, Step};

/// What a backward pass does, step by step; steps that it does not reach want nothing.
#[derive(Debug, Default)]
pub(super) struct Flows {
    /// One a step.
    pub(super) steps: Vec<Flow>,
    /// The storages that need memory for a gradient.
    pub(super) diffs: Vec<bool>,
    /// Those whose gradient no step writes, or is there before the first: it stays as it is.
    pub(super) given: Vec<bool>,
}

/// What flows follow from.
pub(super) struct Wanted<'a> {
    /// The storages whose gradients are there before the first step: of losses, and those that whoever trains gives.
    pub(super) sources: &'a [usize],
    /// Whether each storage is a parameter that learns.
    pub(super) learns: &'a [bool],
    /// Whether the gradients of the net's inputs are wanted.
    pub(super) inputs: bool,
    /// The layers, by index, that are held as they are.
    pub(super) frozen: &'a [bool],
}

impl Flows {
    /// Which gradients lead from the sources to what learns: none below the lowest layer that learns, none past
    /// `propagate_down: false`. A value that several layers read has the sum of their gradients, as behind Caffe's Split.
    ///
    /// # Errors
    /// [`Error::CannotTrain`] with every layer in the way of one.
    pub(super) fn new(net: &Net, plan: &Plan, wanted: &Wanted<'_>) -> Result<Self> {
        let needs = needs(net, plan, wanted);
        let is_input = is_input(plan);
        let mut flows = Self::nowhere(plan);
        let mut written = vec![false; plan.storages.len()];
        let mut refused: Vec<Refusal> = Vec::new();
        for &source in wanted.sources {
            (flows.diffs[source], written[source]) = (true, true);
        }
        for (step, flow) in plan.steps.iter().zip(&mut flows.steps).rev() {
            let layer = &net.layers[step.layer];
            if !step.tops.iter().any(|&top| written[plan.storage(top)]) {
                continue;
            }
            let mut refuse = |why| {
                let (name, kind) = (layer.name.clone(), layer.type_name.clone());
                if refused.iter().all(|refusal| refusal.layer != name) {
                    refused.push(Refusal { layer: name, kind, why });
                }
            };
            for (index, &bottom) in step.bottoms.iter().enumerate() {
                let storage = plan.storage(bottom);
                let mut want = Want::Nothing;
                if needs[storage] && passes(net, step, index) {
                    match layers::gradient_refusal(layer, Some(index)) {
                        None => want = if written[storage] { Want::More } else { Want::First },
                        // Labels: an input's gradient is a wish, not a need.
                        Some(_) if is_input[storage] => {}
                        Some(why) => refuse(why),
                    }
                }
                if want != Want::Nothing {
                    flows.given[storage] &= want != Want::First;
                    (flows.diffs[storage], written[storage]) = (true, true);
                }
                flow.bottoms.push(want);
            }
            for &param in &step.params {
                let learns = wanted.learns[plan.storage(param)] && !wanted.frozen[step.layer];
                if learns && let Some(why) = layers::gradient_refusal(layer, None) {
                    refuse(why);
                }
                flow.params.push(if learns { Want::More } else { Want::Nothing });
            }
            if flow.bottoms.iter().chain(&flow.params).any(|&want| want != Want::Nothing) {
                step.tops.iter().for_each(|&top| flows.diffs[plan.storage(top)] = true);
            } else {
                *flow = Flow::default();
            }
        }
        if !refused.is_empty() {
            refused.reverse();
            return Err(Error::CannotTrain(refused));
        }
        for (storage, &learns) in wanted.learns.iter().enumerate() {
            flows.diffs[storage] |= learns;
        }
        Ok(flows)
    }

    /// No gradient of anything.
    pub(super) fn nowhere(plan: &Plan) -> Self {
        Self {
            steps: vec![Flow::default(); plan.steps.len()],
            diffs: vec![false; plan.storages.len()],
            given: vec![true; plan.storages.len()],
        }
    }

    /// Whether a step computes a gradient.
    pub(super) fn reaches(&self, step: usize) -> bool {
        !self.steps[step].bottoms.is_empty() || !self.steps[step].params.is_empty()
    }
}

/// Whether each storage follows from something that learns.
fn needs(net: &Net, plan: &Plan, wanted: &Wanted<'_>) -> Vec<bool> {
    let mut needs = vec![false; plan.storages.len()];
    if wanted.inputs {
        needs = is_input(plan);
    }
    for step in &plan.steps {
        let learns =
            !wanted.frozen[step.layer] && step.params.iter().any(|&param| wanted.learns[plan.storage(param)]);
        let mut bottoms = step.bottoms.iter().enumerate();
        if learns || bottoms.any(|(index, &bottom)| needs[plan.storage(bottom)] && passes(net, step, index)) {
            step.tops.iter().for_each(|&top| needs[plan.storage(top)] = true);
        }
    }
    needs
}

fn is_input(plan: &Plan) -> Vec<bool> {
    let mut is_input = vec![false; plan.storages.len()];
    plan.inputs.iter().for_each(|&(_, input)| is_input[plan.storage(input)] = true);
    is_input
}

/// Whether the definition lets a gradient go on to a bottom.
fn passes(net: &Net, step: &Step, bottom: usize) -> bool {
    let layer = &net.layers[step.layer];
    // The places of maxima that an Upsample goes by, and the shape that a Crop goes by, have no part in it.
    let is_guide = matches!(layer.kind, K::Crop(_) | K::Upsample(_)) && bottom == 1;
    !is_guide && layer.propagate_down.get(bottom).copied().unwrap_or(true)
}
