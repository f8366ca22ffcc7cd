//! Compilation by NVRTC, which needs no GPU.

use std::ffi::{CStr, CString, c_char};

use cudarc::nvrtc::{result, sys};

use crate::device::source::{MODULES, Module};
use crate::error::{Error, Result};

/// Machine code for one architecture, and what the compiler and the assembler said.
pub(super) struct Compiled {
    pub(super) cubin: Vec<u8>,
    log: String,
}

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
    check().map_err(|what| Error::Device { device: "NVRTC".to_owned(), what })?;
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

/// NVRTC's version.
///
/// # Errors
/// [`Error::Device`] where it is missing.
pub fn nvrtc_version() -> Result<String> {
    let missing = |what| Error::Device { device: "NVRTC".to_owned(), what };
    check().and_then(|()| version()).map_err(missing)
}

/// That NVRTC is there, with all that is called: cudarc's bindings end the program where something is missing.
pub(super) fn check() -> std::result::Result<(), String> {
    // SAFETY: looking for a library runs nothing but its own start-up code.
    if unsafe { sys::is_culib_present() } {
        // The newest function that is called. SAFETY: the library is there; the symbol is looked up, not called.
        return match unsafe { sys::culib().get::<*const ()>(b"nvrtcGetCUBIN\0") } {
            Ok(_) => Ok(()),
            Err(_) => Err("its libnvrtc gives no machine code: it must be of CUDA 11.1 or later".to_owned()),
        };
    }
    Err("there is no libnvrtc, which compiles the kernels: it is part of CUDA's toolkit, and of the package \
         nvidia-cuda-nvrtc-cu12 of PyPI; LD_LIBRARY_PATH says where else it is looked for"
        .to_owned())
}

/// The version, as what it makes depends on it.
pub(super) fn version() -> std::result::Result<String, String> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both pointers are to integers.
    unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) }
        .result()
        .map_err(|error| format!("{:?}", error.0))?;
    Ok(format!("{major}.{minor}"))
}

/// What is said to the compiler. No fast mathematics: results are to be the processor's, but for the last bits.
pub(super) fn options(architecture: &str) -> [String; 4] {
    [
        format!("--gpu-architecture={architecture}"),
        "--std=c++17".to_owned(),
        "--ptxas-options=-v".to_owned(),
        "--diag-suppress=177".to_owned(),
    ]
}

pub(super) fn compile(module: &Module, architecture: &str) -> std::result::Result<Compiled, String> {
    let source = CString::new(module.source()).map_err(|error| error.to_string())?;
    let name = CString::new(module.file()).map_err(|error| error.to_string())?;
    let said = |error: result::NvrtcError| format!("{:?}", error.0);
    let program = Program(result::create_program(&source, Some(&name)).map_err(said)?);
    // SAFETY: the program is live, and the texts outlive it.
    let outcome = unsafe { result::compile_program(program.0, &options(architecture)) };
    // SAFETY: the program was compiled, well or not.
    let log = unsafe { result::get_program_log(program.0) }.map_err(said)?;
    let log = text(&log);
    if let Err(error) = outcome {
        return Err(format!("NVRTC for {architecture}: {}\n{log}", said(error)));
    }
    let mut size = 0;
    // SAFETY: the pointer is to an integer.
    unsafe { sys::nvrtcGetCUBINSize(program.0, &raw mut size) }.result().map_err(said)?;
    let mut cubin = vec![0_u8; size];
    // SAFETY: as many bytes as NVRTC asked for.
    unsafe { sys::nvrtcGetCUBIN(program.0, cubin.as_mut_ptr().cast()) }.result().map_err(said)?;
    Ok(Compiled { cubin, log })
}

struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: created by us, destroyed once. It only fails for what is no program.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

/// Text that ends with a 0.
fn text(characters: &[c_char]) -> String {
    let bytes: &[u8] = bytemuck::cast_slice(characters);
    CStr::from_bytes_until_nul(bytes)
        .map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned())
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
