//! cuBLAS, loaded when it is first asked for: without it, our own kernels do everything.

use std::ffi::{CStr, c_int, c_void};
use std::sync::{Arc, Mutex, OnceLock};

use cudarc::cublas::sys;

use super::{Cuda, lock};
use crate::device::DeviceBuffer;
use crate::device::blas::{Blas, Sgemm, missing};
use crate::device::driver::Driver;
use crate::error::{Error, Result};

/// Floats of cuBLAS's own workspace: the 32 MiB that its manual recommends for the largest devices. Given to it once, since what it
/// allocates by itself depends on what else there is, and with it its choice of kernels and the last bits.
const WORKSPACE: usize = 8 << 20;

/// Every function that is called here: cudarc's bindings end the program where one is missing.
const FUNCTIONS: [&CStr; 9] = [
    c"cublasCreate_v2",
    c"cublasDestroy_v2",
    c"cublasGetProperty",
    c"cublasGetStatusString",
    c"cublasSetMathMode",
    c"cublasSetStream_v2",
    c"cublasSetWorkspace_v2",
    c"cublasSgemm_v2",
    c"cublasSgemmStridedBatched",
];

/// The library, for one device.
pub(super) struct CuBlas {
    version: OnceLock<Option<String>>,
    /// Made when first needed.
    handle: OnceLock<Handle>,
    driver: Arc<Cuda>,
}

/// What cuBLAS remembers from call to call.
struct Handle {
    raw: sys::cublasHandle_t,
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
        Self { version: OnceLock::new(), handle: OnceLock::new(), driver }
    }

    fn handle(&self) -> Result<&Handle> {
        if let Some(handle) = self.handle.get() {
            return Ok(handle);
        }
        drop(self.driver.recorder.unrecorded("it uses cuBLAS for the first time")?);
        let made = self.make()?;
        Ok(self.handle.get_or_init(|| made))
    }

    /// A handle on the driver's stream, computing in f32.
    fn make(&self) -> Result<Handle> {
        let driver: Arc<dyn Driver> = self.driver.clone();
        let workspace = DeviceBuffer::zeroed(&driver, WORKSPACE)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the pointer is to a handle; the device's context is this thread's.
        said("cublasCreate_v2", unsafe { sys::cublasCreate_v2(&raw mut raw) })?;
        let handle = Handle { raw, tf32: Mutex::new(false), workspace };
        // The stream first: a new one takes the workspace away.
        // SAFETY: the handle is live, and the stream lives as long as the driver.
        let outcome = unsafe { sys::cublasSetStream_v2(raw, self.driver.compute.handle().cast()) };
        said("cublasSetStream_v2", outcome)?;
        let (at, bytes) = (handle.workspace.address() as *mut c_void, WORKSPACE * size_of::<f32>());
        // SAFETY: so many bytes were allocated there, and are given back after the handle.
        said("cublasSetWorkspace_v2", unsafe { sys::cublasSetWorkspace_v2(raw, at, bytes) })?;
        Ok(handle)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made once, and destroyed once, with the context current; it waits for what is in its stream.
        let _ = unsafe { sys::cublasDestroy_v2(self.raw) };
    }
}

impl Blas for CuBlas {
    fn version(&self) -> Option<String> {
        self.version.get_or_init(version).clone()
    }

    fn sgemm(&self, call: &Sgemm) -> Result<()> {
        if self.version().is_none() {
            return Err(missing());
        }
        self.driver.enter()?;
        let handle = self.handle()?;
        // In this order: who records has the turn all along.
        let mut turn = self.driver.recorder.turn();
        let mut tf32 = lock(&handle.tf32);
        if *tf32 != call.tf32 {
            // The default computes in f32 throughout when the operands are f32.
            let mode = if call.tf32 {
                sys::cublasMath_t::CUBLAS_TF32_TENSOR_OP_MATH
            } else {
                sys::cublasMath_t::CUBLAS_DEFAULT_MATH
            };
            // SAFETY: the handle is live.
            said("cublasSetMathMode", unsafe { sys::cublasSetMathMode(handle.raw, mode) })?;
            *tf32 = call.tf32;
        }
        let operation = |transposed| {
            if transposed { sys::cublasOperation_t::CUBLAS_OP_T } else { sys::cublasOperation_t::CUBLAS_OP_N }
        };
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
                sys::cublasSgemm_v2(
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
            said("cublasSgemm_v2", status)
        } else {
            // SAFETY: as above, each of the batch.
            let status = unsafe {
                sys::cublasSgemmStridedBatched(
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
            said("cublasSgemmStridedBatched", status)
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

/// The library's version, if it is there with all that is called.
fn version() -> Option<String> {
    // SAFETY: looking for a library runs nothing but its own start-up code.
    if !unsafe { sys::is_culib_present() } || absent().is_some() {
        return None;
    }
    use sys::libraryPropertyType_t::{MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL};
    let parts = [MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL].map(|property| {
        let mut value: c_int = 0;
        // SAFETY: the pointer is to an integer.
        unsafe { sys::cublasGetProperty(property, &raw mut value) }.result().ok().map(|()| value.to_string())
    });
    Some(parts.into_iter().collect::<Option<Vec<_>>>()?.join("."))
}

/// A function that the library lacks. The library must be there.
fn absent() -> Option<&'static CStr> {
    // SAFETY: the library is there; the symbols are looked up, not called.
    let is_there = |name: &CStr| unsafe { sys::culib().get::<*const ()>(name.to_bytes_with_nul()).is_ok() };
    FUNCTIONS.into_iter().find(|name| !is_there(name))
}

/// What cuBLAS says, in words.
fn said(function: &'static str, status: sys::cublasStatus_t) -> Result<()> {
    status.result().map_err(|error| {
        // SAFETY: the library's own text, which lives as long as it.
        let text = unsafe { CStr::from_ptr(sys::cublasGetStatusString(error.0)) };
        let what = format!("{function}: {}", text.to_string_lossy());
        Error::Device { device: "cuBLAS".to_owned(), what }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With PyPI's nvidia-cublas-cu12 in `LD_LIBRARY_PATH`, the first half is checked; elsewhere the second.
    #[test]
    fn cublas_has_every_function_that_is_called_or_counts_as_absent() {
        // SAFETY: looking for a library runs nothing but its own start-up code.
        if !unsafe { sys::is_culib_present() } {
            assert_eq!(version(), None, "and no panic");
            return;
        }
        assert_eq!(absent(), None);
        let version = version().unwrap();
        assert_eq!(version.split('.').count(), 3, "{version}");
        let mut raw = std::ptr::null_mut();
        // SAFETY: the pointer is to a handle.
        match said("cublasCreate_v2", unsafe { sys::cublasCreate_v2(&raw mut raw) }) {
            // SAFETY: the handle was just made, and nothing uses it.
            Ok(()) => said("cublasDestroy_v2", unsafe { sys::cublasDestroy_v2(raw) }).unwrap(),
            // Without a GPU: an error, no panic.
            Err(error) => {
                assert!(error.to_string().starts_with("cannot use cuBLAS: cublasCreate_v2: "), "{error}");
            }
        }
    }
}
