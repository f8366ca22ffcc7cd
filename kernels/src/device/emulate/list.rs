//! Recordings of the emulator: lists of what was given to it, each kernel with a copy of its arguments.

use std::ffi::c_void;

use crate::device::driver::{Address, Extents, Launch, Operand};
use crate::device::source::Module;

/// One thing that was given to the device to do.
pub(super) enum Entry {
    Launch(KeptLaunch),
    Copy { from: Address, to: Address, len: usize },
    Discard { address: Address, len: usize },
}

/// A [`Launch`] that needs nothing of its caller's.
pub(super) struct KeptLaunch {
    module: &'static Module,
    kernel: &'static str,
    grid: Extents,
    block: Extents,
    /// Each argument's bytes, from a word on: no argument asks for a larger alignment.
    words: Vec<u64>,
    /// Where each begins among the words.
    starts: Vec<usize>,
    sizes: Vec<usize>,
    operands: Vec<Operand>,
}

impl KeptLaunch {
    pub(super) fn new(launch: &Launch<'_>) -> Self {
        let mut kept = Self {
            module: launch.module,
            kernel: launch.kernel,
            grid: launch.grid,
            block: launch.block,
            words: Vec::new(),
            starts: Vec::new(),
            sizes: launch.sizes.to_vec(),
            operands: launch.operands.to_vec(),
        };
        for (&argument, &size) in launch.arguments.iter().zip(launch.sizes) {
            kept.starts.push(kept.words.len());
            let start = kept.words.len();
            kept.words.resize(start + size.div_ceil(size_of::<u64>()), 0);
            let target = kept.words[start..].as_mut_ptr().cast::<u8>();
            // SAFETY: `Call` has `size` bytes there, which live while it launches; the words have room for them.
            unsafe { argument.cast::<u8>().copy_to_nonoverlapping(target, size) };
        }
        kept
    }

    /// The launch, as it was given.
    pub(super) fn launch<R>(&self, body: impl FnOnce(&Launch<'_>) -> R) -> R {
        let arguments: Vec<*const c_void> =
            self.starts.iter().map(|&start| self.words[start..].as_ptr().cast()).collect();
        body(&Launch {
            module: self.module,
            kernel: self.kernel,
            grid: self.grid,
            block: self.block,
            arguments: &arguments,
            sizes: &self.sizes,
            operands: &self.operands,
        })
    }
}
