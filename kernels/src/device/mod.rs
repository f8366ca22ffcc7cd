//! Devices that run the kernels of `cu/`: an NVIDIA GPU, and its emulation on the processor.
//!
//! There is one implementation of [`Backend`](crate::Backend), in [`backend`], over a small trait, [`driver::Driver`], with
//! one implementation for CUDA's driver and one for the emulator: what is launched, with which grid and which arguments, is the
//! same code for both.

mod activation;
mod algorithm;
mod backend;
mod blas;
mod cache;
mod call;
mod candidates;
mod choices;
mod convolution;
#[cfg(feature = "cuda")]
mod cuda;
mod depthwise;
mod driver;
#[cfg(feature = "emulate")]
mod emulate;
mod faults;
mod gemm;
mod implicit_gemm;
mod limits;
mod measure;
mod memory;
mod phases;
mod pointwise;
mod prepared;
mod random;
mod recording;
mod source;
#[cfg(all(test, feature = "emulate"))]
mod stand_in;
mod sums;
mod update;
mod update_plan;
mod winograd;

#[cfg(feature = "cuda")]
pub use cuda::{DeviceCode, KernelReport, compile_for, compile_reports, nvrtc_version};
#[cfg(feature = "emulate")]
pub use emulate::EmulatedMemory;
pub use gemm::GemmVersion;
pub use limits::Limits;
pub use memory::DeviceBuffer;

pub(crate) use prepared::Prepared;
pub(crate) use recording::Recorded;

use std::sync::{Arc, Mutex};

use algorithm::{Chosen, Means};
use call::{Call, Target};
use driver::Driver;
use faults::Faults;
use source::Module;

use crate::buffer::Buffer;
use crate::cpu::ConvAlgorithm;
use crate::error::{Error, Result};
use crate::open::Choice;

/// How products are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MathMode {
    /// In f32 throughout.
    #[default]
    F32,
    /// Factors rounded to TF32, ten bits behind the point, for the tensor cores; sums in f32. Where there are none, f32.
    Tf32,
}

/// A GPU, or its emulation.
pub struct DeviceBackend {
    driver: Arc<dyn Driver>,
    math: MathMode,
    algorithm: Option<ConvAlgorithm>,
    choice: Choice,
    means: Means,
    chosen: Chosen,
    /// Partial sums on their way to the host.
    scratch: Mutex<DeviceBuffer>,
    faults: Arc<Faults>,
}

impl DeviceBackend {
    /// A GPU as the kernels see it, on the processor, with every access checked: for tests, and thousands of times slower. A
    /// kernel that does what it must not is an error that names it.
    #[cfg(feature = "emulate")]
    pub fn emulated() -> Result<Self> {
        Self::with_driver(Arc::new(emulate::Emulator::default()))
    }

    /// The same with what only an sm_90a has: its way of multiplying on the tensor cores.
    #[cfg(feature = "emulate")]
    pub fn emulated_sm_90a() -> Result<Self> {
        Self::with_driver(Arc::new(emulate::Emulator::sm_90a()))
    }

    /// The same with memory that tests can fill.
    #[cfg(feature = "emulate")]
    pub fn emulated_with(memory: &EmulatedMemory) -> Result<Self> {
        Self::with_driver(Arc::new(emulate::Emulator::of(memory)))
    }

    /// An NVIDIA GPU, counted from 0. Kernels are compiled when they are first used, and kept in the cache folder
    /// (`REBREW_CACHE`, else the system's).
    ///
    /// # Errors
    /// [`Error::Device`], where the driver, NVRTC or the GPU is missing.
    #[cfg(feature = "cuda")]
    pub fn cuda(number: u32) -> Result<Self> {
        let driver = Arc::new(cuda::Cuda::open(number)?);
        Ok(Self { means: cuda::means(&driver), ..Self::with_driver(driver)? })
    }

    /// With this arithmetic in products.
    pub fn with_math(self, math: MathMode) -> Self {
        Self { math, ..self }
    }

    /// With this algorithm wherever it can compute a convolution, instead of the one expected to be fastest: for tests and
    /// comparisons.
    pub fn with_algorithm(self, algorithm: ConvAlgorithm) -> Self {
        Self { algorithm: Some(algorithm), ..self }
    }

    /// With algorithms chosen in this way.
    pub fn with_choice(self, choice: Choice) -> Self {
        Self { choice, ..self }
    }

    /// The version of cuBLAS, if it can be used here. Looks for it the first time.
    pub fn cublas_version(&self) -> Option<String> {
        self.blas()?.version()
    }

    /// What it can do at most, if it tells. The emulation has no limits that would mean anything.
    pub fn limits(&self) -> Option<Limits> {
        self.driver.limits()
    }

    fn with_driver(driver: Arc<dyn Driver>) -> Result<Self> {
        let scratch = Mutex::new(DeviceBuffer::zeroed(&driver, 2 * call::PARTS)?);
        let faults = Arc::new(Faults::new(&driver)?);
        let (math, choice, means) = (MathMode::default(), Choice::default(), Means::default());
        let chosen = Chosen::default();
        Ok(Self { driver, math, algorithm: None, choice, means, chosen, scratch, faults })
    }

    /// How often memory was copied to the host, for which the host waits: nothing but that makes a training step leave the device.
    pub fn copies_to_host(&self) -> u64 {
        self.driver.recorder().read_count()
    }

    /// How many kernels were given to the device one by one, those that were recorded included, and those of replays not.
    pub fn launches(&self) -> u64 {
        self.driver.recorder().launch_count()
    }

    /// How many recordings were replayed.
    pub fn replays(&self) -> u64 {
        self.driver.recorder().replay_count()
    }

    /// Copies to the host from float `start` on, when all work given before is done.
    fn fetch(&self, buffer: &DeviceBuffer, start: usize, values: &mut [f32]) -> Result<()> {
        self.driver.read(buffer.address() + memory::bytes(start), values)
    }

    fn call<'a>(&'a self, module: &'static Module, kernel: &'static str) -> Call<'a> {
        Call::new(&*self.driver, module, kernel)
    }

    fn uses_tf32(&self) -> bool {
        self.math == MathMode::Tf32 && self.driver.has_tf32()
    }

    /// An operand of at least `needed` floats.
    fn take<'b>(
        &self,
        op: &'static str,
        operand: &'static str,
        buffer: &'b Buffer,
        needed: usize,
    ) -> Result<&'b DeviceBuffer> {
        match buffer {
            Buffer::Device(device) if device.is_of(&self.driver) => {
                fits(op, operand, device, needed)?;
                Ok(device)
            }
            _ => Err(Error::Elsewhere { op, operand }),
        }
    }

    /// The same of an operand that may be absent.
    fn take_if<'b>(
        &self,
        op: &'static str,
        operand: &'static str,
        buffer: Option<&'b Buffer>,
        needed: usize,
    ) -> Result<Option<&'b DeviceBuffer>> {
        buffer.map(|buffer| self.take(op, operand, buffer, needed)).transpose()
    }

    /// The same of an operand that is written.
    fn take_mut<'b>(
        &self,
        op: &'static str,
        operand: &'static str,
        buffer: &'b mut Buffer,
        needed: usize,
    ) -> Result<Target<'b>> {
        match buffer {
            Buffer::Device(device) if device.is_of(&self.driver) => {
                fits(op, operand, device, needed)?;
                Ok(Target::new(device))
            }
            _ => Err(Error::Elsewhere { op, operand }),
        }
    }
}

impl std::fmt::Debug for DeviceBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeviceBackend({}, {:?})", self.driver.name(), self.math)
    }
}

/// Kernels count in 32 bits.
const MOST_FLOATS: usize = i32::MAX as usize;

fn fits(op: &'static str, operand: &'static str, buffer: &DeviceBuffer, needed: usize) -> Result<()> {
    let found = buffer.len();
    if needed > MOST_FLOATS {
        let what = format!("{operand} has {needed} floats; {MOST_FLOATS} are possible");
        return Err(Error::geometry(op, what));
    }
    if found < needed { Err(Error::TooShort { op, operand, needed, found }) } else { Ok(()) }
}
