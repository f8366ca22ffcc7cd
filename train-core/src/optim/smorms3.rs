//! SMORMS3 (Funk 2015).

use kernels::UpdateRule;

use super::{Rule, State, StateArray, Step};

/// `r = 1 / (mem + 1)`; `a` and `q` are averages of `g` and `g²` with weight `r`; `x = a² / (q + eps)`;
/// `W −= g · min(x, rate) / (√q + eps); mem = 1 + mem · (1 − x)` (Chainer's SMORMS3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smorms3 {
    /// The learning rate.
    pub rate: f64,
    /// Keeps the divisor from 0.
    pub eps: f64,
}

impl Default for Smorms3 {
    fn default() -> Self {
        Self { rate: 0.001, eps: 1e-16 }
    }
}

impl Rule for Smorms3 {
    fn name(&self) -> &'static str {
        "SMORMS3"
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn state(&self) -> &'static [StateArray] {
        const {
            &[
                StateArray { name: "mem", initial: 1.0, negated: false },
                StateArray::zeros("g"),
                StateArray::zeros("g2"),
            ]
        }
    }

    fn update(&self, step: &Step, value: &mut [f32], grad: &[f32], [mem, average, square]: State<'_>) {
        let (rate, eps) = (step.rate as f32, self.eps as f32);
        let values = value.iter_mut().zip(grad).zip(mem).zip(average).zip(square);
        for ((((w, &g), mem), average), square) in values {
            let r = 1.0 / (*mem + 1.0);
            *average = (1.0 - r) * *average + r * g;
            *square = (1.0 - r) * *square + r * g * g;
            let x = *average * *average / (*square + eps);
            *w -= g * x.min(rate) / (square.sqrt() + eps);
            *mem = 1.0 + *mem * (1.0 - x);
        }
    }

    fn on_device(&self, step: &Step) -> Option<UpdateRule> {
        Some(UpdateRule::Smorms3 { rate: step.rate as f32, eps: self.eps as f32 })
    }
}
