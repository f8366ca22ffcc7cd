//! The driver that runs kernels on the processor, each access checked: see `emulate/cuda_on_cpu.h`.

mod list;

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use list::{Entry, KeptLaunch};

use super::driver::{Address, Driver, Extents, Launch, Operand};
use super::recording::{Recorder, RecordingId, Turn};
use crate::error::{Error, Result};

/// The emulated device. Its memory is the process's; recordings are of whoever opened it.
#[derive(Default)]
pub(crate) struct Emulator {
    /// Whether it passes for an sm_90a.
    wgmma: bool,
    memory: EmulatedMemory,
    recorder: Recorder,
    lists: Mutex<Lists>,
}

/// The memory of an emulated device, which can be full: for tests of what is done then.
#[derive(Clone, Debug, Default)]
pub struct EmulatedMemory(Arc<Room>);

#[derive(Debug, Default)]
struct Room {
    is_full: AtomicBool,
    refusals: AtomicU64,
}

impl EmulatedMemory {
    /// From here on, whoever asks for memory gets [`Error::Memory`].
    pub fn fill(&self) {
        self.0.is_full.store(true, Ordering::Relaxed);
    }

    /// How often somebody has got that.
    pub fn refusals(&self) -> u64 {
        self.0.refusals.load(Ordering::Relaxed)
    }

    fn check(&self, lens: &[usize]) -> Result<()> {
        if !self.0.is_full.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.0.refusals.fetch_add(1, Ordering::Relaxed);
        let floats = lens.iter().fold(0_usize, |sum, &len| sum.saturating_add(len));
        Err(Error::Memory { bytes: floats.saturating_mul(size_of::<f32>()) })
    }
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

    pub(crate) fn of(memory: &EmulatedMemory) -> Self {
        Self { memory: memory.clone(), ..Self::default() }
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
        self.memory.check(lens)?;
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
mod tests;
