//! A backend by its device's name.

use std::fmt;
use std::str::FromStr;

use crate::backend::Backend;
use crate::cpu::CpuBackend;
#[cfg(device)]
use crate::device::DeviceBackend;
use crate::error::{Error, Result};

/// Where to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// On this machine's processor: `cpu`.
    Cpu,
    /// On an NVIDIA GPU, counted from 0: `cuda` or `cuda:1`.
    Cuda(u32),
    /// On the processor as if it were a GPU, each access checked: `emulate`.
    Emulated,
}

/// How a device's algorithms are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The fastest, ours or cuBLAS: measured when a shape is first met on a device, and remembered in the cache folder
    /// (`REBREW_CACHE`, else the system's). Where nothing can be measured, as on the emulator, by sizes alone.
    #[default]
    Measured,
    /// Our kernels, by sizes alone: the same sizes give the same bits, whatever is installed and whatever was measured.
    Deterministic,
    /// cuBLAS for each product, for convolutions' only where they are plain ones: for comparisons. An error where it is missing.
    Cublas,
}

/// A backend for a device; `threads` is how many threads a processor computes with.
///
/// # Errors
/// [`Error::Device`] where the device, its driver or the feature for it is missing.
pub fn open(device: Device, threads: usize) -> Result<Box<dyn Backend>> {
    open_with(device, threads, Choice::default())
}

/// The same, with a way to choose a device's algorithms. On the processor sizes always decide, and it makes no difference.
///
/// # Errors
/// As [`open`]'s.
#[cfg_attr(not(device), expect(unused_variables, reason = "the processor has no choice"))]
pub fn open_with(device: Device, threads: usize, choice: Choice) -> Result<Box<dyn Backend>> {
    match device {
        Device::Cpu => Ok(Box::new(CpuBackend::new(threads)?)),
        #[cfg(feature = "cuda")]
        Device::Cuda(number) => Ok(Box::new(DeviceBackend::cuda(number)?.with_choice(choice))),
        #[cfg(feature = "emulate")]
        Device::Emulated => Ok(Box::new(DeviceBackend::emulated()?.with_choice(choice))),
        #[cfg(not(all(feature = "cuda", feature = "emulate")))]
        other => {
            let feature = if other == Device::Emulated { "emulate" } else { "cuda" };
            let what = format!("this build lacks the feature `{feature}`");
            Err(Error::Device { device: other.to_string(), what })
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Emulated => f.write_str("emulate"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let unknown = || Error::Device {
            device: format!("`{name}`"),
            what: "no such device; there are cpu, cuda, cuda:N and emulate".to_owned(),
        };
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "emulate" => Ok(Self::Emulated),
            _ => {
                let number = name.strip_prefix("cuda:").and_then(|number| number.parse().ok());
                number.map(Self::Cuda).ok_or_else(unknown)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(3), Device::Emulated] {
            assert_eq!(device.to_string().parse::<Device>().unwrap(), device);
        }
        assert_eq!("cuda".parse::<Device>().unwrap(), Device::Cuda(0));
        let message = "cuda:x".parse::<Device>().unwrap_err().to_string();
        assert_eq!(message, "cannot use `cuda:x`: no such device; there are cpu, cuda, cuda:N and emulate");
    }

    #[test]
    fn what_is_missing_is_an_error_that_says_so() {
        assert!(open(Device::Cpu, 1).is_ok());
        for device in [Device::Cuda(4000), Device::Emulated] {
            match open(device, 1) {
                Ok(backend) => assert_eq!(backend.name(), "emulated GPU"),
                Err(Error::Device { what, .. }) => assert!(!what.is_empty()),
                Err(other) => panic!("{other}"),
            }
        }
    }
}
