//! How the learning rate goes over the iterations (Caffe's sgd_solver.cpp).

use caffe_proto::proto::SolverParameter;

use super::Error;

/// Caffe's seven policies. `it` is the number of iterations done.
#[derive(Clone, Debug, PartialEq)]
pub enum LrPolicy {
    /// `base`
    Fixed,
    /// `base · gamma^⌊it / stepsize⌋`
    Step {
        /// The factor of each step.
        gamma: f32,
        /// Iterations a step.
        stepsize: i32,
    },
    /// `base · gamma^it`
    Exp {
        /// The factor of each iteration.
        gamma: f32,
    },
    /// `base · (1 + gamma · it)^−power`
    Inv {
        /// How soon it falls.
        gamma: f32,
        /// How steeply.
        power: f32,
    },
    /// `base · gamma^steps`; one step is taken in each iteration that has come to the next of `values`.
    Multistep {
        /// The factor of each step.
        gamma: f32,
        /// The iterations of the steps.
        values: Vec<i32>,
    },
    /// `base · (1 − it / max_iter)^power`
    Poly {
        /// The shape of the fall: 1 is a straight line.
        power: f32,
        /// When it comes to 0.
        max_iter: i32,
    },
    /// `base / (1 + e^(−gamma · (it − stepsize)))`
    Sigmoid {
        /// How steeply it rises.
        gamma: f32,
        /// The iteration of half the rate.
        stepsize: i32,
    },
}

impl LrPolicy {
    /// The policy that a solver names.
    ///
    /// # Errors
    /// [`Error::Policy`] for one that is none of the seven, [`Error::PolicyTerm`] for terms with which it has no meaning.
    pub fn of(solver: &SolverParameter) -> Result<Self, Error> {
        let policy = solver.lr_policy();
        let (gamma, power, stepsize) = (solver.gamma(), solver.power(), solver.stepsize());
        let refuse = |what: &str| Err(Error::PolicyTerm { policy: policy.to_owned(), what: what.to_owned() });
        if matches!(policy, "step" | "exp" | "inv" | "multistep" | "sigmoid") && gamma < 0.0 {
            return refuse(&format!("`gamma` at least 0, and has {gamma}"));
        }
        if matches!(policy, "step" | "sigmoid") && stepsize <= 0 {
            return refuse(&format!("a `stepsize` above 0, and has {stepsize}"));
        }
        Ok(match policy {
            "fixed" => Self::Fixed,
            "step" => Self::Step { gamma, stepsize },
            "exp" => Self::Exp { gamma },
            "inv" => Self::Inv { gamma, power },
            "multistep" => Self::Multistep { gamma, values: solver.stepvalue.clone() },
            "poly" if solver.max_iter() <= 0 => return refuse("a `max_iter` above 0"),
            "poly" => Self::Poly { power, max_iter: solver.max_iter() },
            "sigmoid" => Self::Sigmoid { gamma, stepsize },
            other => return Err(Error::Policy { found: other.to_owned() }),
        })
    }

    /// The rate of iteration `it`. Called once an iteration: `current_step` is what the policy remembers between them, and
    /// a solver state keeps.
    pub fn rate(&self, base: f32, it: i32, current_step: &mut i32) -> f32 {
        let (base, done) = (f64::from(base), f64::from(it));
        let steps = |gamma: f32, count: i32| base * f64::from(gamma).powi(count);
        let rate = match self {
            Self::Fixed => base,
            Self::Step { gamma, stepsize } => {
                *current_step = it / stepsize;
                steps(*gamma, *current_step)
            }
            Self::Exp { gamma } => steps(*gamma, it),
            Self::Inv { gamma, power } => base * f64::from(1.0 + gamma * it as f32).powf(-f64::from(*power)),
            Self::Multistep { gamma, values } => {
                let next = usize::try_from(*current_step).ok().and_then(|step| values.get(step));
                if next.is_some_and(|&next| it >= next) {
                    *current_step += 1;
                }
                steps(*gamma, *current_step)
            }
            Self::Poly { power, max_iter } => {
                base * f64::from(1.0 - (done / f64::from(*max_iter)) as f32).powf(f64::from(*power))
            }
            Self::Sigmoid { gamma, stepsize } => {
                base / (1.0 + (-f64::from(*gamma) * (done - f64::from(*stepsize))).exp())
            }
        };
        rate as f32
    }
}
