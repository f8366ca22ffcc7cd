//! Every operation against a plain f64 reference, over generated shapes, on every instruction set of this machine and
//! with one and several threads, whose results must have the same bits.

mod backward;
mod convolution;
mod convolution_backward;
mod elementwise;
mod matrix;
mod misuse;
mod pooling;
mod shapes;
mod support;
