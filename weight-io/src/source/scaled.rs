//! Values divided or multiplied by one number.

use std::sync::Arc;

use caffe_proto::{Error, PIECE, Payload, Sink, Source};

use super::Element as _;

/// What is done to each value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operation {
    /// Divide, rounding as `f32` does: `CaffeFunction`'s way, which a multiplication by the reciprocal is not.
    Divide(f32),
    /// Multiply.
    Multiply(f32),
}

/// The `f32` values of a payload, each put through an operation.
#[derive(Debug)]
pub(crate) struct Scaled {
    operation: Operation,
    values: Payload,
}

impl Scaled {
    pub(crate) fn payload(operation: Operation, values: Payload) -> Payload {
        Payload::Made(Arc::new(Self { operation, values }))
    }
}

impl Source for Scaled {
    fn len(&self) -> u64 {
        self.values.len()
    }

    fn read(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let mut out = Vec::with_capacity(PIECE);
        self.values.read(&mut |bytes| {
            out.clear();
            for value in f32::decode(bytes) {
                match self.operation {
                    Operation::Divide(by) => (value / by).encode(&mut out),
                    Operation::Multiply(by) => (value * by).encode(&mut out),
                }
            }
            sink(&out)
        })
    }
}
