//! What an optimizer does to parameters in one step, as numbers: for devices, which do all of it in one launch.

use std::fmt;

use crate::buffer::Buffer;
use crate::error::Result;

/// The most arrays of a tensor's size that a rule keeps.
pub const MAX_UPDATE_STATE: usize = 3;

/// A rule with the numbers that one step of one tensor goes by: `w` follows its gradient `g`, and the rule's arrays. What
/// divides or corrects by the count of steps is worked out by whoever makes it, in f64.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the formulas say what each number is")]
pub enum UpdateRule {
    /// `w −= rate · g`
    Sgd { rate: f32 },
    /// `v = momentum · v + rate · g; w −= v`
    MomentumSgd { rate: f32, momentum: f32 },
    /// `v = momentum · v + g; w −= rate · v`
    CorrectedMomentumSgd { rate: f32, momentum: f32 },
    /// `v' = momentum · v + rate · g; w −= (1 + momentum) · v' − momentum · v`: Caffe's.
    Nesterov { rate: f32, momentum: f32 },
    /// `v = momentum · v + rate · g; w −= square · v + ahead · g`: Chainer's, where `square` is momentum² and `ahead` (1 +
    /// momentum) · rate.
    NesterovAhead { rate: f32, momentum: f32, square: f32, ahead: f32 },
    /// `h += g²; w −= rate · g / (√h + eps)`
    AdaGrad { rate: f32, eps: f32 },
    /// `G = old · G + new · g²; d = √((D + eps) / (G + eps)) · g; D = old · D + new · d²; w −= rate · d`; arrays `G`, `D`.
    AdaDelta { rate: f32, eps: f32, old: f32, new: f32 },
    /// `h = old · h + new · g²; w −= rate · g / (√h + eps)`, or `√(h + eps)` with `eps_inside_sqrt`.
    RmsProp { rate: f32, eps: f32, old: f32, new: f32, eps_inside_sqrt: bool },
    /// `n = old · n + new · g²; a = old · a + new · g; d = momentum · d − rate · g / √(n − a² + eps); w += d`; arrays `n`, `a`,
    /// `d`.
    RmsPropGraves { rate: f32, momentum: f32, eps: f32, old: f32, new: f32 },
    /// `r = 1 / (mem + 1); a = (1 − r) · a + r · g; q = (1 − r) · q + r · g²; x = a² / (q + eps);
    /// w −= g · min(x, rate) / (√q + eps); mem = 1 + mem · (1 − x)`; arrays `mem`, `a`, `q`.
    Smorms3 { rate: f32, eps: f32 },
    /// `m += first · (g − m); v += second · (g² − v); w = kept · w − eta · s · m`, where `s = rate / (√v + eps)`, within `bounds`
    /// if there are any. With `amsgrad`, a third array holds the largest `v` so far and takes its place in `s`.
    Adam {
        rate: f32,
        first: f32,
        second: f32,
        eps: f32,
        eta: f32,
        kept: f32,
        amsgrad: bool,
        bounds: Option<(f32, f32)>,
    },
    /// `m += new · (g − m); v += new · (g² − v)`; with `a = m / seen`, `q = v / seen` and `s = (q − a²) / unbiased`,
    /// `f = a² / (a² + rho · s)`, within 0 and 1, 0 where it is no number; `w −= eta · (rate · a · f + decay · w)`.
    Msvag { rate: f32, new: f32, seen: f32, unbiased: f32, rho: f32, eta: f32, decay: f32 },
}

impl UpdateRule {
    /// How many arrays of the tensor's size it keeps.
    pub fn state_len(&self) -> usize {
        match self {
            Self::Sgd { .. } => 0,
            Self::MomentumSgd { .. }
            | Self::CorrectedMomentumSgd { .. }
            | Self::Nesterov { .. }
            | Self::NesterovAhead { .. }
            | Self::AdaGrad { .. }
            | Self::RmsProp { .. } => 1,
            Self::AdaDelta { .. } | Self::Msvag { .. } => 2,
            Self::RmsPropGraves { .. } | Self::Smorms3 { .. } => 3,
            Self::Adam { amsgrad, .. } => 2 + usize::from(*amsgrad),
        }
    }
}

/// A change of a tensor's gradient `g`, value by value, before the rule follows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GradientChange {
    /// `g *= factor`
    Scale(f32),
    /// `g += rate · w`
    AddValue(f32),
    /// `g += rate · sign w`
    AddSign(f32),
    /// `g` is kept between both, at the second where they cross.
    Clamp(f32, f32),
    /// `g += noise`
    AddNoise(NormalNoise),
}

/// Normal numbers of mean 0 from ChaCha8, by Box and Muller: of value i and its neighbour i + 1, for even i, from words 2i to
/// 2i + 3 of the stream, two a number in 53 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalNoise {
    /// The standard deviation.
    pub deviation: f32,
    /// ChaCha's key, in words of little-endian bytes.
    pub key: [u32; 8],
    /// ChaCha's stream.
    pub stream: u64,
}

/// One thing that is done to gradients before rules follow them; tensors are counted as they are given to [`Updates`].
#[derive(Clone, Debug, PartialEq)]
pub enum GradientStep {
    /// A change of one tensor's.
    Change(usize, GradientChange),
    /// `g *= threshold / |G|` where the L2 norm `|G|` of all these tensors' gradients, as they are by then, is above the threshold.
    Clip {
        /// The tensors.
        tensors: Vec<usize>,
        /// The largest norm.
        threshold: f64,
    },
    /// `g = (g + decay · w) · |W| / (eps + |g| + decay · |W|)`, tensor by tensor; where the norm `|W|` of its values is not above the
    /// threshold, only the decay is added.
    Lars {
        /// The tensors.
        tensors: Vec<usize>,
        /// The norm of values below which gradients keep their size.
        threshold: f64,
        /// The weight decay.
        decay: f64,
        /// Keeps the divisor from 0.
        eps: f64,
    },
}

/// A tensor that is updated, in the backend's memory.
#[derive(Debug)]
pub struct UpdateTensor<'a> {
    /// How many values it has; buffers may be longer.
    pub len: usize,
    /// Its values.
    pub value: &'a mut Buffer,
    /// Its gradient. What it holds afterwards is not specified.
    pub gradient: &'a mut Buffer,
    /// The rule's arrays, as many as [`UpdateRule::state_len`] says.
    pub state: Vec<&'a mut Buffer>,
}

/// A loss that decides whether an update is made: its first `len` values, each times `weight`.
#[derive(Clone, Copy, Debug)]
pub struct LossTerm<'a> {
    /// Its values, in the backend's memory.
    pub values: &'a Buffer,
    /// How many they are; the buffer may be longer.
    pub len: usize,
    /// Its weight in the sum of the losses.
    pub weight: f32,
}

/// Updates of many tensors in one launch, with all that is done to their gradients before.
///
/// What changes from step to step is written first, to the device's memory, and read there by the launches: those may be
/// recorded once and replayed as long as [`layout`](Updates::layout) stays the same.
pub trait Updates: fmt::Debug + Send {
    /// Writes what the launches of one step go by: a rule for each tensor, all of one kind, and what is done to gradients, in
    /// this order.
    ///
    /// # Errors
    /// Buffers that are elsewhere or too short, other arrays than a rule keeps, rules of several kinds.
    fn write(
        &mut self,
        tensors: &mut [UpdateTensor<'_>],
        rules: &[UpdateRule],
        steps: &[GradientStep],
    ) -> Result<()>;

    /// Launches what was written, on the same tensors. Given losses, it decides on the device whether anything changes: only where the
    /// sum of them all is finite, and where no operation since the last [`synchronize`](crate::Backend::synchronize) has met a value that it
    /// could not work on. Otherwise values and arrays keep their bits.
    ///
    /// # Errors
    /// Other tensors than were written, losses elsewhere or shorter than they say; the device's.
    fn launch(&mut self, tensors: &mut [UpdateTensor<'_>], losses: Option<&[LossTerm<'_>]>) -> Result<()>;

    /// Whether the last [`launch`](Self::launch) that was given losses, itself or in a replay of what was recorded of it, let anything
    /// change: what the device has decided, read when all work is done. True where there was none.
    ///
    /// # Errors
    /// The device's.
    fn is_open(&self) -> Result<bool>;

    /// A number that changes whenever the launches do, and that no other updates have.
    fn layout(&self) -> u64;
}
