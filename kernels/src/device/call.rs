//! A kernel's arguments put together, and its launch.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::from_ref;

use super::driver::{Address, Driver, Extents, Launch, Operand};
use super::memory::DeviceBuffer;
use super::source::Module;
use crate::error::Result;
use crate::geometry::{
    AxisGeometry, ConvGeometry, CopyGeometry, EmbedGeometry, InterpGeometry, LrnGeometry, LstmGeometry,
    NormalizeGeometry, PoolGeometry, RowsGeometry,
};

/// Threads of a block, of kernels whose threads do not work together.
pub(crate) const THREADS: u32 = 256;

/// The most parts into which a sum over a whole array is cut.
pub(crate) const PARTS: usize = 256;

/// What a kernel can take by value.
///
/// # Safety
/// The kernel's struct of the same name has the same layout.
pub(crate) unsafe trait Parameter: Copy {}

macro_rules! parameters {
    ($($type:ty),*) => {
        $(
            // SAFETY: laid out as C does, and cu/*.cu has the same fields; the emulator checks their size.
            unsafe impl Parameter for $type {}
        )*
    };
}

parameters!(
    AxisGeometry,
    ConvGeometry,
    CopyGeometry,
    EmbedGeometry,
    InterpGeometry,
    LrnGeometry,
    LstmGeometry,
    NormalizeGeometry,
    PoolGeometry,
    RowsGeometry
);

/// The most arguments of a kernel.
const MOST: usize = 12;

/// A kernel with its arguments, in the order in which they are added.
pub(crate) struct Call<'a> {
    driver: &'a dyn Driver,
    module: &'static Module,
    kernel: &'static str,
    arguments: [Argument; MOST],
    count: usize,
    operands: Vec<Operand>,
    values: PhantomData<&'a ()>,
}

#[derive(Clone, Copy)]
enum Argument {
    Value { at: *const c_void, size: usize },
    Word(u32),
    Address(Address),
}

impl<'a> Call<'a> {
    pub(crate) fn new(driver: &'a dyn Driver, module: &'static Module, kernel: &'static str) -> Self {
        let arguments = [Argument::Address(0); MOST];
        Self { driver, module, kernel, arguments, count: 0, operands: Vec::new(), values: PhantomData }
    }

    /// How many elements there are, or whatever else is counted.
    pub(crate) fn count(self, count: usize) -> Self {
        self.argument(Argument::Word(count as u32))
    }

    /// A number.
    pub(crate) fn float(self, number: f32) -> Self {
        self.argument(Argument::Word(number.to_bits()))
    }

    /// A struct.
    pub(crate) fn value<T: Parameter>(self, value: &'a T) -> Self {
        self.argument(Argument::Value { at: from_ref(value).cast(), size: size_of::<T>() })
    }

    /// Memory that is read.
    pub(crate) fn input(mut self, buffer: &'a DeviceBuffer) -> Self {
        self.reads(buffer);
        self.argument(Argument::Address(buffer.address()))
    }

    /// Memory that is read here and was written by the kernel before.
    pub(crate) fn source(mut self, target: &'a Target<'_>) -> Self {
        self.operands.push(Operand { address: target.address(), written: 0, writable: false });
        self.argument(Argument::Address(target.address()))
    }

    /// Memory that is read, or where it is absent what lies in the target already.
    pub(crate) fn input_or(self, buffer: Option<&'a DeviceBuffer>, target: &'a Target<'_>) -> Self {
        match buffer {
            Some(buffer) => self.input(buffer),
            None => self.source(target),
        }
    }

    /// Memory that is read, if it is there.
    pub(crate) fn maybe(self, buffer: Option<&'a DeviceBuffer>) -> Self {
        match buffer {
            Some(buffer) => self.input(buffer),
            None => self.argument(Argument::Address(0)),
        }
    }

    /// Memory whose first `len` floats are all written, as [`Target`] has it.
    pub(crate) fn output(mut self, target: &'a Target<'_>, len: usize) -> Self {
        self.writes(target, len);
        self.argument(Argument::Address(target.address()))
    }

    /// Memory that is written, if it is there.
    pub(crate) fn maybe_output(self, target: Option<&'a Target<'_>>, len: usize) -> Self {
        match target {
            Some(target) => self.output(target, len),
            None => self.argument(Argument::Address(0)),
        }
    }

    /// Says that the kernel reads memory whose address is within a value.
    pub(crate) fn reads(&mut self, buffer: &DeviceBuffer) {
        self.operands.push(Operand { address: buffer.address(), written: 0, writable: false });
    }

    /// The same of memory that was written by a kernel before.
    pub(crate) fn reads_written(&mut self, target: &Target<'_>) {
        self.operands.push(Operand { address: target.address(), written: 0, writable: false });
    }

    /// Says that the kernel writes memory whose address is within a value: the first `len` floats, all of them.
    pub(crate) fn writes(&mut self, target: &Target<'_>, len: usize) {
        self.operands.push(Operand { address: target.address(), written: len as u64, writable: true });
    }

    /// Launches enough blocks of [`THREADS`] threads for a thread each, or as many as the device needs to be busy.
    pub(crate) fn over(self, count: usize) -> Result<()> {
        // A grid beyond this only adds blocks that wait.
        let most = self.driver.multiprocessors().saturating_mul(32);
        let blocks = count.div_ceil(THREADS as usize).min(most as usize) as u32;
        self.launch([blocks, 1, 1], THREADS)
    }

    /// Launches enough blocks of [`THREADS`] threads for a thread each.
    pub(crate) fn each(self, count: usize) -> Result<()> {
        let blocks = count.div_ceil(THREADS as usize) as u32;
        self.launch([blocks, 1, 1], THREADS)
    }

    /// Launches `count` blocks, each of which walks over `len` elements with all its threads.
    pub(crate) fn blocks(self, count: usize, len: usize) -> Result<()> {
        let threads = (len as u32).next_multiple_of(32).clamp(32, THREADS);
        self.launch([count as u32, 1, 1], threads)
    }

    /// Launches a grid.
    pub(crate) fn launch(self, grid: Extents, threads: u32) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        self.driver.recorder().count_launch();
        let arguments = &self.arguments[..self.count];
        let (mut pointers, mut sizes) = ([std::ptr::null(); MOST], [0; MOST]);
        for ((argument, pointer), size) in arguments.iter().zip(&mut pointers).zip(&mut sizes) {
            (*pointer, *size) = match argument {
                Argument::Value { at, size } => (*at, *size),
                Argument::Word(word) => (from_ref(word).cast(), size_of::<u32>()),
                Argument::Address(address) => (from_ref(address).cast(), size_of::<Address>()),
            };
        }
        self.driver.launch(&Launch {
            module: self.module,
            kernel: self.kernel,
            grid,
            block: [threads, 1, 1],
            arguments: &pointers[..self.count],
            sizes: &sizes[..self.count],
            operands: &self.operands,
        })
    }

    fn argument(mut self, argument: Argument) -> Self {
        self.arguments[self.count] = argument;
        self.count += 1;
        self
    }
}

/// Memory that a kernel writes: proof that it is ours to write.
pub(crate) struct Target<'b> {
    address: Address,
    buffer: PhantomData<&'b mut DeviceBuffer>,
}

impl<'b> Target<'b> {
    pub(crate) fn new(buffer: &'b mut DeviceBuffer) -> Self {
        Self { address: buffer.address(), buffer: PhantomData }
    }

    /// Memory of the backend's own that kernels alone read and write: they run in the order in which they are launched.
    pub(crate) fn own(buffer: &'b DeviceBuffer) -> Self {
        Self { address: buffer.address(), buffer: PhantomData }
    }

    pub(crate) fn address(&self) -> Address {
        self.address
    }

    /// The same memory from a float on.
    pub(crate) fn part(&self, start: usize) -> Self {
        Self { address: self.address + (start * size_of::<f32>()) as Address, buffer: PhantomData }
    }
}
