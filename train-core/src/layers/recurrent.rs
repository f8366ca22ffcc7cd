//! LSTM and RNN: Caffe unrolls them into nets, here they are loops.

use caffe_proto::net::params::RecurrentParams;
use kernels::{Activation, AxisGeometry, Buffer, CopyGeometry, Epilogue, InnerProductGeometry, LstmGeometry};

use super::count;
use super::frame::{Frame, Inputs, Make, Operation, free_form};
use super::inner_product::Linear;
use crate::error::Result;
use crate::plan::Step;

/// T×N×I, marks T×N[, N×S][, h, c 1×N×H] → T×N×H[, h, c].
pub(super) fn lstm(make: &Make<'_>, step: &Step, p: &RecurrentParams) -> Result<Box<dyn Operation>> {
    let sequence = Sequence::new(make, step, p, 2, 4)?;
    let geometry = LstmGeometry { batch: sequence.streams, hidden: sequence.hidden };
    let cell = make.backend.allocate((sequence.streams * sequence.hidden) as usize)?;
    Ok(Box::new(Lstm { sequence, geometry, cell }))
}

/// As [`lstm`], with h alone: h' = tanh(W_hh·h + W_xh·x + b_h), o = tanh(W_ho·h' + b_o).
pub(super) fn rnn(make: &Make<'_>, step: &Step, p: &RecurrentParams) -> Result<Box<dyn Operation>> {
    let sequence = Sequence::new(make, step, p, 1, 1)?;
    let first = make.shapes(step).params.len() - 2;
    let output = product(make, step, first, sequence.streams, sequence.hidden, sequence.hidden)?;
    let bias = make.param(step.layer, first + 1)?;
    let result = make.backend.allocate((sequence.streams * sequence.hidden) as usize)?;
    Ok(Box::new(Rnn { sequence, output, bias, result }))
}

/// c 1×N×H, gates 1×N×4H, marks 1×N → c, h.
pub(super) fn lstm_unit(make: &Make<'_>, step: &Step) -> Result<Box<dyn Operation>> {
    let bottom = &make.shapes(step).bottoms[0];
    let geometry = LstmGeometry { batch: bottom[1] as u32, hidden: bottom[2] as u32 };
    let len = count(bottom);
    let copy = CopyGeometry::concat(1, len, 1, 0, len);
    Ok(free_form(move |frame| {
        frame.produce_two(|inputs, c, h| {
            inputs.backend.transform_tensor(&copy, inputs.get(0), c)?;
            inputs.backend.lstm_unit_forward(&geometry, inputs.get(1), inputs.get(2), c, h)
        })
    }))
}

/// What both kinds have: the input's share of all gates, computed for all steps at once, and the state's, step by step.
struct Sequence {
    steps: u32,
    streams: u32,
    hidden: u32,
    /// Width of a step's sums.
    width: u32,
    input: Linear,
    input_bias: Buffer,
    fixed: Option<Linear>,
    recurrent: Linear,
    /// T×N×width.
    shares: Buffer,
    /// N×width: the static input's share.
    fixed_share: Buffer,
    /// N×width: one step's sums.
    sums: Buffer,
    /// N: one step's marks.
    marks: Buffer,
    /// N×H: the state, which the next pass goes on from unless its marks say otherwise (recurrent_layer.cpp).
    state: Buffer,
    /// N×H: the state where a sequence goes on, 0 where one begins.
    carried: Buffer,
    /// The bottom that has the first state, if the net gives it.
    first_state: Option<usize>,
}

struct Lstm {
    sequence: Sequence,
    geometry: LstmGeometry,
    /// N×H.
    cell: Buffer,
}

struct Rnn {
    sequence: Sequence,
    output: Linear,
    bias: Buffer,
    /// N×H: one step's output.
    result: Buffer,
}

impl Operation for Lstm {
    fn workspace_len(&self) -> usize {
        self.sequence.workspace_len()
    }

    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let Self { sequence, geometry, cell } = self;
        frame.produce(0, |inputs, top, workspace| {
            sequence.begin(inputs, workspace)?;
            if let Some(first) = sequence.first_state {
                sequence.copy_state(inputs, inputs.get(first + 1), cell)?;
            }
            for at in 0..sequence.steps {
                sequence.sum(inputs, at, workspace)?;
                let (sums, marks) = (&sequence.sums, &sequence.marks);
                inputs.backend.lstm_unit_forward(geometry, sums, marks, cell, &mut sequence.state)?;
                sequence.store(inputs, at, &sequence.state, top)?;
            }
            Ok(())
        })?;
        if frame.step.tops.len() > 1 {
            frame.produce(1, |inputs, top, _| sequence.copy_state(inputs, &sequence.state, top))?;
            frame.produce(2, |inputs, top, _| sequence.copy_state(inputs, cell, top))?;
        }
        Ok(())
    }
}

impl Operation for Rnn {
    fn workspace_len(&self) -> usize {
        self.sequence.workspace_len().max(self.output.workspace_len())
    }

    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let Self { sequence, output, bias, result } = self;
        let width = (sequence.streams * sequence.hidden) as usize;
        frame.produce(0, |inputs, top, workspace| {
            sequence.begin(inputs, workspace)?;
            for at in 0..sequence.steps {
                sequence.sum(inputs, at, workspace)?;
                inputs.backend.activation_forward(
                    Activation::Tanh,
                    width,
                    Some(&sequence.sums),
                    &mut sequence.state,
                )?;
                let epilogue = Epilogue { bias: Some(bias), accumulate: false, activation: Activation::Tanh };
                output.forward(inputs.backend, &sequence.state, &epilogue, result, workspace)?;
                sequence.store(inputs, at, result, top)?;
            }
            Ok(())
        })?;
        if frame.step.tops.len() > 1 {
            frame.produce(1, |inputs, top, _| sequence.copy_state(inputs, &sequence.state, top))?;
        }
        Ok(())
    }
}

impl Sequence {
    fn new(make: &Make<'_>, step: &Step, p: &RecurrentParams, states: usize, gates: usize) -> Result<Self> {
        let shapes = make.shapes(step);
        let bottom = &shapes.bottoms[0];
        let (steps, streams) = (bottom[0] as u32, bottom[1] as u32);
        let (hidden, width) = (p.num_output as u32, (p.num_output * gates) as u32);
        let is_fixed = p.has_static_input(shapes.bottoms.len(), states);
        let fixed = if is_fixed {
            Some(product(make, step, 2, streams, count(&shapes.bottoms[2][1..]), width)?)
        } else {
            None
        };
        let allocate = |len: u32| make.backend.allocate(len as usize);
        Ok(Self {
            steps,
            streams,
            hidden,
            width,
            input: product(make, step, 0, steps * streams, count(&bottom[2..]), width)?,
            input_bias: make.param(step.layer, 1)?,
            fixed,
            recurrent: product(make, step, 2 + usize::from(is_fixed), streams, hidden, width)?,
            shares: allocate(steps * streams * width)?,
            fixed_share: allocate(streams * width)?,
            sums: allocate(streams * width)?,
            marks: allocate(streams)?,
            state: allocate(streams * hidden)?,
            carried: allocate(streams * hidden)?,
            first_state: p.expose_hidden.then_some(2 + usize::from(is_fixed)),
        })
    }

    fn workspace_len(&self) -> usize {
        let fixed = self.fixed.as_ref().map_or(0, Linear::workspace_len);
        self.input.workspace_len().max(self.recurrent.workspace_len()).max(fixed)
    }

    /// The shares of what does not depend on the state.
    fn begin(&mut self, inputs: &Inputs<'_>, workspace: &mut Buffer) -> kernels::Result<()> {
        let epilogue = Epilogue { bias: Some(&self.input_bias), ..Epilogue::default() };
        self.input.forward(inputs.backend, inputs.get(0), &epilogue, &mut self.shares, workspace)?;
        if let Some(fixed) = &self.fixed {
            let epilogue = Epilogue::default();
            fixed.forward(inputs.backend, inputs.get(2), &epilogue, &mut self.fixed_share, workspace)?;
        }
        if let Some(first) = self.first_state {
            let len = self.streams * self.hidden;
            let copy = CopyGeometry::concat(1, len, 1, 0, len);
            inputs.backend.transform_tensor(&copy, inputs.get(first), &mut self.state)?;
        }
        Ok(())
    }

    /// The sums of step `at`, and its marks.
    fn sum(&mut self, inputs: &Inputs<'_>, at: u32, workspace: &mut Buffer) -> kernels::Result<()> {
        let Self { steps, streams, hidden, width, .. } = *self;
        let backend = inputs.backend;
        let row = |len: u32| CopyGeometry::slice(1, steps * len, 1, at * len, len);
        backend.transform_tensor(&row(streams), inputs.get(1), &mut self.marks)?;
        let by_stream = AxisGeometry { outer: 1, axis: streams, inner: hidden };
        backend.scale_forward(&by_stream, Some(&self.state), Some(&self.marks), None, &mut self.carried)?;
        let product = |y: &mut Buffer, accumulate, workspace: &mut Buffer| {
            let epilogue = Epilogue { accumulate, ..Epilogue::default() };
            self.recurrent.forward(backend, &self.carried, &epilogue, y, workspace)
        };
        backend.transform_tensor(&row(streams * width), &self.shares, &mut self.sums)?;
        product(&mut self.sums, true, workspace)?;
        if self.fixed.is_some() {
            // Plus the static share: as a term for each entry of the whole array.
            let all = AxisGeometry { outer: 1, axis: streams * width, inner: 1 };
            backend.scale_forward(&all, None, None, Some(&self.fixed_share), &mut self.sums)?;
        }
        Ok(())
    }

    fn store(&self, inputs: &Inputs<'_>, at: u32, from: &Buffer, top: &mut Buffer) -> kernels::Result<()> {
        let len = self.streams * self.hidden;
        let row = CopyGeometry::concat(1, self.steps * len, 1, at * len, len);
        inputs.backend.transform_tensor(&row, from, top)
    }

    fn copy_state(&self, inputs: &Inputs<'_>, from: &Buffer, to: &mut Buffer) -> kernels::Result<()> {
        let len = self.streams * self.hidden;
        inputs.backend.transform_tensor(&CopyGeometry::concat(1, len, 1, 0, len), from, to)
    }
}

/// The product with parameter `index`, outputs×inputs.
fn product(
    make: &Make<'_>,
    step: &Step,
    index: usize,
    batch: u32,
    inputs: u32,
    outputs: u32,
) -> Result<Linear> {
    let geometry = InnerProductGeometry { batch, inputs, outputs, transpose: false };
    let weights = make.matrix(step.layer, index)?;
    Ok(Linear::new(make.backend, geometry, weights))
}
