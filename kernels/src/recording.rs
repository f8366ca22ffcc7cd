//! Work of a device, taken down.

#[cfg(device)]
use crate::device::Recorded;

/// What was given to a device to do, to be done again at one go: made by [`Backend::record`](crate::Backend::record). The memory that
/// it names is kept as long as it is, whoever drops its buffers.
#[derive(Debug)]
pub struct Recording {
    #[cfg(device)]
    pub(crate) recorded: Recorded,
    #[cfg(not(device))]
    #[expect(dead_code, reason = "without a device there is none")]
    never: std::convert::Infallible,
}
