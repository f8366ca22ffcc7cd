//! LSTM and RNN: Caffe unrolls them into nets, here they are loops.

use caffe_proto::net::params::RecurrentParams;
use kernels::{
    Activation, AxisGeometry, Backend, Buffer, CopyGeometry, Epilogue, InnerProductGeometry, LstmGeometry,
};

use super::count;
use super::frame::{Frame, Inputs, Of, Operation, Weight, with_gradient};
use super::inner_product::Linear;
use super::make::Make;
use crate::error::Result;
use crate::plan::Step;

/// T×N×I, marks T×N[, N×S][, h, c 1×N×H] → T×N×H[, h, c].
pub(super) fn lstm(make: &Make<'_>, step: &Step, p: &RecurrentParams) -> Result<Box<dyn Operation>> {
    let sequence = Sequence::new(make, step, p, 2, 4)?;
    let geometry = LstmGeometry { batch: sequence.streams, hidden: sequence.hidden };
    let state = (sequence.streams * sequence.hidden) as usize;
    let all = if make.training { state * sequence.steps as usize } else { 0 };
    Ok(Box::new(Lstm {
        geometry,
        cell: make.backend.allocate(state)?,
        cells: make.backend.allocate(all)?,
        cell_gradient: make.backend.allocate(if all > 0 { state } else { 0 })?,
        sequence,
    }))
}

/// As [`lstm`], with h alone: h' = tanh(W_hh·h + W_xh·x + b_h), o = tanh(W_ho·h' + b_o).
pub(super) fn rnn(make: &Make<'_>, step: &Step, p: &RecurrentParams) -> Result<Box<dyn Operation>> {
    let sequence = Sequence::new(make, step, p, 1, 1)?;
    let first = make.shapes(step).params.len() - 2;
    let output = product(make, step, first, sequence.streams, sequence.hidden, sequence.hidden)?;
    let bias = make.weight(step.layer, first + 1)?;
    let state = (sequence.streams * sequence.hidden) as usize;
    let all = if make.training { state * sequence.steps as usize } else { 0 };
    Ok(Box::new(Rnn {
        output,
        bias,
        first,
        result: make.backend.allocate(state)?,
        states: make.backend.allocate(all)?,
        output_gradients: make.backend.allocate(all)?,
        state_gradients: make.backend.allocate(all)?,
        sequence,
    }))
}

/// c 1×N×H, gates 1×N×4H, marks 1×N → c, h.
pub(super) fn lstm_unit(make: &Make<'_>, step: &Step) -> Result<Box<dyn Operation>> {
    let bottom = &make.shapes(step).bottoms[0];
    let geometry = LstmGeometry { batch: bottom[1] as u32, hidden: bottom[2] as u32 };
    let len = count(bottom);
    let copy = CopyGeometry::concat(1, len, 1, 0, len);
    let gradients = |len: u32| make.backend.allocate(if make.training { len as usize } else { 0 });
    Ok(with_gradient(
        (gradients(len)?, gradients(4 * len)?),
        move |_, frame| {
            frame.produce_two(|inputs, c, h| {
                inputs.backend.transform_tensor(&copy, inputs.get(0), c)?;
                inputs.backend.lstm_unit_forward(&geometry, inputs.get(1), inputs.get(2), c, h)
            })
        },
        move |(dc, dgates), frame| {
            let inputs = frame.inputs();
            inputs.backend.transform_tensor(&copy, inputs.top_gradient(0), dc)?;
            let (c, gates, marks, dh) = (inputs.get(0), inputs.get(1), inputs.get(2), inputs.top_gradient(1));
            inputs.backend.lstm_unit_backward(&geometry, gates, marks, c, dh, dc, dgates)?;
            frame.overwrite(Of::Bottom(0), |inputs, dx| inputs.copy(dc, dx))?;
            frame.overwrite(Of::Bottom(1), |inputs, dx| inputs.copy(dgates, dx))
        },
    ))
}

/// What both kinds have: the input's share of all gates, computed for all steps at once, and the state's, step by step.
struct Sequence {
    steps: u32,
    streams: u32,
    hidden: u32,
    /// Width of a step's sums.
    width: u32,
    input: Linear,
    input_bias: Weight,
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
    /// What is kept for the backward pass, in training.
    record: Record,
}

/// What a sequence keeps of its forward pass, and where its gradients are computed. Empty but in training.
struct Record {
    /// T×N×width: every step's sums.
    sums: Buffer,
    /// T×N×H: every state that went into a step.
    carried: Buffer,
    /// T×N×width: the gradient of the sums.
    gradients: Buffer,
    /// N×width: one step's, and of all steps together.
    gradient: Buffer,
    total: Buffer,
    /// N×H: the gradient of the state after a step, and of what went into it.
    state: Buffer,
    state_before: Buffer,
    /// N×H: whatever is taken out of the arrays of all steps.
    row: Buffer,
    workspace: Buffer,
}

struct Lstm {
    sequence: Sequence,
    geometry: LstmGeometry,
    /// N×H.
    cell: Buffer,
    /// T×N×H, in training: the cells before each step.
    cells: Buffer,
    /// N×H, in training.
    cell_gradient: Buffer,
}

struct Rnn {
    sequence: Sequence,
    output: Linear,
    bias: Weight,
    /// Where the output's parameters are among the layer's.
    first: usize,
    /// N×H: one step's output.
    result: Buffer,
    /// T×N×H, in training: the states.
    states: Buffer,
    /// T×N×H, in training: the gradients of the outputs' sums, and of the states.
    output_gradients: Buffer,
    state_gradients: Buffer,
}

impl Operation for Lstm {
    fn workspace_len(&self) -> usize {
        self.sequence.workspace_len()
    }

    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let Self { sequence, geometry, cell, cells, .. } = self;
        let state = (sequence.streams * sequence.hidden) as usize;
        frame.produce(0, |inputs, top, workspace| {
            sequence.begin(inputs, workspace)?;
            if let Some(first) = sequence.first_state {
                sequence.copy_state(inputs, inputs.get(first + 1), cell)?;
            }
            for at in 0..sequence.steps {
                sequence.sum(inputs, at, workspace)?;
                sequence.keep(inputs, at)?;
                if !cells.is_empty() {
                    put_row(inputs.backend, sequence.steps, at, cell, cells, state)?;
                }
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

    fn backward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let Self { sequence, geometry, cells, cell_gradient, .. } = self;
        let state = (sequence.streams * sequence.hidden) as usize;
        let inputs = frame.inputs();
        let backend = inputs.backend;
        if sequence.first_state.is_some() {
            sequence.copy_state(&inputs, inputs.top_gradient(2), cell_gradient)?;
        } else {
            backend.fill(cell_gradient, state, 0.0)?;
        }
        sequence.begin_backward(&inputs)?;
        for at in (0..sequence.steps).rev() {
            sequence.recall(&inputs, at)?;
            let Sequence { steps, sums, marks, record, .. } = &mut *sequence;
            let Record { state: dh, gradient, row, .. } = record;
            take_row(backend, *steps, at, inputs.top_gradient(0), row, state)?;
            backend.axpy(1.0, state, row, dh)?;
            take_row(backend, *steps, at, cells, row, state)?;
            backend.lstm_unit_backward(geometry, sums, marks, row, dh, cell_gradient, gradient)?;
            sequence.step_backward(&inputs, at)?;
        }
        sequence.finish_backward(frame)?;
        match sequence.first_state {
            Some(first) => {
                frame.overwrite(Of::Bottom(first + 1), |inputs, dx| inputs.copy(cell_gradient, dx))
            }
            None => Ok(()),
        }
    }
}

impl Operation for Rnn {
    fn workspace_len(&self) -> usize {
        self.sequence.workspace_len().max(self.output.workspace_len())
    }

    fn forward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let Self { sequence, output, bias, result, states, .. } = self;
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
                sequence.keep(inputs, at)?;
                if !states.is_empty() {
                    put_row(inputs.backend, sequence.steps, at, &sequence.state, states, width)?;
                }
                let bias = Some(bias.get(inputs));
                let epilogue = Epilogue { bias, accumulate: false, activation: Activation::Tanh };
                output.forward(inputs, &sequence.state, &epilogue, result, workspace)?;
                sequence.store(inputs, at, result, top)?;
            }
            Ok(())
        })?;
        if frame.step.tops.len() > 1 {
            frame.produce(1, |inputs, top, _| sequence.copy_state(inputs, &sequence.state, top))?;
        }
        Ok(())
    }

    fn backward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let Self { sequence, output, first, states, output_gradients, state_gradients, .. } = self;
        let state = (sequence.streams * sequence.hidden) as usize;
        let (rows, all) = (sequence.steps * sequence.streams, states.len());
        let inputs = frame.inputs();
        let backend = inputs.backend;
        let (y, dy) = (Some(inputs.top(0)), Some(inputs.top_gradient(0)));
        backend.activation_backward(Activation::Tanh, all, y, dy, output_gradients)?;
        let workspace = &mut sequence.record.workspace;
        output.backward_data(&inputs, rows, output_gradients, false, state_gradients, workspace)?;
        sequence.begin_backward(&inputs)?;
        for at in (0..sequence.steps).rev() {
            sequence.recall(&inputs, at)?;
            let Sequence { steps, record, .. } = &mut *sequence;
            let Record { state: dh, gradient, row, .. } = record;
            take_row(backend, *steps, at, state_gradients, row, state)?;
            backend.axpy(1.0, state, row, dh)?;
            take_row(backend, *steps, at, states, row, state)?;
            backend.activation_backward(Activation::Tanh, state, Some(row), Some(dh), gradient)?;
            sequence.step_backward(&inputs, at)?;
        }
        sequence.finish_backward(frame)?;
        frame.gradient(Of::Param(*first), |inputs, dweights, workspace, more| {
            let operands = [&*states, &*output_gradients];
            output.backward_filter(inputs.backend, rows, operands, more, dweights, workspace)
        })?;
        let columns = AxisGeometry { outer: rows, axis: sequence.hidden, inner: 1 };
        frame.add(Of::Param(*first + 1), |inputs, dbias| {
            inputs.backend.bias_backward(&columns, output_gradients, dbias)
        })
    }
}

/// Backward.
impl Sequence {
    /// Keeps what step `at` is computed from, in training.
    fn keep(&mut self, inputs: &Inputs<'_>, at: u32) -> kernels::Result<()> {
        let (state, width) = ((self.streams * self.hidden) as usize, (self.streams * self.width) as usize);
        let Record { sums, carried, .. } = &mut self.record;
        if sums.is_empty() {
            return Ok(());
        }
        put_row(inputs.backend, self.steps, at, &self.sums, sums, width)?;
        put_row(inputs.backend, self.steps, at, &self.carried, carried, state)
    }

    /// The gradient of the last state: that of its top, if it has one.
    fn begin_backward(&mut self, inputs: &Inputs<'_>) -> kernels::Result<()> {
        let len = self.streams * self.hidden;
        if self.first_state.is_some() {
            let copy = CopyGeometry::concat(1, len, 1, 0, len);
            return inputs.backend.transform_tensor(&copy, inputs.top_gradient(1), &mut self.record.state);
        }
        inputs.backend.fill(&mut self.record.state, len as usize, 0.0)
    }

    /// The sums and marks of step `at`.
    fn recall(&mut self, inputs: &Inputs<'_>, at: u32) -> kernels::Result<()> {
        let (streams, width) = (self.streams as usize, (self.streams * self.width) as usize);
        take_row(inputs.backend, self.steps, at, inputs.get(1), &mut self.marks, streams)?;
        take_row(inputs.backend, self.steps, at, &self.record.sums, &mut self.sums, width)
    }

    /// From the gradient of step `at`'s sums to that of the state before it.
    fn step_backward(&mut self, inputs: &Inputs<'_>, at: u32) -> kernels::Result<()> {
        let Self { steps, streams, hidden, width, .. } = *self;
        let (backend, record) = (inputs.backend, &mut self.record);
        let len = (streams * width) as usize;
        put_row(backend, steps, at, &record.gradient, &mut record.gradients, len)?;
        let (dy, dx) = (&record.gradient, &mut record.state_before);
        self.recurrent.backward_data(inputs, streams, dy, false, dx, &mut record.workspace)?;
        let by_stream = AxisGeometry { outer: 1, axis: streams, inner: hidden };
        let before = Some(&record.state_before);
        backend.scale_forward(&by_stream, before, Some(&self.marks), None, &mut record.state)
    }

    /// The gradients of bottoms and parameters, from those of all steps' sums.
    fn finish_backward(&mut self, frame: &mut Frame<'_>) -> kernels::Result<()> {
        let Self { steps, streams, width, record, input, fixed, recurrent, first_state, .. } = self;
        let (rows, streams) = (*steps * *streams, *streams);
        let columns = AxisGeometry { outer: rows, axis: *width, inner: 1 };
        let Record { carried, gradients, total, state, .. } = record;
        frame.gradient(Of::Param(0), |inputs, dweights, workspace, more| {
            let operands = [inputs.get(0), &*gradients];
            input.backward_filter(inputs.backend, rows, operands, more, dweights, workspace)
        })?;
        frame.add(Of::Param(1), |inputs, dbias| inputs.backend.bias_backward(&columns, gradients, dbias))?;
        frame.gradient(Of::Bottom(0), |inputs, dx, workspace, more| {
            input.backward_data(inputs, rows, gradients, more, dx, workspace)
        })?;
        if let Some(fixed) = fixed {
            let len = (streams * *width) as usize;
            frame.backend.fill(total, len, 0.0)?;
            // Its share is in the sums of every step.
            let all = AxisGeometry { outer: *steps, axis: len as u32, inner: 1 };
            frame.backend.bias_backward(&all, gradients, total)?;
            frame.gradient(Of::Param(2), |inputs, dweights, workspace, more| {
                let operands = [inputs.get(2), &*total];
                fixed.backward_filter(inputs.backend, streams, operands, more, dweights, workspace)
            })?;
            frame.gradient(Of::Bottom(2), |inputs, dx, workspace, more| {
                fixed.backward_data(inputs, streams, total, more, dx, workspace)
            })?;
        }
        frame.gradient(
            Of::Param(2 + usize::from(fixed.is_some())),
            |inputs, dweights, workspace, more| {
                let operands = [&*carried, &*gradients];
                recurrent.backward_filter(inputs.backend, rows, operands, more, dweights, workspace)
            },
        )?;
        match *first_state {
            Some(first) => frame.overwrite(Of::Bottom(first), |inputs, dx| inputs.copy(state, dx)),
            None => Ok(()),
        }
    }
}

impl Record {
    fn new(make: &Make<'_>, steps: u32, streams: u32, hidden: u32, width: u32) -> kernels::Result<Self> {
        let allocate = |len: u32| make.backend.allocate(if make.training { len as usize } else { 0 });
        Ok(Self {
            sums: allocate(steps * streams * width)?,
            carried: allocate(steps * streams * hidden)?,
            gradients: allocate(steps * streams * width)?,
            gradient: allocate(streams * width)?,
            total: allocate(streams * width)?,
            state: allocate(streams * hidden)?,
            state_before: allocate(streams * hidden)?,
            row: allocate(streams * hidden)?,
            workspace: make.backend.allocate(0)?,
        })
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
            input_bias: make.weight(step.layer, 1)?,
            fixed,
            recurrent: product(make, step, 2 + usize::from(is_fixed), streams, hidden, width)?,
            shares: allocate(steps * streams * width)?,
            fixed_share: allocate(streams * width)?,
            sums: allocate(streams * width)?,
            marks: allocate(streams)?,
            state: allocate(streams * hidden)?,
            carried: allocate(streams * hidden)?,
            first_state: p.expose_hidden.then_some(2 + usize::from(is_fixed)),
            record: Record::new(make, steps, streams, hidden, width)?,
        })
    }

    fn workspace_len(&self) -> usize {
        let fixed = self.fixed.as_ref().map_or(0, Linear::workspace_len);
        self.input.workspace_len().max(self.recurrent.workspace_len()).max(fixed)
    }

    /// The shares of what does not depend on the state.
    fn begin(&mut self, inputs: &Inputs<'_>, workspace: &mut Buffer) -> kernels::Result<()> {
        let epilogue = Epilogue { bias: Some(self.input_bias.get(inputs)), ..Epilogue::default() };
        self.input.forward(inputs, inputs.get(0), &epilogue, &mut self.shares, workspace)?;
        if let Some(fixed) = &self.fixed {
            let epilogue = Epilogue::default();
            fixed.forward(inputs, inputs.get(2), &epilogue, &mut self.fixed_share, workspace)?;
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
            self.recurrent.forward(inputs, &self.carried, &epilogue, y, workspace)
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

/// Row `at` of an array of `count` rows.
fn take_row(
    backend: &dyn Backend,
    count: u32,
    at: u32,
    rows: &Buffer,
    row: &mut Buffer,
    len: usize,
) -> kernels::Result<()> {
    let len = len as u32;
    backend.transform_tensor(&CopyGeometry::slice(1, count * len, 1, at * len, len), rows, row)
}

fn put_row(
    backend: &dyn Backend,
    count: u32,
    at: u32,
    row: &Buffer,
    rows: &mut Buffer,
    len: usize,
) -> kernels::Result<()> {
    let len = len as u32;
    backend.transform_tensor(&CopyGeometry::concat(1, count * len, 1, at * len, len), row, rows)
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
    let weights =
        if make.training { Weight::Trained(index) } else { Weight::Own(make.matrix(step.layer, index)?) };
    Ok(Linear::new(make.backend, geometry, weights))
}
