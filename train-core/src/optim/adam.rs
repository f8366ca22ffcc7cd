//! Adam and its descendants.

use kernels::UpdateRule;

use super::{Rule, State, StateArray, Step};

/// `m += (1 − beta1) · (g − m); v += (1 − beta2) · (g² − v); W −= eta · (s · m + weight_decay_rate · W)`, where
/// `s = a / (√v + eps)` and `a = rate · √(1 − beta2^t) / (1 − beta1^t)`.
///
/// Caffe's Adam and Chainer's (Kingma and Ba 2015). Chainer's other names are options: AdamW has a `weight_decay_rate`
/// (Loshchilov and Hutter 2017, but not multiplied by the rate), AMSGrad `amsgrad` (Reddi et al. 2018), AdaBound and AMSBound
/// `adabound` (Luo et al. 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// The learning rate, Chainer's `alpha`.
    pub rate: f64,
    /// How much of the first moment stays; Caffe's `momentum`.
    pub beta1: f64,
    /// How much of the second moment stays; Caffe's `momentum2`.
    pub beta2: f64,
    /// Keeps the divisor from 0; Caffe's `delta`.
    pub eps: f64,
    /// A factor of the whole step, decay included, for schedules with restarts.
    pub eta: f64,
    /// How much of the value is taken off in each step, whatever the gradient.
    pub weight_decay_rate: f64,
    /// Divides by the largest second moment so far.
    pub amsgrad: bool,
    /// Keeps `s` within bounds that draw near `final_rate`, if there are any.
    pub adabound: Option<Bounds>,
}

/// AdaBound: `s` stays between `f · (1 − 1 / (gamma · t + 1))` and `f · (1 + 1 / (gamma · t))`, where `f` is `final_rate`, changed
/// as the rate is since the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The rate in the end, which is SGD's.
    pub final_rate: f64,
    /// How fast the bounds draw near it.
    pub gamma: f64,
}

impl Adam {
    /// Chainer's AdamW: decay apart from the gradient.
    pub fn adam_w(weight_decay_rate: f64) -> Self {
        Self { weight_decay_rate, ..Self::default() }
    }

    /// Chainer's AMSGrad.
    pub fn ams_grad() -> Self {
        Self { amsgrad: true, ..Self::default() }
    }

    /// Chainer's AdaBound.
    pub fn ada_bound() -> Self {
        Self { adabound: Some(Bounds::default()), ..Self::default() }
    }

    /// Chainer's AMSBound.
    pub fn ams_bound() -> Self {
        Self { amsgrad: true, ..Self::ada_bound() }
    }
}

impl Default for Adam {
    fn default() -> Self {
        Self {
            rate: 0.001,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            eta: 1.0,
            weight_decay_rate: 0.0,
            amsgrad: false,
            adabound: None,
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self { final_rate: 0.1, gamma: 1e-3 }
    }
}

impl Rule for Adam {
    fn name(&self) -> &'static str {
        match (self.amsgrad, self.adabound) {
            (true, Some(_)) => "AMSBound",
            (false, Some(_)) => "AdaBound",
            (true, None) => "AMSGrad",
            (false, None) if self.weight_decay_rate == 0.0 => "Adam",
            (false, None) => "AdamW",
        }
    }

    fn rate(&self) -> f64 {
        self.rate
    }

    fn state(&self) -> &'static [StateArray] {
        const ALL: &[StateArray] =
            &[StateArray::zeros("m"), StateArray::zeros("v"), StateArray::zeros("vhat")];
        if self.amsgrad { ALL } else { &ALL[..2] }
    }

    fn update(&self, step: &Step, value: &mut [f32], grad: &[f32], [m, v, vhat]: State<'_>) {
        let moments = Moments::new(self, step);
        let bounds = self.bounds(step);
        let values = value.iter_mut().zip(grad).zip(m).zip(v);
        match (self.amsgrad, bounds) {
            (false, None) => {
                for (((w, &g), m), v) in values {
                    moments.take(g, m, v);
                    *w = moments.moved(*w, *m, moments.scale(*v));
                }
            }
            (false, Some((lower, upper))) => {
                for (((w, &g), m), v) in values {
                    moments.take(g, m, v);
                    *w = moments.moved(*w, *m, moments.scale(*v).max(lower).min(upper));
                }
            }
            (true, None) => {
                for ((((w, &g), m), v), vhat) in values.zip(vhat) {
                    moments.take(g, m, v);
                    *vhat = vhat.max(*v);
                    *w = moments.moved(*w, *m, moments.scale(*vhat));
                }
            }
            (true, Some((lower, upper))) => {
                for ((((w, &g), m), v), vhat) in values.zip(vhat) {
                    moments.take(g, m, v);
                    *vhat = vhat.max(*v);
                    *w = moments.moved(*w, *m, moments.scale(*vhat).max(lower).min(upper));
                }
            }
        }
    }

    fn on_device(&self, step: &Step) -> Option<UpdateRule> {
        let Moments { first, second, rate, eps, eta, kept } = Moments::new(self, step);
        let (amsgrad, bounds) = (self.amsgrad, self.bounds(step));
        Some(UpdateRule::Adam { rate, first, second, eps, eta, kept, amsgrad, bounds })
    }
}

/// The numbers of one step, rounded as they are used.
struct Moments {
    first: f32,
    second: f32,
    rate: f32,
    eps: f32,
    eta: f32,
    kept: f32,
}

impl Moments {
    fn new(adam: &Adam, step: &Step) -> Self {
        let t = step.t as f64;
        let correction = (1.0 - adam.beta2.powf(t)).sqrt() / (1.0 - adam.beta1.powf(t));
        Self {
            first: (1.0 - adam.beta1) as f32,
            second: (1.0 - adam.beta2) as f32,
            rate: (step.rate * correction) as f32,
            eps: adam.eps as f32,
            eta: adam.eta as f32,
            kept: (1.0 - adam.eta * adam.weight_decay_rate * step.decay_mult) as f32,
        }
    }

    fn take(&self, g: f32, m: &mut f32, v: &mut f32) {
        *m += self.first * (g - *m);
        *v += self.second * (g * g - *v);
    }

    fn scale(&self, v: f32) -> f32 {
        self.rate / (v.sqrt() + self.eps)
    }

    fn moved(&self, w: f32, m: f32, scale: f32) -> f32 {
        self.kept * w - self.eta * (scale * m)
    }
}

impl Adam {
    fn bounds(&self, step: &Step) -> Option<(f32, f32)> {
        let Bounds { final_rate, gamma } = self.adabound?;
        let (t, end) = (step.t as f64, final_rate * step.rate / self.rate);
        let (lower, upper) = (end * (1.0 - 1.0 / (gamma * t + 1.0)), end * (1.0 + 1.0 / (gamma * t)));
        Some((lower as f32, upper as f32))
    }
}
