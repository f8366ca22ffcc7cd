//! Layers that are computed along with the one before them.

use caffe_proto::net::params::EltwiseOperation;
use caffe_proto::net::{Layer, LayerKind as K, Net};
use kernels::Activation;

use super::{Plan, Step, ValueId};
use crate::layers;

/// Folds BatchNorm, Scale and Bias into the parameters of the layer before them, and computes activations and the
/// addition of a shortcut while results are written: wherever nobody else reads, or keeps, the value in between.
pub(super) fn fuse(net: &Net, plan: &mut Plan) {
    let mut at = 0;
    while at < plan.steps.len() {
        let reads = Reads::new(plan);
        if fold(net, plan, &reads, at) || activate(net, plan, &reads, at) || add(net, plan, &reads, at) {
            plan.steps.remove(at);
        } else {
            at += 1;
        }
    }
}

/// Who makes and who reads each value's floats, by step.
struct Reads {
    maker: Vec<Option<usize>>,
    readers: Vec<Vec<usize>>,
}

impl Reads {
    fn new(plan: &Plan) -> Self {
        let mut reads =
            Self { maker: vec![None; plan.values.len()], readers: vec![Vec::new(); plan.values.len()] };
        for (index, step) in plan.steps.iter().enumerate() {
            for &value in step.bottoms.iter().chain(&step.accumulate) {
                reads.readers[plan.root(value)].push(index);
            }
            for &value in &step.tops {
                reads.maker[value] = Some(index);
            }
        }
        reads
    }

    /// The step that makes `value`, if step `reader` is all that ever sees it.
    fn only_for(&self, plan: &Plan, value: ValueId, reader: usize) -> Option<usize> {
        let root = plan.root(value);
        let unseen = self.readers[root] == [reader] && !plan.values[root].kept;
        self.maker[root].filter(|_| unseen)
    }
}

fn fold(net: &Net, plan: &mut Plan, reads: &Reads, at: usize) -> bool {
    let step = &plan.steps[at];
    let (index, top) = (step.layer, step.tops[0]);
    let layer = &net.layers[index];
    let (Some(maker), [bottom]) =
        (step.bottoms.first().and_then(|&value| reads.only_for(plan, value, at)), step.bottoms.as_slice())
    else {
        return false;
    };
    let host = &plan.steps[maker];
    let host_layer = &net.layers[host.layer];
    let made = &plan.values[host.tops[0]].shape;
    let fits = host.tops.len() == 1
        && host.activation == Activation::Identity
        && host.accumulate.is_none()
        && *made == plan.values[*bottom].shape
        && takes_channelwise(host_layer, made.len())
        && is_channelwise(layer, made.len());
    // A normalization on its own stays as it is unless a Scale or Bias makes it affine anyway.
    let worthwhile = !matches!(host_layer.kind, K::BatchNorm(_)) || !matches!(layer.kind, K::BatchNorm(_));
    if !fits || !worthwhile {
        return false;
    }
    let host = &mut plan.steps[maker];
    host.folded.push(index);
    host.tops = vec![top];
    true
}

fn activate(net: &Net, plan: &mut Plan, reads: &Reads, at: usize) -> bool {
    let step = &plan.steps[at];
    let (index, top) = (step.layer, step.tops[0]);
    let Some(activation) = layers::activation(&net.layers[index].kind) else { return false };
    let Some(maker) = reads.only_for(plan, step.bottoms[0], at) else { return false };
    let host = &mut plan.steps[maker];
    if !has_epilogue(&net.layers[host.layer]) || !is_plain(host) {
        return false;
    }
    host.activation = activation;
    host.fused.push(index);
    host.tops = vec![top];
    true
}

/// `Eltwise` sum of a product's result and a value that is used up by it: the product is added to that value in place.
fn add(net: &Net, plan: &mut Plan, reads: &Reads, at: usize) -> bool {
    let step = &plan.steps[at];
    let (index, top) = (step.layer, step.tops[0]);
    let K::Eltwise(params) = &net.layers[index].kind else { return false };
    // In place, Caffe's sum is another one.
    if net.layers[index].bottoms.contains(&net.layers[index].tops[0]) {
        return false;
    }
    let [first, second] = *step.bottoms.as_slice() else { return false };
    if params.operation != EltwiseOperation::Sum || params.coefficients.iter().any(|&factor| factor != 1.0) {
        return false;
    }
    let candidate = [(second, first), (first, second)].into_iter().find_map(|(product, other)| {
        let maker = reads.only_for(plan, product, at)?;
        let host = &plan.steps[maker];
        let root = plan.root(other);
        let value = &plan.values[root];
        // All that reads the other value must be over before the product begins, and its input be another one.
        let is_used_up = reads.readers[root].iter().all(|&reader| reader == at || reader < maker)
            && reads.readers[root].iter().filter(|&&reader| reader == at).count() == 1
            && reads.maker[root].is_some_and(|other_maker| other_maker < maker)
            && !value.kept
            && !value.pinned;
        (has_epilogue(&net.layers[host.layer]) && is_plain(host) && is_used_up).then_some((maker, other))
    });
    let Some((maker, other)) = candidate else { return false };
    let host = &mut plan.steps[maker];
    host.accumulate = Some(other);
    host.fused.push(index);
    host.tops = vec![top];
    true
}

/// Whether nothing is done to the step's one result yet that must stay the last thing.
fn is_plain(step: &Step) -> bool {
    let added_before = step.fused.len() == usize::from(step.accumulate.is_some());
    step.tops.len() == 1 && step.activation == Activation::Identity && added_before
}

fn has_epilogue(layer: &Layer) -> bool {
    matches!(
        layer.kind,
        K::Convolution(_) | K::DepthwiseConvolution(_) | K::Deconvolution(_) | K::InnerProduct(_)
    )
}

/// Whether a factor and a term for each entry of axis 1 of the result can go into the layer's parameters.
fn takes_channelwise(layer: &Layer, axes: usize) -> bool {
    match &layer.kind {
        K::Convolution(p) | K::DepthwiseConvolution(p) | K::Deconvolution(p) => {
            layers::axis(p.axis, axes) == 1
        }
        K::InnerProduct(p) => axes == 2 && p.axis == 1,
        K::BatchNorm(_) => layers::uses_stored_statistics(layer),
        _ => false,
    }
}

/// Whether the layer multiplies and adds stored numbers, one for each entry of axis 1.
fn is_channelwise(layer: &Layer, axes: usize) -> bool {
    match &layer.kind {
        K::BatchNorm(_) => layers::uses_stored_statistics(layer),
        K::Scale(p) | K::Bias(p) => {
            layer.bottoms.len() == 1
                && axes > 1
                && layers::axis(p.axis, axes) == 1
                && (p.num_axes == 1 || (p.num_axes == -1 && axes == 2))
        }
        _ => false,
    }
}
