//! What Caffe does with a `solver.prototxt`.

use caffe_proto::SolverState;
use caffe_proto::proto::SolverParameter;
use kernels::Backend;

use super::{
    AdaDelta, AdaGrad, Adam, Error, LrPolicy, MomentumSgd, NesterovAg, NesterovForm, Optimizer, ParamBuffers,
    ParamInfo, ParamView, RmsProp, Rule,
};
use crate::hooks::{GradientClipping, GradientScaling, Lasso, WeightDecay};
use crate::replay::Replay;

/// An [`Optimizer`] with a learning-rate policy, put together from a solver's terms.
///
/// Each update goes in Caffe's order (sgd_solver.cpp): the rate; clipping, on the sum over `iter_size` passes; division by
/// `iter_size`; decay; the rule. Hooks that are added act after the decay.
#[derive(Debug)]
pub struct Solver {
    optimizer: Optimizer,
    policy: LrPolicy,
    base: f32,
    iter_size: i32,
    current_step: i32,
}

impl Solver {
    /// The solver of `params`: all parameters of the net in its order, one of each that is shared, frozen ones and
    /// statistics included.
    ///
    /// # Errors
    /// Whatever Caffe refuses: another type, policy or regularization than it has, momentum where there is none, terms
    /// without meaning.
    pub fn new(solver: &SolverParameter, params: Vec<ParamInfo>) -> Result<Self, Error> {
        let policy = LrPolicy::of(solver)?;
        let iter_size = solver.iter_size();
        if iter_size < 1 {
            return Err(Error::IterSize { found: iter_size });
        }
        let mut optimizer = Optimizer::new(rule(solver)?, params);
        if solver.clip_gradients() >= 0.0 {
            optimizer.add_hook(GradientClipping::new(f64::from(solver.clip_gradients())))?;
        }
        if iter_size > 1 {
            optimizer.add_hook(GradientScaling::new(1.0 / iter_size as f32))?;
        }
        let decay = f64::from(solver.weight_decay());
        if decay != 0.0 {
            match solver.regularization_type() {
                "L2" => optimizer.add_hook(WeightDecay::new(decay))?,
                "L1" => optimizer.add_hook(Lasso::new(decay))?,
                other => return Err(Error::Regularization { found: other.to_owned() }),
            };
        }
        Ok(Self { optimizer, policy, base: solver.base_lr(), iter_size, current_step: 0 })
    }

    /// An optimizer of Chainer's, or one's own, whose rate follows a policy from where it is now. A `Fixed` one leaves it.
    pub fn of_optimizer(optimizer: Optimizer, policy: LrPolicy) -> Self {
        let base = optimizer.rate() as f32;
        Self { optimizer, policy, base, iter_size: 1, current_step: 0 }
    }

    /// The optimizer, for its hooks and what is frozen.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// The optimizer, for adding hooks.
    pub fn optimizer_mut(&mut self) -> &mut Optimizer {
        &mut self.optimizer
    }

    /// Iterations done.
    pub fn iteration(&self) -> u64 {
        self.optimizer.t()
    }

    /// Passes whose gradients are summed up for each update.
    pub fn iter_size(&self) -> i32 {
        self.iter_size
    }

    /// The learning rate of the next update.
    pub fn rate(&self) -> f32 {
        self.policy.rate(self.base, self.it(), &mut self.current_step.clone())
    }

    /// One update with the sum of the gradients of `iter_size` passes.
    ///
    /// # Errors
    /// Those of [`Optimizer::update`].
    pub fn update(&mut self, params: &mut [ParamView<'_>]) -> Result<(), Error> {
        let step = self.set_rate();
        self.optimizer.update(params)?;
        self.current_step = step;
        Ok(())
    }

    /// The same where a backend keeps the parameters.
    ///
    /// # Errors
    /// Those of [`Optimizer::update_on`].
    pub fn update_on(&mut self, backend: &dyn Backend, params: &mut [ParamBuffers<'_>]) -> Result<(), Error> {
        let step = self.set_rate();
        self.optimizer.update_on(backend, params)?;
        self.current_step = step;
        Ok(())
    }

    /// The same; what is launched on a device is recorded and replayed.
    pub(crate) fn update_replayed(
        &mut self,
        backend: &dyn Backend,
        params: &mut [ParamBuffers<'_>],
        replay: &mut Replay,
    ) -> crate::error::Result<()> {
        let step = self.set_rate();
        self.optimizer.update_replayed(backend, params, replay)?;
        self.current_step = step;
        Ok(())
    }

    /// What `caffe train --snapshot` goes on from, beside the weights in `learned_net`.
    ///
    /// Caffe keeps one count of updates for all parameters: those that were thawed go on as if they had never been frozen.
    /// [`Optimizer::to_weights`] keeps each one's own.
    ///
    /// # Errors
    /// Those of [`Optimizer::history`].
    pub fn to_state(&self, learned_net: Option<String>) -> Result<SolverState, Error> {
        Ok(SolverState {
            iter: self.it(),
            learned_net,
            current_step: self.current_step,
            history: self.optimizer.history()?,
            place: None,
        })
    }

    /// Goes on from a state that we or Caffe have saved.
    ///
    /// # Errors
    /// Those of [`Optimizer::restore_history`].
    pub fn restore(&mut self, state: &SolverState) -> Result<(), Error> {
        self.optimizer.restore_history(u64::try_from(state.iter).unwrap_or(0), &state.history)?;
        self.current_step = state.current_step;
        Ok(())
    }

    pub(crate) fn current_step(&self) -> i32 {
        self.current_step
    }

    pub(crate) fn set_current_step(&mut self, step: i32) {
        self.current_step = step;
    }

    /// Sets the rate of the next update; gives the step of the policy that is reached with it.
    pub(crate) fn set_rate(&mut self) -> i32 {
        let mut step = self.current_step;
        let rate = self.policy.rate(self.base, self.it(), &mut step);
        if self.policy != LrPolicy::Fixed {
            self.optimizer.set_rate(f64::from(rate));
        }
        step
    }

    fn it(&self) -> i32 {
        i32::try_from(self.optimizer.t()).unwrap_or(i32::MAX)
    }
}

fn rule(solver: &SolverParameter) -> Result<Box<dyn Rule>, Error> {
    let rate = f64::from(solver.base_lr());
    let (momentum, eps) = (f64::from(solver.momentum()), f64::from(solver.delta()));
    let no_momentum = |solver: &'static str| {
        if momentum == 0.0 { Ok(()) } else { Err(Error::Momentum { solver, found: momentum as f32 }) }
    };
    Ok(match solver.r#type() {
        "SGD" => Box::new(MomentumSgd { rate, momentum }),
        "Nesterov" => Box::new(NesterovAg { rate, momentum, form: NesterovForm::Caffe }),
        "AdaGrad" => {
            no_momentum("AdaGrad")?;
            Box::new(AdaGrad { rate, eps })
        }
        "RMSProp" => {
            no_momentum("RMSProp")?;
            let alpha = solver.rms_decay();
            if !(0.0..1.0).contains(&alpha) {
                return Err(Error::RmsDecay { found: alpha });
            }
            Box::new(RmsProp { rate, alpha: f64::from(alpha), eps, eps_inside_sqrt: false })
        }
        "AdaDelta" => Box::new(AdaDelta { rate, rho: momentum, eps }),
        "Adam" => Box::new(Adam {
            rate,
            beta1: momentum,
            beta2: f64::from(solver.momentum2()),
            eps,
            ..Adam::default()
        }),
        other => return Err(Error::SolverType { found: other.to_owned() }),
    })
}
