//! Optimizers' steps: the table that the kernels of `cu/update*.cu` go by, and their launches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::call::{Call, Parameter, THREADS, Target};
use super::driver::{Address, Driver};
use super::faults::Faults;
use super::memory::DeviceBuffer;
use super::source::{Module, UPDATE, UPDATE_GATE, UPDATE_NOISE, UPDATE_NORMS};
use super::update_plan::{Plan, Stage, Work};
use super::{DeviceBackend, fits};
use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::update::{GradientStep, LossTerm, UpdateRule, UpdateTensor, Updates};

const OP: &str = "update";

/// The next layout's number: no two updates have one in common, so that what was recorded of one is never replayed for another.
static LAYOUTS: AtomicU64 = AtomicU64::new(1);

/// The updates of one set of tensors, with their place in the device's memory.
pub(super) struct DeviceUpdates {
    driver: Arc<dyn Driver>,
    faults: Arc<Faults>,
    kernel: &'static str,
    plan: Plan,
    /// The tensors that the plan is for: addresses of values, gradients and state.
    addresses: Vec<Vec<Address>>,
    /// Which block works on what: stays from step to step.
    pieces: Option<DeviceBuffer>,
    /// What changes from step to step.
    table: Option<DeviceBuffer>,
    /// Sums of squares, in f64.
    parts: Option<DeviceBuffer>,
    factors: Option<DeviceBuffer>,
    /// One word: whether anything may change.
    gate: Option<DeviceBuffer>,
    /// Whether a launch has written that.
    is_decided: bool,
    layout: u64,
}

/// Where the kernels find the table: `Table` of cu/update.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
struct Table {
    tensors: Address,
    pieces: Address,
    changes: Address,
    factors: Address,
    gate: Address,
}

// SAFETY: five addresses, as cu/update.cuh has them.
unsafe impl Parameter for Table {}

impl DeviceBackend {
    pub(super) fn new_updates(&self) -> Box<dyn Updates> {
        Box::new(DeviceUpdates {
            driver: self.driver.clone(),
            faults: self.faults.clone(),
            kernel: "",
            plan: Plan::default(),
            addresses: Vec::new(),
            pieces: None,
            table: None,
            parts: None,
            factors: None,
            gate: None,
            is_decided: false,
            layout: 0,
        })
    }
}

impl Updates for DeviceUpdates {
    fn write(
        &mut self,
        tensors: &mut [UpdateTensor<'_>],
        rules: &[UpdateRule],
        steps: &[GradientStep],
    ) -> Result<()> {
        let kernel = kernel_of(rules)?;
        check(tensors, rules, steps)?;
        let addresses = tensors.iter_mut().map(|tensor| addresses(&self.driver, tensor));
        let addresses = addresses.collect::<Result<Vec<_>>>()?;
        let lens: Vec<usize> = tensors.iter().map(|tensor| tensor.len).collect();
        let plan = Plan::new(&lens, &addresses, rules, steps);
        // Empty, should anything fail below: then the next write is for other launches.
        let before = std::mem::take(&mut self.addresses);
        let mut same = kernel == self.kernel && addresses == before;
        same &= plan.stages == self.plan.stages && plan.pieces == self.plan.pieces;
        if !same {
            // What was recorded goes on reading the old ones, which name memory that is kept for it.
            (self.table, self.pieces) = (None, None);
        }
        same &= !reserve(&self.driver, &mut self.table, plan.numbers.len())?;
        same &= !reserve(&self.driver, &mut self.parts, 2 * plan.part_count())?;
        same &= !reserve(&self.driver, &mut self.factors, plan.factor_count())?;
        same &= !reserve(&self.driver, &mut self.gate, 1)?;
        if reserve(&self.driver, &mut self.pieces, plan.pieces.len())? {
            same = false;
            upload(&*self.driver, self.pieces.as_ref(), &plan.pieces)?;
        }
        upload(&*self.driver, self.table.as_ref(), &plan.numbers)?;
        (self.kernel, self.addresses, self.plan) = (kernel, addresses, plan);
        if !same {
            self.layout = LAYOUTS.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn launch(&mut self, tensors: &mut [UpdateTensor<'_>], losses: Option<&[LossTerm<'_>]>) -> Result<()> {
        let found = tensors.iter_mut().map(|tensor| addresses(&self.driver, tensor));
        let found = found.collect::<Result<Vec<_>>>()?;
        if found != self.addresses {
            return Err(Error::geometry(OP, "other tensors than what was written is for".to_owned()));
        }
        let buffers = [&mut self.pieces, &mut self.table, &mut self.parts, &mut self.factors, &mut self.gate];
        let [Some(pieces), Some(table), Some(parts), Some(factors), Some(gate)] =
            buffers.map(|buffer| buffer.as_mut().map(Target::new))
        else {
            return Ok(());
        };
        let launches = Launches {
            driver: &*self.driver,
            kernel: self.kernel,
            plan: &self.plan,
            pieces,
            table,
            parts,
            factors,
            gate: losses.is_some().then_some(gate),
        };
        if let (Some(losses), Some(gate)) = (losses, &launches.gate) {
            decide(&self.driver, &self.faults, losses, gate)?;
            self.is_decided = true;
        }
        self.plan.stages.iter().try_for_each(|stage| launches.launch(tensors, stage))
    }

    fn is_open(&self) -> Result<bool> {
        let mut word = [f32::from_bits(1)];
        if let Some(gate) = self.gate.as_ref().filter(|_| self.is_decided) {
            gate.read(&mut word)?;
        }
        Ok(word[0].to_bits() != 0)
    }

    fn layout(&self) -> u64 {
        self.layout
    }
}

/// What the launches of a step have in common.
struct Launches<'a> {
    driver: &'a dyn Driver,
    kernel: &'static str,
    plan: &'a Plan,
    pieces: Target<'a>,
    table: Target<'a>,
    parts: Target<'a>,
    factors: Target<'a>,
    gate: Option<Target<'a>>,
}

impl Launches<'_> {
    fn launch(&self, tensors: &mut [UpdateTensor<'_>], stage: &Stage) -> Result<()> {
        let table = Table {
            tensors: self.table.address(),
            pieces: self.pieces.part(stage.pieces).address(),
            changes: self.table.part(self.plan.changes).address(),
            factors: self.factors.address(),
            gate: self.gate.as_ref().map_or(0, Target::address),
        };
        let grid = [stage.blocks as u32, 1, 1];
        match stage.work {
            Work::Update => {
                let mut call = self.call(&UPDATE, self.kernel, &table);
                for tensor in tensors {
                    // A closed gate leaves all as it was.
                    let written = if self.gate.is_some() { 0 } else { tensor.len };
                    call.reads(on_device(tensor.gradient)?);
                    call.writes(&Target::new(on_device_mut(tensor.value)?), written);
                    for array in &mut tensor.state {
                        call.writes(&Target::new(on_device_mut(array)?), written);
                    }
                }
                call.launch(grid, THREADS)
            }
            Work::Noise { noises } => {
                let mut call = self.call(&UPDATE_NOISE, "add_noise", &table);
                for &index in &stage.tensors {
                    let tensor = &mut tensors[index];
                    call.reads(on_device(tensor.value)?);
                    call.writes(&Target::new(on_device_mut(tensor.gradient)?), tensor.len);
                }
                call.source(&self.table.part(noises)).launch(grid, THREADS)
            }
            Work::Norms { values, norms, count, first_factor } => {
                let kernel = if values { "gradient_and_value_squares" } else { "gradient_squares" };
                let mut call = self.call(&UPDATE_NORMS, kernel, &table);
                for &index in &stage.tensors {
                    call.reads(on_device(tensors[index].value)?);
                    call.reads(on_device(tensors[index].gradient)?);
                }
                // Two words a sum.
                let parts = stage.blocks * (1 + usize::from(values)) * 2;
                call.output(&self.parts, parts).launch(grid, THREADS)?;
                Call::new(self.driver, &UPDATE_NORMS, "norm_factors")
                    .count(stage.blocks)
                    .source(&self.table.part(norms))
                    .source(&self.parts)
                    .output(&self.factors.part(first_factor), count)
                    .launch([count as u32, 1, 1], THREADS)
            }
        }
    }

    fn call<'c>(&'c self, module: &'static Module, kernel: &'static str, table: &'c Table) -> Call<'c> {
        let mut call = Call::new(self.driver, module, kernel).value(table);
        for target in [&self.table, &self.pieces, &self.factors].into_iter().chain(&self.gate) {
            call.reads_written(target);
        }
        call
    }
}

impl std::fmt::Debug for DeviceUpdates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeviceUpdates({} tensors, {})", self.addresses.len(), self.driver.name())
    }
}

/// Launches the decision whether anything may change.
fn decide(
    driver: &Arc<dyn Driver>,
    faults: &Faults,
    losses: &[LossTerm<'_>],
    gate: &Target<'_>,
) -> Result<()> {
    let record = faults.record();
    let launch = |is_first: bool, count: usize, weight: f32, loss: Option<&DeviceBuffer>| {
        let call =
            Call::new(&**driver, &UPDATE_GATE, "update_gate").count(usize::from(is_first)).count(count);
        let call = call.float(weight).maybe(loss).source(&record).output(gate, 1);
        call.launch([1, 1, 1], THREADS)
    };
    if losses.is_empty() {
        return launch(true, 0, 0.0, None);
    }
    losses.iter().enumerate().try_for_each(|(place, loss)| {
        let values = found(driver, "a loss", loss.values, loss.len)?;
        launch(place == 0, loss.len, loss.weight, Some(values))
    })
}

/// That rules have their arrays, and steps their tensors.
fn check(tensors: &[UpdateTensor<'_>], rules: &[UpdateRule], steps: &[GradientStep]) -> Result<()> {
    let count = tensors.len();
    if count != rules.len() {
        return Err(Error::geometry(OP, format!("{count} tensors, {} rules", rules.len())));
    }
    for (tensor, rule) in tensors.iter().zip(rules) {
        let (needed, found) = (rule.state_len(), tensor.state.len());
        if needed != found {
            return Err(Error::geometry(OP, format!("{found} arrays; the rule keeps {needed}")));
        }
    }
    let within = |step: &GradientStep| match step {
        GradientStep::Change(tensor, _) => *tensor < count,
        GradientStep::Clip { tensors, .. } | GradientStep::Lars { tensors, .. } => {
            tensors.iter().all(|&tensor| tensor < count)
        }
    };
    match steps.iter().find(|step| !within(step)) {
        Some(step) => Err(Error::geometry(OP, format!("{step:?} of {count} tensors"))),
        None => Ok(()),
    }
}

fn kernel_of(rules: &[UpdateRule]) -> Result<&'static str> {
    let Some(first) = rules.first() else { return Ok("") };
    let kernel = kernel(first);
    if rules.iter().any(|rule| self::kernel(rule) != kernel) {
        return Err(Error::geometry(OP, "rules of several kinds".to_owned()));
    }
    Ok(kernel)
}

fn kernel(rule: &UpdateRule) -> &'static str {
    match rule {
        UpdateRule::Sgd { .. } => "update_sgd",
        UpdateRule::MomentumSgd { .. } => "update_momentum_sgd",
        UpdateRule::CorrectedMomentumSgd { .. } => "update_corrected_momentum_sgd",
        UpdateRule::Nesterov { .. } => "update_nesterov",
        UpdateRule::NesterovAhead { .. } => "update_nesterov_ahead",
        UpdateRule::AdaGrad { .. } => "update_ada_grad",
        UpdateRule::AdaDelta { .. } => "update_ada_delta",
        UpdateRule::RmsProp { eps_inside_sqrt: false, .. } => "update_rms_prop",
        UpdateRule::RmsProp { eps_inside_sqrt: true, .. } => "update_rms_prop_inside",
        UpdateRule::RmsPropGraves { .. } => "update_rms_prop_graves",
        UpdateRule::Smorms3 { .. } => "update_smorms3",
        UpdateRule::Adam { amsgrad: false, bounds: None, .. } => "update_adam",
        UpdateRule::Adam { amsgrad: true, bounds: None, .. } => "update_ams_grad",
        UpdateRule::Adam { amsgrad: false, bounds: Some(_), .. } => "update_ada_bound",
        UpdateRule::Adam { amsgrad: true, bounds: Some(_), .. } => "update_ams_bound",
        UpdateRule::Msvag { .. } => "update_msvag",
    }
}

/// Of a tensor's values, gradient and state, in this order.
fn addresses(driver: &Arc<dyn Driver>, tensor: &mut UpdateTensor<'_>) -> Result<Vec<Address>> {
    let address = |operand, buffer| Ok(found(driver, operand, buffer, tensor.len)?.address());
    let mut all = vec![address("a value", tensor.value)?, address("a gradient", tensor.gradient)?];
    for array in &tensor.state {
        all.push(address("an array of the rule's", array)?);
    }
    Ok(all)
}

/// A buffer of this device's, of at least so many floats.
fn found<'b>(
    driver: &Arc<dyn Driver>,
    operand: &'static str,
    buffer: &'b Buffer,
    len: usize,
) -> Result<&'b DeviceBuffer> {
    match buffer {
        Buffer::Device(device) if device.is_of(driver) => {
            fits(OP, operand, device, len)?;
            Ok(device)
        }
        _ => Err(Error::Elsewhere { op: OP, operand }),
    }
}

fn on_device(buffer: &Buffer) -> Result<&DeviceBuffer> {
    match buffer {
        Buffer::Device(device) => Ok(device),
        Buffer::Host(_) => Err(Error::Elsewhere { op: OP, operand: "a tensor" }),
    }
}

fn on_device_mut(buffer: &mut Buffer) -> Result<&mut DeviceBuffer> {
    match buffer {
        Buffer::Device(device) => Ok(device),
        Buffer::Host(_) => Err(Error::Elsewhere { op: OP, operand: "a tensor" }),
    }
}

/// Makes room for so many words, if there is less; says whether it did.
fn reserve(driver: &Arc<dyn Driver>, buffer: &mut Option<DeviceBuffer>, words: usize) -> Result<bool> {
    if buffer.as_ref().is_some_and(|buffer| buffer.len() >= words) {
        return Ok(false);
    }
    *buffer = Some(DeviceBuffer::zeroed(driver, words)?);
    Ok(true)
}

fn upload(driver: &dyn Driver, buffer: Option<&DeviceBuffer>, words: &[u32]) -> Result<()> {
    match buffer {
        Some(buffer) if !words.is_empty() => driver.write(buffer.address(), bytemuck::cast_slice(words)),
        _ => Ok(()),
    }
}
