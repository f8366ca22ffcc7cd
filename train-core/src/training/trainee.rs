//! A net made ready to be trained on a backend.

mod ahead;
mod at_once;
mod passes;

use caffe_proto::net::{Net, Shapes};
use caffe_proto::{Blob, LayerBlobs, Model, Payload};
use kernels::{Backend, Buffer, CLOCK_LEN};

use self::ahead::Ahead;
use super::flow::{Flows, Wanted};
use crate::error::{Error, Result};
use crate::executor::{Prepared, in_place, prepare_all, synchronize};
use crate::layers::{self, Flow, Frame, Make, Training};
use crate::optim::{ParamBuffers, ParamInfo, ParamView};
use crate::params::Params;
use crate::plan::{GradientMemory, Plan, Step, ValueId};
use crate::replay::Replay;

/// What a backward pass should compute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainingOptions {
    /// Layers that are held as they are: no gradient of theirs is computed; a BatchNorm among them goes by its stored
    /// statistics and keeps them, and a Dropout drops nothing.
    pub frozen: Vec<String>,
    /// Blobs whose gradients are given, with [`Trainee::set_gradient`], before each backward pass: what layers that read them
    /// have to say is added. Blobs that are one array under several names, as a Split's tops, have one gradient.
    pub given: Vec<String>,
    /// Whether a device's kernels are launched one by one in every pass, instead of recorded and replayed: slower, and the same bits.
    pub unrecorded: bool,
}

/// Floats that a net in training takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingMemory {
    /// The blobs' values, all of which a backward pass needs.
    pub blobs: usize,
    /// The parameters.
    pub params: usize,
    /// The blobs' gradients. Most hand their memory on to the next when they are used up.
    pub blob_gradients: usize,
    /// The same, had each memory of its own.
    pub blob_gradients_apart: usize,
    /// The parameters' gradients.
    pub param_gradients: usize,
    /// Inputs of the next step, where [`Trainee::set_input_ahead`] is used.
    pub inputs_ahead: usize,
    /// Memory that is used within a layer's pass. It grows in the first passes.
    pub workspace: usize,
}

/// A net in training: parameters that change, forward passes that keep every value, and backward passes that compute what
/// learns needs, down to the lowest layer that learns. A second pass allocates nothing.
///
/// ```
/// use kernels::CpuBackend;
/// use train_core::optim::{MomentumSgd, Optimizer};
/// use train_core::{Network, TrainingOptions};
///
/// # use caffe_proto::{proto::NetState, text, Storage};
/// # let prototxt = r#"
/// # layer { name: "data" type: "Input" top: "x" top: "y" input_param { shape { dim: 2 dim: 1 } shape { dim: 2 dim: 1 } } }
/// # layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc" inner_product_param { num_output: 1 } }
/// # layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "y" top: "loss" }"#;
/// # let text = Storage::from_vec("net", prototxt.as_bytes().to_vec());
/// # let definition = text::parse_net(&text, text::Options::default())?.0;
/// # let network = Network::new(definition, &NetState::default())?;
/// let cpu = CpuBackend::new(1)?;
/// let mut trainee = network.trainee(&cpu, &TrainingOptions::default())?;
/// let rule = MomentumSgd { rate: 0.1, momentum: 0.9 };
/// let mut optimizer = Optimizer::new(Box::new(rule), trainee.infos().to_vec());
/// trainee.set_input("x", &[1.0, 2.0])?;
/// trainee.set_input("y", &[3.0, 5.0])?;
/// for _ in 0..200 {
///     trainee.clear_gradients();
///     trainee.forward()?;
///     trainee.backward()?;
///     optimizer.update(&mut trainee.params())?;
/// }
/// trainee.forward()?;
/// assert!(trainee.loss()? < 1e-6); // y = 2x + 1
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trainee<'b> {
    backend: &'b dyn Backend,
    net: Net,
    shapes_of_net: Shapes,
    plan: Plan,
    operations: Vec<Prepared>,
    buffers: Vec<Option<Buffer>>,
    /// By storage, gradients that stay; behind these, memory that others share. `places` says where each storage's is.
    diffs: Vec<Option<Buffer>>,
    places: Vec<usize>,
    /// By storage: gradients of parameters that are zero whatever their memory holds.
    cleared: Vec<bool>,
    workspace: Buffer,
    scratch: Option<Buffer>,
    /// The shapes that values have now: of most, what the plan says.
    shapes: Vec<Vec<usize>>,
    flows: Flows,
    /// By layer.
    frozen: Vec<bool>,
    infos: Vec<ParamInfo>,
    /// The storage of the first parameter; the others' follow.
    first_param: usize,
    /// How often each storage was changed from outside.
    versions: Vec<u64>,
    /// Tops that count, with their weights.
    losses: Vec<(ValueId, f32)>,
    given: Vec<ValueId>,
    ahead: Ahead,
    passes: u64,
    /// The number of the last forward pass, where operations read it.
    clock: Buffer,
    unrecorded: bool,
    forward: Replay,
    /// Of gradients that are there already, and of cleared ones.
    backward: [Replay; 2],
    /// Of a pass forward, one back, and an update.
    step: Replay,
}

impl<'b> Trainee<'b> {
    pub(crate) fn new(
        net: &Net,
        shapes: &Shapes,
        params: &Params,
        backend: &'b dyn Backend,
        options: &TrainingOptions,
    ) -> Result<Self> {
        let plan = Plan::for_training(net, shapes)?;
        let infos = ParamInfo::all_of(net, shapes);
        let first_param = plan.storages.len() - infos.len();
        let losses = losses(net, &plan);
        let given = options.given.iter().map(|name| kept(&plan, name)).collect::<Result<Vec<_>>>()?;
        if losses.is_empty() && given.is_empty() {
            return Err(Error::NoLoss { net: net.name.clone() });
        }
        let make = Make { net, shapes, params, backend, training: true };
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
        let is_steady = operations.iter().all(|step| step.operation.is_steady());
        let workspace = constants.iter().chain(&operations);
        let workspace = workspace.map(|step| step.operation.workspace_len()).max().unwrap_or(0);
        let lens: Vec<usize> = plan.storages.iter().copied().chain([workspace]).collect();
        let mut buffers = backend.allocate_all(&lens)?;
        let Some(workspace) = buffers.pop() else { unreachable!("one a length") };
        let mut trainee = Self {
            backend,
            operations,
            buffers: buffers.into_iter().map(Some).collect(),
            diffs: Vec::new(),
            places: Vec::new(),
            cleared: vec![false; plan.storages.len()],
            workspace,
            scratch: None,
            shapes: plan.values.iter().map(|value| value.shape.clone()).collect(),
            flows: Flows::default(),
            frozen: Vec::new(),
            infos,
            first_param,
            versions: vec![0; plan.storages.len()],
            losses,
            given,
            ahead: Ahead::default(),
            passes: 0,
            clock: backend.allocate(CLOCK_LEN)?,
            unrecorded: options.unrecorded || !is_steady,
            forward: Replay::default(),
            backward: Default::default(),
            step: Replay::default(),
            net: net.clone(),
            shapes_of_net: shapes.clone(),
            plan,
        };
        trainee.fill_params(params)?;
        trainee.freeze(&options.frozen)?;
        for (mut constant, at) in constants.into_iter().zip(0..) {
            let flow = Flow::default();
            constant.run(trainee.frame(At::Constant(at), &flow).1)?;
        }
        Ok(trainee)
    }

    /// Holds these layers as they are, and no others: those of [`Optimizer::held_layers`](crate::optim::Optimizer::held_layers),
    /// whenever they change. Gradients begin anew.
    ///
    /// # Errors
    /// [`Error::CannotTrain`] with every layer that passes no gradient on to one that learns; the device's, where there is no room
    /// for the gradients: then nothing learns until another call succeeds.
    pub fn freeze<S: AsRef<str>>(&mut self, layers: &[S]) -> Result<()> {
        let is_frozen = |name: &str| layers.iter().any(|layer| layer.as_ref() == name);
        let frozen: Vec<bool> = self.net.layers.iter().map(|layer| is_frozen(&layer.name)).collect();
        let sources = self.losses.iter().map(|&(value, _)| value).chain(self.given.iter().copied());
        let sources: Vec<usize> = sources.map(|value| self.plan.storage(value)).collect();
        let mut learns = vec![false; self.plan.storages.len()];
        for (learns, info) in learns[self.first_param..].iter_mut().zip(&self.infos) {
            *learns = info.lr_mult != 0.0 && !is_frozen(&info.layer);
        }
        let wanted =
            Wanted { sources: &sources, learns: &learns, inputs: self.net.force_backward, frozen: &frozen };
        self.flows = Flows::new(&self.net, &self.plan, &wanted)?;
        let mut stay = self.flows.given.clone();
        let inputs = self.plan.inputs.iter().map(|&(_, value)| self.plan.storage(value));
        inputs.chain(self.first_param..stay.len()).for_each(|storage| stay[storage] = true);
        let memory = GradientMemory::assign(&self.plan, &self.flows.steps, &self.flows.diffs, &stay);
        // What there was is given back before as much again is asked for; recordings would keep it.
        self.forget_recordings();
        self.diffs = memory.lens.iter().map(|_| None).collect();
        self.places = memory.places;
        self.cleared.fill(false);
        self.frozen = frozen;
        match allocate(self.backend, &memory.lens) {
            Ok(diffs) => self.diffs = diffs,
            Err(error) => {
                self.flows = Flows::nowhere(&self.plan);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The parameters in Caffe's order, one of each that is shared.
    pub fn infos(&self) -> &[ParamInfo] {
        &self.infos
    }

    /// The parameters with their gradients, in the same order; those that learn count as changed from here on. Without a
    /// gradient: statistics, parameters whose `lr_mult` is 0, and those of frozen layers. They are empty where the backend's
    /// memory is not main memory: there [`param_buffers`](Self::param_buffers) serves.
    pub fn params(&mut self) -> Vec<ParamView<'_>> {
        self.count_changes();
        let first = self.first_param;
        let gradients = self.diffs[first..].iter_mut().zip(&mut self.cleared[first..]);
        let buffers = self.buffers[first..].iter_mut().zip(gradients);
        buffers
            .map(|(value, (grad, cleared))| {
                let mut grad = grad.as_mut().and_then(Buffer::as_host_mut);
                if let (true, Some(grad)) = (std::mem::take(cleared), &mut grad) {
                    grad.fill(0.0);
                }
                ParamView { value: value.as_mut().and_then(Buffer::as_host_mut).unwrap_or_default(), grad }
            })
            .collect()
    }

    /// The values of a parameter, by its place in [`infos`](Self::infos).
    ///
    /// # Errors
    /// The device's.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn param(&self, place: usize) -> Result<Vec<f32>> {
        let mut values = vec![0.0; self.infos[place].count()];
        self.read(self.first_param + place, &mut values)?;
        Ok(values)
    }

    /// Puts values into a parameter.
    ///
    /// # Errors
    /// [`Error::InputCount`] for more or fewer than it has; the device's.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn set_param(&mut self, place: usize, values: &[f32]) -> Result<()> {
        let info = &self.infos[place];
        if values.len() != info.count() {
            return Err(Error::InputCount {
                name: info.name.clone(),
                shape: info.shape.clone(),
                expected: info.count(),
                found: values.len(),
            });
        }
        let storage = self.first_param + place;
        self.backend.write(in_place(&mut self.buffers, storage), 0, values)?;
        self.versions[storage] += 1;
        if self.diffs[storage].is_none() {
            // What layers have made of it is made again by a pass, and by no recording of one in which it did not change.
            self.forget_recordings();
        }
        Ok(())
    }

    /// Where the last forward pass first came to values that are no numbers: an error that names the layer.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn diverged(&self, iteration: u64) -> Result<Error> {
        let error = |layer: usize, what: String| Error::Diverged {
            iteration,
            layer: self.net.layers[layer].name.clone(),
            kind: self.net.layers[layer].type_name.clone(),
            what,
        };
        let finite = |value: ValueId| -> Result<bool> {
            let mut values = vec![0.0; self.shapes[value].iter().product()];
            self.read(self.plan.storage(value), &mut values)?;
            Ok(values.iter().all(|value| value.is_finite()))
        };
        for (name, value) in &self.plan.inputs {
            if !finite(*value)? {
                let source = self.net.layers.iter().position(|layer| layer.tops.contains(name));
                return Ok(error(source.unwrap_or(0), format!("input `{name}`")));
            }
        }
        for step in &self.plan.steps {
            for (place, &param) in step.params.iter().enumerate() {
                if !finite(param)? {
                    return Ok(error(step.layer, format!("parameter {place}")));
                }
            }
            for (name, &top) in self.net.layers[step.layer].tops.iter().zip(&step.tops) {
                if !finite(top)? {
                    return Ok(error(step.layer, format!("blob `{name}`")));
                }
            }
        }
        let last = self.plan.steps.last().map_or(0, |step| step.layer);
        Ok(error(last, "the sum of the losses".to_owned()))
    }

    /// The parameters with their gradients where the backend keeps them, for [`Optimizer::update_on`](crate::optim::Optimizer::update_on): otherwise as
    /// [`params`](Self::params).
    ///
    /// # Errors
    /// The device's.
    pub fn param_buffers(&mut self) -> Result<Vec<ParamBuffers<'_>>> {
        self.count_changes();
        let first = self.first_param;
        for (diff, cleared) in self.diffs[first..].iter_mut().zip(&mut self.cleared[first..]) {
            if let (true, Some(diff)) = (std::mem::take(cleared), diff) {
                self.backend.fill(diff, diff.len(), 0.0)?;
            }
        }
        Ok(param_buffers(&mut self.buffers[first..], &mut self.diffs[first..]))
    }

    /// The backend that it is on.
    pub fn backend(&self) -> &'b dyn Backend {
        self.backend
    }

    /// The gradient of a parameter, counted as in [`infos`](Self::infos), where it has one.
    ///
    /// # Errors
    /// The device's.
    pub fn param_gradient(&self, index: usize) -> Result<Option<Vec<f32>>> {
        let of_params = &self.diffs[self.first_param..][..self.infos.len()];
        let Some(Some(gradient)) = of_params.get(index) else { return Ok(None) };
        let mut values = vec![0.0; gradient.len()];
        if !self.cleared[self.first_param + index] {
            self.backend.read(gradient, 0, &mut values)?;
        }
        Ok(Some(values))
    }

    /// The parameters as a model file holds them: every layer with its blobs, those of sharers too.
    ///
    /// # Errors
    /// The device's.
    pub fn to_model(&self) -> Result<Model> {
        let mut owners = Vec::new();
        for (index, layer) in self.net.layers.iter().enumerate() {
            let own = layer.params.iter().enumerate().filter(|(_, spec)| spec.owner.is_none());
            owners.extend(own.map(|(at, _)| (index, at)));
        }
        let mut layers = Vec::new();
        for ((index, layer), shapes) in self.net.layers.iter().enumerate().zip(self.shapes_of_net.layers()) {
            let mut blobs = Vec::new();
            for ((at, spec), shape) in layer.params.iter().enumerate().zip(&shapes.params) {
                let owner = spec.owner.unwrap_or((index, at));
                let place = owners.iter().position(|&other| other == owner).unwrap_or(0);
                let mut values = vec![0.0; shape.iter().product()];
                self.read(self.first_param + place, &mut values)?;
                blobs.push(Blob::new(shape.clone(), Payload::from_f32(&values)));
            }
            layers.push(LayerBlobs { name: layer.name.clone(), blobs });
        }
        Ok(Model { layers, ..Model::default() })
    }

    /// The inputs with their shapes, in the net's order.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.plan.inputs.iter().map(|(name, value)| (name.as_str(), self.shapes[*value].as_slice()))
    }

    /// Puts values into an input. They stay until others are put in.
    ///
    /// # Errors
    /// [`Error::NoInput`], [`Error::InputCount`].
    pub fn set_input(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let value = self.input(name)?;
        self.check_count(name, value, values)?;
        let storage = self.plan.storage(value);
        Ok(self.backend.write(in_place(&mut self.buffers, storage), 0, values)?)
    }

    /// How many forward passes there were. Dropout's numbers depend on it, and on the seed and the layer's name.
    pub fn passes(&self) -> u64 {
        self.passes
    }

    /// Goes on as if so many forward passes had been done.
    pub fn set_passes(&mut self, passes: u64) {
        self.passes = passes;
    }

    /// The loss of the last forward pass: the sum of all tops that have a `loss_weight`, each times that.
    ///
    /// # Errors
    /// The device's; [`Error::Layer`] for values that a layer cannot work on, such as a label that names no class, which a device
    /// tells after [`forward`](Self::forward) has returned.
    pub fn loss(&self) -> Result<f64> {
        let mut loss = 0.0;
        for &(value, weight) in &self.losses {
            let mut values = vec![0.0; self.shapes[value].iter().product()];
            self.read(self.plan.storage(value), &mut values)?;
            loss += f64::from(weight) * values.iter().map(|&value| f64::from(value)).sum::<f64>();
        }
        synchronize(self.backend, &self.plan, &self.operations)?;
        Ok(loss)
    }

    /// The values of a blob after a pass, and its shape.
    ///
    /// # Errors
    /// [`Error::NoBlob`] for one that is not there; [`Error::Layer`] as of [`loss`](Self::loss).
    pub fn blob(&self, name: &str) -> Result<(&[usize], Vec<f32>)> {
        let value = kept(&self.plan, name)?;
        let shape = &self.shapes[value];
        let mut values = vec![0.0; shape.iter().product()];
        self.read(self.plan.storage(value), &mut values)?;
        synchronize(self.backend, &self.plan, &self.operations)?;
        Ok((shape, values))
    }

    /// Sets the gradients of all parameters to zero. Backward passes add to them.
    pub fn clear_gradients(&mut self) {
        self.cleared[self.first_param..].fill(true);
    }

    /// Sets the gradient of a blob that was named in [`TrainingOptions::given`].
    ///
    /// # Errors
    /// [`Error::NoBlob`], [`Error::InputCount`].
    pub fn set_gradient(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let value = kept(&self.plan, name)?;
        self.check_count(name, value, values)?;
        let storage = self.plan.storage(value);
        match &mut self.diffs[self.places[storage]] {
            Some(gradient) if self.given.contains(&value) => Ok(self.backend.write(gradient, 0, values)?),
            _ => Err(Error::NoBlob { name: name.to_owned(), known: Vec::new() }),
        }
    }

    /// The gradient of an input after a backward pass: of nets with `force_backward`, where there is one.
    ///
    /// # Errors
    /// [`Error::NoInput`].
    pub fn input_gradient(&self, name: &str) -> Result<Option<Vec<f32>>> {
        let value = self.input(name)?;
        let Some(gradient) = &self.diffs[self.places[self.plan.storage(value)]] else { return Ok(None) };
        let mut values = vec![0.0; self.plan.values[value].capacity];
        self.backend.read(gradient, 0, &mut values)?;
        Ok(Some(values))
    }

    /// What it takes, beside what layers keep for themselves.
    pub fn memory(&self) -> TrainingMemory {
        let (blobs, params) = self.plan.storages.split_at(self.first_param);
        let sum = |diffs: &[Option<Buffer>]| diffs.iter().flatten().map(Buffer::len).sum();
        let (of_blobs, others) = self.diffs.split_at(self.first_param);
        let (of_params, shared) = others.split_at(self.infos.len());
        let apart = (0..self.first_param).filter(|&storage| self.flows.diffs[storage]);
        TrainingMemory {
            blobs: blobs.iter().sum(),
            params: params.iter().sum(),
            blob_gradients: sum(of_blobs) + sum(shared),
            blob_gradients_apart: apart.map(|storage| blobs[storage]).sum(),
            param_gradients: sum(of_params),
            inputs_ahead: self.ahead_len(),
            workspace: self.workspace.len() + self.scratch.as_ref().map_or(0, Buffer::len),
        }
    }

    /// How many layers a backward pass computes gradients of.
    pub fn backward_step_count(&self) -> usize {
        (0..self.operations.len()).filter(|&at| self.flows.reaches(at)).count()
    }

    /// From here on, what learns counts as changed.
    fn count_changes(&mut self) {
        let first = self.first_param;
        let changes = self.versions[first..].iter_mut().zip(&self.diffs[first..]);
        changes.for_each(|(version, diff)| *version += u64::from(diff.is_some()));
    }

    fn fill_params(&mut self, params: &Params) -> Result<()> {
        let mut storage = self.first_param;
        for (index, layer) in self.net.layers.iter().enumerate() {
            for (at, spec) in layer.params.iter().enumerate() {
                if spec.owner.is_none() {
                    let values = params.value(&self.net, &self.shapes_of_net, index, at)?.to_vec()?;
                    self.backend.write(in_place(&mut self.buffers, storage), 0, &values)?;
                    storage += 1;
                }
            }
        }
        Ok(())
    }

    fn frame<'f>(&'f mut self, at: At, flow: &'f Flow) -> (&'f mut [Prepared], Frame<'f>) {
        let step = match at {
            At::Step(at) => &self.plan.steps[at],
            At::Constant(at) => &self.plan.constants[at],
        };
        let frame = Frame {
            backend: self.backend,
            plan: &self.plan,
            step,
            buffers: &mut self.buffers,
            workspace: &mut self.workspace,
            shapes: &mut self.shapes,
            clock: &self.clock,
            training: Some(Training {
                diffs: &mut self.diffs,
                places: &self.places,
                cleared: &mut self.cleared,
                scratch: &mut self.scratch,
                flow,
                versions: &self.versions,
                frozen: self.frozen[step.layer],
            }),
        };
        (&mut self.operations, frame)
    }

    fn input(&self, name: &str) -> Result<ValueId> {
        if let Some(&(_, value)) = self.plan.inputs.iter().find(|(input, _)| input == name) {
            return Ok(value);
        }
        let known = self.plan.inputs.iter().map(|(name, _)| name.clone()).collect();
        Err(Error::NoInput { name: name.to_owned(), known })
    }

    fn check_count(&self, name: &str, value: ValueId, values: &[f32]) -> Result<()> {
        let expected = self.plan.values[value].capacity;
        if values.len() == expected {
            return Ok(());
        }
        let shape = self.plan.values[value].shape.clone();
        Err(Error::InputCount { name: name.to_owned(), shape, expected, found: values.len() })
    }

    fn read(&self, storage: usize, values: &mut [f32]) -> Result<()> {
        match &self.buffers[storage] {
            Some(buffer) => Ok(self.backend.read(buffer, 0, values)?),
            None => unreachable!("buffers are away only while a step runs"),
        }
    }
}

#[derive(Clone, Copy)]
enum At {
    Step(usize),
    Constant(usize),
}

fn losses(net: &Net, plan: &Plan) -> Vec<(ValueId, f32)> {
    let mut losses = Vec::new();
    for step in &plan.steps {
        let weights = &net.layers[step.layer].loss_weight;
        let weighted = step.tops.iter().zip(weights).filter(|&(_, &weight)| weight != 0.0);
        losses.extend(weighted.map(|(&top, &weight)| (top, weight)));
    }
    losses
}

fn kept(plan: &Plan, name: &str) -> Result<ValueId> {
    plan.kept
        .get(name)
        .copied()
        .ok_or_else(|| Error::NoBlob { name: name.to_owned(), known: plan.kept.keys().cloned().collect() })
}

/// Parameters with their gradients; behind these there may be other memory of gradients.
fn param_buffers<'t>(
    values: &'t mut [Option<Buffer>],
    diffs: &'t mut [Option<Buffer>],
) -> Vec<ParamBuffers<'t>> {
    let buffers = values.iter_mut().zip(diffs);
    let buffers = buffers
        .filter_map(|(value, grad)| Some(ParamBuffers { value: value.as_mut()?, grad: grad.as_mut() }));
    buffers.collect()
}

/// Buffers of these lengths, where there are any, out of one allocation.
fn allocate(backend: &dyn Backend, lens: &[Option<usize>]) -> Result<Vec<Option<Buffer>>> {
    let present: Vec<usize> = lens.iter().copied().flatten().collect();
    let mut buffers = backend.allocate_all(&present)?.into_iter();
    Ok(lens.iter().map(|len| len.and_then(|_| buffers.next())).collect())
}
