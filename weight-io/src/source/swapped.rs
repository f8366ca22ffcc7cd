//! Big-endian values, made little-endian while they are read.

use std::sync::Arc;

use caffe_proto::{Error, PIECE, Payload, Sink, Source};

/// The values of a payload with the bytes of each reversed.
#[derive(Debug)]
pub(crate) struct Swapped {
    size: usize,
    values: Payload,
}

impl Swapped {
    /// `values` of `size` bytes each, reversed; the same payload where there is nothing to reverse.
    pub(crate) fn payload(size: usize, values: Payload) -> Payload {
        if size < 2 { values } else { Payload::Made(Arc::new(Self { size, values })) }
    }
}

impl Source for Swapped {
    fn len(&self) -> u64 {
        self.values.len()
    }

    fn read(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let mut out = Vec::with_capacity(PIECE);
        self.values.read(&mut |bytes| {
            out.clear();
            out.extend_from_slice(bytes);
            out.chunks_exact_mut(self.size).for_each(<[u8]>::reverse);
            sink(&out)
        })
    }
}
