//! An array of zeros.

use caffe_proto::{Error, Payload, Sink, Source};

use super::Gather;

/// As many zero bytes.
#[derive(Debug)]
pub(crate) struct Zeros(pub(crate) u64);

impl Zeros {
    pub(crate) fn payload(len: u64) -> Payload {
        Payload::Made(std::sync::Arc::new(Zeros(len)))
    }
}

impl Source for Zeros {
    fn len(&self) -> u64 {
        self.0
    }

    fn read(&self, sink: &mut Sink<'_>) -> Result<(), Error> {
        let mut gather = Gather::new(sink);
        gather.push_zeros(self.0)?;
        gather.flush()
    }
}
