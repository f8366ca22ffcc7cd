//! Of losses and of Accuracy.

/// What every loss with labels shares.
#[derive(Clone, Debug, PartialEq)]
pub struct LossParams {
    /// Places with this label count for nothing.
    pub ignore_label: Option<i32>,
    /// What the sum is divided by.
    pub normalization: Normalization,
}

/// What a loss is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// The number of labels.
    Full,
    /// The number of labels that are not ignored.
    Valid,
    /// The batch.
    BatchSize,
    /// Nothing.
    None,
}

/// Of SoftmaxWithLoss.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxLossParams {
    /// The axis of the classes, counted from the end when negative.
    pub axis: i32,
    /// Ignored label and divisor.
    pub loss: LossParams,
}

/// Of InfogainLoss.
#[derive(Clone, Debug, PartialEq)]
pub struct InfogainLossParams {
    /// The axis of the classes, counted from the end when negative.
    pub axis: i32,
    /// The file with the matrix, when no third bottom has it.
    pub source: Option<String>,
    /// Ignored label and divisor.
    pub loss: LossParams,
}

/// Of ContrastiveLoss.
#[derive(Clone, Debug, PartialEq)]
pub struct ContrastiveLossParams {
    /// The distance from which unlike pairs cost nothing.
    pub margin: f32,
    /// Whether an unlike pair costs (margin − d²) instead of (margin − d)².
    pub legacy_version: bool,
}

/// The norm of a HingeLoss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HingeNorm {
    /// The sum of margins.
    L1,
    /// The sum of their squares.
    L2,
}

/// Of Accuracy.
#[derive(Clone, Debug, PartialEq)]
pub struct AccuracyParams {
    /// A label is right when among this many best scores.
    pub top_k: usize,
    /// The axis of the classes, counted from the end when negative.
    pub axis: i32,
    /// Places with this label count for nothing.
    pub ignore_label: Option<i32>,
}
