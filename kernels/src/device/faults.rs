//! Values that name nothing, found by kernels after the operation that met them has returned: cu/faults.cuh.

use std::sync::Arc;

use super::call::{Parameter, Target};
use super::driver::Driver;
use super::memory::DeviceBuffer;
use crate::backend::Site;
use crate::error::{Error, Result};

/// The operations that look up by number.
#[repr(u32)]
#[derive(Clone, Copy)]
pub(super) enum Operation {
    LabelLoss = 1,
    Accuracy = 2,
    EmbedForward = 3,
    EmbedBackward = 4,
}

/// `Watch` of cu/faults.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Watch {
    operation: u32,
    site: u32,
    limit: u32,
}

// SAFETY: as cu/faults.cuh has it.
unsafe impl Parameter for Watch {}

/// The record of the first fault that the host was not told of.
pub(super) struct Faults(DeviceBuffer);

/// Words of the record: the operation, the site, how many there are to name, and the value.
const WORDS: usize = 4;

impl Faults {
    pub(super) fn new(driver: &Arc<dyn Driver>) -> Result<Self> {
        DeviceBuffer::zeroed(driver, WORDS).map(Self)
    }

    /// The record, for a kernel that may have something to report.
    pub(super) fn record(&self) -> Target<'_> {
        Target::own(&self.0)
    }

    /// The first fault since the last call, when all work is done; `fetch` copies to main memory.
    pub(super) fn take(
        &self,
        driver: &dyn Driver,
        fetch: impl FnOnce(&DeviceBuffer, &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        let mut words = [0.0; WORDS];
        fetch(&self.0, &mut words)?;
        let [operation, site, limit] = [0, 1, 2].map(|at| words[at].to_bits());
        if operation == 0 {
            return Ok(());
        }
        driver.write(self.0.address(), &[0.0; WORDS])?;
        let (site, value) = (Site(site), words[3]);
        Err(match operation {
            1 => Error::Label { op: "label_loss", site, value, classes: limit },
            2 => Error::Label { op: "accuracy", site, value, classes: limit },
            3 => Error::Index { op: "embed_forward", site, value, rows: limit },
            _ => Error::Index { op: "embed_backward", site, value, rows: limit },
        })
    }
}

impl Watch {
    pub(super) fn new(operation: Operation, site: Site, limit: u32) -> Self {
        Self { operation: operation as u32, site: site.0, limit }
    }
}
