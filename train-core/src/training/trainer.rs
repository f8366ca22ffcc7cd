//! Iterations: passes forward and backward, and an update.

mod at_once;

use weight_io::Weights;

use super::snapshot;
use crate::Trainee;
use crate::error::Result;
use crate::optim::Solver;
use crate::replay::Replay;

/// A net in training with the solver that moves its parameters.
///
/// Which layers are frozen is the solver's hooks' affair: whenever that changes, the net's backward pass does.
///
/// ```
/// use kernels::CpuBackend;
/// use train_core::hooks::{Freeze, Until};
/// use train_core::optim::{LrPolicy, MomentumSgd, Optimizer, Solver};
/// use train_core::{Trainer, TrainingOptions};
///
/// # use caffe_proto::{proto::NetState, text, Storage};
/// # let prototxt = r#"
/// # layer { name: "data" type: "Input" top: "x" top: "y" input_param { shape { dim: 1 dim: 1 } shape { dim: 1 dim: 1 } } }
/// # layer { name: "fc1" type: "InnerProduct" bottom: "x" top: "h" inner_product_param { num_output: 1 weight_filler { type: "constant" value: 1 } } }
/// # layer { name: "fc2" type: "InnerProduct" bottom: "h" top: "z" inner_product_param { num_output: 1 } }
/// # layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "y" top: "loss" }"#;
/// # let text = Storage::from_vec("net", prototxt.as_bytes().to_vec());
/// # let definition = text::parse_net(&text, text::Options::default())?.0;
/// # let network = train_core::Network::new(definition, &NetState::default())?;
/// let cpu = CpuBackend::new(1)?;
/// let trainee = network.trainee(&cpu, &TrainingOptions::default())?;
/// let rule = MomentumSgd { rate: 0.1, momentum: 0.5 };
/// let mut optimizer = Optimizer::new(Box::new(rule), trainee.infos().to_vec());
/// optimizer.add_hook(Freeze::layers(["fc1"]).until(Until::Iteration(3)))?;
///
/// let mut trainer = Trainer::new(trainee, Solver::of_optimizer(optimizer, LrPolicy::Fixed))?;
/// for iteration in 1..=50 {
///     let step = trainer.step(&mut |net| {
///         net.set_input("x", &[2.0])?;
///         net.set_input("y", &[3.0])
///     })?;
///     assert_eq!(step.thawed.len(), usize::from(iteration == 3));
///     assert!(iteration < 50 || step.loss < 1e-6);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trainer<'b> {
    trainee: Trainee<'b>,
    solver: Solver,
    update: Replay,
    /// That of the last update that was done together with its passes, or might have been.
    layout: u64,
    /// Whether hooks have asked for numbers.
    asks: bool,
    /// The layers that the net holds.
    held: Vec<String>,
}

/// What an iteration came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Stepped {
    /// The loss before the update: the mean over its passes.
    pub loss: f64,
    /// The learning rate of the update.
    pub rate: f32,
    /// Layers that were frozen for this update, and are not for the next.
    pub thawed: Vec<String>,
}

impl<'b> Trainer<'b> {
    /// A trainer of `trainee` by `solver`, which was made for its parameters.
    ///
    /// # Errors
    /// [`Error::CannotTrain`](crate::Error::CannotTrain) with every layer that passes no gradient on to one that learns.
    pub fn new(mut trainee: Trainee<'b>, solver: Solver) -> Result<Self> {
        let held = owned(&solver.optimizer().held_layers());
        trainee.freeze(&held)?;
        Ok(Self { trainee, solver, update: Replay::default(), layout: 0, asks: false, held })
    }

    /// The net.
    pub fn trainee(&self) -> &Trainee<'b> {
        &self.trainee
    }

    /// The net, for its inputs and values.
    pub fn trainee_mut(&mut self) -> &mut Trainee<'b> {
        &mut self.trainee
    }

    /// The solver.
    pub fn solver(&self) -> &Solver {
        &self.solver
    }

    /// The solver, for its rate and state.
    pub fn solver_mut(&mut self) -> &mut Solver {
        &mut self.solver
    }

    /// Iterations done.
    pub fn iteration(&self) -> u64 {
        self.solver.iteration()
    }

    /// One iteration: as many passes as the solver's `iter_size`, before each of which `fill` gives the net its inputs, and
    /// one update with the sum of their gradients.
    ///
    /// # Errors
    /// `fill`'s; [`Error::Diverged`](crate::Error::Diverged) when the loss is no number any more: then nothing is updated;
    /// those of the passes and the update; [`Error::NotUpdated`](crate::Error::NotUpdated) where something else that uses the device was told
    /// of a value that kept it from the update. [`iteration`](Self::iteration) counts the step if its update was made: after an
    /// error, too, as where something else on the device met such a value behind the update.
    pub fn step(&mut self, fill: &mut dyn FnMut(&mut Trainee<'b>) -> Result<()>) -> Result<Stepped> {
        self.step_and(fill, &mut |_| Ok(()))
    }

    /// [`step`](Self::step), which calls `meanwhile` when a device has been given all there is to do: there the inputs of the next step can
    /// be [set ahead](Trainee::set_input_ahead). Where pass and update are one recording, the loss is waited for after that; else it is there
    /// already. A step that fails before that does not call it.
    ///
    /// # Errors
    /// Those of [`step`](Self::step); `meanwhile`'s, where the step itself has given none.
    pub fn step_and(
        &mut self,
        fill: &mut dyn FnMut(&mut Trainee<'b>) -> Result<()>,
        meanwhile: &mut dyn FnMut(&mut Trainee<'b>) -> Result<()>,
    ) -> Result<Stepped> {
        let mut ahead = Ok(());
        let mut meanwhile = |trainee: &mut Trainee<'b>| ahead = meanwhile(trainee);
        // Hooks may have come since the last one.
        self.follow_hooks()?;
        let (passes, rate) = (self.solver.iter_size(), self.solver.rate());
        self.trainee.clear_gradients();
        let mut loss = 0.0;
        if self.goes_at_once() {
            fill(&mut self.trainee)?;
            loss = self.step_at_once(&mut meanwhile)?;
        } else {
            for _ in 0..passes {
                fill(&mut self.trainee)?;
                loss += self.trainee.pass(self.iteration())? / f64::from(passes);
            }
            self.update()?;
            meanwhile(&mut self.trainee);
        }
        let thawed = self.follow_hooks()?;
        ahead?;
        Ok(Stepped { loss, rate, thawed })
    }

    /// Whether steps are replayed from recordings, on a device: each from one; or from one of a forward pass, one of a backward pass
    /// and one of an update, where `iter_size` is not 1 or a hook asks for values or gradients.
    pub fn is_recorded(&self) -> bool {
        self.trainee.is_step_recorded() || self.trainee.is_recorded() && self.update.is_recorded()
    }

    /// Counts an epoch; gives the layers that this thaws.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn new_epoch(&mut self) -> Result<Vec<String>> {
        self.solver.optimizer_mut().new_epoch();
        self.follow_hooks()
    }

    /// Parameters, the solver's state, and counts: with the place in the data, all that a run needs to go on to the same
    /// bits. Names are `param/conv1/W`, `optimizer/` with those of [`Optimizer::to_weights`](crate::optim::Optimizer::to_weights), and `passes`.
    ///
    /// # Errors
    /// Those of [`Optimizer::to_weights`](crate::optim::Optimizer::to_weights).
    pub fn to_state(&self) -> Result<Weights> {
        snapshot::write(&self.trainee, &self.solver)
    }

    /// Goes on from there.
    ///
    /// # Errors
    /// When something is missing, or of another net or rule.
    pub fn restore_state(&mut self, state: &Weights) -> Result<()> {
        snapshot::restore(&mut self.trainee, &mut self.solver, state)?;
        self.hold(owned(&self.solver.optimizer().held_layers()))
    }

    fn update(&mut self) -> Result<()> {
        let (backend, records) = (self.trainee.backend(), self.trainee.records());
        let mut params = self.trainee.param_buffers()?;
        if records {
            return self.solver.update_replayed(backend, &mut params, &mut self.update);
        }
        Ok(self.solver.update_on(backend, &mut params)?)
    }

    /// Lets the net know what hooks freeze now, if that has changed; gives the layers that are frozen no more.
    fn follow_hooks(&mut self) -> Result<Vec<String>> {
        let held = self.solver.optimizer().held_layers();
        if held == self.held {
            return Ok(Vec::new());
        }
        let held = owned(&held);
        let before = self.held.clone();
        self.hold(held)?;
        Ok(before.into_iter().filter(|name| !self.held.contains(name)).collect())
    }

    fn hold(&mut self, held: Vec<String>) -> Result<()> {
        // The net's gradients get other memory; a recording of the update would keep what they had.
        self.update.forget();
        self.trainee.freeze(&held)?;
        self.held = held;
        Ok(())
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
