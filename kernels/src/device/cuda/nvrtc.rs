//! NVRTC, the compiler: which of those installed is taken, what it knows, and its functions.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::OnceLock;

use libloading::Library;

use super::library::{NVRTC, driver_major, functions};

/// A program in NVRTC's hands.
type RawProgram = *mut c_void;

functions! {
    /// All that is called; an NVRTC that lacks one is of before CUDA 11.2.
    Functions {
        version = "nvrtcVersion"(*mut c_int, *mut c_int) -> c_int;
        error_string = "nvrtcGetErrorString"(c_int) -> *const c_char;
        create = "nvrtcCreateProgram"(*mut RawProgram, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char) -> c_int;
        destroy = "nvrtcDestroyProgram"(*mut RawProgram) -> c_int;
        compile = "nvrtcCompileProgram"(RawProgram, c_int, *const *const c_char) -> c_int;
        log_size = "nvrtcGetProgramLogSize"(RawProgram, *mut usize) -> c_int;
        log = "nvrtcGetProgramLog"(RawProgram, *mut c_char) -> c_int;
        ptx_size = "nvrtcGetPTXSize"(RawProgram, *mut usize) -> c_int;
        ptx = "nvrtcGetPTX"(RawProgram, *mut c_char) -> c_int;
        cubin_size = "nvrtcGetCUBINSize"(RawProgram, *mut usize) -> c_int;
        cubin = "nvrtcGetCUBIN"(RawProgram, *mut c_char) -> c_int;
        architecture_count = "nvrtcGetNumSupportedArchs"(*mut c_int) -> c_int;
        architectures = "nvrtcGetSupportedArchs"(*mut c_int) -> c_int;
    }
}

const HOW_TO_GET: &str = "NVRTC compiles the kernels. It is part of CUDA's toolkit (package nvidia-cuda-toolkit of Debian and \
                          Ubuntu), and can be had alone: pip install nvidia-cuda-nvrtc-cu12";

/// The compiler, loaded until the process ends.
pub(super) struct Nvrtc {
    functions: Functions,
    /// Major and minor.
    pub(super) version: [u32; 2],
    /// What it compiles for, such as 90 for sm_90.
    pub(super) architectures: Vec<u32>,
    _library: Library,
}

/// What NVRTC made, and what it and the assembler said.
pub(super) struct Compiled {
    /// Machine code, or PTX that ends with a 0.
    pub(super) code: Vec<u8>,
    pub(super) log: String,
}

impl Nvrtc {
    /// The one for this process, looked for the first time: not of a later CUDA than the driver's, if there is such a one.
    pub(super) fn get() -> Result<&'static Self, String> {
        static FOUND: OnceLock<Result<Nvrtc, String>> = OnceLock::new();
        FOUND.get_or_init(Self::find).as_ref().map_err(Clone::clone)
    }

    /// "12.9"
    pub(super) fn version(&self) -> String {
        let [major, minor] = self.version;
        format!("{major}.{minor}")
    }

    /// Compiles a text, called `name` in messages. For an architecture such as `sm_90`, machine code; for `compute_90`, PTX.
    pub(super) fn compile(&self, text: &str, name: &str, architecture: &str) -> Result<Compiled, String> {
        let program = Program::new(self, text, name)?;
        let options = options(architecture).map(CString::new);
        let options =
            options.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        // SAFETY: the program is live, and there are so many texts.
        let status =
            unsafe { (self.functions.compile)(program.raw, pointers.len() as c_int, pointers.as_ptr()) };
        // SAFETY: functions of this program's library, and the second writes what the first says.
        let log = unsafe { program.fetch(self.functions.log_size, self.functions.log) }?;
        let log = CStr::from_bytes_until_nul(&log)
            .map(|log| log.to_string_lossy().into_owned())
            .unwrap_or_default();
        if let Err(error) = self.functions.said(status) {
            return Err(format!("NVRTC {} for {architecture}: {error}\n{log}", self.version()));
        }
        let (size, get) = if is_ptx(architecture) {
            (self.functions.ptx_size, self.functions.ptx)
        } else {
            (self.functions.cubin_size, self.functions.cubin)
        };
        // SAFETY: as above.
        let code = unsafe { program.fetch(size, get) }?;
        Ok(Compiled { code, log })
    }

    fn find() -> Result<Self, String> {
        let newest = driver_major();
        let (mut newer, mut lacking) = (None, None);
        for library in NVRTC.open() {
            match Self::of(library) {
                Ok(found) if newest.is_none_or(|newest| found.version[0] <= newest) => return Ok(found),
                Ok(found) => newer = newer.or(Some(found)),
                Err(what) => lacking = Some(what),
            }
        }
        newer.ok_or_else(|| lacking.unwrap_or_else(|| format!("{}. {HOW_TO_GET}", NVRTC.absent())))
    }

    fn of(library: Library) -> Result<Self, String> {
        let functions = Functions::of(&library).map_err(|what| {
            format!("the libnvrtc here has no {what}, as CUDA's from 11.2 on. {HOW_TO_GET}")
        })?;
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both pointers are to integers.
        functions.said(unsafe { (functions.version)(&raw mut major, &raw mut minor) })?;
        let architectures = functions.list_architectures()?;
        let version = [major, minor].map(|number| number as u32);
        Ok(Self { functions, version, architectures, _library: library })
    }
}

impl Functions {
    /// A status, in words if it is not success.
    fn said(&self, status: c_int) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the function takes any number, and gives text that lives as long as the library.
        let text = unsafe { CStr::from_ptr((self.error_string)(status)) };
        Err(text.to_string_lossy().into_owned())
    }

    /// What it compiles for.
    fn list_architectures(&self) -> Result<Vec<u32>, String> {
        let mut count = 0;
        // SAFETY: the pointer is to an integer.
        self.said(unsafe { (self.architecture_count)(&raw mut count) })?;
        let mut list = vec![0; count.max(0) as usize];
        // SAFETY: as many integers as it says.
        self.said(unsafe { (self.architectures)(list.as_mut_ptr()) })?;
        Ok(list.into_iter().map(|number| number as u32).collect())
    }
}

/// Whether it stands for PTX, which a driver compiles for its device.
pub(super) fn is_ptx(architecture: &str) -> bool {
    architecture.starts_with("compute_")
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

struct Program<'n> {
    raw: RawProgram,
    nvrtc: &'n Nvrtc,
}

impl<'n> Program<'n> {
    fn new(nvrtc: &'n Nvrtc, text: &str, name: &str) -> Result<Self, String> {
        let [text, name] = [text, name].map(CString::new);
        let (text, name) =
            (text.map_err(|error| error.to_string())?, name.map_err(|error| error.to_string())?);
        let mut raw = std::ptr::null_mut();
        let none = std::ptr::null();
        // SAFETY: texts that end with a 0, no headers, and room for a handle.
        let status =
            unsafe { (nvrtc.functions.create)(&raw mut raw, text.as_ptr(), name.as_ptr(), 0, none, none) };
        nvrtc.functions.said(status)?;
        Ok(Self { raw, nvrtc })
    }

    /// Bytes of which one function says how many there are, and the other writes them.
    ///
    /// # Safety
    /// They are such functions, of the program's library.
    unsafe fn fetch(
        &self,
        size: unsafe extern "C" fn(RawProgram, *mut usize) -> c_int,
        get: unsafe extern "C" fn(RawProgram, *mut c_char) -> c_int,
    ) -> Result<Vec<u8>, String> {
        let mut len = 0;
        // SAFETY: the program was compiled, well or not, and the pointer is to an integer.
        self.nvrtc.functions.said(unsafe { size(self.raw, &raw mut len) })?;
        let mut bytes = vec![0_u8; len];
        // SAFETY: as many bytes as it said.
        self.nvrtc.functions.said(unsafe { get(self.raw, bytes.as_mut_ptr().cast()) })?;
        Ok(bytes)
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        // SAFETY: created by us, destroyed once. It only fails for what is no program.
        let _ = unsafe { (self.nvrtc.functions.destroy)(&raw mut self.raw) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With NVRTC where it is looked for, both forms are checked; elsewhere that its absence is told.
    #[test]
    fn nvrtc_compiles_to_both_forms_or_is_told_to_be_absent() {
        let nvrtc = match Nvrtc::get() {
            Ok(nvrtc) => nvrtc,
            Err(said) => {
                // There is none, or one that is too old.
                for part in ["nvrtc", "pip install nvidia-cuda-nvrtc-cu12"] {
                    assert!(said.contains(part), "{said}");
                }
                return;
            }
        };
        let compile = |architecture: &str| {
            nvrtc.compile("extern \"C\" __global__ void nothing() {}", "nothing.cu", architecture)
        };
        let newest = nvrtc.architectures.iter().max().unwrap();
        let ptx = compile(&format!("compute_{newest}")).unwrap().code;
        let text = CStr::from_bytes_with_nul(&ptx).unwrap().to_str().unwrap();
        assert!(text.contains(&format!(".target sm_{newest}")) && text.contains(".entry nothing("), "{text}");
        let code = compile(&format!("sm_{newest}")).unwrap().code;
        assert!(code.starts_with(b"\x7fELF"));
        let said = compile("sm_9999").err().unwrap();
        assert!(said.starts_with(&format!("NVRTC {} for sm_9999: ", nvrtc.version())), "{said}");
    }
}
