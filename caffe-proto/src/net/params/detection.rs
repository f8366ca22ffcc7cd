//! Of the layers that detection and segmentation forks added.

use super::LossParams;

/// Of Normalize (SSD): x / ‖x‖₂ · scale.
#[derive(Clone, Debug, PartialEq)]
pub struct NormalizeParams {
    /// Whether the norm is of the whole sample, or of the channels at each place.
    pub across_spatial: bool,
    /// Whether there is one scale, or one a channel.
    pub channel_shared: bool,
    /// Added to the sum of squares.
    pub eps: f32,
}

/// Of PriorBox (SSD).
#[derive(Clone, Debug, PartialEq)]
pub struct PriorBoxParams {
    /// The smaller box's side, in pixels of the input image; one or several.
    pub min_sizes: Vec<f32>,
    /// The larger square's: none, or one a smaller one.
    pub max_sizes: Vec<f32>,
    /// Width to height, 1 first, with the inverses that `flip` adds.
    pub aspect_ratios: Vec<f32>,
    /// Whether boxes are cut at the image's border.
    pub clip: bool,
    /// One for all four, or four.
    pub variances: Vec<f32>,
    /// Height and width of the image; `None` takes the second bottom's.
    pub image: Option<[usize; 2]>,
    /// Pixels between boxes (vertical, horizontal); `None` is image over map.
    pub step: Option<[f32; 2]>,
    /// Where in its cell a box's centre lies.
    pub offset: f32,
}

impl PriorBoxParams {
    /// Boxes at each place of the map.
    pub fn boxes(&self) -> usize {
        self.aspect_ratios.len().saturating_mul(self.min_sizes.len()).saturating_add(self.max_sizes.len())
    }
}

/// How a box is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoxCode {
    /// Offsets of the corners.
    Corner,
    /// Offset of the centre and logarithm of the size, over the prior's size.
    CenterSize,
    /// Offsets of the corners over the prior's size.
    CornerSize,
}

/// Non-maximum suppression.
#[derive(Clone, Debug, PartialEq)]
pub struct Suppression {
    /// The overlap from which the weaker box goes.
    pub threshold: f32,
    /// How many of the best are looked at.
    pub top_k: Option<usize>,
    /// The threshold's factor from box to box.
    pub eta: f32,
}

/// Of DetectionOutput (SSD).
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionOutputParams {
    /// Classes, background included.
    pub num_classes: usize,
    /// Whether all classes share one box.
    pub share_location: bool,
    /// The background's class; negative for none.
    pub background_label_id: i32,
    /// Which boxes go.
    pub suppression: Suppression,
    /// How a box is written.
    pub code: BoxCode,
    /// Whether the variances are in the predictions already.
    pub variance_encoded_in_target: bool,
    /// How many boxes of an image stay; `None` for all.
    pub keep_top_k: Option<usize>,
    /// The score below which a box goes.
    pub confidence_threshold: Option<f32>,
}

/// The loss of a box's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocationLoss {
    /// EuclideanLoss.
    L2,
    /// SmoothL1Loss.
    SmoothL1,
}

/// The loss of a box's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfidenceLoss {
    /// SoftmaxWithLoss.
    Softmax,
    /// SigmoidCrossEntropyLoss.
    Logistic,
}

/// How priors are matched with true boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchType {
    /// One to one.
    Bipartite,
    /// Each prior for itself, past an overlap.
    PerPrediction,
}

/// Which unmatched priors count as background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// All.
    None,
    /// The worst, in a fixed proportion.
    MaxNegative,
    /// The worst of all, matched or not.
    HardExample,
}

/// Of MultiBoxLoss (SSD).
#[derive(Clone, Debug, PartialEq)]
pub struct MultiBoxLossParams {
    /// The loss of places.
    pub location: LocationLoss,
    /// The loss of classes.
    pub confidence: ConfidenceLoss,
    /// The factor of the loss of places.
    pub location_weight: f32,
    /// Classes, background included.
    pub num_classes: usize,
    /// Whether all classes share one box.
    pub share_location: bool,
    /// How priors are matched.
    pub matching: MatchType,
    /// The overlap that makes a match.
    pub overlap_threshold: f32,
    /// Whether the priors, not the predictions, are matched.
    pub use_prior_for_matching: bool,
    /// The background's class.
    pub background_label_id: usize,
    /// Whether boxes marked difficult count.
    pub use_difficult_truth: bool,
    /// Which negatives count.
    pub mining: Mining,
    /// Negatives for each positive.
    pub negative_ratio: f32,
    /// The overlap below which a prior may be a negative.
    pub negative_overlap: f32,
    /// How a box is written.
    pub code: BoxCode,
    /// Whether the variances are in the predictions already.
    pub encode_variance_in_target: bool,
    /// Divisor of the sum.
    pub loss: LossParams,
}

/// Of Interp (PSPNet, DeepLab): bilinear resizing with the corners aligned.
#[derive(Clone, Debug, PartialEq)]
pub struct InterpParams {
    /// The new size.
    pub size: InterpSize,
    /// Rows and columns cut at the beginning and at the end: zero, or negative as Caffe writes them.
    pub pad: [i32; 2],
}

/// How an Interp's size is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterpSize {
    /// In values.
    Fixed {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Shrunk to every `shrink`th value, then `zoom` times as dense.
    Factors {
        /// The step of the shrinking, 1 for none.
        shrink: usize,
        /// The density of the enlarging, 1 for none.
        zoom: usize,
    },
}

/// Of Upsample, in the two forms of the forks.
#[derive(Clone, Debug, PartialEq)]
pub enum UpsampleParams {
    /// One bottom (YOLO): every value becomes `scale`×`scale` equal ones.
    Nearest {
        /// How many times as high and as wide.
        scale: usize,
    },
    /// Two bottoms (SegNet): values go to where the second bottom, a pooling's mask, says; the rest is 0.
    Unpool {
        /// Height and width of the result, when written out.
        size: Option<[usize; 2]>,
        /// How many times as high and as wide, otherwise.
        scale: [usize; 2],
        /// Whether one row or column less.
        pad_out: [bool; 2],
    },
}
