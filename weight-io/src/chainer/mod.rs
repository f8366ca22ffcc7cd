//! Caffe's layers and blobs as Chainer's links and parameters.
//!
//! A layer's name is its link's name. What follows it is what Chainer's link of that kind calls its arrays:
//!
//! | layer | names |
//! | --- | --- |
//! | Convolution, Deconvolution, DepthwiseConvolution, InnerProduct, Embed | `W`, `b` |
//! | BatchNorm | `avg_mean`, `avg_var`, `N`; folded, or of NVIDIA/caffe's five blobs, also `gamma`, `beta` |
//! | Scale | `W`, `bias/b` |
//! | Bias | `b` |
//! | PReLU, Parameter | `W` |
//! | Normalize | `scale` |
//! | LSTM | `W_xc`, `b_c`, `W_xc_static`, `W_hc` |
//! | RNN | `W_xh`, `b_h`, `W_xh_static`, `W_hh`, `W_ho`, `b_o` |
//! | any other | `blob0`, `blob1`, … |

mod batch_norm;
mod blobs;
pub(crate) mod by_shape;
pub(crate) mod fold;
mod links;
pub(crate) mod shared;
mod slots;

pub(crate) use batch_norm::Factor;
pub use blobs::to_blobs;
pub(crate) use links::check_count;
pub use links::to_links;
pub(crate) use slots::named;

/// How group convolutions are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conv {
    /// As Caffe has them: what Chainer's `Convolution2D(groups=G)` takes.
    #[default]
    Grouped,
    /// Block-diagonal with zeros between, as Chainer's `CaffeFunction` makes them.
    Dense,
}

/// Where the affine part of a normalization goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchNorm {
    /// BatchNorm and Scale stay two links, as in Caffe and `CaffeFunction`.
    #[default]
    Caffe,
    /// A Scale that follows becomes `gamma` and `beta` of the BatchNorm's link.
    Folded,
}

/// The choices that Chainer's side leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The layout of group convolutions.
    pub conv: Conv,
    /// The place of BatchNorm's affine part.
    pub batchnorm: BatchNorm,
}

/// The name of an array of a layer's link.
pub(crate) fn name(layer: &str, key: &str) -> String {
    format!("{layer}/{key}")
}
