//! Nesterov's accelerated gradient, in the two forms that are about.

use kernels::UpdateRule;

use super::{Rule, State, StateArray, Step};

/// Nesterov's accelerated gradient: `v' = momentum · v + rate · g`, and then one of the [`NesterovForm`]s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NesterovAg {
    /// The learning rate.
    pub rate: f64,
    /// How much of the velocity stays.
    pub momentum: f64,
    /// Whose formula.
    pub form: NesterovForm,
}

/// What Caffe and Chainer make of the velocity: with momentum .9, a first step of 1.9 or 2.71 times `rate · g`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NesterovForm {
    /// `W −= (1 + momentum) · v' − momentum · v`, as in the paper (Caffe's nesterov_solver.cpp).
    #[default]
    Caffe,
    /// `W −= momentum² · v' + (1 + momentum) · rate · g`: Chainer's NesterovAG, which uses the velocity after its update where
    /// the paper has the one before (chainer#4274).
    Chainer,
}

impl Default for NesterovAg {
    fn default() -> Self {
        Self { rate: 0.01, momentum: 0.9, form: NesterovForm::default() }
    }
}

impl Rule for NesterovAg {
    fn name(&self) -> &'static str {
        "NesterovAG"
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn state(&self) -> &'static [StateArray] {
        const { &[StateArray::velocity("v")] }
    }

    fn update(&self, step: &Step, value: &mut [f32], grad: &[f32], [v, ..]: State<'_>) {
        let (rate, momentum) = (step.rate as f32, self.momentum as f32);
        let values = value.iter_mut().zip(grad).zip(v);
        match self.form {
            NesterovForm::Caffe => {
                let ahead = 1.0 + momentum;
                for ((w, &g), v) in values {
                    let before = *v;
                    *v = momentum * before + rate * g;
                    *w -= ahead * *v - momentum * before;
                }
            }
            NesterovForm::Chainer => {
                let (square, ahead) = self.ahead(step);
                for ((w, &g), v) in values {
                    *v = momentum * *v + rate * g;
                    *w -= square * *v + ahead * g;
                }
            }
        }
    }

    fn on_device(&self, step: &Step) -> Option<UpdateRule> {
        let (rate, momentum) = (step.rate as f32, self.momentum as f32);
        Some(match self.form {
            NesterovForm::Caffe => UpdateRule::Nesterov { rate, momentum },
            NesterovForm::Chainer => {
                let (square, ahead) = self.ahead(step);
                UpdateRule::NesterovAhead { rate, momentum, square, ahead }
            }
        })
    }
}

impl NesterovAg {
    /// momentum² and (1 + momentum) · rate.
    fn ahead(&self, step: &Step) -> (f32, f32) {
        ((self.momentum * self.momentum) as f32, ((1.0 + self.momentum) * step.rate) as f32)
    }
}
