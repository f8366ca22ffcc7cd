//! The driver for NVIDIA GPUs: CUDA's driver API and NVRTC, loaded when a device is opened.

mod blas;
mod cache;
mod clock;
mod compile;
mod graph;
mod library;
mod memory;
mod nvrtc;
mod ring;
mod staging;
mod stream;
mod target;

pub use compile::{DeviceCode, KernelReport, compile_for, compile_reports, nvrtc_version};

use std::collections::HashMap;
use std::ffi::{CString, c_int, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{result, sys};

use graph::Graph;
use nvrtc::Nvrtc;
use staging::Staging;
use stream::Stream;
use target::Target;

use super::algorithm::Means;
use super::cache::folder;
use super::driver::{Address, Driver, Launch};
use super::limits::{Attributes, Limits};
use super::recording::{Recorder, RecordingId};
use super::source::Module;
use crate::error::{Error, Result};

/// What the driver says to a call.
type Outcome<T> = std::result::Result<T, result::DriverError>;

/// The oldest driver with all that is used here: of CUDA 11.4.
const OLDEST_DRIVER: c_int = 11_040;

/// The oldest compute capability: 7.5.
const OLDEST_CAPABILITY: u32 = 75;

/// A GPU with its primary context. Kernels and copies within the device go through one queue, in order; what comes from the
/// host, through another beside it (`staging.rs`).
pub(crate) struct Cuda {
    number: u32,
    name: String,
    /// Its compute capability: 86 for 8.6.
    capability: u32,
    /// What kernels are compiled to.
    target: Target,
    multiprocessors: u32,
    limits: Option<Limits>,
    recorder: Recorder,
    // From here on dropped in this order, each while the context is still there.
    graphs: Mutex<HashMap<RecordingId, Graph>>,
    staging: Mutex<Staging>,
    compute: Stream,
    loaded: Mutex<Loaded>,
    context: Context,
}

/// A device's primary context, held.
struct Context {
    device: sys::CUdevice,
    handle: sys::CUcontext,
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

/// A GPU's clock, cuBLAS, and the folder for what is found with them.
pub(crate) fn means(driver: &Arc<Cuda>) -> Means {
    Means {
        clock: Some(Box::new(clock::Events::new(driver.clone()))),
        blas: Some(Box::new(blas::CuBlas::new(driver.clone()))),
        folder: folder("algorithms"),
    }
}

impl Cuda {
    pub(crate) fn open(number: u32) -> Result<Self> {
        let refused = |what: String| Error::Device { device: named(number), what };
        // SAFETY: looking for a library runs nothing but its own start-up code.
        if !unsafe { sys::is_culib_present() } {
            return Err(refused("there is no libcuda: NVIDIA's driver is not installed".to_owned()));
        }
        let nvrtc = Nvrtc::get().map_err(refused)?;
        let mut version = 0;
        // SAFETY: the pointer is to an integer; every driver has the call.
        unsafe { sys::cuDriverGetVersion(&raw mut version) }
            .result()
            .map_err(|error| refused(text(error)))?;
        if version < OLDEST_DRIVER {
            return Err(refused(format!(
                "NVIDIA's driver is for CUDA {}; update it to one for {} or later",
                Version(version),
                Version(OLDEST_DRIVER)
            )));
        }
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
        let capability = (major * 10 + minor) as u32;
        if capability < OLDEST_CAPABILITY {
            return Err(refused(format!(
                "its architecture is sm_{capability}; sm_{OLDEST_CAPABILITY} is the oldest possible"
            )));
        }
        let target = Target::choose(capability, &nvrtc.architectures, nvrtc.version).map_err(refused)?;
        let name = result::device::get_name(device).map_err(said)?;
        let limits = Limits::of(&Attributes {
            capability: [major, minor].map(|number| number as u32),
            multiprocessors: multiprocessors as u32,
            clock: attribute(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)? as u32,
            memory_clock: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)? as u32,
            bus: attribute(Attribute::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)? as u32,
        });
        let context = Context::hold(device).map_err(said)?;
        context.enter().map_err(said)?;
        Ok(Self {
            number,
            name,
            capability,
            target,
            multiprocessors: multiprocessors as u32,
            limits,
            recorder: Recorder::default(),
            graphs: Mutex::default(),
            staging: Mutex::new(Staging::new().map_err(said)?),
            compute: Stream::new().map_err(said)?,
            loaded: Mutex::default(),
            context,
        })
    }

    /// Makes the context this thread's.
    fn enter(&self) -> Result<()> {
        self.context.enter().map_err(|error| self.said(error))
    }

    fn said(&self, error: result::DriverError) -> Error {
        Error::Device { device: named(self.number), what: text(error) }
    }

    /// A kernel that was used before.
    fn loaded(&self, kernel: &'static str) -> Option<sys::CUfunction> {
        lock(&self.loaded).kernels.get(kernel).copied()
    }

    /// A kernel, compiled and loaded.
    fn load(&self, module: &'static Module, kernel: &'static str) -> Result<sys::CUfunction> {
        let mut loaded = lock(&self.loaded);
        let failed = |error| {
            let (form, nvrtc) = (self.target, Nvrtc::get().map(Nvrtc::version).unwrap_or_default());
            let what = format!("{}; the driver was given {form} by NVRTC {nvrtc}", text(error));
            Error::Kernel { kernel, file: module.file(), what }
        };
        let handle = if let Some(&handle) = loaded.modules.get(module.name) {
            handle
        } else {
            let image = cache::code(module, self.target).map_err(|what| Error::Kernel {
                kernel,
                file: module.file(),
                what,
            })?;
            // SAFETY: the image is a whole CUBIN, or PTX with its 0, as NVRTC made it.
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
        format!("CUDA device {}, {}", self.number, self.model())
    }

    fn model(&self) -> String {
        if self.target.is_for(self.capability) {
            return format!("{}, {}", self.name, self.target);
        }
        format!("{}, sm_{} by PTX of {}", self.name, self.capability, self.target)
    }

    fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    fn limits(&self) -> Option<Limits> {
        self.limits
    }

    fn has_tf32(&self) -> bool {
        self.target.has_tf32()
    }

    fn has_wgmma(&self) -> bool {
        self.target.has_wgmma()
    }

    fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    fn allocate(&self, lens: &[usize]) -> Result<Vec<Address>> {
        let _turn = self.recorder.unrecorded("it allocates memory")?;
        self.enter()?;
        let (places, bytes) = memory::places(lens).ok_or(Error::Memory { bytes: usize::MAX })?;
        let start = memory::allocate(&self.compute, bytes).map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => Error::Memory { bytes },
            _ => self.said(error),
        })?;
        Ok(places.into_iter().map(|place| start + place as Address).collect())
    }

    fn free(&self, addresses: &[Address]) {
        // The first is that of the allocation.
        if let (Some(&start), Ok(())) = (addresses.first(), self.enter()) {
            memory::free(&self.compute, start);
        }
    }

    fn write(&self, address: Address, values: &[f32]) -> Result<()> {
        let _turn = self.recorder.unrecorded("it writes from the host")?;
        self.enter()?;
        // SAFETY: a buffer holds so many floats there, and its memory is not freed before the queue has come so far.
        unsafe { lock(&self.staging).upload(&self.compute, address, values) }
            .map_err(|error| self.said(error))
    }

    fn read(&self, address: Address, values: &mut [f32]) -> Result<()> {
        let _turn = self.recorder.read()?;
        self.enter()?;
        // SAFETY: a buffer holds so many floats there.
        unsafe { lock(&self.staging).download(&self.compute, address, values) }
            .map_err(|error| self.said(error))
    }

    fn copy(&self, from: Address, to: Address, len: usize) -> Result<()> {
        let mut turn = self.recorder.turn();
        self.enter()?;
        let bytes = len * size_of::<f32>();
        // SAFETY: two buffers hold so many floats there, and their memory is not freed before the queue has come so far, nor
        // before a recording that names it.
        let outcome = unsafe { result::memcpy_dtod_async(to, from, bytes, self.compute.handle()) };
        if outcome.is_err() && turn.is_recording() {
            turn.refuse("the driver refuses a copy");
        }
        outcome.map_err(|error| self.said(error))
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        let mut turn = self.recorder.turn();
        self.enter()?;
        let function = match self.loaded(launch.kernel) {
            Some(function) => function,
            None if turn.is_recording() => return Err(turn.refuse("it uses a kernel for the first time")),
            None => self.load(launch.module, launch.kernel)?,
        };
        let mut arguments: Vec<*mut c_void> =
            launch.arguments.iter().map(|argument| argument.cast_mut()).collect();
        let [grid, block] = [launch.grid, launch.block].map(|[x, y, z]| (x, y, z));
        let stream = self.compute.handle();
        // SAFETY: the arguments are those of the kernel (the emulator checks their number and sizes), and the driver copies
        // them; the kernel stays in bounds of its buffers, which the emulator checks too. Their memory is not freed before the
        // queue has come so far, nor before a recording that names it.
        let outcome = unsafe { result::launch_kernel(function, grid, block, 0, stream, &mut arguments) };
        if outcome.is_err() && turn.is_recording() {
            turn.refuse("the driver refuses a kernel");
        }
        outcome.map_err(|error| Error::Kernel {
            kernel: launch.kernel,
            file: launch.module.file(),
            what: text(error),
        })
    }

    fn synchronize(&self) -> Result<()> {
        let _turn = self.recorder.unrecorded("it waits for the device")?;
        self.enter()?;
        // What comes from the host is waited for in this queue too.
        self.compute.wait().map_err(|error| self.said(error))
    }

    fn begin(&self) -> Result<()> {
        let mut turn = self.recorder.unrecorded("it records again")?;
        self.enter()?;
        Graph::begin(&self.compute).map_err(|error| self.said(error))?;
        turn.begin_recording();
        Ok(())
    }

    fn end(&self, kept: Option<RecordingId>) -> Result<()> {
        let _turn = self.recorder.turn();
        self.enter()?;
        let Some(id) = kept else {
            Graph::abandon(&self.compute);
            return Ok(());
        };
        let graph = Graph::end(&self.compute).map_err(|error| self.said(error))?;
        lock(&self.graphs).insert(id, graph);
        Ok(())
    }

    fn replay(&self, recording: RecordingId) -> Result<()> {
        let _turn = self.recorder.unrecorded("it replays")?;
        self.enter()?;
        // SAFETY: the recorder keeps all memory that was there when it was made until it is forgotten, and memory is not freed
        // before the queue has come so far.
        let launched = lock(&self.graphs).get(&recording).map(|graph| unsafe { graph.launch(&self.compute) });
        launched.unwrap_or(Ok(())).map_err(|error| self.said(error))
    }

    fn forget(&self, recording: RecordingId) {
        // Without the context it is the driver's to clear away, when the process ends.
        match (lock(&self.graphs).remove(&recording), self.enter()) {
            (Some(graph), Err(_)) => std::mem::forget(graph),
            (graph, _) => drop(graph),
        }
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        // What is dropped next asks for the context, and for slots that nothing is under way from or to.
        if self.enter().is_ok() {
            let _ = self.compute.wait();
        }
    }
}

impl Context {
    fn hold(device: sys::CUdevice) -> Outcome<Self> {
        // SAFETY: the device is the driver's.
        let handle = unsafe { result::primary_ctx::retain(device) }?;
        Ok(Self { device, handle })
    }

    /// Makes it this thread's.
    fn enter(&self) -> Outcome<()> {
        // SAFETY: it is held as long as `self` lives.
        unsafe { result::ctx::set_current(self.handle) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: held once, by `hold`.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// A version as the driver has it in a number.
struct Version(c_int);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 10)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
