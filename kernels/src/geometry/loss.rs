use super::AxisGeometry;
use crate::error::{Error, Result};

/// A loss of scores and of the class that each place should have.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelLoss {
    /// −log p(label) of the probabilities of a softmax. Its gradient is that of the softmax's input: p − \[class = label\].
    Softmax = 0,
    /// −log p(label) of probabilities, wherever they are from.
    Multinomial = 1,
    /// −Σ H(label, class) · log p(class) of the probabilities of a softmax, H being classes×classes. Its gradient is that of the
    /// softmax's input: p · Σ H(label, ·) − H(label, class).
    Infogain = 2,
    /// Σ max(0, 1 − x) of the label's score and max(0, 1 + x) of the others'.
    Hinge = 3,
    /// The same of squares.
    SquaredHinge = 4,
}

/// What a sum of losses is divided by; never less than 1, so that a batch that is ignored whole has no loss (Caffe's
/// loss_layer.cpp).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossDivisor {
    /// All places.
    Places,
    /// The places that are not ignored.
    Counted,
    /// The samples.
    Samples,
    /// 1.
    One,
}

/// Sizes of a loss of scores, samples×classes×inner, and labels, samples×inner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelLossGeometry {
    /// The scores; the axis has the classes.
    pub scores: AxisGeometry,
    /// Which loss.
    pub loss: LabelLoss,
    /// The label that counts for nothing.
    pub ignore_label: Option<i32>,
    /// What the sum is divided by.
    pub divisor: LossDivisor,
}

/// Sizes of the share of right labels: scores are samples×classes×inner, labels samples×inner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccuracyGeometry {
    /// The scores; the axis has the classes.
    pub scores: AxisGeometry,
    /// A label is right when its score is among so many highest; ties count against it.
    pub top_k: u32,
    /// The label that counts for nothing.
    pub ignore_label: Option<i32>,
}

/// A loss of two arrays, a and b, element by element or sample by sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PairLoss {
    /// Σ (a − b)² / 2.
    Euclidean,
    /// Of d = (a − b) · inside, the sum of σ²d²/2 where |d| is below 1/σ² and of |d| − 1/(2σ²) elsewhere, times outside; the
    /// weights are arrays, or 1.
    SmoothL1 {
        /// σ.
        sigma: f32,
    },
    /// The cross entropy of sigmoid(a) and the target b, in a form that does not overflow.
    SigmoidCrossEntropy {
        /// The target that counts for nothing.
        ignore_label: Option<i32>,
    },
    /// Of samples that are alike d²/2, of others max(0, margin − d)²/2, d being the distance of a and b.
    Contrastive {
        /// How far apart samples that are not alike should be.
        margin: f32,
        /// max(0, margin − d²)/2 for those, as Caffe's first version had it.
        legacy_version: bool,
    },
}

/// Sizes of a loss of two arrays, samples×length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairLossGeometry {
    /// Rows of both.
    pub samples: u32,
    /// Floats in a row.
    pub length: u32,
    /// Which loss.
    pub loss: PairLoss,
    /// What the sum is divided by.
    pub divisor: LossDivisor,
}

impl LossDivisor {
    /// For so many samples with so many places each, of which `counted` are not ignored.
    pub(crate) fn of(self, samples: u32, places: u32, counted: u32) -> u32 {
        let divisor = match self {
            Self::Places => samples * places,
            Self::Counted => counted,
            Self::Samples => samples,
            Self::One => 1,
        };
        divisor.max(1)
    }
}

impl LabelLossGeometry {
    /// How many labels there are.
    pub(crate) fn places(&self) -> usize {
        self.scores.outer as usize * self.scores.inner as usize
    }

    /// Floats of the matrix that it needs, which is there or not.
    pub(crate) fn matrix_len(&self, op: &'static str, is_given: bool) -> Result<usize> {
        match (self.loss == LabelLoss::Infogain, is_given) {
            (true, true) => Ok(self.scores.axis as usize * self.scores.axis as usize),
            (false, false) => Ok(0),
            (true, false) => Err(Error::geometry(op, "an infogain loss needs its matrix")),
            (false, true) => Err(Error::geometry(op, format!("{:?} has no matrix", self.loss))),
        }
    }

    pub(crate) fn divided_by(&self, counted: u32) -> u32 {
        self.divisor.of(self.scores.outer, self.scores.inner, counted)
    }
}

impl PairLossGeometry {
    pub(crate) fn len(&self) -> usize {
        self.samples as usize * self.length as usize
    }

    /// Whether the arrays beside the pair are those that the loss has.
    pub(crate) fn check(&self, op: &'static str, extra: [bool; 2]) -> Result<()> {
        let is_right = match self.loss {
            PairLoss::SmoothL1 { .. } => true,
            PairLoss::Contrastive { .. } => extra == [true, false],
            PairLoss::Euclidean | PairLoss::SigmoidCrossEntropy { .. } => extra == [false, false],
        };
        if is_right {
            return Ok(());
        }
        Err(Error::geometry(op, format!("{:?} with other arrays beside the pair than it has", self.loss)))
    }

    /// Whether there is a gradient with respect to one of the two.
    pub(crate) fn check_backward(&self, op: &'static str, which: usize) -> Result<()> {
        let last = usize::from(!matches!(self.loss, PairLoss::SigmoidCrossEntropy { .. }));
        if which <= last {
            return Ok(());
        }
        Err(Error::geometry(op, format!("{:?} has no gradient with respect to array {which}", self.loss)))
    }

    pub(crate) fn divided_by(&self, counted: u32) -> u32 {
        self.divisor.of(self.samples, self.length, counted)
    }

    /// Floats of the two arrays beside the pair that the loss reads: weights, or which samples are alike.
    pub(crate) fn extra_len(&self) -> usize {
        if matches!(self.loss, PairLoss::Contrastive { .. }) { self.samples as usize } else { self.len() }
    }
}
