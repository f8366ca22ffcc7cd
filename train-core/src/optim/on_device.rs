//! Updates of parameters where a backend keeps them.

use std::iter;

use kernels::{Backend, Buffer, LossTerm, UpdateRule, UpdateTensor};

use super::change::{self, Change};
use super::operation::Operation;
use super::optimizer::Begun;
use super::param_state::ParamState;
use super::place::{Buffers, Fetched, Place, Remote, Source};
use super::{Error, Optimizer, ParamBuffers, ParamInfo, ParamView, Step};
use crate::replay::Replay;

/// What hooks have said of an update, before it is written.
pub(crate) struct Asked {
    active: Vec<usize>,
    /// As the kernels know them.
    rules: Option<Vec<UpdateRule>>,
    changes: Vec<Vec<Change>>,
    notes: Vec<Operation>,
    fetched: Option<Vec<Fetched>>,
}

impl Asked {
    /// Whether values and gradients were fetched.
    pub(crate) fn for_numbers(&self) -> bool {
        self.fetched.is_some()
    }
}

impl Optimizer {
    /// [`update`](Self::update) where a backend keeps the parameters. On a device, what hooks and the rule do is launched there, and
    /// nothing is copied but their numbers; unless a hook asks for values or gradients, or the kernels do not know the
    /// rule: then they are copied to main memory, and what was changed is copied back.
    ///
    /// # Errors
    /// [`Error::ParamCount`] and [`Error::ParamLen`] for other parameters; nothing is changed then. [`Error::Device`].
    pub fn update_on(&mut self, backend: &dyn Backend, params: &mut [ParamBuffers<'_>]) -> Result<(), Error> {
        if let Some(mut views) = on_host(&self.params, params) {
            return self.update(&mut views);
        }
        if self.prepare_update(backend, params)? {
            let launched = self.launch_update(params, None);
            self.take_back_unless(launched)?;
        }
        self.finish_update();
        Ok(())
    }

    /// The same; what is launched on a device is recorded, and replayed as long as the launches stay the same.
    ///
    /// # Errors
    /// As [`update_on`](Self::update_on).
    pub(crate) fn update_replayed(
        &mut self,
        backend: &dyn Backend,
        params: &mut [ParamBuffers<'_>],
        replay: &mut Replay,
    ) -> crate::error::Result<()> {
        if let Some(mut views) = on_host(&self.params, params) {
            return Ok(self.update(&mut views)?);
        }
        if self.prepare_update(backend, params)? {
            replay.depend_on(self.layout());
            let launched = replay.run(backend, &mut |_| Ok(self.launch_update(params, None)?));
            self.take_back_unless(launched)?;
        }
        self.finish_update();
        Ok(())
    }

    /// Whether the kernels of a backend update parameters, by rules that they know.
    pub(crate) fn is_updated_on(&mut self, backend: &dyn Backend) -> bool {
        if self.updates.is_none() {
            self.updates = backend.updates();
        }
        self.updates.is_some()
    }

    /// The first part of an update on a device: calls the hooks, for parameters with values and gradients of these lengths. Nothing is
    /// fetched from `source` unless a hook asks for numbers, or the kernels do not know the rule.
    /// [`write_update`](Self::write_update), [`launch_update`](Self::launch_update) and [`finish_update`](Self::finish_update) come behind, or
    /// [`take_back`](Self::take_back).
    pub(crate) fn ask_hooks(
        &mut self,
        backend: &dyn Backend,
        lens: &[(usize, Option<usize>)],
        source: &mut dyn Source,
    ) -> Result<Asked, Error> {
        // What is taken back after an error is nothing of an update before.
        self.begun = Begun::default();
        self.check(lens.iter().copied(), |expected, found| expected <= found)?;
        let active = self.begin(|index| lens[index].1.is_some());
        let rules = if self.is_updated_on(backend) { self.rules(&active) } else { None };
        let counts = self.params.iter().map(ParamInfo::count);
        let mut remote = Remote::new(source, counts.collect());
        if rules.is_none() {
            remote.fetch(&active);
        }
        let mut changes = vec![Vec::new(); active.last().map_or(0, |last| last + 1)];
        self.call_hooks(Place::Device(&mut remote), &active, &mut changes);
        let Remote { notes, fetched, .. } = remote;
        Ok(Asked { active, rules, changes, notes, fetched })
    }

    /// The second part: writes what launches go by. Gives `false` where there is nothing to launch, the update being done already.
    pub(crate) fn write_update(
        &mut self,
        backend: &dyn Backend,
        params: &mut [ParamBuffers<'_>],
        asked: Asked,
    ) -> Result<bool, Error> {
        let Asked { active, rules, changes, notes, mut fetched } = asked;
        self.count_updates(&active);
        let Some(rules) = rules else {
            self.move_fetched(backend, params, &active, &mut fetched.unwrap_or_default(), &changes)?;
            return Ok(false);
        };
        let arrays = self.rule.state();
        // All at once: a device's allocations are slow, and it waits for each.
        let missing = |&index: &usize| {
            iter::repeat_n(self.params[index].count(), self.states[index].missing_on_device(arrays))
        };
        let mut room =
            backend.allocate_all(&active.iter().flat_map(missing).collect::<Vec<_>>())?.into_iter();
        for &index in &active {
            if self.states[index].arrays.is_empty() {
                self.begun.fresh.push(index);
            }
            let count = self.params[index].count();
            self.states[index].keep_on(backend, arrays, count, &mut room)?;
            if let Some(fetched) = &mut fetched {
                let view = fetched[index].view();
                if let (Some(grad), Some(target)) = (view.grad, params[index].grad.as_deref_mut()) {
                    change::apply(&changes[index], view.value, grad, self.threads);
                    backend.write(target, 0, grad)?;
                }
            }
        }
        // Every parameter of an operation is updated.
        let place = |param: usize| active.partition_point(|&index| index < param);
        let steps: Vec<_> = notes.iter().map(|operation| operation.on_device(place)).collect();
        if let Some(updates) = &mut self.updates {
            let mut tensors = tensors(&mut self.states, &self.params, params, &active);
            updates.write(&mut tensors, &rules, &steps)?;
        }
        self.written = active;
        Ok(true)
    }

    /// Launches what was written, for the same parameters; given losses, only to move anything where they are finite.
    pub(crate) fn launch_update(
        &mut self,
        params: &mut [ParamBuffers<'_>],
        losses: Option<&[LossTerm<'_>]>,
    ) -> Result<(), Error> {
        if let Some(updates) = &mut self.updates {
            let mut tensors = tensors(&mut self.states, &self.params, params, &self.written);
            updates.launch(&mut tensors, losses)?;
        }
        Ok(())
    }

    /// Whether the device has made the update that was [launched](Self::launch_update) last with losses; waits for it.
    pub(crate) fn is_update_made(&self) -> Result<bool, Error> {
        Ok(self.updates.as_ref().map_or(Ok(true), |updates| updates.is_open())?)
    }

    /// Tells launches that were written apart: while it is the same, so are they.
    pub(crate) fn layout(&self) -> u64 {
        self.updates.as_ref().map_or(0, |updates| updates.layout())
    }

    /// Hooks called and numbers written, with gradients that are there.
    fn prepare_update(
        &mut self,
        backend: &dyn Backend,
        params: &mut [ParamBuffers<'_>],
    ) -> Result<bool, Error> {
        let lens = params.iter().map(|param| (param.value.len(), param.grad.as_ref().map(|grad| grad.len())));
        let lens: Vec<_> = lens.collect();
        let mut buffers = Buffers::new(params);
        let asked = self.ask_hooks(backend, &lens, &mut buffers);
        let outcome = match buffers.failure {
            Some(failure) => Err(failure.into()),
            None => asked.and_then(|asked| self.write_update(backend, params, asked)),
        };
        self.take_back_unless(outcome)
    }

    /// The outcome; where it is an error, without what the update has counted.
    fn take_back_unless<T, E>(&mut self, outcome: Result<T, E>) -> Result<T, E> {
        if outcome.is_err() {
            self.take_back();
        }
        outcome
    }

    /// The rule as the kernels know it, with the numbers of the next update of each of these parameters.
    fn rules(&self, active: &[usize]) -> Option<Vec<UpdateRule>> {
        let next = |index: usize| Step { t: self.states[index].t + 1, ..self.step(index) };
        active.iter().map(|&index| self.rule.on_device(&next(index))).collect()
    }

    /// The update in main memory, of what was fetched there. Where the device fails while values are copied back to it, the rule's
    /// arrays have moved, and of the values those that had been copied.
    fn move_fetched(
        &mut self,
        backend: &dyn Backend,
        params: &mut [ParamBuffers<'_>],
        active: &[usize],
        fetched: &mut [Fetched],
        changes: &[Vec<Change>],
    ) -> Result<(), Error> {
        for &index in active {
            if self.states[index].arrays.is_empty() {
                self.begun.fresh.push(index);
            }
            self.states[index].keep_on_host(self.rule.state(), self.params[index].count())?;
        }
        let mut views: Vec<ParamView<'_>> = fetched.iter_mut().map(Fetched::view).collect();
        self.move_values(&mut views, changes);
        for &index in active {
            backend.write(params[index].value, 0, &fetched[index].value)?;
        }
        Ok(())
    }
}

/// The parameters as slices, if they are all in main memory.
fn on_host<'a>(infos: &[ParamInfo], params: &'a mut [ParamBuffers<'_>]) -> Option<Vec<ParamView<'a>>> {
    let mut views = Vec::with_capacity(params.len());
    for (param, info) in params.iter_mut().zip(infos) {
        let count = info.count();
        let part = |buffer: &'a mut Buffer| {
            let floats = buffer.as_host_mut()?;
            let len = floats.len().min(count);
            Some(&mut floats[..len])
        };
        let grad = match param.grad.as_deref_mut() {
            Some(grad) => Some(part(grad)?),
            None => None,
        };
        views.push(ParamView { value: part(param.value)?, grad });
    }
    Some(views)
}

/// What is updated, with its state, in the order of the parameters.
fn tensors<'t>(
    states: &'t mut [ParamState],
    infos: &[ParamInfo],
    params: &'t mut [ParamBuffers<'_>],
    active: &[usize],
) -> Vec<UpdateTensor<'t>> {
    let all = params.iter_mut().zip(states).zip(infos).enumerate();
    let updated = all.filter(|(index, _)| active.binary_search(index).is_ok());
    let tensors = updated.filter_map(|(_, ((param, state), info))| {
        let gradient = param.grad.as_deref_mut()?;
        let state = state.arrays.iter_mut().collect();
        Some(UpdateTensor { len: info.count(), value: param.value, gradient, state })
    });
    tensors.collect()
}
