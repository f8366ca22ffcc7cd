//! `.onnx`: the whole net, weights and all, for those who only run it.
//!
//! A blob is a value of its name. One that is written several times, in place, is several values: the last has the
//! name, those before it are called `blob/layer`; that of an input keeps the name, and those that rewrite it go without.
//!
//! | Caffe | ONNX |
//! | --- | --- |
//! | Convolution, Deconvolution, DepthwiseConvolution, Im2col | Conv and ConvTranspose with `group`, `dilations`, `pads` |
//! | InnerProduct, Embed | Flatten and Gemm; Gather |
//! | Pooling, SPP | MaxPool, AveragePool with explicit pads, the global ones; what windows at the edge are divided by is corrected |
//! | LRN | LRN; within channels AveragePool and Pow |
//! | BatchNorm, and the Scale behind it | BatchNormalization with the statistics over their scale factor |
//! | Scale, Bias, Power, Exp, Log, Eltwise, MVN, Normalize | arithmetic |
//! | ReLU, PReLU, ELU, ReLU6, Clip, Sigmoid, TanH, AbsVal, BNLL, Swish, Threshold, Softmax | their like |
//! | Concat, Slice, Crop, Reshape, Flatten, Tile, Permute, ShuffleChannel, Reduction, ArgMax, Filter, BatchReindex | their like |
//! | Interp, Upsample | Resize; ScatterElements |
//! | LSTM, RNN, LSTMUnit | a step after the other, unrolled |
//! | Dropout, Split, Silence | nothing |
//! | losses, Accuracy | nothing at the end of a net; of SoftmaxWithLoss the Softmax, of SigmoidCrossEntropyLoss the Sigmoid |

mod attribute;
mod export;
mod extent;
mod graph;
mod layers;
mod plan;
mod proto;
mod step;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use export::export;
pub(crate) use write::Bytes;
