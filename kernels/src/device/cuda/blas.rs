//! cuBLAS, loaded when it is first asked for: without it, our own kernels do everything.

use std::ffi::{CStr, c_char, c_int, c_longlong, c_void};
use std::sync::{Arc, Mutex, OnceLock};

use super::library::{CUBLAS, driver_major, functions};
use super::{Cuda, lock};
use crate::device::DeviceBuffer;
use crate::device::blas::{Blas, Sgemm, missing};
use crate::device::driver::Driver;
use crate::error::{Error, Result};

/// Floats of cuBLAS's own workspace: the 32 MiB that its manual recommends for the largest devices. Given to it once, since what it
/// allocates by itself depends on what else there is, and with it its choice of kernels and the last bits.
const WORKSPACE: usize = 8 << 20;

// What cublas_api.h and library_types.h have for these names.
const SUCCESS: c_int = 0;
const OP_N: c_int = 0;
const OP_T: c_int = 1;
const DEFAULT_MATH: c_int = 0;
const TF32_TENSOR_OP_MATH: c_int = 3;
const MAJOR_VERSION: c_int = 0;
const MINOR_VERSION: c_int = 1;
const PATCH_LEVEL: c_int = 2;

/// What cuBLAS gives for what it remembers.
type RawHandle = *mut c_void;

functions! {
    Functions {
        create = "cublasCreate_v2"(*mut RawHandle) -> c_int;
        destroy = "cublasDestroy_v2"(RawHandle) -> c_int;
        property = "cublasGetProperty"(c_int, *mut c_int) -> c_int;
        status_string = "cublasGetStatusString"(c_int) -> *const c_char;
        set_math_mode = "cublasSetMathMode"(RawHandle, c_int) -> c_int;
        set_stream = "cublasSetStream_v2"(RawHandle, *mut c_void) -> c_int;
        set_workspace = "cublasSetWorkspace_v2"(RawHandle, *mut c_void, usize) -> c_int;
        sgemm = "cublasSgemm_v2"(
            RawHandle, c_int, c_int, c_int, c_int, c_int, *const f32, *const f32, c_int, *const f32, c_int, *const f32, *mut f32, c_int
        ) -> c_int;
        sgemm_strided_batched = "cublasSgemmStridedBatched"(
            RawHandle, c_int, c_int, c_int, c_int, c_int, *const f32, *const f32, c_int, c_longlong, *const f32, c_int, c_longlong,
            *const f32, *mut f32, c_int, c_longlong, c_int
        ) -> c_int;
    }
}

/// The library, loaded until the process ends.
struct Library {
    functions: Functions,
    /// Major, minor, patch.
    version: [c_int; 3],
    _loaded: libloading::Library,
}

/// The library, for one device.
pub(super) struct CuBlas {
    /// Made when first needed.
    handle: OnceLock<Handle>,
    driver: Arc<Cuda>,
}

/// What cuBLAS remembers from call to call.
struct Handle {
    raw: RawHandle,
    library: &'static Library,
    /// Whether it computes in TF32. Who holds it uses the handle.
    tf32: Mutex<bool>,
    /// Its own, as long as it lives.
    workspace: DeviceBuffer,
}

// SAFETY: a handle may be used from any thread, one at a time, which the mutex sees to.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl CuBlas {
    pub(super) fn new(driver: Arc<Cuda>) -> Self {
        Self { handle: OnceLock::new(), driver }
    }

    fn handle(&self) -> Result<&Handle> {
        let library = Library::get().ok_or_else(missing)?;
        if let Some(handle) = self.handle.get() {
            return Ok(handle);
        }
        drop(self.driver.recorder.unrecorded("it uses cuBLAS for the first time")?);
        let made = self.make(library)?;
        Ok(self.handle.get_or_init(|| made))
    }

    /// A handle on the driver's stream, computing in f32.
    fn make(&self, library: &'static Library) -> Result<Handle> {
        let functions = &library.functions;
        let driver: Arc<dyn Driver> = self.driver.clone();
        let workspace = DeviceBuffer::zeroed(&driver, WORKSPACE)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the pointer is to a handle; the device's context is this thread's.
        library.said("cublasCreate_v2", unsafe { (functions.create)(&raw mut raw) })?;
        let handle = Handle { raw, library, tf32: Mutex::new(false), workspace };
        // The stream first: a new one takes the workspace away.
        // SAFETY: the handle is live, and the stream lives as long as the driver.
        let outcome = unsafe { (functions.set_stream)(raw, self.driver.compute.handle().cast()) };
        library.said("cublasSetStream_v2", outcome)?;
        let (at, bytes) = (handle.workspace.address() as *mut c_void, WORKSPACE * size_of::<f32>());
        // SAFETY: so many bytes were allocated there, and are given back after the handle.
        library.said("cublasSetWorkspace_v2", unsafe { (functions.set_workspace)(raw, at, bytes) })?;
        Ok(handle)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made once, and destroyed once, with the context current; it waits for what is in its stream.
        let _ = unsafe { (self.library.functions.destroy)(self.raw) };
    }
}

impl Blas for CuBlas {
    fn version(&self) -> Option<String> {
        Library::get().map(|library| library.version.map(|part| part.to_string()).join("."))
    }

    fn sgemm(&self, call: &Sgemm) -> Result<()> {
        self.driver.enter()?;
        let handle = self.handle()?;
        let Library { functions, .. } = handle.library;
        // In this order: who records has the turn all along.
        let mut turn = self.driver.recorder.turn();
        let mut tf32 = lock(&handle.tf32);
        if *tf32 != call.tf32 {
            // The default computes in f32 throughout when the operands are f32.
            let mode = if call.tf32 { TF32_TENSOR_OP_MATH } else { DEFAULT_MATH };
            // SAFETY: the handle is live.
            let outcome = unsafe { (functions.set_math_mode)(handle.raw, mode) };
            handle.library.said("cublasSetMathMode", outcome)?;
            *tf32 = call.tf32;
        }
        let operation = |transposed| if transposed { OP_T } else { OP_N };
        let [transpose_a, transpose_b] = call.transpose.map(operation);
        let ([m, n, k], [lda, ldb, ldc]) = (call.sizes, call.leading);
        let ([alpha, beta], [a_step, b_step, c_step]) = (&call.scales, call.strides);
        let [a, b] = [call.at[0], call.at[1]].map(|at| at as *const f32);
        let c = call.at[2] as *mut f32;
        let outcome = if call.count == 1 {
            // SAFETY: buffers hold matrices of these sizes, as `blas::calls` made them out, and are not freed before the queue has
            // come so far, nor before a recording that names them; α and β are on the host, where the handle expects them, and are
            // read before the call returns.
            let status = unsafe {
                (functions.sgemm)(
                    handle.raw,
                    transpose_a,
                    transpose_b,
                    m,
                    n,
                    k,
                    alpha,
                    a,
                    lda,
                    b,
                    ldb,
                    beta,
                    c,
                    ldc,
                )
            };
            handle.library.said("cublasSgemm_v2", status)
        } else {
            // SAFETY: as above, each of the batch.
            let status = unsafe {
                (functions.sgemm_strided_batched)(
                    handle.raw,
                    transpose_a,
                    transpose_b,
                    m,
                    n,
                    k,
                    alpha,
                    a,
                    lda,
                    a_step,
                    b,
                    ldb,
                    b_step,
                    beta,
                    c,
                    ldc,
                    c_step,
                    call.count,
                )
            };
            handle.library.said("cublasSgemmStridedBatched", status)
        };
        if outcome.is_err() && turn.is_recording() {
            turn.refuse("cuBLAS refuses a product");
        }
        outcome
    }
}

impl Drop for CuBlas {
    fn drop(&mut self) {
        if self.driver.enter().is_err() {
            // Without the context it is the driver's to clear away, when the process ends.
            std::mem::forget(self.handle.take());
        }
    }
}

impl Library {
    /// The first that there is with all that is called, of no later CUDA than the driver's, which would refuse it: looked for the first
    /// time.
    fn get() -> Option<&'static Self> {
        static FOUND: OnceLock<Option<Library>> = OnceLock::new();
        let find = || {
            let newest = driver_major();
            let is_for = |major: c_int| newest.is_none_or(|newest| major <= newest as c_int);
            CUBLAS.open().filter_map(Self::of).find(|library| is_for(library.version[0]))
        };
        FOUND.get_or_init(find).as_ref()
    }

    fn of(loaded: libloading::Library) -> Option<Self> {
        let functions = Functions::of(&loaded).ok()?;
        let mut version = [0; 3];
        for (property, value) in [MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL].into_iter().zip(&mut version) {
            // SAFETY: the pointer is to an integer.
            if unsafe { (functions.property)(property, value) } != SUCCESS {
                return None;
            }
        }
        Some(Self { functions, version, _loaded: loaded })
    }

    /// What it says to a call, in words.
    fn said(&self, function: &'static str, status: c_int) -> Result<()> {
        if status == SUCCESS {
            return Ok(());
        }
        // SAFETY: the function takes any number; the library's own text, which lives as long as it.
        let text = unsafe { CStr::from_ptr((self.functions.status_string)(status)) };
        let what = format!("{function}: {}", text.to_string_lossy());
        Err(Error::Device { device: "cuBLAS".to_owned(), what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With cuBLAS where it is looked for, such as in PyPI's nvidia-cublas-cu12 or nvidia-cublas, the second half is checked; elsewhere
    /// that its absence is told.
    #[test]
    fn cublas_answers_or_counts_as_absent() {
        let Some(library) = Library::get() else {
            let newest = driver_major().map_or(c_int::MAX, |newest| newest as c_int);
            let passed_over = CUBLAS.open().filter_map(Library::of).map(|library| library.version);
            assert!(
                passed_over.into_iter().all(|version| version[0] > newest),
                "of no later CUDA than {newest}"
            );
            return;
        };
        assert!(library.version[0] >= 11, "{:?}", library.version);
        let mut raw = std::ptr::null_mut();
        // SAFETY: the pointer is to a handle.
        match library.said("cublasCreate_v2", unsafe { (library.functions.create)(&raw mut raw) }) {
            // SAFETY: the handle was just made, and nothing uses it.
            Ok(()) => library.said("cublasDestroy_v2", unsafe { (library.functions.destroy)(raw) }).unwrap(),
            // Without a GPU: an error, no panic.
            Err(error) => {
                assert!(error.to_string().starts_with("cannot use cuBLAS: cublasCreate_v2: "), "{error}");
            }
        }
    }
}
