//! Where a writer puts what it writes.

use crate::{Error, Payload};

/// A place for bytes, in order. A file can take a payload from another file without it passing through this program.
pub trait Output {
    /// Appends `bytes`.
    ///
    /// # Errors
    /// When the system refuses them.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// Appends all bytes of `payload`.
    ///
    /// # Errors
    /// When they cannot be made, or the system refuses them.
    fn write_payload(&mut self, payload: &Payload) -> Result<(), Error> {
        payload.read(&mut |bytes| self.write(bytes))
    }
}

impl Output for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}
