//! The driver that runs kernels on the processor, each access checked: see `emulate/cuda_on_cpu.h`.

mod list;

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

use list::{Entry, KeptLaunch};

use super::driver::{Address, Driver, Extents, Launch, Operand};
use super::recording::{Recorder, RecordingId, Turn};
use crate::error::{Error, Result};

/// The emulated device. Its memory is the process's; recordings are of whoever opened it.
#[derive(Default)]
pub(crate) struct Emulator {
    /// Whether it passes for an sm_90a.
    wgmma: bool,
    recorder: Recorder,
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    /// What is being taken down.
    taking: Vec<Entry>,
    kept: HashMap<RecordingId, Vec<Entry>>,
}

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
    fn emulated_write(address: Address, values: *const f32, count: usize);
    fn emulated_read(address: Address, values: *mut f32, count: usize) -> usize;
    fn emulated_discard(address: Address, count: usize);
    fn emulated_launch(launch: *const RawLaunch, text: *mut c_char, length: usize) -> c_int;
}

impl Emulator {
    pub(crate) fn sm_90a() -> Self {
        Self { wgmma: true, ..Self::default() }
    }
}

impl Driver for Emulator {
    fn name(&self) -> String {
        "emulated GPU".to_owned()
    }

    fn model(&self) -> String {
        self.name()
    }

    /// Few, so that small sums are cut into parts as large ones are on a GPU.
    fn multiprocessors(&self) -> u32 {
        4
    }

    fn has_tf32(&self) -> bool {
        true
    }

    fn has_wgmma(&self) -> bool {
        self.wgmma
    }

    fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Each apart, so that the bounds of each are checked.
    fn allocate(&self, lens: &[usize]) -> Result<Vec<Address>> {
        let _turn = self.recorder.unrecorded("it allocates memory")?;
        let mut addresses = Vec::with_capacity(lens.len());
        for &len in lens {
            let bytes = len.max(1).saturating_mul(size_of::<f32>());
            // SAFETY: it takes any length.
            match unsafe { emulated_allocate(bytes) } {
                0 => {
                    self.free(&addresses);
                    return Err(Error::Memory { bytes });
                }
                address => addresses.push(address),
            }
        }
        Ok(addresses)
    }

    fn free(&self, addresses: &[Address]) {
        for &address in addresses {
            // SAFETY: it was allocated, and its last buffer gives it back once.
            unsafe { emulated_free(address) };
        }
    }

    fn discard(&self, address: Address, len: usize) {
        let turn = self.recorder.turn();
        self.take_or_do(&turn, Entry::Discard { address, len }).unwrap_or_default();
    }

    fn write(&self, address: Address, values: &[f32]) -> Result<()> {
        let _turn = self.recorder.unrecorded("it writes from the host")?;
        // SAFETY: a buffer holds so many floats there, and no kernel runs in another's turn.
        unsafe { emulated_write(address, values.as_ptr(), values.len()) };
        Ok(())
    }

    fn read(&self, address: Address, values: &mut [f32]) -> Result<()> {
        let _turn = self.recorder.read()?;
        read(address, values)
    }

    fn copy(&self, from: Address, to: Address, len: usize) -> Result<()> {
        let turn = self.recorder.turn();
        self.take_or_do(&turn, Entry::Copy { from, to, len })
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        let turn = self.recorder.turn();
        if turn.is_recording() {
            return self.take_or_do(&turn, Entry::Launch(KeptLaunch::new(launch)));
        }
        run(launch)
    }

    fn synchronize(&self) -> Result<()> {
        self.recorder.unrecorded("it waits for the device").map(drop)
    }

    fn begin(&self) -> Result<()> {
        self.recorder.unrecorded("it records again")?.begin_recording();
        Ok(())
    }

    fn end(&self, kept: Option<RecordingId>) -> Result<()> {
        let mut lists = self.lists();
        let taken = std::mem::take(&mut lists.taking);
        if let Some(id) = kept {
            lists.kept.insert(id, taken);
        }
        Ok(())
    }

    fn replay(&self, recording: RecordingId) -> Result<()> {
        let _turn = self.recorder.unrecorded("it replays")?;
        self.lists().kept.get(&recording).map_or(Ok(()), |entries| entries.iter().try_for_each(Entry::run))
    }

    fn forget(&self, recording: RecordingId) {
        self.lists().kept.remove(&recording);
    }
}

impl Emulator {
    /// Takes a thing down in a turn in which that is to be, or does it.
    fn take_or_do(&self, turn: &Turn<'_>, entry: Entry) -> Result<()> {
        if turn.is_recording() {
            self.lists().taking.push(entry);
            return Ok(());
        }
        entry.run()
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn run(&self) -> Result<()> {
        match self {
            Self::Launch(kept) => kept.launch(run),
            Self::Copy { from, to, len } => {
                let mut values = vec![0.0; *len];
                read(*from, &mut values)?;
                // SAFETY: a buffer holds so many floats there, kept as long as the recording.
                unsafe { emulated_write(*to, values.as_ptr(), *len) };
                Ok(())
            }
            Self::Discard { address, len } => {
                // SAFETY: as above.
                unsafe { emulated_discard(*address, *len) };
                Ok(())
            }
        }
    }
}

/// Copies from the device's memory.
fn read(address: Address, values: &mut [f32]) -> Result<()> {
    // SAFETY: a buffer holds so many floats there; kernels are done when their launch returns.
    let discarded = unsafe { emulated_read(address, values.as_mut_ptr(), values.len()) };
    if discarded == 0 {
        return Ok(());
    }
    let what = format!("float {} of {} was discarded and not written since", discarded - 1, values.len());
    Err(Error::Device { device: "emulated GPU".to_owned(), what })
}

/// Runs a kernel.
fn run(launch: &Launch<'_>) -> Result<()> {
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
        let driver: Arc<dyn Driver> = Arc::new(Emulator::default());
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
                "sums_not_waited_for",
                "block (0, 0, 0), thread 31",
                "unfinished: reads sums of products that were not waited for",
            ),
            (
                "missing_wgmma_fence",
                "block (0, 0, 0), thread 31",
                "missing fence: adds to sums that were written, with no wgmma_fence since",
            ),
            (
                "missing_async_fence",
                "block (0, 0, 0), thread 31",
                "missing fence: a product reads what thread 28 stored into shared memory, with no async_fence since",
            ),
            (
                "overwritten_operand",
                "block (0, 0, 0), thread 0",
                "race: a product reads shared memory that thread 0 overwrote before it was waited for",
            ),
            (
                "products_not_waited_for",
                "block (0, 0, 0), thread 31",
                "unfinished: ends before its products were waited for",
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
        let driver: Arc<dyn Driver> = Arc::new(Emulator::default());
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
        let driver: Arc<dyn Driver> = Arc::new(Emulator::default());
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

    #[test]
    fn what_was_discarded_is_not_read() {
        let driver: Arc<dyn Driver> = Arc::new(Emulator::default());
        let x = DeviceBuffer::zeroed(&driver, 600).unwrap();
        let mut y = DeviceBuffer::zeroed(&driver, 600).unwrap();
        let mut copy = || {
            let target = Target::new(&mut y);
            let call = Call::new(&*driver, &FAULTS, "unwritten_tail").count(512);
            call.input(&x).output(&target, 512).each(512)
        };
        driver.discard(x.address(), 600);
        driver.write(x.address(), &[2.0; 511]).unwrap();
        let message = copy().unwrap_err().to_string();
        let fault = "block (1, 0, 0), thread 255: uninitialised: reads global memory that was discarded";
        assert_eq!(message, format!("faults.cu: kernel `unwritten_tail`: {fault}"));
        let message = driver.read(x.address(), &mut [0.0; 512]).unwrap_err().to_string();
        assert_eq!(message, "cannot use emulated GPU: float 511 of 512 was discarded and not written since");
        driver.write(x.address(), &[2.0; 512]).unwrap();
        copy().unwrap();
        // What a kernel writes counts again.
        driver.discard(y.address(), 600);
        let target = Target::new(&mut y);
        let call = Call::new(&*driver, &FAULTS, "unwritten_tail").count(512).input(&x).output(&target, 512);
        call.each(512).unwrap();
        driver.read(y.address(), &mut [0.0; 512]).unwrap();
        assert!(driver.read(y.address(), &mut [0.0; 513]).is_err());
    }

    #[test]
    fn parts_of_one_allocation_have_their_own_bounds() {
        let driver: Arc<dyn Driver> = Arc::new(Emulator::default());
        let mut parts = DeviceBuffer::all_zeroed(&driver, &[600, 600, 0]).unwrap();
        let [x, y, nothing] = &mut parts[..] else { unreachable!("three") };
        assert_ne!(nothing.address(), x.address());
        let target = Target::new(y);
        let call = Call::new(&*driver, &FAULTS, "off_by_one").count(600).input(x).output(&target, 600);
        let message = call.each(600).unwrap_err().to_string();
        assert!(message.ends_with("out of bounds: 4 bytes at byte 2400 of a buffer of 2400"), "{message}");
    }
}
