//! The types of layers, with their parameters.

use super::params::{
    AccuracyParams, AnnotatedDataParams, ArgMaxParams, BatchNormParams, ContrastiveLossParams,
    ConvolutionParams, CropParams, DataParams, DetectionOutputParams, DummyDataParams, EltwiseParams,
    EmbedParams, ExponentialParams, FlattenParams, Hdf5DataParams, HingeNorm, ImageDataParams,
    InfogainLossParams, InnerProductParams, InputParams, InterpParams, LossParams, LrnParams,
    MemoryDataParams, MultiBoxLossParams, MvnParams, NormalizeParams, PoolingParams, PowerParams,
    PriorBoxParams, RecurrentParams, ReductionParams, ReshapeParams, ScaleParams, SliceParams,
    SoftmaxLossParams, SppParams, TileParams, UpsampleParams, WindowDataParams,
};

/// What a layer is. Closed: whoever reads a net matches it whole, so that nothing is passed over in silence.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerKind {
    /// N×C×H×W ∗ O×C/group×kh×kw → N×O×H'×W'; blobs: weights, bias (O).
    Convolution(ConvolutionParams),
    /// The transpose: N×C×H×W, weights C×O/group×kh×kw, → N×O×H'×W'; blobs: weights, bias (O).
    Deconvolution(ConvolutionParams),
    /// A fork's convolution with as many groups as channels; blobs: weights O×1×kh×kw, bias (O).
    DepthwiseConvolution(ConvolutionParams),
    /// Everything from an axis on (K values) → N; blobs: weights N×K or K×N, bias (N).
    InnerProduct(InnerProductParams),
    /// N×C×H×W → N×C×H'×W'; a second top of max pooling has the places of the maxima.
    Pooling(PoolingParams),
    /// Local response normalization, N×C×H×W → the same.
    Lrn(LrnParams),
    /// (x − mean) / √(variance + eps) a channel; blobs: mean (C), variance (C), their scale (1).
    BatchNorm(BatchNormParams),
    /// Times a blob, or the second bottom, along some axes; blobs: scale, bias.
    Scale(ScaleParams),
    /// Plus a blob, or the second bottom, along some axes; blobs: bias.
    Bias(ScaleParams),
    /// max(x, 0) + slope · min(x, 0).
    ReLU {
        /// The slope below 0.
        negative_slope: f32,
    },
    /// Like ReLU with a learned slope; blobs: slope (C), or a scalar.
    PReLU {
        /// Whether there is one slope for all channels.
        channel_shared: bool,
    },
    /// x above 0, alpha · (eˣ − 1) below.
    Elu {
        /// The depth.
        alpha: f32,
    },
    /// min(max(x, 0), 6), the forks'.
    ReLU6,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// The hyperbolic tangent.
    TanH,
    /// |x|; never in place.
    AbsVal,
    /// log(1 + eˣ).
    Bnll,
    /// (shift + scale · x)^power.
    Power(PowerParams),
    /// base^(shift + scale · x).
    Exp(ExponentialParams),
    /// log_base(shift + scale · x).
    Log(ExponentialParams),
    /// min(max(x, min), max).
    Clip {
        /// The least.
        min: f32,
        /// The greatest.
        max: f32,
    },
    /// x · sigmoid(beta · x).
    Swish {
        /// The steepness.
        beta: f32,
    },
    /// 1 where x is above, else 0.
    Threshold {
        /// What 1 is above.
        threshold: f32,
    },
    /// Training: zero with probability `ratio`, else x / (1 − ratio). Testing: x.
    Dropout {
        /// The share of zeros.
        ratio: f32,
    },
    /// Blobs of one shape, value by value.
    Eltwise(EltwiseParams),
    /// Blobs side by side.
    Concat {
        /// Along which axis, counted from the end when negative.
        axis: i32,
    },
    /// A blob in parts.
    Slice(SliceParams),
    /// The same blob several times.
    Split,
    /// The first bottom, cut to the second's size.
    Crop(CropParams),
    /// The same values under another shape.
    Reshape(ReshapeParams),
    /// Some axes become one.
    Flatten(FlattenParams),
    /// Copies along an axis.
    Tile(TileParams),
    /// Everything from an axis on becomes one value.
    Reduction(ReductionParams),
    /// The indices, or values, of the largest.
    ArgMax(ArgMaxParams),
    /// Samples of the first bottom in the order of the second's indices.
    BatchReindex,
    /// Samples whose value in the last bottom is not 0; how many, the data say.
    Filter,
    /// Indices → rows of a table; blobs: table I×N, bias (N).
    Embed(EmbedParams),
    /// N×C×H×W → N×(C·kh·kw)×H'×W'.
    Im2col(ConvolutionParams),
    /// (x − mean) / (standard deviation + eps).
    Mvn(MvnParams),
    /// Pooling to a pyramid of bins, N×C×H×W → N×(C·bins).
    Spp(SppParams),
    /// Takes blobs and does nothing.
    Silence,
    /// A learned blob; blobs: itself.
    Parameter {
        /// Its shape.
        shape: Vec<i64>,
    },
    /// eˣ / Σ eˣ along an axis.
    Softmax {
        /// Which, counted from the end when negative.
        axis: i32,
    },
    /// T×N×… and T×N continuation marks → T×N×H; blobs: W_xc (4H×I), b_c (4H), [W_xc_static (4H×S),] W_hc (4H×H).
    Lstm(RecurrentParams),
    /// One step of an LSTM: c (1×N×H), gates (1×N×4H), marks (1×N) → c, h.
    LstmUnit,
    /// As LSTM → T×N×H; blobs: W_xh (H×I), b_h (H), [W_xh_static (H×S),] W_hh (H×H), W_ho (H×H), b_o (H).
    Rnn(RecurrentParams),
    /// Softmax and cross entropy → scalar.
    SoftmaxWithLoss(SoftmaxLossParams),
    /// Σ (a − b)² / 2N → scalar.
    EuclideanLoss,
    /// Σ max(0, 1 ∓ x) / N → scalar.
    HingeLoss {
        /// Margins, or their squares.
        norm: HingeNorm,
    },
    /// Sigmoid and cross entropy → scalar.
    SigmoidCrossEntropyLoss(LossParams),
    /// Distances of like and unlike pairs → scalar.
    ContrastiveLoss(ContrastiveLossParams),
    /// Cross entropy weighted by a matrix → scalar.
    InfogainLoss(InfogainLossParams),
    /// Cross entropy of probabilities → scalar.
    MultinomialLogisticLoss,
    /// Quadratic near 0, linear past 1/sigma² (Fast R-CNN, SSD) → scalar.
    SmoothL1Loss {
        /// Where the two meet.
        sigma: f32,
    },
    /// Places and classes of boxes (SSD) → scalar.
    MultiBoxLoss(MultiBoxLossParams),
    /// The share of right labels → scalar, and one value a class in a second top.
    Accuracy(AccuracyParams),
    /// Blobs that whoever runs the net gives.
    Input(InputParams),
    /// A data base of images.
    Data(DataParams),
    /// A list of images.
    ImageData(ImageDataParams),
    /// HDF5 files.
    Hdf5Data(Hdf5DataParams),
    /// Writes its two bottoms to an HDF5 file.
    Hdf5Output {
        /// The file.
        file_name: String,
    },
    /// Windows of images.
    WindowData(WindowDataParams),
    /// Images that the program puts in.
    MemoryData(MemoryDataParams),
    /// Blobs that fillers fill.
    DummyData(DummyDataParams),
    /// Images with boxes (SSD).
    AnnotatedData(AnnotatedDataParams),
    /// The axes in another order (SSD).
    Permute {
        /// Old axes in their new order; those left out follow.
        order: Vec<usize>,
    },
    /// x / ‖x‖ · scale (SSD); blobs: scale (C), or a scalar.
    Normalize(NormalizeParams),
    /// Boxes of a map (SSD), N×C×H×W and the image → 1×2×(H·W·boxes·4).
    PriorBox(PriorBoxParams),
    /// Boxes that were found (SSD) → 1×1×found×7.
    DetectionOutput(DetectionOutputParams),
    /// Channels of `group` parts, interleaved (ShuffleNet).
    ShuffleChannel {
        /// How many parts.
        group: usize,
    },
    /// Bilinear resizing (PSPNet, DeepLab).
    Interp(InterpParams),
    /// Enlarging (YOLO, SegNet).
    Upsample(UpsampleParams),
    /// A type that is not known, Python's included: the net converts, and does not run.
    Unsupported(String),
}

impl LayerKind {
    /// Whether the first top is a loss of weight 1 unless the layer says otherwise, and made when none is named.
    pub fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::SoftmaxWithLoss(_)
                | Self::EuclideanLoss
                | Self::HingeLoss { .. }
                | Self::SigmoidCrossEntropyLoss(_)
                | Self::ContrastiveLoss(_)
                | Self::InfogainLoss(_)
                | Self::MultinomialLogisticLoss
                | Self::SmoothL1Loss { .. }
                | Self::MultiBoxLoss(_)
        )
    }

    /// Whether the layer's tops come from outside the net.
    pub fn is_source(&self) -> bool {
        matches!(
            self,
            Self::Input(_)
                | Self::Data(_)
                | Self::ImageData(_)
                | Self::Hdf5Data(_)
                | Self::WindowData(_)
                | Self::MemoryData(_)
                | Self::DummyData(_)
                | Self::AnnotatedData(_)
        )
    }

    /// How many parameter blobs a layer with so many bottoms has; `None` for an unsupported one.
    pub fn blob_count(&self, bottoms: usize) -> Option<usize> {
        Some(match self {
            Self::Unsupported(_) => return None,
            Self::Convolution(p) | Self::Deconvolution(p) | Self::DepthwiseConvolution(p) => {
                1 + usize::from(p.bias_term)
            }
            Self::InnerProduct(p) => 1 + usize::from(p.bias_term),
            Self::Embed(p) => 1 + usize::from(p.bias_term),
            Self::BatchNorm(p) if p.scale_bias => 5,
            Self::BatchNorm(_) => 3,
            Self::Scale(p) => usize::from(bottoms <= 1) + usize::from(p.bias_term),
            Self::Bias(_) => usize::from(bottoms <= 1),
            Self::PReLU { .. } | Self::Normalize(_) | Self::Parameter { .. } => 1,
            Self::Lstm(p) => 3 + usize::from(p.has_static_input(bottoms, 2)),
            Self::Rnn(p) => 5 + usize::from(p.has_static_input(bottoms, 1)),
            _ => 0,
        })
    }
}

impl RecurrentParams {
    /// Whether the third of so many bottoms is an input that does not change with time, in a layer with `states`
    /// recurrent blobs (LSTM 2, RNN 1).
    pub fn has_static_input(&self, bottoms: usize, states: usize) -> bool {
        bottoms > 2 + if self.expose_hidden { states } else { 0 }
    }
}
