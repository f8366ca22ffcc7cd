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

/// `dx = activation'(…) · dy`, from x or y, whichever [`Activation::gradient_from`] names; in place without dy.
pub(crate) fn backward(
    cpu: &CpuBackend,
    activation: Activation,
    source: &[f32],
    dy: Option<&[f32]>,
    dx: &mut [f32],
) {
    let cost = cost(activation);
    cpu.threads.chunks(dx, CHUNK, cost, |index, dx| {
        if let Some(dy) = dy {
            dx.copy_from_slice(&dy[index * CHUNK..][..dx.len()]);
        }
        // Where there is none, the derivative is a constant.
        let source = source.get(index * CHUNK..).unwrap_or_default();
        multiply_by_derivative(cpu.level, activation, source, dx);
    });
}

/// Caffe's derivatives, kinks included: see each layer's Backward_cpu.
fn multiply_by_derivative(level: Level, activation: Activation, source: &[f32], dx: &mut [f32]) {
    macro_rules! multiply {
        (|$s:ident| $derivative:expr) => {
            level.vectorize(
                #[inline(always)]
                || dx.iter_mut().zip(source).for_each(|(dx, &$s)| *dx *= $derivative),
            )
        };
    }
    match activation {
        // A threshold's is refused before.
        Activation::Identity | Activation::Threshold { .. } => {}
        Activation::Relu => multiply!(|x| if x > 0.0 { 1.0 } else { 0.0 }),
        Activation::LeakyRelu { slope } => multiply!(|x| if x > 0.0 { 1.0 } else { slope }),
        Activation::Relu6 => multiply!(|x| if x > 0.0 && x < 6.0 { 1.0 } else { 0.0 }),
        Activation::Clip { low, high } => multiply!(|x| if x >= low && x <= high { 1.0 } else { 0.0 }),
        Activation::Elu { alpha } => multiply!(|y| if y > 0.0 { 1.0 } else { y + alpha }),
        Activation::Sigmoid => multiply!(|y| y * (1.0 - y)),
        Activation::Tanh => multiply!(|y| 1.0 - y * y),
        Activation::AbsVal => multiply!(|x| if x > 0.0 {
            1.0
        } else if x < 0.0 {
            -1.0
        } else {
            0.0
        }),
        Activation::Bnll => multiply!(|x| math::sigmoid(x)),
        Activation::Power { power, scale, shift } => {
            let factor = power * scale;
            if factor == 0.0 || power == 1.0 {
                level.vectorize(
                    #[inline(always)]
                    || {
                        for dx in dx {
                            *dx *= factor;
                        }
                    },
                );
            } else if power == 2.0 {
                multiply!(|x| factor * (shift + scale * x));
            } else {
                multiply!(|x| factor * (shift + scale * x).powf(power - 1.0));
            }
        }
        Activation::Exp { base, scale, .. } => {
            let factor = if base < 0.0 { scale } else { scale * base.ln() };
            multiply!(|y| factor * y);
        }
        Activation::Log { base, scale, shift } => {
            let factor = if base < 0.0 { scale } else { scale / base.ln() };
            multiply!(|x| factor / (shift + scale * x));
        }
        Activation::Swish { beta } => multiply!(|x| {
            let gate = math::sigmoid(beta * x);
            gate + beta * x * gate * (1.0 - gate)
        }),
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
