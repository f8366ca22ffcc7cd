//! Functions of one number.

use super::CpuBackend;
use super::gemm::Finish;
use super::math;
use super::simd::Level;
use crate::activation::Activation;

/// Elements that one task works on at a time.
const CHUNK: usize = 8 * 1024;

impl Finish {
    /// What of `activation` can be done in registers, and what must follow in a pass of its own.
    pub(crate) fn of(activation: Activation) -> (Self, Activation) {
        let done = match activation {
            Activation::Relu => Self::Relu,
            Activation::LeakyRelu { slope } => Self::LeakyRelu(slope),
            Activation::Relu6 => Self::Clip(0.0, 6.0),
            Activation::Clip { low, high } => Self::Clip(low, high),
            other => return (Self::Keep, other),
        };
        (done, Activation::Identity)
    }

    /// One number's worth.
    #[inline(always)]
    pub(crate) fn apply(self, x: f32) -> f32 {
        match self {
            Self::Keep => x,
            Self::Relu => relu(x),
            Self::LeakyRelu(slope) => leaky_relu(slope, x),
            Self::Clip(low, high) => clip(low, high, x),
        }
    }
}

/// Applies `finish` to all of `y`.
#[inline(always)]
pub(crate) fn finish_in_place(finish: Finish, y: &mut [f32]) {
    match finish {
        Finish::Keep => {}
        Finish::Relu => y.iter_mut().for_each(|y| *y = relu(*y)),
        Finish::LeakyRelu(slope) => y.iter_mut().for_each(|y| *y = leaky_relu(slope, *y)),
        Finish::Clip(low, high) => y.iter_mut().for_each(|y| *y = clip(low, high, *y)),
    }
}

/// `y = activation(x)`; in place without x.
pub(crate) fn forward(cpu: &CpuBackend, activation: Activation, x: Option<&[f32]>, y: &mut [f32]) {
    if activation == Activation::Identity && x.is_none() {
        return;
    }
    cpu.threads.chunks(y, CHUNK, cost(activation), |index, y| {
        if let Some(x) = x {
            y.copy_from_slice(&x[index * CHUNK..][..y.len()]);
        }
        apply(cpu.level, activation, y);
    });
}

/// max(x, 0) + slope · min(x, 0).
#[inline(always)]
pub(crate) fn leaky_relu(slope: f32, x: f32) -> f32 {
    if x < 0.0 { slope * x } else { x }
}

#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// max(low, min(x, high)): where `low` is above `high`, all becomes `low`, as in BVLC's clip_layer.cpp.
#[inline(always)]
fn clip(low: f32, high: f32, x: f32) -> f32 {
    let x = if x > high { high } else { x };
    if x < low { low } else { x }
}

fn apply(level: Level, activation: Activation, y: &mut [f32]) {
    match activation {
        Activation::Identity => {}
        Activation::Relu => map(level, y, relu),
        Activation::LeakyRelu { slope } => map(
            level,
            y,
            #[inline(always)]
            |x| leaky_relu(slope, x),
        ),
        Activation::Relu6 => map(
            level,
            y,
            #[inline(always)]
            |x| clip(0.0, 6.0, x),
        ),
        Activation::Clip { low, high } => map(
            level,
            y,
            #[inline(always)]
            |x| clip(low, high, x),
        ),
        Activation::Elu { alpha } => map(
            level,
            y,
            #[inline(always)]
            |x| if x > 0.0 { x } else { alpha * (math::exp(x) - 1.0) },
        ),
        Activation::Sigmoid => map(level, y, math::sigmoid),
        Activation::Tanh => map(level, y, math::tanh),
        Activation::AbsVal => map(level, y, f32::abs),
        Activation::Bnll => map(level, y, |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        Activation::Power { power, scale, shift } => apply_power(level, power, scale, shift, y),
        Activation::Exp { base, scale, shift } => {
            // base^(shift + scale x) = e^(ln base · scale · x) · base^shift, as Caffe's exp_layer.cpp has it.
            let (log_base, factor) =
                if base < 0.0 { (1.0, shift.exp()) } else { (base.ln(), base.powf(shift)) };
            map(
                level,
                y,
                #[inline(always)]
                |x| factor * math::exp(log_base * scale * x),
            );
        }
        Activation::Log { base, scale, shift } => {
            let factor = if base < 0.0 { 1.0 } else { 1.0 / base.ln() };
            map(level, y, |x| (shift + scale * x).ln() * factor);
        }
        Activation::Swish { beta } => map(
            level,
            y,
            #[inline(always)]
            |x| x * math::sigmoid(beta * x),
        ),
        Activation::Threshold { threshold } => map(
            level,
            y,
            #[inline(always)]
            |x| if x > threshold { 1.0 } else { 0.0 },
        ),
    }
}

/// The powers that nets use have forms of their own; exact ones, so that the general form agrees.
#[expect(clippy::float_cmp, reason = "only the exact exponent has the short form")]
fn apply_power(level: Level, power: f32, scale: f32, shift: f32, y: &mut [f32]) {
    if power == 1.0 {
        map(
            level,
            y,
            #[inline(always)]
            |x| shift + scale * x,
        );
    } else if power == 2.0 {
        map(
            level,
            y,
            #[inline(always)]
            |x| {
                let base = shift + scale * x;
                base * base
            },
        );
    } else {
        map(level, y, |x| (shift + scale * x).powf(power));
    }
}

fn map(level: Level, y: &mut [f32], function: impl Fn(f32) -> f32) {
    level.vectorize(
        #[inline(always)]
        || y.iter_mut().for_each(|y| *y = function(*y)),
    );
}

/// Plain operations an element, roughly.
fn cost(activation: Activation) -> usize {
    match activation {
        Activation::Elu { .. }
        | Activation::Sigmoid
        | Activation::Tanh
        | Activation::Exp { .. }
        | Activation::Swish { .. } => 4,
        Activation::Bnll | Activation::Log { .. } | Activation::Power { .. } => 16,
        _ => 1,
    }
}
