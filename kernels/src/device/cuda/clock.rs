//! The device's clock: events in its stream.

use std::sync::Arc;

use cudarc::driver::{result, sys};

use super::Cuda;
use super::nvrtc::Nvrtc;
use crate::device::cache;
use crate::device::measure::Clock;
use crate::device::source::MODULES;
use crate::error::{Error, Result};

/// Time as the device takes it.
pub(super) struct Events {
    driver: Arc<Cuda>,
}

impl Events {
    pub(super) fn new(driver: Arc<Cuda>) -> Self {
        Self { driver }
    }
}

impl Clock for Events {
    fn environment(&self) -> Result<String> {
        let Cuda { name, target, multiprocessors, .. } = &*self.driver;
        let mut version = 0;
        // SAFETY: the pointer is to an integer.
        unsafe { sys::cuDriverGetVersion(&raw mut version) }
            .result()
            .map_err(|error| self.driver.said(error))?;
        let nvrtc = Nvrtc::get().map(Nvrtc::version);
        let nvrtc = nvrtc.map_err(|what| Error::Device { device: "NVRTC".to_owned(), what })?;
        let sources: String = MODULES.iter().map(|module| module.source()).collect();
        Ok(format!(
            "{name}, {target}, {multiprocessors} multiprocessors, driver {version}, NVRTC {nvrtc}, kernels {:032x}",
            cache::hash(sources.as_bytes())
        ))
    }

    fn time(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<f32> {
        self.driver.enter()?;
        let said = |error| self.driver.said(error);
        let (start, end) = (Event::new().map_err(said)?, Event::new().map_err(said)?);
        self.record(&start)?;
        work()?;
        self.record(&end)?;
        // SAFETY: the event was recorded, and not in a recording.
        unsafe { result::event::synchronize(end.0) }.map_err(said)?;
        // SAFETY: both were recorded in one stream, and are over.
        unsafe { result::event::elapsed(start.0, end.0) }.map_err(said)
    }
}

impl Events {
    /// Puts an event behind what was given before, in its own turn: within a recording, this thread's or another's, it would never
    /// be over.
    fn record(&self, event: &Event) -> Result<()> {
        let _turn = self.driver.recorder.unrecorded("it measures")?;
        self.driver.enter()?;
        // SAFETY: the event is live, and the stream is the driver's.
        unsafe { result::event::record(event.0, self.driver.compute.handle()) }
            .map_err(|error| self.driver.said(error))
    }
}

struct Event(sys::CUevent);

impl Event {
    fn new() -> std::result::Result<Self, result::DriverError> {
        result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT).map(Self)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made here, and destroyed once.
        let _ = unsafe { result::event::destroy(self.0) };
    }
}
