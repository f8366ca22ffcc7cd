//! What was put into a queue, kept to be put in again at one go.

use cudarc::driver::{result, sys};

use super::Outcome;
use super::stream::Stream;

/// A graph ready to run. The context must be current when it is used or dropped, and the memory that its kernels were given must
/// be there when it runs.
pub(super) struct Graph(sys::CUgraphExec);

// SAFETY: the driver's handles may be used from any thread; a graph's are used by one at a time.
unsafe impl Send for Graph {}

impl Graph {
    /// From here on, what is put into `stream` is taken down. What this thread may not do meanwhile, such as waiting, is refused by
    /// [`Recorder`](crate::device::recording::Recorder) before it comes to the driver; what others do does not matter.
    pub(super) fn begin(stream: &Stream) -> Outcome<()> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is ours, and not the legacy one, which cannot be captured.
        unsafe { result::stream::begin_capture(stream.handle(), mode) }
    }

    /// Ends that.
    pub(super) fn end(stream: &Stream) -> Outcome<Self> {
        let template = Template::end(stream)?;
        let flags = sys::CUgraphInstantiate_flags(0);
        // SAFETY: the template is whole.
        unsafe { result::graph::instantiate(template.0, flags) }.map(Self)
    }

    /// Ends it, and forgets what was taken down.
    pub(super) fn abandon(stream: &Stream) {
        // A capture that failed is ended as well.
        let _ = Template::end(stream);
    }

    /// Puts all of it into a queue.
    ///
    /// # Safety
    /// The memory that its kernels were given is there until it is done.
    pub(super) unsafe fn launch(&self, stream: &Stream) -> Outcome<()> {
        // SAFETY: as the caller promises; the handles live as long as their owners.
        unsafe { result::graph::launch(self.0, stream.handle()) }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by us, destroyed once; one that runs is destroyed by the driver when it is done.
        let _ = unsafe { result::graph::exec_destroy(self.0) };
    }
}

/// What a capture gives.
struct Template(sys::CUgraph);

impl Template {
    fn end(stream: &Stream) -> Outcome<Self> {
        // SAFETY: a capture of this thread's goes on in our stream.
        unsafe { result::stream::end_capture(stream.handle()) }.map(Self)
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        // SAFETY: the driver made it for us, and it is destroyed once. What was made of it does not need it.
        let _ = unsafe { result::graph::destroy(self.0) };
    }
}
