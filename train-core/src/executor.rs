//! Runs a plan on a backend.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use caffe_proto::net::{Net, Shapes};
use kernels::{Backend, Buffer, CLOCK_LEN, clock};

use crate::error::{Error, Result};
use crate::layers::{self, Frame, Make, Operation};
use crate::params::Params;
use crate::plan::{Options, Plan, Step, ValueId};
use crate::replay::Replay;

/// A net made ready on a backend: weights packed, memory allocated. A forward pass allocates nothing.
pub struct Executor<'b> {
    backend: &'b dyn Backend,
    plan: Plan,
    operations: Vec<Prepared>,
    infos: Vec<StepInfo>,
    buffers: Vec<Option<Buffer>>,
    workspace: Buffer,
    /// The shapes that values have now: of most, what the plan says.
    shapes: Vec<Vec<usize>>,
    /// Passes begun before this one.
    passes: u64,
    /// The same where operations read it.
    clock: Buffer,
    /// What a pass launches on a device; none where passes are never the same.
    replay: Option<Replay>,
}

/// One step of a pass: a layer that computes something, with those that are computed along with it.
#[derive(Clone, Debug)]
pub struct StepInfo {
    /// The layer, and those that are folded into its parameters or computed on its results' way out.
    pub layers: Vec<String>,
    /// The first layer's type.
    pub kind: String,
    /// How it is computed, where there is a choice.
    pub algorithm: Option<&'static str>,
    /// Multiplications with an addition, of convolutions and matrix products; 0 of all else.
    pub macs: u64,
}

/// One step, ready to run.
pub(crate) struct Prepared {
    pub(crate) operation: Box<dyn Operation>,
    pub(crate) layer: String,
    pub(crate) kind: String,
    /// Whether there is nothing to compute.
    pub(crate) empty: bool,
}

impl<'b> Executor<'b> {
    pub(crate) fn new(
        net: &Net,
        shapes: &Shapes,
        params: &Params,
        backend: &'b dyn Backend,
        options: &Options,
    ) -> Result<Self> {
        let plan = Plan::new(net, shapes, options)?;
        let make = Make { net, shapes, params, backend, training: false };
        let prepare = |step: &Step| -> Result<Prepared> {
            let layer = &net.layers[step.layer];
            Ok(Prepared {
                operation: layers::make(&make, step)?,
                layer: layer.name.clone(),
                kind: layer.type_name.clone(),
                empty: step.tops.iter().all(|&top| plan.values[top].capacity == 0),
            })
        };
        let constants = prepare_all(backend, &plan.constants, prepare)?;
        let operations = prepare_all(backend, &plan.steps, prepare)?;
        let costs = net.costs(shapes);
        let infos = plan.steps.iter().zip(&operations).map(|(step, prepared)| StepInfo {
            layers: layers_of(step).map(|layer| net.layers[layer].name.clone()).collect(),
            kind: prepared.kind.clone(),
            algorithm: prepared.operation.algorithm(),
            macs: costs[step.layer].macs,
        });
        let infos = infos.collect();
        let workspace = constants.iter().chain(&operations);
        let workspace = workspace.map(|step| step.operation.workspace_len()).max().unwrap_or(0);
        let lens: Vec<usize> = plan.storages.iter().copied().chain([workspace]).collect();
        let mut buffers = backend.allocate_all(&lens)?;
        let Some(workspace) = buffers.pop() else { unreachable!("one a length") };
        let is_steady = operations.iter().all(|step| step.operation.is_steady());
        let mut executor = Self {
            backend,
            operations,
            infos,
            buffers: buffers.into_iter().map(Some).collect(),
            workspace,
            shapes: plan.values.iter().map(|value| value.shape.clone()).collect(),
            plan,
            passes: 0,
            clock: backend.allocate(CLOCK_LEN)?,
            replay: is_steady.then(Replay::default),
        };
        executor.run_constants(constants)?;
        Ok(executor)
    }

    /// The plan that it runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Floats of scratch memory beside the blobs'.
    pub fn workspace_floats(&self) -> usize {
        self.workspace.len()
    }

    /// The inputs with their shapes, in the net's order.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.plan.inputs.iter().map(|(name, value)| (name.as_str(), self.shapes[*value].as_slice()))
    }

    /// The names of the net's outputs, in Caffe's order.
    pub fn outputs(&self) -> &[String] {
        &self.plan.outputs
    }

    /// The blobs that can be read after a pass, with their shapes, by name.
    pub fn blobs(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.plan.kept.iter().map(|(name, &value)| (name.as_str(), self.shapes[value].as_slice()))
    }

    /// Puts values into an input. They stay until others are put in.
    ///
    /// # Errors
    /// [`Error::NoInput`], [`Error::InputCount`].
    pub fn set_input(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let Some(&(_, value)) = self.plan.inputs.iter().find(|(input, _)| input == name) else {
            let known = self.plan.inputs.iter().map(|(name, _)| name.clone()).collect();
            return Err(Error::NoInput { name: name.to_owned(), known });
        };
        let shape = &self.plan.values[value].shape;
        let expected = self.plan.values[value].capacity;
        if values.len() != expected {
            return Err(Error::InputCount {
                name: name.to_owned(),
                shape: shape.clone(),
                expected,
                found: values.len(),
            });
        }
        let storage = self.plan.storage(value);
        Ok(self.backend.write(in_place(&mut self.buffers, storage), 0, values)?)
    }

    /// Runs the net once. On a device, what a pass launches is recorded in the second one, and replayed from there on.
    ///
    /// # Errors
    /// [`Error::Layer`] for values that a layer cannot work on, such as an index that names no row.
    pub fn forward(&mut self) -> Result<()> {
        let backend = self.backend;
        backend.write(&mut self.clock, 0, &clock(self.passes))?;
        let outcome = match self.replay.take() {
            Some(mut replay) => {
                let outcome = replay.run(backend, &mut |_| self.pass());
                self.replay = Some(replay);
                outcome
            }
            None => self.pass(),
        };
        self.passes += 1;
        outcome
    }

    /// Whether passes are replayed from a recording, on a device.
    pub fn is_recorded(&self) -> bool {
        self.replay.as_ref().is_some_and(Replay::is_recorded)
    }

    /// Runs the net once and tells of each step, by its place in [`Executor::steps`], how long it took.
    ///
    /// # Errors
    /// As [`Executor::forward`].
    pub fn forward_timed(&mut self, observe: &mut (dyn FnMut(usize, Duration) + Send)) -> Result<()> {
        let mut outcome = Ok(());
        let backend = self.backend;
        backend.write(&mut self.clock, 0, &clock(self.passes))?;
        backend.enter(&mut || {
            outcome = (0..self.operations.len()).try_for_each(|at| {
                let start = Instant::now();
                self.step(at)?;
                backend.synchronize()?;
                observe(at, start.elapsed());
                Ok(())
            });
        });
        self.passes += 1;
        outcome
    }

    /// What a pass computes, in order.
    pub fn steps(&self) -> &[StepInfo] {
        &self.infos
    }

    /// The values of a blob after a pass, and its shape.
    ///
    /// # Errors
    /// As [`Executor::read`].
    pub fn blob(&self, name: &str) -> Result<(&[usize], Vec<f32>)> {
        let shape = &self.shapes[self.kept(name)?];
        let mut values = vec![0.0; shape.iter().product()];
        self.read(name, &mut values)?;
        Ok((shape, values))
    }

    /// Copies a blob's values, as many as `values` takes.
    ///
    /// # Errors
    /// [`Error::NoBlob`] for one that is not kept; [`Error::Layer`] for values that a layer cannot work on, which a device tells
    /// after [`forward`](Self::forward) has returned.
    pub fn read(&self, name: &str, values: &mut [f32]) -> Result<()> {
        let storage = self.plan.storage(self.kept(name)?);
        match &self.buffers[storage] {
            Some(buffer) => self.backend.read(buffer, 0, values)?,
            None => unreachable!("buffers are away only while a step runs"),
        }
        synchronize(self.backend, &self.plan, &self.operations)
    }

    /// Runs the net on one input and gives its outputs, by name.
    ///
    /// # Errors
    /// As [`Executor::set_input`] and [`Executor::forward`].
    pub fn run(&mut self, inputs: &[(&str, &[f32])]) -> Result<BTreeMap<String, Vec<f32>>> {
        for (name, values) in inputs {
            self.set_input(name, values)?;
        }
        self.forward()?;
        let outputs = self.plan.outputs.iter();
        outputs.map(|name| Ok((name.clone(), self.blob(name)?.1))).collect()
    }

    fn kept(&self, name: &str) -> Result<ValueId> {
        self.plan.kept.get(name).copied().ok_or_else(|| Error::NoBlob {
            name: name.to_owned(),
            known: self.plan.kept.keys().cloned().collect(),
        })
    }

    fn run_constants(&mut self, constants: Vec<Prepared>) -> Result<()> {
        for (mut constant, step) in constants.into_iter().zip(&self.plan.constants) {
            constant.run(Frame {
                backend: self.backend,
                plan: &self.plan,
                step,
                buffers: &mut self.buffers,
                workspace: &mut self.workspace,
                shapes: &mut self.shapes,
                clock: &self.clock,
                training: None,
            })?;
        }
        Ok(())
    }

    fn pass(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        let backend = self.backend;
        backend.enter(&mut || outcome = (0..self.operations.len()).try_for_each(|at| self.step(at)));
        outcome
    }

    fn step(&mut self, at: usize) -> Result<()> {
        self.operations[at].run(Frame {
            backend: self.backend,
            plan: &self.plan,
            step: &self.plan.steps[at],
            buffers: &mut self.buffers,
            workspace: &mut self.workspace,
            shapes: &mut self.shapes,
            clock: &self.clock,
            training: None,
        })
    }
}

impl Prepared {
    pub(crate) fn run(&mut self, mut frame: Frame<'_>) -> Result<()> {
        if self.empty {
            return Ok(());
        }
        let ready = frame.discard_tops();
        ready.and_then(|()| self.operation.forward(&mut frame)).map_err(|source| self.refused(source))
    }

    pub(crate) fn differentiate(&mut self, mut frame: Frame<'_>) -> Result<()> {
        if self.empty {
            return Ok(());
        }
        self.operation.backward(&mut frame).map_err(|source| self.refused(source))
    }

    fn refused(&self, source: kernels::Error) -> Error {
        Error::Layer { layer: self.layer.clone(), kind: self.kind.clone(), source }
    }
}

/// Waits for a pass, and gives the error of the first layer that met a value that names nothing.
pub(crate) fn synchronize(backend: &dyn Backend, plan: &Plan, operations: &[Prepared]) -> Result<()> {
    let Err(error) = backend.synchronize() else { return Ok(()) };
    let at = error.site().and_then(|site| plan.steps.iter().position(|step| step.layer == site.0 as usize));
    Err(match at {
        Some(at) => operations[at].refused(error),
        None => error.into(),
    })
}

/// Prepares all steps, several at a time: packing a layer's weights is seldom enough work for all threads.
pub(crate) fn prepare_all(
    backend: &dyn Backend,
    steps: &[Step],
    prepare: impl Fn(&Step) -> Result<Prepared> + Sync,
) -> Result<Vec<Prepared>> {
    let made: Vec<Mutex<Option<Result<Prepared>>>> = steps.iter().map(|_| Mutex::new(None)).collect();
    backend.each(steps.len(), &|index| {
        let prepared = prepare(&steps[index]);
        *made[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(prepared);
    });
    let made = made.into_iter().map(|made| made.into_inner().unwrap_or_else(PoisonError::into_inner));
    made.map(|made| made.unwrap_or_else(|| unreachable!("every step is prepared"))).collect()
}

/// The layers that a step computes, in the net's order.
fn layers_of(step: &Step) -> impl Iterator<Item = usize> {
    let mut layers: Vec<usize> =
        [step.layer].into_iter().chain(step.folded.iter().chain(&step.fused).copied()).collect();
    layers.sort_unstable();
    layers.into_iter()
}

pub(crate) fn in_place(buffers: &mut [Option<Buffer>], storage: usize) -> &mut Buffer {
    match &mut buffers[storage] {
        Some(buffer) => buffer,
        None => unreachable!("buffers are away only while a step runs"),
    }
}
