//! Queues of work on a device, and marks in them.

use cudarc::driver::{result, sys};

use super::Outcome;

/// A queue: what is put into it is done in order, and side by side with what is in others. The context must be current
/// whenever one is used or dropped.
pub(super) struct Stream(sys::CUstream);

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    /// One that does not wait for the legacy default stream, nor that for it.
    pub(super) fn new() -> Outcome<Self> {
        result::stream::create(result::stream::StreamKind::NonBlocking).map(Self)
    }

    pub(super) fn handle(&self) -> sys::CUstream {
        self.0
    }

    /// Waits on the host until all that is in it is done.
    pub(super) fn wait(&self) -> Outcome<()> {
        // SAFETY: the stream lives as long as `self`.
        unsafe { result::stream::synchronize(self.0) }
    }

    /// What is put in from here on is done after what the mark stands behind.
    pub(super) fn go_on_after(&self, mark: &Mark) -> Outcome<()> {
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: both live as long as their owners; the driver keeps what the mark means now, should it be set again.
        unsafe { result::stream::wait_event(self.0, mark.0, flags) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made by us, destroyed once; what is still in it is done all the same.
        let _ = unsafe { result::stream::destroy(self.0) };
    }
}

/// A mark in a queue, without a time.
pub(super) struct Mark(sys::CUevent);

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Mark {}

impl Mark {
    pub(super) fn new() -> Outcome<Self> {
        result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING).map(Self)
    }

    /// Puts it behind all that is in a queue.
    pub(super) fn set(&self, stream: &Stream) -> Outcome<()> {
        // SAFETY: both live as long as their owners.
        unsafe { result::event::record(self.0, stream.0) }
    }

    /// Whether all that it was put behind is done; of one that was put nowhere, yes.
    pub(super) fn is_reached(&self) -> Outcome<bool> {
        // SAFETY: the event lives as long as `self`.
        match unsafe { result::event::query(self.0) } {
            Err(error) if error.0 == sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }

    /// Waits on the host until it is.
    pub(super) fn wait(&self) -> Outcome<()> {
        // SAFETY: the event lives as long as `self`.
        unsafe { result::event::synchronize(self.0) }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // SAFETY: made by us, destroyed once; the driver keeps it until it is reached.
        let _ = unsafe { result::event::destroy(self.0) };
    }
}
