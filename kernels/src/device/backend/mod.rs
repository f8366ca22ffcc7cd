//! [`Backend`] for devices: each method checks its operands and launches the kernels of `cu/`.

mod activation;
mod convolution;
mod deconvolution;
mod elementwise;
mod embed;
mod gemm;
mod inner_product;
mod losses;
mod memory;
mod normalization;
mod pooling;
mod recurrent;
mod reduction;
mod resize;
mod softmax;
mod transform;
mod vector;

use crate::backend::Backend;
use crate::device::DeviceBackend;
use crate::device::recording::Recorded;
use crate::error::{Error, Result};
use crate::recording::Recording;
use crate::update::Updates;

impl Backend for DeviceBackend {
    fn name(&self) -> String {
        self.driver.name()
    }

    fn arithmetic(&self) -> String {
        let model = self.driver.model();
        if self.uses_tf32() { format!("{model}, TF32") } else { model }
    }

    fn synchronize(&self) -> Result<()> {
        self.driver.synchronize()?;
        self.faults.take(&*self.driver, |record, words| self.fetch(record, 0, words))
    }

    fn record(&self, body: &mut dyn FnMut()) -> Result<Recording> {
        Ok(Recording { recorded: Recorded::new(&self.driver, body)? })
    }

    fn replay(&self, recording: &Recording) -> Result<()> {
        if recording.recorded.is_of(&self.driver) {
            return recording.recorded.replay();
        }
        Err(Error::Elsewhere { op: "replay", operand: "what was recorded" })
    }

    fn enter(&self, body: &mut (dyn FnMut() + Send)) {
        body();
    }

    fn each(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(body);
    }

    fn updates(&self) -> Option<Box<dyn Updates>> {
        Some(self.new_updates())
    }
}
