//! What benchmarks run on, and what that can do at most.

use kernels::{Backend, Choice, CpuBackend, Result};

/// The limits of a device: arithmetic in f32, outside of tensor cores, and its memory.
#[derive(Clone, Copy, Debug)]
pub struct Roof {
    /// Floating-point operations a second.
    pub flops: f64,
    /// Bytes a second.
    pub bytes: f64,
}

/// A device to measure.
pub struct Device {
    /// What computes.
    pub backend: Box<dyn Backend>,
    /// Its limits: of a processor measured, of a GPU worked out from its clocks and widths; of an emulation there are none.
    pub roof: Option<Roof>,
    /// Whether it is an NVIDIA GPU.
    pub is_gpu: bool,
    /// The version of cuBLAS, where it can be used.
    pub cublas: Option<String>,
}

/// How a device computes. A processor has no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// In TF32, where there are tensor cores.
    pub tf32: bool,
    /// By whose kernels.
    pub choice: Choice,
}

impl Means {
    /// Our kernels, in f32.
    pub const OURS: Self = Self { tf32: false, choice: Choice::Deterministic };
}

impl Device {
    /// The device of this name (`cpu`, `cuda`, `cuda:N`, `emulate`), computing so.
    ///
    /// # Errors
    /// [`kernels::Error::Device`] where it is missing, or this build has no support for it.
    pub fn open(name: &str, means: Means) -> Result<Self> {
        match name.parse()? {
            kernels::Device::Cpu => {
                let cpu = CpuBackend::new(std::thread::available_parallelism().map_or(1, usize::from))?;
                let roof = Some(Roof { flops: cpu.peak_flops(), bytes: copies(&cpu)? });
                Ok(Self { backend: Box::new(cpu), roof, is_gpu: false, cublas: None })
            }
            #[cfg(feature = "cuda")]
            kernels::Device::Cuda(number) => {
                let device = with(kernels::DeviceBackend::cuda(number)?, means);
                let roof = device.limits().map(|limits| Roof { flops: limits.flops, bytes: limits.bytes });
                let cublas = device.cublas_version();
                Ok(Self { backend: Box::new(device), roof, is_gpu: true, cublas })
            }
            #[cfg(feature = "emulate")]
            kernels::Device::Emulated => {
                let device = with(kernels::DeviceBackend::emulated()?, means);
                Ok(Self { backend: Box::new(device), roof: None, is_gpu: false, cublas: None })
            }
            #[cfg(not(all(feature = "cuda", feature = "emulate")))]
            other => {
                let _ = means;
                let what = "these benchmarks were built without it".to_owned();
                Err(kernels::Error::Device { device: other.to_string(), what })
            }
        }
    }

    /// The processor, and the first GPU where one can be opened.
    ///
    /// # Errors
    /// Where the processor has no memory.
    pub fn all() -> Result<Vec<Self>> {
        let mut devices = vec![Self::open("cpu", Means::OURS)?];
        devices.extend(Self::open("cuda", Means::OURS).ok());
        Ok(devices)
    }

    /// The part of the roofline that is reached by so many operations and bytes in so many seconds.
    pub fn share(&self, flops: f64, bytes: f64, seconds: f64) -> Option<f64> {
        self.roof.map(|roof| (flops / roof.flops).max(bytes / roof.bytes) / seconds)
    }
}

#[cfg(any(feature = "cuda", feature = "emulate"))]
fn with(device: kernels::DeviceBackend, means: Means) -> kernels::DeviceBackend {
    let math = if means.tf32 { kernels::MathMode::Tf32 } else { kernels::MathMode::F32 };
    device.with_math(math).with_choice(means.choice)
}

/// Bytes a second, read and written, of a copy between two arrays that no cache holds.
fn copies(cpu: &dyn Backend) -> Result<f64> {
    const LEN: usize = 32 << 20;
    let (x, mut y) = (cpu.allocate(LEN)?, cpu.allocate(LEN)?);
    let seconds = crate::timing::seconds(cpu, &mut || {
        cpu.activation_forward(kernels::Activation::Identity, LEN, Some(&x), &mut y)
    })?;
    Ok(2.0 * 4.0 * LEN as f64 / seconds)
}
