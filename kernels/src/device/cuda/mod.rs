//! The driver for NVIDIA GPUs: CUDA's driver API and NVRTC, loaded when a device is opened.

mod cache;
mod compile;

pub use compile::{KernelReport, compile_reports};

use std::collections::HashMap;
use std::ffi::{CString, c_int, c_void};
use std::sync::{Mutex, PoisonError};

use cudarc::driver::{result, sys};

use super::driver::{Address, Driver, Launch};
use super::source::Module;
use crate::error::{Error, Result};

/// A GPU with its primary context. Everything goes through the default stream, in order.
pub(crate) struct Cuda {
    number: u32,
    name: String,
    device: sys::CUdevice,
    context: sys::CUcontext,
    architecture: String,
    multiprocessors: u32,
    loaded: Mutex<Loaded>,
}

/// Modules and kernels that have been used, by name.
#[derive(Default)]
struct Loaded {
    modules: HashMap<&'static str, sys::CUmodule>,
    kernels: HashMap<&'static str, sys::CUfunction>,
}

// SAFETY: the driver's handles may be used from any thread on which the context is current, which each operation sees to;
// the maps are behind a mutex.
unsafe impl Send for Cuda {}
// SAFETY: as above.
unsafe impl Sync for Cuda {}

impl Cuda {
    pub(crate) fn open(number: u32) -> Result<Self> {
        let refused = |what: String| Error::Device { device: named(number), what };
        // SAFETY: looking for a library runs nothing but its own start-up code.
        if !unsafe { sys::is_culib_present() } {
            return Err(refused("there is no libcuda: NVIDIA's driver is not installed".to_owned()));
        }
        compile::check().map_err(refused)?;
        let said = |error: result::DriverError| Error::Device { device: named(number), what: text(error) };
        result::init().map_err(said)?;
        let count = result::device::get_count().map_err(said)?;
        if i64::from(number) >= i64::from(count) {
            return Err(refused(format!("there are {count} devices, counted from 0")));
        }
        let device = result::device::get(number as c_int).map_err(said)?;
        let attribute = |attribute| {
            // SAFETY: the device is the driver's.
            unsafe { result::device::get_attribute(device, attribute) }.map_err(said)
        };
        use sys::CUdevice_attribute_enum as Attribute;
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let multiprocessors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        if major * 10 + minor < 75 {
            return Err(refused(format!(
                "its architecture is sm_{major}{minor}; sm_75 is the oldest possible"
            )));
        }
        let name = result::device::get_name(device).map_err(said)?;
        // SAFETY: the device is the driver's; the context is released when this is dropped.
        let context = unsafe { result::primary_ctx::retain(device) }.map_err(said)?;
        Ok(Self {
            number,
            name,
            device,
            context,
            architecture: format!("sm_{major}{minor}"),
            multiprocessors: multiprocessors as u32,
            loaded: Mutex::default(),
        })
    }

    /// Makes the context this thread's.
    fn enter(&self) -> Result<()> {
        // SAFETY: the context is retained as long as `self` lives.
        unsafe { result::ctx::set_current(self.context) }.map_err(|error| self.said(error))
    }

    fn said(&self, error: result::DriverError) -> Error {
        Error::Device { device: named(self.number), what: text(error) }
    }

    /// A kernel, compiled and loaded when it is first asked for.
    fn kernel(&self, module: &'static Module, kernel: &'static str) -> Result<sys::CUfunction> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&function) = loaded.kernels.get(kernel) {
            return Ok(function);
        }
        let failed = |error| Error::Kernel { kernel, file: module.file(), what: text(error) };
        let handle = if let Some(&handle) = loaded.modules.get(module.name) {
            handle
        } else {
            let image = cache::cubin(module, &self.architecture).map_err(|what| Error::Kernel {
                kernel,
                file: module.file(),
                what,
            })?;
            // SAFETY: the image is a whole CUBIN, as NVRTC made it.
            let handle = unsafe { result::module::load_data(image.as_ptr().cast()) }.map_err(failed)?;
            loaded.modules.insert(module.name, handle);
            handle
        };
        let name = CString::new(kernel).unwrap_or_default();
        // SAFETY: the module stays loaded as long as the context.
        let function = unsafe { result::module::get_function(handle, name) }.map_err(failed)?;
        loaded.kernels.insert(kernel, function);
        Ok(function)
    }
}

impl Driver for Cuda {
    fn name(&self) -> String {
        format!("CUDA device {}, {}, {}", self.number, self.name, self.architecture)
    }

    fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    fn has_tf32(&self) -> bool {
        self.architecture != "sm_75"
    }

    fn allocate(&self, len: usize) -> Result<Address> {
        self.enter()?;
        let bytes = len.saturating_mul(size_of::<f32>());
        // SAFETY: a buffer frees it.
        let address = unsafe { result::malloc_sync(bytes) }.map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => Error::Memory { bytes },
            _ => self.said(error),
        })?;
        // SAFETY: so many bytes were just allocated there.
        unsafe { result::memset_d8_sync(address, 0, bytes) }.map_err(|error| self.said(error))?;
        Ok(address)
    }

    fn free(&self, address: Address) {
        // There is nobody to tell of a failure: the memory is then the process's, until it ends.
        if self.enter().is_ok() {
            // SAFETY: allocated here, and freed by its buffer alone; the driver waits for kernels that use it.
            let _ = unsafe { result::free_sync(address) };
        }
    }

    fn write(&self, address: Address, values: &[f32]) -> Result<()> {
        self.enter()?;
        // SAFETY: a buffer holds so many floats there.
        unsafe { result::memcpy_htod_sync(address, values) }.map_err(|error| self.said(error))
    }

    fn read(&self, address: Address, values: &mut [f32]) -> Result<()> {
        self.enter()?;
        // SAFETY: a buffer holds so many floats there.
        unsafe { result::memcpy_dtoh_sync(values, address) }.map_err(|error| self.said(error))
    }

    fn copy(&self, from: Address, to: Address, len: usize) -> Result<()> {
        self.enter()?;
        // SAFETY: two buffers hold so many floats there.
        unsafe { result::memcpy_dtod_sync(to, from, len * size_of::<f32>()) }
            .map_err(|error| self.said(error))
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        self.enter()?;
        let function = self.kernel(launch.module, launch.kernel)?;
        let mut arguments: Vec<*mut c_void> =
            launch.arguments.iter().map(|argument| argument.cast_mut()).collect();
        let [grid, block] = [launch.grid, launch.block].map(|[x, y, z]| (x, y, z));
        let stream = result::stream::null();
        // SAFETY: the arguments are those of the kernel (the emulator checks their number and sizes), and the driver copies
        // them; the kernel stays in bounds of its buffers, which the emulator checks too.
        unsafe { result::launch_kernel(function, grid, block, 0, stream, &mut arguments) }.map_err(|error| {
            Error::Kernel { kernel: launch.kernel, file: launch.module.file(), what: text(error) }
        })
    }

    fn synchronize(&self) -> Result<()> {
        self.enter()?;
        result::ctx::synchronize().map_err(|error| self.said(error))
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        // SAFETY: retained once, by `open`.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

fn named(number: u32) -> String {
    format!("CUDA device {number}")
}

/// What the driver says, in words.
fn text(error: result::DriverError) -> String {
    let words = [error.error_string(), error.error_name()].into_iter().flatten();
    let words: Vec<_> = words.map(|words| words.to_string_lossy()).collect();
    if words.is_empty() { format!("{:?}", error.0) } else { words.join(", ") }
}
