//! The run itself (Caffe's Solver::Solve and Step).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use caffe_proto::net::Net;
use caffe_proto::proto::{NetParameter, Phase, SolverParameter};
use caffe_proto::{SolverState, text};
use kernels::Backend;

use super::place::Place;
use super::supply::Supply;
use super::test_net::{Output, TestNet, loss_weight};
use super::{check, nets, snapshot};
use crate::data::Broken;
use crate::error::{Error, Result};
use crate::network::Network;
use crate::optim::Solver;
use crate::training::{Trainer, TrainingOptions};

/// A training run as a solver's file describes it.
///
/// Paths in the files that are no full ones begin at `base`, which for Caffe is the folder it is started in.
pub struct Session<'b> {
    solver: SolverParameter,
    base: PathBuf,
    backend: &'b dyn Backend,
    definition: NetParameter,
    outputs: Vec<(String, f32)>,
    trainer: Trainer<'b>,
    supply: Supply,
    tests: Vec<TestNet>,
    /// The last `average_loss` losses.
    losses: VecDeque<f64>,
    /// Whether the trainer has the next batch by now.
    is_ahead: bool,
    notes: Vec<String>,
    stopped: bool,
}

/// What happens in a run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An iteration.
    Step(StepEvent),
    /// A test.
    Test(TestEvent),
    /// A snapshot: its weights and its state.
    Snapshot(PathBuf, PathBuf),
    /// A sample that cannot be used, and was replaced.
    Broken(Broken),
}

/// An iteration that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct StepEvent {
    /// Iterations done before it: Caffe's count.
    pub iteration: u64,
    /// Where the data stand after it.
    pub epoch: f64,
    /// The loss, averaged over the last `average_loss` iterations.
    pub loss: f64,
    /// The learning rate.
    pub rate: f32,
    /// Samples, over all its passes.
    pub samples: usize,
    /// Whether it is one of those that `display` asks for.
    pub display: bool,
    /// Of those, the net's outputs in its last pass.
    pub outputs: Vec<Output>,
    /// Whether this is the pass without an update that ends a run.
    pub last: bool,
}

/// A test net that was tested.
#[derive(Clone, Debug, PartialEq)]
pub struct TestEvent {
    /// Which of the test nets.
    pub net: usize,
    /// Iterations done before.
    pub iteration: u64,
    /// Where the training data stand.
    pub epoch: f64,
    /// The outputs' means.
    pub outputs: Vec<Output>,
    /// The loss, when `test_compute_loss` asks for it.
    pub loss: Option<f64>,
}

impl<'b> Session<'b> {
    /// Opens the nets and their data. `initialise` is called with each net, the one that learns first, to give it weights.
    ///
    /// # Errors
    /// [`Error::SolverFile`] for a file that says too little, too much or something of a fork's; those of the nets and data.
    pub fn open(
        solver: &SolverParameter,
        base: &Path,
        backend: &'b dyn Backend,
        seed: u64,
        initialise: &mut dyn FnMut(&mut Network) -> Result<()>,
    ) -> Result<Self> {
        Self::open_with(solver, base, backend, seed, text::Options::default(), initialise)
    }

    /// The same, with options for reading the nets' prototxt.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open_with(
        solver: &SolverParameter,
        base: &Path,
        backend: &'b dyn Backend,
        seed: u64,
        options: text::Options,
        initialise: &mut dyn FnMut(&mut Network) -> Result<()>,
    ) -> Result<Self> {
        let mut notes = check::check(solver)?;
        let named = nets::train_net(solver, base, options)?;
        notes.extend(named.notes);
        let kept = Net::kept(&named.definition, &named.state)?;
        let mut network = Network::new(named.definition, &named.state)?;
        network.set_seed(seed);
        network.check_kinds()?;
        let supply = Supply::open(&mut network, Phase::Train, base, seed)?;
        initialise(&mut network)?;
        let trainee = network.trainee(backend, &TrainingOptions::default())?;
        let rules = Solver::new(solver, trainee.infos().to_vec())?;
        let net = network.net();
        let outputs = net.outputs.iter().map(|name| (name.clone(), loss_weight(net, name))).collect();
        let mut tests = Vec::new();
        for (named, batches) in nets::test_nets(solver, base, options)? {
            tests.push(TestNet::open(named, batches, base, seed, initialise)?);
        }
        Ok(Self {
            solver: solver.clone(),
            base: base.to_path_buf(),
            backend,
            definition: snapshot::saved_definition(kept, Phase::Train),
            outputs,
            trainer: Trainer::new(trainee, rules)?,
            supply,
            tests,
            losses: VecDeque::new(),
            is_ahead: false,
            notes,
            stopped: false,
        })
    }

    /// What is done otherwise than the files say.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The net and its solver.
    pub fn trainer(&self) -> &Trainer<'b> {
        &self.trainer
    }

    /// Updates parameters on so many threads.
    pub fn set_threads(&mut self, threads: usize) {
        self.trainer.solver_mut().optimizer_mut().set_threads(threads);
    }

    /// Whether [`run`](Self::run) has ended before `max_iter`.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The file of weights that belongs to the state read from `path`.
    ///
    /// # Errors
    /// [`Error::State`] for one that names none.
    pub fn weights_of(state: &SolverState, path: &Path, base: &Path) -> Result<PathBuf> {
        snapshot::learned_net(state, path, base).ok_or_else(|| Error::State {
            key: "learned_net".to_owned(),
            what: "is missing: the weights it was saved with are not known".to_owned(),
        })
    }

    /// Goes on from a state, whose weights the net was initialised with. From a state that we have written, to the same bits
    /// as a run that was never broken off; Caffe's do not say where in the data they were, which begin anew.
    ///
    /// # Errors
    /// The state of another solver, net or data.
    pub fn restore(&mut self, state: &SolverState) -> Result<()> {
        let place = state.place.as_deref().map(Place::from_text).transpose()?;
        self.trainer.solver_mut().restore(state)?;
        let passes = self.trainer.iteration() * u64::try_from(self.trainer.solver().iter_size()).unwrap_or(1);
        let Some(place) = place else {
            self.trainer.trainee_mut().set_passes(passes);
            return Ok(());
        };
        if place.tests.len() != self.tests.len() {
            return Err(Error::State {
                key: "place".to_owned(),
                what: format!("is of {} test nets, the solver has {}", place.tests.len(), self.tests.len()),
            });
        }
        self.trainer.trainee_mut().set_passes(place.passes);
        self.supply.go_to(&place.train)?;
        self.is_ahead = false;
        for (test, positions) in self.tests.iter_mut().zip(&place.tests) {
            test.supply_mut().go_to(positions)?;
        }
        Ok(())
    }

    /// Trains until `max_iter`, or until `stop` says so, which is asked between iterations. Then, too, a snapshot is written,
    /// unless `snapshot_after_train` is off.
    ///
    /// # Errors
    /// [`Error::Diverged`] when the loss is no number any more; those of the nets, the data, and of writing; `observe`'s.
    pub fn run(
        &mut self,
        stop: &mut dyn FnMut() -> bool,
        observe: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let end = u64::try_from(self.solver.max_iter()).unwrap_or(0);
        let every = |interval: i32, iteration: u64| {
            u64::try_from(interval).is_ok_and(|interval| interval > 0 && iteration.is_multiple_of(interval))
        };
        self.stopped = false;
        while self.trainer.iteration() < end {
            let iteration = self.trainer.iteration();
            let tested = every(self.solver.test_interval(), iteration);
            if tested && (iteration > 0 || self.solver.test_initialization()) {
                self.test(stop, observe)?;
            }
            if stop() {
                self.stopped = true;
                break;
            }
            self.step(every(self.solver.display.unwrap_or(0), iteration), observe)?;
            if every(self.solver.snapshot(), self.trainer.iteration()) {
                self.snapshot(observe)?;
            }
        }
        let iteration = self.trainer.iteration();
        if self.solver.snapshot_after_train() && !every(self.solver.snapshot(), iteration) {
            self.snapshot(observe)?;
        }
        if self.stopped {
            return Ok(());
        }
        if every(self.solver.display.unwrap_or(0), iteration) {
            self.look(observe)?;
        }
        if every(self.solver.test_interval(), iteration) {
            self.test(stop, observe)?;
        }
        Ok(())
    }

    /// Writes the weights and the state.
    fn snapshot(&self, observe: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
        let place = Place {
            passes: self.trainer.trainee().passes(),
            train: self.supply.positions(),
            tests: self.tests.iter().map(|test| test.supply().positions()).collect(),
        };
        let (weights, state) =
            snapshot::write(&self.solver, &self.base, &self.definition, &self.trainer, &place)?;
        observe(Event::Snapshot(weights, state))
    }

    fn step(&mut self, display: bool, observe: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
        let iteration = self.trainer.iteration();
        let (supply, mut samples) = (RefCell::new(&mut self.supply), 0);
        let is_ahead = Cell::from_mut(&mut self.is_ahead);
        let stepped = self.trainer.step_and(
            &mut |net| {
                let mut supply = supply.borrow_mut();
                if is_ahead.take() {
                    samples += supply.pass_over()?;
                    return net.take_inputs_ahead();
                }
                samples += supply.give(&mut |name, values| net.set_input(name, values))?;
                Ok(())
            },
            &mut |net| {
                if net.is_recorded() && net.make_room_ahead()? {
                    let supply = supply.borrow();
                    is_ahead
                        .set(supply.show_upcoming(&mut |name, values| net.set_input_ahead(name, values))?);
                }
                Ok(())
            },
        )?;
        self.tell(iteration, stepped.loss, stepped.rate, samples, display, false, observe)
    }

    /// One more pass, for the loss at the end.
    fn look(&mut self, observe: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
        self.is_ahead = false;
        let net = self.trainer.trainee_mut();
        let samples = self.supply.give(&mut |name, values| net.set_input(name, values))?;
        net.forward()?;
        let loss = net.loss()?;
        let rate = self.trainer.solver().rate();
        self.tell(self.trainer.iteration(), loss, rate, samples, true, true, observe)
    }

    #[expect(clippy::too_many_arguments, reason = "what an iteration has to tell")]
    fn tell(
        &mut self,
        iteration: u64,
        loss: f64,
        rate: f32,
        samples: usize,
        display: bool,
        last: bool,
        observe: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let kept = usize::try_from(self.solver.average_loss()).unwrap_or(1).max(1);
        self.losses.push_back(loss);
        if self.losses.len() > kept {
            self.losses.pop_front();
        }
        let loss = self.losses.iter().sum::<f64>() / self.losses.len() as f64;
        self.supply.broken().into_iter().try_for_each(|broken| observe(Event::Broken(broken)))?;
        let outputs = if display { self.current_outputs()? } else { Vec::new() };
        let epoch = self.supply.epoch();
        observe(Event::Step(StepEvent { iteration, epoch, loss, rate, samples, display, outputs, last }))
    }

    fn current_outputs(&self) -> Result<Vec<Output>> {
        let mut outputs = Vec::new();
        for (name, loss_weight) in &self.outputs {
            let (_, values) = self.trainer.trainee().blob(name)?;
            let output = |value| Output { name: name.clone(), value, loss_weight: *loss_weight };
            outputs.extend(values.into_iter().map(output));
        }
        Ok(outputs)
    }

    fn test(
        &mut self,
        stop: &mut dyn FnMut() -> bool,
        observe: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        if self.tests.is_empty() {
            return Ok(());
        }
        let (iteration, epoch) = (self.trainer.iteration(), self.supply.epoch());
        let model = self.trainer.trainee().to_model()?;
        for (at, test) in self.tests.iter_mut().enumerate() {
            let outputs = test.test(&model, self.backend, stop)?;
            test.supply_mut().broken().into_iter().try_for_each(|broken| observe(Event::Broken(broken)))?;
            let loss = self.solver.test_compute_loss().then(|| {
                outputs.iter().map(|output| f64::from(output.value) * f64::from(output.loss_weight)).sum()
            });
            observe(Event::Test(TestEvent { net: at, iteration, epoch, outputs, loss }))?;
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "emulate"))]
mod tests;
