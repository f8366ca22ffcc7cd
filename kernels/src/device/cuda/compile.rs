//! All kernels compiled by NVRTC, which needs no GPU, and what they take.

use super::nvrtc::{Compiled, Nvrtc};
use super::target::Target;
use crate::device::source::{MODULES, Module};
use crate::error::{Error, Result};

/// What a kernel takes on one architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelReport {
    /// The file.
    pub file: String,
    /// The kernel.
    pub kernel: &'static str,
    /// Threads of its largest block.
    pub threads: u32,
    /// Registers a thread.
    pub registers: u32,
    /// Bytes of shared memory a block.
    pub shared: u32,
    /// Bytes that did not fit into registers and are stored, and loaded again.
    pub spilled: [u32; 2],
}

/// Compiles every kernel that there is for an architecture such as `sm_80`, and says what each takes.
pub fn compile_reports(architecture: &str) -> Result<Vec<KernelReport>> {
    Nvrtc::get().map_err(unusable)?;
    let mut reports = Vec::new();
    for module in MODULES.iter().filter(|module| module.is_for(architecture)) {
        let kernels: Vec<(&str, u32)> = module.kernels().collect();
        let first = kernels.first().map_or("", |&(kernel, _)| kernel);
        let compiled = compile(module, architecture).map_err(|what| Error::Kernel {
            kernel: first,
            file: module.file(),
            what,
        })?;
        for (kernel, threads) in kernels {
            let report = report(module, kernel, threads, &compiled.log).ok_or_else(|| Error::Kernel {
                kernel,
                file: module.file(),
                what: format!("the assembler says nothing of it: {}", compiled.log),
            })?;
            reports.push(report);
        }
    }
    Ok(reports)
}

/// What the kernels are for one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCode {
    /// What they are compiled for: `sm_86`, or `compute_86` where the driver compiles the rest of the way.
    pub target: String,
    /// Bytes of all files together.
    pub bytes: usize,
}

/// Compiles every kernel as for a device of this compute capability, major and minor. It need not be here, nor known to NVRTC.
///
/// # Errors
/// [`Error::Device`] where NVRTC is missing or of too late a CUDA for the device, [`Error::Kernel`] where it fails.
pub fn compile_for([major, minor]: [u32; 2]) -> Result<DeviceCode> {
    let nvrtc = Nvrtc::get().map_err(unusable)?;
    let target = Target::choose(10 * major + minor, &nvrtc.architectures, nvrtc.version).map_err(unusable)?;
    let target = target.to_string();
    let mut bytes = 0;
    for module in MODULES.iter().filter(|module| module.is_for(&target)) {
        let first = module.kernels().next().map_or("", |(kernel, _)| kernel);
        let failed = |kernel, what| Error::Kernel { kernel, file: module.file(), what };
        let code = compile(module, &target).map_err(|what| failed(first, what))?.code;
        for (kernel, _) in module.kernels() {
            if !code.windows(kernel.len()).any(|part| part == kernel.as_bytes()) {
                return Err(failed(kernel, format!("is not in what NVRTC made for {target}")));
            }
        }
        bytes += code.len();
    }
    Ok(DeviceCode { target, bytes })
}

/// NVRTC's version.
///
/// # Errors
/// [`Error::Device`] where it is missing.
pub fn nvrtc_version() -> Result<String> {
    Nvrtc::get().map(Nvrtc::version).map_err(unusable)
}

pub(super) fn compile(module: &Module, architecture: &str) -> std::result::Result<Compiled, String> {
    Nvrtc::get()?.compile(&module.source(), &module.file(), architecture)
}

fn unusable(what: String) -> Error {
    Error::Device { device: "NVRTC".to_owned(), what }
}

/// Reads what `ptxas -v` says of a kernel.
fn report(module: &Module, kernel: &'static str, threads: u32, log: &str) -> Option<KernelReport> {
    let start = log.find(&format!("Compiling entry function '{kernel}' "))?;
    let said = &log[start..];
    let end = said[1..].find("Compiling entry function").map_or(said.len(), |end| end + 1);
    let said = &said[..end];
    // The number before such words.
    let before = |words: &str| -> Option<u32> {
        let (number, _) = said.split_once(words)?;
        number.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    Some(KernelReport {
        file: module.file(),
        kernel,
        threads,
        registers: before(" registers")?,
        shared: before(" bytes smem").unwrap_or(0),
        spilled: [before(" bytes spill stores")?, before(" bytes spill loads")?],
    })
}
