//! Every operation against a plain f64 reference, over generated shapes, on every instruction set of this machine and
//! with one and several threads, whose results must have the same bits; and on the emulated GPU and a real one, with the features
//! for them.

mod backward;
mod convolution;
mod convolution_backward;
#[cfg(any(feature = "cuda", feature = "emulate"))]
mod device;
mod elementwise;
mod losses;
mod matrix;
mod misuse;
mod pooling;
#[cfg(any(feature = "cuda", feature = "emulate"))]
mod recording;
mod shapes;
mod support;
mod table;
#[cfg(any(feature = "cuda", feature = "emulate"))]
mod update;
