//! Values of another type, converted while they are read.

use std::sync::Arc;

use caffe_proto::{Error, PIECE, Payload, Sink, Source};

use super::Element;
use crate::Dtype;

/// The values of a payload as `f32` or `f64`.
#[derive(Debug)]
pub(crate) struct Widened {
    from: Dtype,
    to: Dtype,
    values: Payload,
}

impl Widened {
    /// `values` as numbers of type `T`; the same payload where they are so already.
    pub(crate) fn payload<T: Element>(from: Dtype, values: &Payload) -> Payload {
        if from == T::DTYPE {
            values.clone()
        } else {
            Payload::Made(Arc::new(Self { from, to: T::DTYPE, values: values.clone() }))
        }
    }
}

impl Source for Widened {
    fn len(&self) -> u64 {
        self.values.len() / self.from.size() as u64 * self.to.size() as u64
    }

    fn read(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let convert = if self.to == Dtype::F32 { f32::convert } else { f64::convert };
        let mut out = Vec::with_capacity(PIECE);
        // A piece of one-byte values grows eightfold at most.
        self.values.read(&mut |bytes| {
            for part in bytes.chunks(PIECE / 8) {
                out.clear();
                convert(self.from, part, &mut out);
                sink(&out)?;
            }
            Ok(())
        })
    }
}
