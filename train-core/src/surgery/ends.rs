//! Where a net ends: its losses and outputs, and the scores that these go by.

use caffe_proto::net::LayerKind as K;

use super::graph::{Graph, Value};

/// The end of a net.
pub(super) struct Ends {
    /// Whether each layer is beyond the scores.
    pub(super) beyond: Vec<bool>,
    /// What could be scores, in the net's order.
    pub(super) scores: Vec<Scores>,
}

/// A value that an old loss or output went by.
#[derive(Clone, Debug)]
pub(super) struct Scores {
    pub(super) value: Value,
    pub(super) rank: Rank,
    /// The weight of the loss, 1 where there was none.
    pub(super) weight: f32,
    /// The loss that read it.
    pub(super) loss: Option<usize>,
    /// The Softmax that read it.
    pub(super) softmax: Option<usize>,
}

/// How likely a value is scores of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Nobody reads it.
    Unread,
    /// A loss of another kind reads it, or what only looks at it.
    Looked,
    /// A Softmax or a loss of classes reads it.
    Classes,
}

impl Ends {
    pub(super) fn of(graph: &Graph<'_>) -> Self {
        let beyond = beyond(graph);
        let mut scores: Vec<Scores> = Vec::new();
        for (index, layer) in graph.net.layers.iter().enumerate().filter(|&(index, _)| beyond[index]) {
            let rank = match layer.kind {
                K::Softmax { .. }
                | K::SoftmaxWithLoss(_)
                | K::MultinomialLogisticLoss
                | K::InfogainLoss(_)
                | K::HingeLoss { .. }
                | K::SigmoidCrossEntropyLoss(_) => Rank::Classes,
                _ => Rank::Looked,
            };
            let outside = |&&value: &&Value| !graph.is_given(value) && !beyond[value.0];
            for &value in graph.makers[index].iter().filter(outside) {
                let place = scores.iter().position(|scores| scores.value == value).unwrap_or_else(|| {
                    let new = Scores { value, rank, weight: 0.0, loss: None, softmax: None };
                    scores.push(new);
                    scores.len() - 1
                });
                let scores = &mut scores[place];
                scores.rank = scores.rank.max(rank);
                if layer.kind.is_loss() {
                    scores.loss = Some(index);
                    scores.weight = layer.loss_weight.first().copied().unwrap_or(1.0);
                }
                if matches!(layer.kind, K::Softmax { .. }) {
                    scores.softmax = Some(index);
                }
            }
        }
        for (index, layer) in graph.net.layers.iter().enumerate() {
            if beyond[index] || layer.is_given() || !graph.readers[index].is_empty() {
                continue;
            }
            let unread = (0..layer.tops.len()).map(|top| Scores {
                value: (index, top),
                rank: Rank::Unread,
                weight: 0.0,
                loss: None,
                softmax: None,
            });
            scores.extend(unread);
        }
        for scores in scores.iter_mut().filter(|scores| scores.loss.is_none()) {
            scores.weight = 1.0;
        }
        scores.sort_by_key(|scores| scores.value);
        Self { beyond, scores }
    }

    /// The likeliest of these scores: of equals the one whose loss counts most, of equals the last.
    pub(super) fn main<'s>(among: impl IntoIterator<Item = &'s Scores>) -> Option<&'s Scores> {
        among.into_iter().max_by(|a, b| {
            a.rank.cmp(&b.rank).then(a.weight.total_cmp(&b.weight)).then(a.value.cmp(&b.value))
        })
    }
}

fn beyond(graph: &Graph<'_>) -> Vec<bool> {
    let mut beyond = vec![false; graph.net.layers.len()];
    for (index, layer) in graph.net.layers.iter().enumerate().rev() {
        let only_ends = || graph.readers[index].iter().all(|&reader| beyond[reader]);
        beyond[index] = match layer.kind {
            K::Accuracy(_) | K::ArgMax(_) | K::Silence | K::Hdf5Output { .. } | K::DetectionOutput(_) => true,
            K::Softmax { .. } => {
                let ahead = graph.ahead(index);
                let mut ahead = graph.net.layers.iter().zip(ahead).filter(|(_, ahead)| *ahead);
                ahead.all(|(layer, _)| layer.params.is_empty() && !matches!(layer.kind, K::Unsupported(_)))
            }
            K::Sigmoid => only_ends(),
            ref kind => kind.is_loss(),
        };
    }
    // What comes behind an end is beyond it too.
    for index in 0..beyond.len() {
        let from_end = graph.makers[index].iter().any(|&(maker, _)| beyond[maker]);
        beyond[index] |= from_end;
    }
    beyond
}
