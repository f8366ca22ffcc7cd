//! What a net is made of: where images go in, what makes the scores, and what is changed to give it other heads.

use std::collections::BTreeSet;

use caffe_proto::net::{LayerKind as K, Net};
use caffe_proto::proto::NetParameter;

use super::assemble::{self, Operated, Parts};
use super::ends::{Ends, Scores};
use super::error::quoted;
use super::graph::{Graph, Value};
use super::phases::{self, InPhase};
use super::{Error, ImageInput, Result, Wish, input};
use crate::hooks::near;
use crate::run::Replaced;

/// A definition, taken apart.
pub struct Anatomy {
    definition: NetParameter,
    train: InPhase,
    test: InPhase,
    input: ImageInput,
}

/// Layers that lose their weights.
#[derive(Default)]
struct Anew {
    /// By place in the net, with their new number of outputs.
    replaced: Vec<(usize, usize)>,
    /// Layers whose weights fit no longer, as another's outputs are others.
    reset: BTreeSet<usize>,
    notes: Vec<String>,
}

impl Anatomy {
    /// Takes an upgraded definition apart: a deploy net, a training net, or one that was saved with its weights.
    ///
    /// # Errors
    /// When it cannot be built, or it is not clear where images go in.
    pub fn of(definition: &NetParameter) -> Result<Self> {
        let (definition, train, test) = phases::of(definition)?;
        let graph = Graph::new(&train.net);
        let ends = Ends::of(&graph);
        let main = Ends::main(&ends.scores).ok_or(Error::NoHead)?;
        let input = input::of(&graph, &test.net, &[main.value])?;
        Ok(Self { definition, train, test, input })
    }

    /// Where images go in.
    pub fn input(&self) -> &ImageInput {
        &self.input
    }

    /// The definition, without what only its last user needed.
    pub fn definition(&self) -> &NetParameter {
        &self.definition
    }

    /// The channels that images have by the first layer's weights, whose shapes `shape_of` tells by its name.
    pub fn channels_by_weights(&self, shape_of: &dyn Fn(&str) -> Option<Vec<usize>>) -> Option<usize> {
        input::channels_by_weights(&Graph::new(&self.train.net), &self.input.blob, shape_of)
    }

    /// The net that `wish` asks for; `has_weights` tells for which layers there are any.
    ///
    /// # Errors
    /// When a layer is not there or cannot be replaced, or it is not clear which is to be.
    pub fn operate(&self, wish: &Wish, has_weights: &dyn Fn(&str) -> bool) -> Result<Operated> {
        let graph = Graph::new(&self.train.net);
        let ends = Ends::of(&graph);
        let mut anew = self.replaced(wish, &graph)?;
        let heads = heads(&graph, &ends, &anew)?;
        let main = Ends::main(&heads).ok_or(Error::NoHead)?.clone();
        choose(&graph, &main, wish.classes, &mut anew)?;
        let values = heads.iter().map(|head| head.value).collect::<Vec<_>>();
        let kept = graph.behind(&values);
        spread(&graph, &kept, &mut anew);

        let test_graph = Graph::new(&self.test.net);
        let test_ends = Ends::of(&test_graph);
        let in_test = |head: &Scores| made_there(&test_graph, &test_ends, graph.blob(head.value));
        let test_values = heads.iter().filter_map(in_test).collect::<Vec<_>>();
        let main_in_test = in_test(&main);
        // A net that does not make the scores when it is tested is tested as it is trained.
        let (test, test_kept, deployed) = match main_in_test {
            Some(value) => (&self.test, test_graph.behind(&test_values), test_graph.behind(&[value])),
            None => (&self.train, kept.clone(), graph.behind(&[main.value])),
        };

        let name = |index: usize| graph.layer(index).name.clone();
        let replaced = anew.replaced.iter().map(|&(index, outputs)| Replaced {
            layer: name(index),
            outputs: outputs as u64,
            old_outputs: outputs_of(&graph.layer(index).kind).unwrap_or(0) as u64,
        });
        let replaced = replaced.collect::<Vec<_>>();
        let mut notes = std::mem::take(&mut anew.notes);
        notes.extend(left_out(&graph, &ends, &kept));
        let softmax = main.softmax.map(|index| graph.layer(index));
        let softmax = softmax.or_else(|| {
            let softmaxes = self.test.net.layers.iter();
            { softmaxes }.find(|layer| {
                matches!(layer.kind, K::Softmax { .. }) && layer.bottoms[0] == graph.blob(main.value)
            })
        });
        let heads = heads.iter().map(|head| assemble::Head {
            scores: graph.blob(head.value).to_owned(),
            loss: head.loss.map(name),
            weight: head.weight,
            is_main: head.value == main.value,
        });
        assemble::assemble(
            &Parts {
                definition: &self.definition,
                train: places(&self.train, &kept),
                test: places(test, &test_kept),
                deploy: places(test, &deployed),
                net: &self.train.net,
                input: &self.input,
                heads: heads.collect(),
                replaced,
                reset: anew.reset.iter().map(|&index| name(index)).collect(),
                softmax: softmax.map(|layer| (layer.name.clone(), layer.tops[0].clone())),
                notes,
            },
            wish,
            has_weights,
        )
    }

    fn replaced(&self, wish: &Wish, graph: &Graph<'_>) -> Result<Anew> {
        let mut anew = Anew::default();
        let names = |only_products: bool| {
            let layers = self.train.net.layers.iter();
            let layers = layers.filter(|layer| !only_products || outputs_of(&layer.kind).is_some());
            layers.map(|layer| layer.name.as_str()).collect::<Vec<_>>()
        };
        for replacement in &wish.replace {
            let layer = replacement.layer.clone();
            let found = self.train.net.layers.iter().position(|found| found.name == layer);
            let Some(index) = found else {
                return Err(Error::NoLayer { near: near(&layer, &names(true)), layer });
            };
            let kind = &graph.layer(index).kind;
            if outputs_of(kind).is_none() {
                let near = quoted(&some(&names(true)));
                return Err(Error::NoOutputs { layer, kind: graph.layer(index).type_name.clone(), near });
            }
            if replacement.outputs == 0 {
                return Err(Error::Replacement { layer, what: "it needs one output or more" });
            }
            if anew.replaced.iter().any(|&(other, _)| other == index) {
                return Err(Error::Replacement { layer, what: "it is named twice" });
            }
            anew.replaced.push((index, replacement.outputs));
        }
        Ok(anew)
    }
}

/// Which scores are learned by: those that replaced layers make, or else those that they lead to.
fn heads(graph: &Graph<'_>, ends: &Ends, anew: &Anew) -> Result<Vec<Scores>> {
    if anew.replaced.is_empty() {
        return Ok(Ends::main(&ends.scores).into_iter().cloned().collect());
    }
    let mut reached = vec![false; ends.scores.len()];
    for &(index, _) in &anew.replaced {
        let mut leads = false;
        for (scores, reached) in ends.scores.iter().zip(&mut reached) {
            if graph.behind(&[scores.value])[index] {
                (leads, *reached) = (true, true);
            }
        }
        if !leads {
            return Err(Error::LeadsNowhere { layer: graph.layer(index).name.clone() });
        }
    }
    let reached = ends.scores.iter().zip(reached).filter(|(_, reached)| *reached);
    let reached = reached.map(|(scores, _)| scores).collect::<Vec<_>>();
    let own = reached.iter().filter(|scores| {
        let products = graph.heads(scores.value).products;
        anew.replaced.iter().any(|(index, _)| products.contains(index))
    });
    let own = own.map(|&scores| scores.clone()).collect::<Vec<_>>();
    Ok(if own.is_empty() { Ends::main(reached).into_iter().cloned().collect() } else { own })
}

/// Replaces what makes the main scores when the data have another number of classes.
fn choose(graph: &Graph<'_>, main: &Scores, classes: usize, anew: &mut Anew) -> Result<()> {
    let heads = graph.heads(main.value);
    let is_replaced = |index: &usize| anew.replaced.iter().any(|(other, _)| other == index);
    if classes == 0 || heads.products.iter().any(is_replaced) {
        return Ok(());
    }
    let outputs = heads.products.iter().map(|&index| outputs_of(&graph.layer(index).kind).unwrap_or(0));
    let outputs = outputs.collect::<Vec<_>>();
    if !outputs.is_empty() && outputs.iter().all(|&outputs| outputs == classes) {
        return Ok(());
    }
    let &[index] = heads.products.as_slice() else {
        let names = heads.products.iter().map(|&index| graph.layer(index).name.clone()).collect::<Vec<_>>();
        let found = if names.is_empty() { "made by no product".to_owned() } else { quoted(&names) };
        return Err(Error::WhichHead { classes, scores: graph.blob(main.value).to_owned(), found });
    };
    anew.notes.push(format!(
        "`{}` is replaced, as the data have {classes} classes and it has {} outputs",
        graph.layer(index).name,
        outputs[0]
    ));
    anew.replaced.push((index, classes));
    Ok(())
}

/// Finds the layers whose weights do not fit any more.
fn spread(graph: &Graph<'_>, kept: &[bool], anew: &mut Anew) {
    let is_replaced = |index: usize, anew: &Anew| anew.replaced.iter().any(|&(other, _)| other == index);
    let mut open: Vec<usize> = Vec::new();
    for &(index, outputs) in &anew.replaced {
        if outputs_of(&graph.layer(index).kind) != Some(outputs) {
            open.extend(&graph.readers[index]);
        }
    }
    let mut seen = BTreeSet::new();
    while let Some(index) = open.pop() {
        if !kept[index] || !seen.insert(index) {
            continue;
        }
        let layer = graph.layer(index);
        if !layer.params.is_empty() && !is_replaced(index, anew) {
            anew.reset.insert(index);
        }
        if outputs_of(&layer.kind).is_none() {
            open.extend(&graph.readers[index]);
        }
    }
    if !anew.reset.is_empty() {
        let names = anew.reset.iter().map(|&index| graph.layer(index).name.clone()).collect::<Vec<_>>();
        anew.notes.push(format!("made anew too, as the inputs are others now: {}", quoted(&names)));
    }
}

/// What is not taken over, and why.
fn left_out(graph: &Graph<'_>, ends: &Ends, kept: &[bool]) -> Vec<String> {
    let named = |is_in: &dyn Fn(usize) -> bool| {
        let layers = (0..kept.len()).filter(|&index| is_in(index));
        let names = layers.map(|index| {
            let layer = graph.layer(index);
            format!("`{}` ({})", layer.name, layer.type_name)
        });
        names.collect::<Vec<_>>().join(", ")
    };
    let is_given = |index: usize| graph.layer(index).is_given();
    let data = named(&|index| is_given(index) && !matches!(graph.layer(index).kind, K::Input(_)));
    let old = named(&|index| ends.beyond[index] && !kept[index]);
    let apart = named(&|index| !ends.beyond[index] && !is_given(index) && !kept[index]);
    let told = [
        ("data come from --data; left out", data),
        ("left out, as the scores end the net now", old),
        ("left out, as they lead to no scores that are learned", apart),
    ];
    told.into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(why, names)| format!("{why}: {names}"))
        .collect()
}

/// The value that a blob of this name has before a net's end.
fn made_there(graph: &Graph<'_>, ends: &Ends, blob: &str) -> Option<Value> {
    let layers = graph.net.layers.iter().enumerate().rev().filter(|&(index, _)| !ends.beyond[index]);
    let mut made = layers
        .filter_map(|(index, layer)| layer.tops.iter().position(|top| top == blob).map(|top| (index, top)));
    made.next()
}

fn outputs_of(kind: &K) -> Option<usize> {
    match kind {
        K::InnerProduct(product) => Some(product.num_output),
        K::Convolution(conv) => Some(conv.num_output),
        _ => None,
    }
}

/// The definition's layers that are kept in a phase.
fn places(phase: &InPhase, kept: &[bool]) -> Vec<usize> {
    let is_source = |net: &Net, index: usize| net.layers[index].is_given();
    let kept = (0..kept.len()).filter(|&index| kept[index] && !is_source(&phase.net, index));
    kept.map(|index| phase.places[index]).collect()
}

/// The last few of many names: heads are at the end.
fn some(names: &[&str]) -> Vec<String> {
    const FEW: usize = 5;
    names.iter().rev().take(FEW).rev().map(|&name| name.to_owned()).collect()
}
