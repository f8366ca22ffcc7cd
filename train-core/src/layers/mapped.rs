//! A file's floats where they lie.

use std::sync::Arc;

use caffe_proto::{Payload, Slice};
use kernels::HostBuffer;

/// The floats of a payload as the file has them, if this machine has them in the same order of bytes.
pub(super) fn shared(payload: &Payload) -> Option<HostBuffer> {
    match payload {
        Payload::Borrowed(slice) if cfg!(target_endian = "little") => {
            Some(HostBuffer::shared(Arc::new(Bytes(slice.clone()))))
        }
        _ => None,
    }
}

struct Bytes(Slice);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
