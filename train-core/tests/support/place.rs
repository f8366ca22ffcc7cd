//! Where parameters are updated in tests: in main memory, and on the emulated device.
#![allow(dead_code, reason = "each test uses its part")]

use kernels::{Backend, Buffer};
use train_core::optim::{Optimizer, ParamBuffers, ParamView, Solver};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

/// Main memory, or a device's.
pub(crate) enum Place {
    Host,
    Device(Box<dyn Backend>),
}

/// What moves parameters.
pub(crate) trait Updater {
    fn update_here(&mut self, params: &mut [ParamView<'_>]) -> Result;
    fn update_there(&mut self, backend: &dyn Backend, params: &mut [ParamBuffers<'_>]) -> Result;
}

impl Updater for Optimizer {
    fn update_here(&mut self, params: &mut [ParamView<'_>]) -> Result {
        Ok(self.update(params)?)
    }

    fn update_there(&mut self, backend: &dyn Backend, params: &mut [ParamBuffers<'_>]) -> Result {
        Ok(self.update_on(backend, params)?)
    }
}

impl Updater for Solver {
    fn update_here(&mut self, params: &mut [ParamView<'_>]) -> Result {
        Ok(self.update(params)?)
    }

    fn update_there(&mut self, backend: &dyn Backend, params: &mut [ParamBuffers<'_>]) -> Result {
        Ok(self.update_on(backend, params)?)
    }
}

impl Place {
    /// All that there are.
    pub(crate) fn all() -> Vec<Self> {
        vec![
            Self::Host,
            #[cfg(feature = "emulate")]
            Self::Device(kernels::open(kernels::Device::Emulated, 1).unwrap()),
        ]
    }

    /// One update of values that are there for it, and are brought back.
    pub(crate) fn update(&self, updater: &mut impl Updater, params: &mut [ParamView<'_>]) -> Result {
        let Self::Device(backend) = self else { return updater.update_here(params) };
        let there = |values: &[f32]| -> Buffer {
            let mut buffer = backend.allocate(values.len()).unwrap();
            backend.write(&mut buffer, 0, values).unwrap();
            buffer
        };
        let mut buffers: Vec<(Buffer, Option<Buffer>)> =
            params.iter().map(|view| (there(view.value), view.grad.as_deref().map(there))).collect();
        let mut there: Vec<_> =
            buffers.iter_mut().map(|(value, grad)| ParamBuffers { value, grad: grad.as_mut() }).collect();
        updater.update_there(&**backend, &mut there)?;
        for (view, (value, _)) in params.iter_mut().zip(&buffers) {
            backend.read(value, 0, view.value).unwrap();
        }
        Ok(())
    }
}
