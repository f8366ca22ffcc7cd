//! Where a net runs.

use std::num::NonZero;
use std::thread::available_parallelism;

use kernels::{Backend, Choice, CpuBackend, Device};

use crate::failure::Failure;

#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Where to run: cpu, or in a build with CUDA support cuda or cuda:N
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
    /// On a GPU, use our own kernels, chosen by sizes alone: the same bits every time. Otherwise the fastest are measured once for
    /// each shape, cuBLAS among them. The CPU's bits are always the same
    #[arg(long)]
    deterministic: bool,
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
    pub(crate) fn open(&self) -> Result<Box<dyn Backend>, Failure> {
        let name = &self.device;
        match name.parse() {
            Ok(Device::Cpu) => Ok(Box::new(self.threads.cpu()?)),
            Ok(Device::Cuda(_)) if !cfg!(feature = "cuda") => Err(Failure::Message(format!(
                "--device {name}: this build has no CUDA support: leave it out, or give cpu"
            ))),
            Ok(Device::Emulated) if !cfg!(feature = "emulate") => Err(unknown(name)),
            Ok(device) => kernels::open_with(device, 1, self.choice())
                .map_err(|error| Failure::Message(format!("--device {name}: {error}"))),
            Err(_) => Err(unknown(name)),
        }
    }

    /// How the device's algorithms are chosen, in words; nothing on the processor, which has no choice.
    pub(crate) fn algorithms(&self) -> String {
        let words = match (self.device.parse(), self.choice()) {
            (Ok(Device::Cpu), _) => "",
            (_, Choice::Deterministic) => "by sizes",
            _ => "measured",
        };
        words.to_owned()
    }

    fn choice(&self) -> Choice {
        if self.deterministic { Choice::Deterministic } else { Choice::Measured }
    }

    /// How many threads the processor computes with, beside a GPU too.
    pub(crate) fn threads(&self) -> usize {
        self.threads.count()
    }
}

fn unknown(name: &str) -> Failure {
    let there_are = match (cfg!(feature = "cuda"), cfg!(feature = "emulate")) {
        (false, false) => "there is cpu",
        (true, false) => "there are cpu, cuda and cuda:N",
        (false, true) => "there are cpu and emulate",
        (true, true) => "there are cpu, cuda, cuda:N and emulate",
    };
    Failure::Message(format!("--device {name}: no such device; {there_are}"))
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
