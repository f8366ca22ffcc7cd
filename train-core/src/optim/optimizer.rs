//! A set of parameters, a rule for them, and what the rule remembers of each.

use kernels::{Buffer, Updates};

use super::change::{Change, changed_blocks};
use super::param_state::ParamState;
use super::place::Place;
use super::work::{PIECE, for_each};
use super::{Error, Gradients, MAX_STATE, ParamInfo, ParamView, Rule, State, Step};
use crate::hooks::{Hook, Moment, Trainable};

/// Updates parameters by a rule, hooks before it.
///
/// A parameter is **frozen** when it has no gradient, its `lr_mult` is 0, or a hook says so. Nothing is done to it: no decay,
/// no momentum; it has no state, and hooks do not see it. When it is thawed, its state begins clean.
///
/// ```
/// use train_core::hooks::{Freeze, WeightDecay};
/// use train_core::optim::{Adam, ParamInfo, ParamView, Rule};
///
/// let params = vec![ParamInfo::new("conv1", "W", [2]), ParamInfo::new("fc8", "W", [2])];
/// let mut optimizer = Adam::default().setup(params);
/// optimizer.add_hook(WeightDecay::new(5e-4))?;
/// optimizer.add_hook(Freeze::layers(["conv*"]))?; // a pattern that matches nothing is an error
/// assert_eq!(optimizer.frozen_layers(), ["conv1"]);
///
/// let (mut conv1, mut fc8, mut grad) = ([1.0, 2.0], [1.0, 2.0], [0.5, -0.5]);
/// optimizer.update(&mut [
///     ParamView { value: &mut conv1, grad: None },
///     ParamView { value: &mut fc8, grad: Some(&mut grad) },
/// ])?;
/// assert_eq!(conv1, [1.0, 2.0]);
/// assert!(fc8[0] < 1.0 && fc8[1] > 2.0);
/// # Ok::<(), train_core::optim::Error>(())
/// ```
#[derive(Debug)]
pub struct Optimizer {
    pub(super) rule: Box<dyn Rule>,
    pub(super) params: Vec<ParamInfo>,
    pub(super) states: Vec<ParamState>,
    pub(super) hooks: Vec<Box<dyn Hook>>,
    param_hooks: Vec<(usize, Box<dyn Hook>)>,
    held: Vec<bool>,
    frozen: Vec<bool>,
    rate: f64,
    pub(super) t: u64,
    pub(super) epoch: u64,
    pub(super) threads: usize,
    /// The device's part, where parameters are on one.
    pub(super) updates: Option<Box<dyn Updates>>,
    /// The parameters that it was last written for.
    pub(super) written: Vec<usize>,
    pub(super) begun: Begun,
}

/// What an update that is not finished has changed beside parameters and their arrays: enough to take it back.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// The parameters whose updates were counted.
    counted: Vec<usize>,
    /// Those whose arrays were made for it.
    pub(super) fresh: Vec<usize>,
    /// What was remembered of parameters that are updated no more.
    forgotten: Vec<(usize, ParamState)>,
}

impl Optimizer {
    /// An optimizer of `params` by `rule`, with clean state, on one thread.
    pub fn new(rule: Box<dyn Rule>, params: Vec<ParamInfo>) -> Self {
        let rate = rule.rate();
        let states = params.iter().map(|_| ParamState::default()).collect();
        let held = vec![false; params.len()];
        let frozen = params.iter().map(|param| param.lr_mult == 0.0).collect();
        Self {
            rule,
            params,
            states,
            hooks: Vec::new(),
            param_hooks: Vec::new(),
            held,
            frozen,
            rate,
            t: 0,
            epoch: 0,
            threads: 1,
            updates: None,
            written: Vec::new(),
            begun: Begun::default(),
        }
    }

    /// Updates on so many threads. The bits are the same with any number.
    pub fn set_threads(&mut self, threads: usize) {
        self.threads = threads.max(1);
    }

    /// The rule.
    pub fn rule(&self) -> &dyn Rule {
        &*self.rule
    }

    /// The parameters, in the order that [`update`](Self::update) expects.
    pub fn params(&self) -> &[ParamInfo] {
        &self.params
    }

    /// The learning rate.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Sets the learning rate, for schedules.
    pub fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
    }

    /// Updates done.
    pub fn t(&self) -> u64 {
        self.t
    }

    /// Epochs done.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Counts an epoch, which may thaw parameters.
    pub fn new_epoch(&mut self) {
        self.epoch += 1;
        self.plan();
    }

    /// Adds a hook behind those that there are: hooks act in the order in which they were added, as in Chainer.
    ///
    /// # Errors
    /// [`Error::Hook`] when it has no meaning for these parameters, as a pattern that matches none.
    pub fn add_hook(&mut self, hook: impl Hook + 'static) -> Result<&mut Self, Error> {
        self.insert_hook(self.hooks.len(), hook)
    }

    /// Puts a hook before the one at `place`.
    ///
    /// # Errors
    /// Those of [`add_hook`](Self::add_hook).
    pub fn insert_hook(&mut self, place: usize, hook: impl Hook + 'static) -> Result<&mut Self, Error> {
        hook.check(&self.params)?;
        self.hooks.insert(place.min(self.hooks.len()), Box::new(hook));
        self.plan();
        Ok(self)
    }

    /// Adds a hook on one parameter, Chainer's `param.update_rule.add_hook`: it acts after all hooks of the optimizer.
    ///
    /// # Errors
    /// [`Error::NoParam`], and those of [`add_hook`](Self::add_hook).
    pub fn add_param_hook(&mut self, name: &str, hook: impl Hook + 'static) -> Result<&mut Self, Error> {
        let index = self.params.iter().position(|param| param.name == name);
        let index = index.ok_or_else(|| Error::NoParam { name: name.to_owned() })?;
        hook.check(&self.params[index..=index])?;
        self.param_hooks.push((index, Box::new(hook)));
        Ok(self)
    }

    /// Whether each parameter is frozen now, as far as the optimizer knows.
    pub fn frozen(&self) -> &[bool] {
        &self.frozen
    }

    /// The layers of which every parameter is frozen now, for printing.
    pub fn frozen_layers(&self) -> Vec<&str> {
        self.layers_where(&self.frozen)
    }

    /// The layers that hooks have frozen whole: their statistics are to be held, and nothing is to be dropped in them. A
    /// BatchNorm of Caffe, whose parameters all have `lr_mult` 0, is not among them of itself.
    pub fn held_layers(&self) -> Vec<&str> {
        self.layers_where(&self.held)
    }

    /// Whether some frozen parameters are to be thawed at a later moment.
    pub fn will_thaw(&self) -> bool {
        self.hooks.iter().any(|hook| hook.changes_after(self.moment()))
    }

    /// Calls the hooks, and moves all parameters that are not frozen. `params` are those of [`params`](Self::params).
    ///
    /// # Errors
    /// [`Error::ParamCount`] and [`Error::ParamLen`] for others; nothing is changed then.
    pub fn update(&mut self, params: &mut [ParamView<'_>]) -> Result<(), Error> {
        let lens = |view: &ParamView<'_>| (view.value.len(), view.grad.as_deref().map(<[f32]>::len));
        self.check(params.iter().map(lens), |expected, found| expected == found)?;
        let active = self.begin(|index| params[index].grad.is_some());
        for &index in &active {
            self.states[index].keep_on_host(self.rule.state(), self.params[index].count())?;
        }
        let mut changes = vec![Vec::new(); params.len()];
        self.call_hooks(Place::Host(params), &active, &mut changes);
        self.count_updates(&active);
        self.move_values(params, &changes);
        self.finish_update();
        Ok(())
    }

    /// The parameters that are updated; of all others, nothing is remembered.
    pub(super) fn begin(&mut self, has_grad: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut active = Vec::with_capacity(self.params.len());
        self.begun = Begun::default();
        for (index, state) in self.states.iter_mut().enumerate() {
            if has_grad(index) && !self.frozen[index] {
                active.push(index);
            } else {
                self.begun.forgotten.push((index, std::mem::take(state)));
            }
        }
        active
    }

    pub(super) fn count_updates(&mut self, active: &[usize]) {
        for &index in active {
            self.states[index].t += 1;
        }
        self.begun.counted.extend(active);
    }

    /// Undoes what an update that is not finished has counted and forgotten. What it has moved stays so: nothing, unless the device
    /// failed in the middle of the update.
    pub(crate) fn take_back(&mut self) {
        let Begun { counted, fresh, forgotten } = std::mem::take(&mut self.begun);
        for index in counted {
            self.states[index].t -= 1;
        }
        for index in fresh {
            self.states[index].arrays.clear();
        }
        for (index, state) in forgotten {
            self.states[index] = state;
        }
    }

    /// Counts an iteration, which may thaw parameters.
    pub(crate) fn finish_update(&mut self) {
        self.begun = Begun::default();
        self.t += 1;
        self.plan();
        let moment = self.moment();
        self.hooks.iter_mut().for_each(|hook| hook.after_iteration(moment));
    }

    /// Asks the hooks anew what is frozen.
    pub(super) fn plan(&mut self) {
        let mut trainable = Trainable::new(&self.params);
        let moment = self.moment();
        self.hooks.iter().for_each(|hook| hook.plan(moment, &mut trainable));
        self.held = trainable.into_frozen();
        let params = self.params.iter().zip(&self.held);
        self.frozen = params.map(|(param, &held)| held || param.lr_mult == 0.0).collect();
    }

    /// The layers all of whose parameters are marked.
    fn layers_where(&self, marked: &[bool]) -> Vec<&str> {
        let mut layers: Vec<(&str, bool)> = Vec::new();
        for (param, &marked) in self.params.iter().zip(marked) {
            match layers.iter_mut().find(|(layer, _)| *layer == param.layer) {
                Some((_, all)) => *all &= marked,
                None => layers.push((&param.layer, marked)),
            }
        }
        layers.into_iter().filter(|(_, all)| *all).map(|(layer, _)| layer).collect()
    }

    fn moment(&self) -> Moment {
        Moment { epoch: self.epoch, iteration: self.t }
    }

    /// That parameters with values and gradients of these lengths are those that it was set up with.
    pub(super) fn check(
        &self,
        lens: impl ExactSizeIterator<Item = (usize, Option<usize>)>,
        fits: impl Fn(usize, usize) -> bool,
    ) -> Result<(), Error> {
        if lens.len() != self.params.len() {
            return Err(Error::ParamCount { expected: self.params.len(), found: lens.len() });
        }
        for (info, (value, grad)) in self.params.iter().zip(lens) {
            let expected = info.count();
            for (what, found) in [("value", value), ("gradient", grad.unwrap_or(expected))] {
                if !fits(expected, found) {
                    return Err(Error::ParamLen { name: info.name.clone(), what, expected, found });
                }
            }
        }
        Ok(())
    }

    pub(super) fn call_hooks(
        &mut self,
        mut place: Place<'_, '_>,
        active: &[usize],
        changes: &mut [Vec<Change>],
    ) {
        let mut updates: Vec<u64> = self.states.iter().map(|state| state.t).collect();
        let mut call = |hook: &mut dyn Hook, seen: &[usize], updates: &[u64]| {
            hook.before_update(&mut Gradients {
                params: &self.params,
                place: place.reborrow(),
                updates: updates.to_vec(),
                seen,
                active,
                changes,
                threads: self.threads,
            });
        };
        for hook in &mut self.hooks {
            call(hook, active, &updates);
        }
        for t in &mut updates {
            *t += 1;
        }
        for (index, hook) in &mut self.param_hooks {
            if active.contains(index) {
                call(hook, &[*index], &updates);
            }
        }
    }

    /// What the next update of a parameter is told.
    pub(super) fn step(&self, index: usize) -> Step {
        let info = &self.params[index];
        Step {
            rate: self.rate * f64::from(info.lr_mult),
            t: self.states[index].t,
            decay_mult: f64::from(info.decay_mult),
        }
    }

    /// Moves what is updated, whose state is in main memory.
    pub(super) fn move_values(&mut self, params: &mut [ParamView<'_>], changes: &[Vec<Change>]) {
        let mut pieces = Vec::new();
        let steps: Vec<Step> = (0..params.len()).map(|index| self.step(index)).collect();
        for (((view, step), state), changes) in
            params.iter_mut().zip(steps).zip(&mut self.states).zip(changes)
        {
            let Some(grad) = view.grad.as_deref().filter(|_| state.t > 0) else { continue };
            let mut arrays = state.arrays.iter_mut().filter_map(Buffer::as_host_mut);
            let mut arrays: [_; MAX_STATE] =
                std::array::from_fn(|_| arrays.next().map(|array| array.chunks_mut(PIECE)));
            for (piece, (value, grad)) in view.value.chunks_mut(PIECE).zip(grad.chunks(PIECE)).enumerate() {
                let state = arrays
                    .each_mut()
                    .map(|array| array.as_mut().and_then(Iterator::next).unwrap_or_default());
                pieces.push(Piece { step, changes, offset: piece * PIECE, value, grad, state });
            }
        }
        let rule = &*self.rule;
        for_each(self.threads, pieces, |piece| piece.update(rule));
    }
}

/// A run of one parameter's values.
struct Piece<'a> {
    step: Step,
    changes: &'a [Change],
    offset: usize,
    value: &'a mut [f32],
    grad: &'a [f32],
    state: State<'a>,
}

impl Piece<'_> {
    fn update(self, rule: &dyn Rule) {
        let Self { step, changes, offset, value, grad, mut state } = self;
        if changes.is_empty() {
            return rule.update(&step, value, grad, state);
        }
        changed_blocks(changes, offset, value, grad, |range, value, grad| {
            let state = state.each_mut().map(|array| array.get_mut(range.clone()).unwrap_or_default());
            rule.update(&step, value, grad, state);
        });
    }
}
