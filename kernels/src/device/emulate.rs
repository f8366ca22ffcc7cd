//! The driver that runs kernels on the processor, each access checked: see `emulate/cuda_on_cpu.h`.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::slice;

use super::driver::{Address, Driver, Extents, Launch, Operand};
use crate::error::{Error, Result};

/// The emulated device: there is one, whoever opens it.
pub(crate) struct Emulator;

#[repr(C)]
struct RawLaunch {
    kernel: *const c_char,
    grid: Extents,
    block: Extents,
    arguments: *const *const c_void,
    sizes: *const usize,
    count: usize,
    operands: *const Operand,
    operand_count: usize,
}

unsafe extern "C" {
    fn emulated_allocate(bytes: usize) -> Address;
    fn emulated_free(address: Address);
    fn emulated_memory(address: Address) -> *mut f32;
    fn emulated_launch(launch: *const RawLaunch, text: *mut c_char, length: usize) -> c_int;
}

impl Driver for Emulator {
    fn name(&self) -> String {
        "emulated GPU".to_owned()
    }

    /// Few, so that small sums are cut into parts as large ones are on a GPU.
    fn multiprocessors(&self) -> u32 {
        4
    }

    fn has_tf32(&self) -> bool {
        true
    }

    fn allocate(&self, len: usize) -> Result<Address> {
        let bytes = len.saturating_mul(size_of::<f32>());
        // SAFETY: it takes any length.
        match unsafe { emulated_allocate(bytes) } {
            0 => Err(Error::Memory { bytes }),
            address => Ok(address),
        }
    }

    fn free(&self, address: Address) {
        // SAFETY: it was allocated, and a buffer gives it back once.
        unsafe { emulated_free(address) };
    }

    fn write(&self, address: Address, values: &[f32]) -> Result<()> {
        // SAFETY: a buffer holds so many floats there, and no kernel runs on a buffer that is being written.
        let (memory, offset) = unsafe { (emulated_memory(address), offset_of(address)) };
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(memory.byte_add(offset), values.len()) }.copy_from_slice(values);
        Ok(())
    }

    fn read(&self, address: Address, values: &mut [f32]) -> Result<()> {
        // SAFETY: a buffer holds so many floats there; kernels are done when their launch returns.
        let (memory, offset) = unsafe { (emulated_memory(address), offset_of(address)) };
        // SAFETY: as above.
        values.copy_from_slice(unsafe { slice::from_raw_parts(memory.byte_add(offset), values.len()) });
        Ok(())
    }

    fn copy(&self, from: Address, to: Address, len: usize) -> Result<()> {
        let mut values = vec![0.0; len];
        self.read(from, &mut values)?;
        self.write(to, &values)
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        let kernel = CString::new(launch.kernel).unwrap_or_default();
        let raw = RawLaunch {
            kernel: kernel.as_ptr(),
            grid: launch.grid,
            block: launch.block,
            arguments: launch.arguments.as_ptr(),
            sizes: launch.sizes.as_ptr(),
            count: launch.arguments.len(),
            operands: launch.operands.as_ptr(),
            operand_count: launch.operands.len(),
        };
        let mut text: [c_char; 512] = [0; 512];
        // SAFETY: every pointer is to memory that lives meanwhile, of the length beside it; the emulator checks the kernel's
        // number and sizes of arguments, and each of its accesses.
        let failed = unsafe { emulated_launch(&raw const raw, text.as_mut_ptr(), text.len()) };
        if failed == 0 {
            return Ok(());
        }
        // SAFETY: the emulator ends its text with a 0 within the array.
        let what = unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned();
        Err(Error::Kernel { kernel: launch.kernel, file: launch.module.file(), what })
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }
}

/// Bytes from the start of the allocation.
fn offset_of(address: Address) -> usize {
    (address & ((1 << 40) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::device::DeviceBuffer;
    use crate::device::call::{Call, Target};
    use crate::device::source::Module;

    static FAULTS: Module = Module::of_kernels_elsewhere("faults");

    /// What the emulator says to a kernel that copies 600 floats, more or less.
    fn said(kernel: &'static str) -> String {
        let driver: Arc<dyn Driver> = Arc::new(Emulator);
        let x = DeviceBuffer::zeroed(&driver, 600).unwrap();
        let mut y = DeviceBuffer::zeroed(&driver, 600).unwrap();
        let target = Target::new(&mut y);
        let call = Call::new(&*driver, &FAULTS, kernel).count(600).input(&x).output(&target, 600);
        call.each(600).unwrap_err().to_string()
    }

    #[test]
    fn every_planted_fault_is_named() {
        for (kernel, place, fault) in [
            (
                "off_by_one",
                "block (2, 0, 0), thread 88",
                "out of bounds: 4 bytes at byte 2400 of a buffer of 2400",
            ),
            (
                "before_the_beginning",
                "block (0, 0, 0), thread 0",
                "out of bounds: 4 bytes at byte -4 of a buffer of 2400",
            ),
            ("unwritten_tail", "", "unwritten: leaves float 512 of 600 as it was"),
            (
                "overwritten_input",
                "block (0, 0, 0), thread 0",
                "read-only: takes for an output what is an input",
            ),
            (
                "absent_pointer",
                "block (0, 0, 0), thread 0",
                "out of bounds: reads or writes through an absent pointer",
            ),
            ("misaligned_vector", "block (0, 0, 0), thread 1", "misaligned: four floats at once"),
            (
                "outside_shared",
                "block (0, 0, 0), thread 255",
                "out of bounds: element 256 of a shared array of 256",
            ),
            (
                "uninitialised_shared",
                "block (2, 0, 0), thread 0",
                "uninitialised: reads shared memory that nobody wrote",
            ),
            (
                "missing_barrier",
                "block (0, 0, 0), thread 0",
                "uninitialised: reads shared memory that nobody wrote",
            ),
            (
                "missing_second_barrier",
                "block (0, 0, 0), thread 128",
                "race: reads shared memory that thread 127 wrote, with no barrier between",
            ),
            (
                "race_in_block",
                "block (0, 0, 0), thread 1",
                "race: reads global memory that thread 0 wrote, with no barrier between",
            ),
            (
                "race_of_blocks",
                "block (1, 0, 0), thread 0",
                "race: reads global memory that another block wrote",
            ),
            (
                "read_from_other_block",
                "block (1, 0, 0), thread 0",
                "race: writes global memory that another block read",
            ),
            (
                "missed_barrier",
                "block (2, 0, 0), thread 88",
                "missed barrier: has ended, while thread 0 waits in line 43",
            ),
            (
                "two_barriers",
                "block (0, 0, 0), thread 128",
                "missed barrier: waits in line 53, while thread 0 waits in line 51",
            ),
            (
                "missed_shuffle",
                "block (0, 0, 0), thread 0",
                "missed exchange: waits in line 61 for the rest of its warp",
            ),
            (
                "copy_not_waited_for",
                "block (0, 0, 0), thread 0",
                "uninitialised: reads shared memory that nobody wrote",
            ),
        ] {
            let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
            assert_eq!(said(kernel), format!("faults.cu: kernel `{kernel}`: {place}{fault}"));
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let driver: Arc<dyn Driver> = Arc::new(Emulator);
        let mut y = DeviceBuffer::zeroed(&driver, 1).unwrap();
        let target = Target::new(&mut y);
        let call = || Call::new(&*driver, &FAULTS, "off_by_one");
        let message = |call: Call<'_>| call.each(1).unwrap_err().to_string();
        let prefix = "faults.cu: kernel `off_by_one`: ";
        assert_eq!(message(call().count(1)), format!("{prefix}takes 3 arguments, was given 1"));
        let swapped = call().output(&target, 1).output(&target, 1).output(&target, 1);
        assert_eq!(message(swapped), format!("{prefix}argument 0 has 4 bytes, was given 8"));
        let unknown = Call::new(&*driver, &FAULTS, "no_such_kernel");
        assert_eq!(message(unknown), "faults.cu: kernel `no_such_kernel`: there is no such kernel");
    }

    #[test]
    fn what_is_right_passes() {
        let driver: Arc<dyn Driver> = Arc::new(Emulator);
        let x = DeviceBuffer::zeroed(&driver, 600).unwrap();
        driver.write(x.address(), &[2.0; 600]).unwrap();
        let mut y = DeviceBuffer::zeroed(&driver, 600).unwrap();
        let target = Target::new(&mut y);
        let call = Call::new(&*driver, &FAULTS, "unwritten_tail").count(512).input(&x).output(&target, 512);
        call.each(512).unwrap();
        let mut values = [0.0; 600];
        driver.read(y.address(), &mut values).unwrap();
        assert!(values[..512].iter().all(|&value| value == 2.0) && values[512..] == [0.0; 88]);
    }
}
