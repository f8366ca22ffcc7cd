//! The parameters of each layer type with Caffe's defaults resolved.

mod data;
mod detection;
mod loss;

pub use data::{
    AnnotatedDataParams, Backend, DataParams, DummyDataParams, Hdf5DataParams, ImageDataParams, InputParams,
    Mean, MemoryDataParams, Transform, WindowDataParams,
};
pub use detection::{
    BoxCode, ConfidenceLoss, DetectionOutputParams, InterpParams, InterpSize, LocationLoss, MatchType,
    Mining, MultiBoxLossParams, NormalizeParams, PriorBoxParams, Suppression, UpsampleParams,
};
pub use loss::{
    AccuracyParams, ContrastiveLossParams, HingeNorm, InfogainLossParams, LossParams, Normalization,
    SoftmaxLossParams,
};

/// Of Convolution, Deconvolution, the depthwise forks and Im2col. A depthwise layer's `group` is as written; what
/// counts is its number of channels.
///
/// `kernel`, `stride`, `pad` and `dilation` have one value an axis of space, in order (H, W); a net with another number
/// of spatial axes than two has as many values.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvolutionParams {
    /// Output channels; 0 for Im2col, which has none.
    pub num_output: usize,
    /// How many parts the channels are cut in, each convolved alone.
    pub group: usize,
    /// Whether there is a bias blob.
    pub bias_term: bool,
    /// The channel axis, counted from the end when negative.
    pub axis: i32,
    /// Kernel extents as written: one for all axes, or one an axis.
    pub kernel: Vec<usize>,
    /// Strides as written: none (1), one for all axes, or one an axis.
    pub stride: Vec<usize>,
    /// Pads as written: none (0), one for all axes, or one an axis.
    pub pad: Vec<usize>,
    /// Dilations as written: none (1), one for all axes, or one an axis.
    pub dilation: Vec<usize>,
}

/// Of InnerProduct.
#[derive(Clone, Debug, PartialEq)]
pub struct InnerProductParams {
    /// Output values.
    pub num_output: usize,
    /// Whether there is a bias blob.
    pub bias_term: bool,
    /// The first axis that is flattened, counted from the end when negative.
    pub axis: i32,
    /// Whether the weights are stored K×N (inputs × outputs) instead of N×K.
    pub transpose: bool,
}

/// Of BatchNorm.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormParams {
    /// `None`: batch statistics in the TRAIN phase, stored ones in the TEST phase.
    pub use_global_stats: Option<bool>,
    /// How much of the old statistics a training step keeps.
    pub moving_average_fraction: f32,
    /// Added to the variance.
    pub eps: f32,
    /// Scale and shift are blobs 3 and 4 of this layer (NVIDIA/caffe).
    pub scale_bias: bool,
}

/// Of Scale and Bias.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleParams {
    /// The first axis that is scaled, counted from the end when negative.
    pub axis: i32,
    /// How many axes: 0 for a scalar, -1 for all that are left.
    pub num_axes: i32,
    /// Whether a bias blob follows the scale.
    pub bias_term: bool,
}

/// Of Embed.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedParams {
    /// Values of one embedding.
    pub num_output: usize,
    /// How many embeddings.
    pub input_dim: usize,
    /// Whether there is a bias blob.
    pub bias_term: bool,
}

/// Of LSTM and RNN.
#[derive(Clone, Debug, PartialEq)]
pub struct RecurrentParams {
    /// Hidden values.
    pub num_output: usize,
    /// Whether the hidden state is taken from bottoms and given as tops.
    pub expose_hidden: bool,
}

/// Of Pooling.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolingParams {
    /// What is taken of a window.
    pub method: PoolMethod,
    /// Window height and width; `None` for global pooling, whose window is the image.
    pub kernel: Option<[usize; 2]>,
    /// Steps (vertical, horizontal).
    pub stride: [usize; 2],
    /// Pads (vertical, horizontal).
    pub pad: [usize; 2],
    /// How a size that the stride does not divide is rounded: up in mainline Caffe unless it says otherwise.
    pub rounding: Rounding,
}

/// Of SPP: max or average pooling to 1×1, 2×2, 4×4… bins, side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct SppParams {
    /// How many levels.
    pub pyramid_height: usize,
    /// What is taken of a bin.
    pub method: PoolMethod,
}

/// What a pooling takes of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMethod {
    /// The largest value.
    Max,
    /// The mean.
    Average,
    /// A value drawn by its size when training; the weighted mean when testing.
    Stochastic,
}

/// How a pooling rounds its output size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Up: the last window may reach past the image.
    Ceil,
    /// Down.
    Floor,
}

/// Of LRN.
#[derive(Clone, Debug, PartialEq)]
pub struct LrnParams {
    /// Channels, or rows and columns, of the window; odd.
    pub local_size: usize,
    /// Scale of the sum of squares, divided by the window's size.
    pub alpha: f32,
    /// The exponent.
    pub beta: f32,
    /// The constant term; within channels it is 1, whatever this says.
    pub k: f32,
    /// Across channels or within each.
    pub region: LrnRegion,
}

/// Which neighbours an LRN sums over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LrnRegion {
    /// The same place in neighbouring channels.
    AcrossChannels,
    /// Neighbouring places in the same channel.
    WithinChannel,
}

/// Of MVN.
#[derive(Clone, Debug, PartialEq)]
pub struct MvnParams {
    /// Whether the result is divided by (standard deviation + eps).
    pub normalize_variance: bool,
    /// Whether mean and variance are of all channels together.
    pub across_channels: bool,
    /// Added to the standard deviation, not to the variance.
    pub eps: f32,
}

/// Of Power: (shift + scale · x)^power.
#[derive(Clone, Debug, PartialEq)]
pub struct PowerParams {
    /// The exponent.
    pub power: f32,
    /// The factor.
    pub scale: f32,
    /// The term.
    pub shift: f32,
}

/// Of Exp, base^(shift + scale · x), and Log, log_base(shift + scale · x).
#[derive(Clone, Debug, PartialEq)]
pub struct ExponentialParams {
    /// The base; `None` is e.
    pub base: Option<f32>,
    /// The factor.
    pub scale: f32,
    /// The term.
    pub shift: f32,
}

/// Of Eltwise.
#[derive(Clone, Debug, PartialEq)]
pub struct EltwiseParams {
    /// What is done with the values.
    pub operation: EltwiseOperation,
    /// The factor of each bottom in a sum: one a bottom, or none at all (all 1).
    pub coefficients: Vec<f32>,
    /// Whether the gradient of a product avoids the division by a bottom.
    pub stable_product_gradient: bool,
}

/// What an Eltwise does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EltwiseOperation {
    /// Multiplies.
    Product,
    /// Adds, with coefficients.
    Sum,
    /// Takes the largest.
    Max,
}

/// Of Slice.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceParams {
    /// The axis that is cut, counted from the end when negative.
    pub axis: i32,
    /// Where: one less than there are tops, or none for equal parts.
    pub points: Vec<usize>,
}

/// Of Crop.
#[derive(Clone, Debug, PartialEq)]
pub struct CropParams {
    /// The first axis that is cropped, counted from the end when negative.
    pub axis: i32,
    /// Where the crop begins: none (0), one for all axes, or one an axis.
    pub offsets: Vec<usize>,
}

/// Of Reshape.
#[derive(Clone, Debug, PartialEq)]
pub struct ReshapeParams {
    /// The new extents: 0 copies the bottom's, -1 (once) is what is left.
    pub dims: Vec<i64>,
    /// The first axis that is replaced; negative from the end, -1 being behind the last.
    pub axis: i32,
    /// How many axes are replaced; -1 for all that follow.
    pub num_axes: i32,
}

/// Of Flatten.
#[derive(Clone, Debug, PartialEq)]
pub struct FlattenParams {
    /// The first axis that is flattened.
    pub axis: i32,
    /// The last.
    pub end_axis: i32,
}

/// Of Tile.
#[derive(Clone, Debug, PartialEq)]
pub struct TileParams {
    /// The axis that is repeated.
    pub axis: i32,
    /// How many copies.
    pub tiles: usize,
}

/// Of Reduction: everything from `axis` on becomes one value.
#[derive(Clone, Debug, PartialEq)]
pub struct ReductionParams {
    /// What the value is.
    pub operation: ReductionOperation,
    /// The first axis that goes.
    pub axis: i32,
    /// The factor of the result.
    pub coefficient: f32,
}

/// What a Reduction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReductionOperation {
    /// The sum.
    Sum,
    /// The sum of absolute values.
    AbsoluteSum,
    /// The sum of squares.
    SquareSum,
    /// The mean.
    Mean,
}

/// Of ArgMax.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgMaxParams {
    /// Whether the values are given: beside the indices, or instead of them when there is an axis.
    pub out_max_val: bool,
    /// How many of the largest.
    pub top_k: usize,
    /// The axis; `None` takes all of a sample together.
    pub axis: Option<i32>,
}
