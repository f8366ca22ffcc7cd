//! Layers that go through time, unrolled: ONNX's own have no marks of where a sequence goes on.

use caffe_proto::net::params::RecurrentParams;

use super::super::attribute::{flag, int};
use super::super::extent::Extent;
use super::super::step::{Fault, Made, Step, fixed};
use crate::source::Permuted;

/// A file with more would be all nodes.
const MOST_STEPS: usize = 4096;

pub(super) fn lstm(step: &mut Step<'_>, p: &RecurrentParams) -> Made {
    let sequence = Sequence::new(step, p, 4, 2)?;
    let weight = transposed(step, if sequence.has_static { 3 } else { 2 });
    let (mut hidden, mut cell) = (sequence.states.first().cloned(), sequence.states.get(1).cloned());
    let mut all = Vec::new();
    for (input, mark) in sequence.inputs.iter().zip(&sequence.marks) {
        let gates = recur(step, input, mark, hidden.as_deref(), &weight);
        let [next_cell, next_hidden] = unit(step, &gates, mark, cell.as_deref());
        all.push(next_hidden.clone());
        (cell, hidden) = (Some(next_cell), Some(next_hidden));
    }
    let mut tops = vec![in_time(step, &all)];
    tops.extend([hidden, cell].into_iter().flatten());
    Ok(tops)
}

pub(super) fn rnn(step: &mut Step<'_>, p: &RecurrentParams) -> Made {
    let sequence = Sequence::new(step, p, 1, 1)?;
    let first = if sequence.has_static { 3 } else { 2 };
    let weight = transposed(step, first);
    let mut hidden = sequence.states.first().cloned();
    let mut all = Vec::new();
    for (input, mark) in sequence.inputs.iter().zip(&sequence.marks) {
        let sum = recur(step, input, mark, hidden.as_deref(), &weight);
        let next = step.node("Tanh", &[&sum], Vec::new());
        all.push(next.clone());
        hidden = Some(next);
    }
    let states = in_time(step, &all);
    let (weight, bias) = (transposed(step, first + 1), step.param(first + 2));
    let value = step.node("MatMul", &[&states, &weight], Vec::new());
    let value = step.node("Add", &[&value, &bias], Vec::new());
    let mut tops = vec![step.node("Tanh", &[&value], Vec::new())];
    tops.extend(hidden);
    Ok(tops)
}

/// One step: the cell, the gates and the marks → the cell and the hidden state.
pub(super) fn lstm_unit(step: &mut Step<'_>) -> Made {
    let [cell, gates, marks] = [0, 1, 2].map(|bottom| step.bottoms[bottom].clone());
    let places = step.ints(&[2]);
    let marks = step.node("Unsqueeze", &[&marks, &places], Vec::new());
    Ok(unit(step, &gates, &marks, Some(&cell)).to_vec())
}

/// What a recurrent layer reads, step by step: 1×N×… each.
struct Sequence {
    /// The part of the gates that the state has nothing to do with.
    inputs: Vec<String>,
    marks: Vec<String>,
    /// The states to begin with; none are zeros.
    states: Vec<String>,
    has_static: bool,
}

impl Sequence {
    fn new(step: &mut Step<'_>, p: &RecurrentParams, gates: usize, states: usize) -> Result<Self, Fault> {
        let around = step.around;
        let has_static = p.has_static_input(step.bottoms.len(), states);
        let time = fixed(around.bottoms[0][0])?;
        let samples = fixed(around.bottoms[0][1])?;
        let width = gates * p.num_output;
        if !(1..=MOST_STEPS).contains(&time) {
            return Err(Fault::Refused(format!(
                "{time} steps of time, and 1 to {MOST_STEPS} can be unrolled"
            )));
        }

        let bottom = step.bottom();
        let flat = step.node("Flatten", &[&bottom], vec![int("axis", 2)]);
        let (weight, bias) = (step.param(0), step.param(1));
        let value = step.node("Gemm", &[&flat, &weight, &bias], vec![flag("transB", true)]);
        let [rows, time_, samples_, width_] = [time * samples, time, samples, width].map(Extent::Fixed);
        let mut value = step.reshape(&value, &[rows, width_], &[time_, samples_, width_])?;
        if has_static {
            let still = step.bottoms[2].clone();
            let still = step.node("Flatten", &[&still], vec![int("axis", 1)]);
            let weight = step.param(2);
            let still = step.node("Gemm", &[&still, &weight], vec![flag("transB", true)]);
            value = step.node("Add", &[&value, &still], Vec::new());
        }
        let marks = step.bottoms[1].clone();
        let places = step.ints(&[2]);
        let marks = step.node("Unsqueeze", &[&marks, &places], Vec::new());
        let first = 2 + usize::from(has_static);
        Ok(Self {
            inputs: steps(step, value, time),
            marks: steps(step, marks, time),
            states: step.bottoms.get(first..).unwrap_or_default().to_vec(),
            has_static,
        })
    }
}

/// A parameter with rows and columns changed.
fn transposed(step: &mut Step<'_>, index: usize) -> String {
    let param = &mut step.params[index];
    let [rows, columns] = [param.shape[0], param.shape[1]];
    let values = Permuted::transposed(4, rows, columns, param.values.clone());
    let name = format!("{}/transposed", param.name);
    step.graph.weight(&name, &[columns, rows], &values)
}

/// A value cut along its first axis.
fn steps(step: &mut Step<'_>, value: String, time: usize) -> Vec<String> {
    if time == 1 {
        return vec![value];
    }
    let sizes = step.ints(&vec![1; time]);
    step.nodes("Split", &[&value, &sizes], vec![int("axis", 0)], time)
}

/// The steps, one after the other.
fn in_time(step: &mut Step<'_>, all: &[String]) -> String {
    let all = all.iter().map(String::as_str).collect::<Vec<_>>();
    step.node("Concat", &all, vec![int("axis", 0)])
}

/// The input plus what comes of the state, where the sequence goes on.
fn recur(step: &mut Step<'_>, input: &str, mark: &str, state: Option<&str>, weight: &str) -> String {
    let Some(state) = state else { return input.to_owned() };
    let state = step.node("Mul", &[state, mark], Vec::new());
    let state = step.node("MatMul", &[&state, weight], Vec::new());
    step.node("Add", &[input, &state], Vec::new())
}

/// The cell and the hidden state after gates of input, forgetting, output and content.
fn unit(step: &mut Step<'_>, gates: &str, mark: &str, cell: Option<&str>) -> [String; 2] {
    let parts = step.nodes("Split", &[gates], vec![int("axis", 2), int("num_outputs", 4)], 4);
    let [input, forget, output] = [0, 1, 2].map(|gate| step.node("Sigmoid", &[&parts[gate]], Vec::new()));
    let content = step.node("Tanh", &[&parts[3]], Vec::new());
    let mut next = step.node("Mul", &[&input, &content], Vec::new());
    if let Some(cell) = cell {
        let kept = step.node("Mul", &[&forget, mark], Vec::new());
        let kept = step.node("Mul", &[&kept, cell], Vec::new());
        next = step.node("Add", &[&kept, &next], Vec::new());
    }
    let shown = step.node("Tanh", &[&next], Vec::new());
    let hidden = step.node("Mul", &[&output, &shown], Vec::new());
    [next, hidden]
}
