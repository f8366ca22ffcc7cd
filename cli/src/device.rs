//! Where a net runs.

use std::num::NonZero;
use std::thread::available_parallelism;

use kernels::CpuBackend;

use crate::failure::Failure;

#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Where to run: cpu
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
    #[command(flatten)]
    threads: Threads,
}

#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Threads {
    /// How many threads compute; as many as the machine has, unless given
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
}

impl Arguments {
    /// The device asked for.
    pub(crate) fn open(&self) -> Result<CpuBackend, Failure> {
        match self.device.as_str() {
            "cpu" => self.threads.cpu(),
            cuda if cuda == "cuda" || cuda.starts_with("cuda:") => Err(Failure::Message(format!(
                "--device {cuda}: this build has no CUDA support: leave it out, or give cpu"
            ))),
            other => Err(Failure::Message(format!("--device {other}: no such device; there is cpu"))),
        }
    }

    /// How many threads compute.
    pub(crate) fn threads(&self) -> usize {
        self.threads.count()
    }
}

impl Threads {
    /// The processor, with as many threads.
    pub(crate) fn cpu(&self) -> Result<CpuBackend, Failure> {
        Ok(CpuBackend::new(self.count())?)
    }

    fn count(&self) -> usize {
        self.threads.or_else(|| available_parallelism().ok()).map_or(1, NonZero::get)
    }
}
