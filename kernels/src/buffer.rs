//! Memory that a backend's operations read and write.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

#[cfg(device)]
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};

/// A run of f32 in some backend's memory. It knows its length and nothing of shapes: operations take those from
/// their geometry, and a buffer may be longer than they need.
#[derive(Debug)]
#[non_exhaustive]
pub enum Buffer {
    /// In this machine's main memory.
    Host(HostBuffer),
    /// In a device's memory.
    #[cfg(device)]
    Device(DeviceBuffer),
}

impl Buffer {
    /// Floats in it.
    pub fn len(&self) -> usize {
        match self {
            Self::Host(host) => host.floats().len(),
            #[cfg(device)]
            Self::Device(device) => device.len(),
        }
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies its first floats into `values`, wherever they are, when all work on them is done.
    ///
    /// # Errors
    /// [`Error::TooShort`] where there are fewer; the device's.
    pub fn read(&self, values: &mut [f32]) -> Result<()> {
        if self.len() < values.len() {
            let (needed, found) = (values.len(), self.len());
            return Err(Error::TooShort { op: "read", operand: "the buffer", needed, found });
        }
        match self {
            Self::Host(host) => {
                let floats = host.floats();
                values.iter_mut().enumerate().for_each(|(index, value)| *value = floats.at(index));
                Ok(())
            }
            #[cfg(device)]
            Self::Device(device) => device.read(values),
        }
    }

    /// The floats, if they are in main memory, at an address that floats can have.
    pub fn as_host(&self) -> Option<&[f32]> {
        match self {
            Self::Host(host) => host.as_slice(),
            #[cfg(device)]
            Self::Device(_) => None,
        }
    }

    /// The floats, if they are in main memory and may be written.
    pub fn as_host_mut(&mut self) -> Option<&mut [f32]> {
        match self {
            Self::Host(host) => host.as_mut_slice(),
            #[cfg(device)]
            Self::Device(_) => None,
        }
    }

    /// Why an operation of the processor cannot read it as floats, or write it if `written`.
    pub(crate) fn refusal(&self, op: &'static str, operand: &'static str, written: bool) -> Error {
        match self {
            Self::Host(_) if written => Error::ReadOnly { op, operand },
            Self::Host(_) => Error::Unaligned { op, operand },
            #[cfg(device)]
            Self::Device(_) => Error::Elsewhere { op, operand },
        }
    }

    /// The floats, if they are in main memory, wherever that is.
    pub(crate) fn as_floats(&self) -> Option<Floats<'_>> {
        match self {
            Self::Host(host) => Some(host.floats()),
            #[cfg(device)]
            Self::Device(_) => None,
        }
    }
}

/// Main memory: our own, which can be written, or someone else's.
pub struct HostBuffer(Storage);

enum Storage {
    Owned(Aligned),
    Plain(Vec<f32>),
    Shared(Arc<dyn AsRef<[u8]> + Send + Sync>),
}

impl HostBuffer {
    /// `len` zeros, aligned to a cache line.
    pub fn zeroed(len: usize) -> Result<Self> {
        Aligned::zeroed(len).map(|memory| Self(Storage::Owned(memory)))
    }

    /// Floats, in this machine's order of bytes, that someone else keeps, such as the payload of a mapped file. They can
    /// be read only; and where they do not begin at a multiple of four bytes, only the weights of an inner product can be
    /// read so. Bytes past the last whole float do not count.
    pub fn shared(bytes: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        Self(Storage::Shared(bytes))
    }

    /// The floats, if they begin at a multiple of four bytes.
    pub fn as_slice(&self) -> Option<&[f32]> {
        self.floats().as_slice()
    }

    /// The floats, unless they are shared.
    pub fn as_mut_slice(&mut self) -> Option<&mut [f32]> {
        match &mut self.0 {
            Storage::Owned(memory) => Some(memory.as_mut_slice()),
            Storage::Plain(floats) => Some(floats),
            Storage::Shared(_) => None,
        }
    }

    pub(crate) fn floats(&self) -> Floats<'_> {
        match &self.0 {
            Storage::Owned(memory) => Floats(bytemuck::cast_slice(memory.as_slice())),
            Storage::Plain(floats) => Floats(bytemuck::cast_slice(floats)),
            Storage::Shared(bytes) => Floats((**bytes).as_ref()),
        }
    }
}

impl From<Vec<f32>> for HostBuffer {
    fn from(floats: Vec<f32>) -> Self {
        Self(Storage::Plain(floats))
    }
}

impl fmt::Debug for HostBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0 {
            Storage::Owned(_) | Storage::Plain(_) => "owned",
            Storage::Shared(_) => "shared",
        };
        write!(f, "HostBuffer({} floats, {kind})", self.floats().len())
    }
}

/// Floats at any address: the bytes they are made of.
#[derive(Clone, Copy)]
pub(crate) struct Floats<'a>(&'a [u8]);

impl<'a> Floats<'a> {
    pub(crate) fn len(self) -> usize {
        self.0.len() / SIZE
    }

    /// The first float: to be read without regard to alignment.
    pub(crate) fn as_ptr(self) -> *const f32 {
        self.0.as_ptr().cast()
    }

    /// Those of a range.
    pub(crate) fn part(self, range: Range<usize>) -> Self {
        Self(&self.0[range.start * SIZE..range.end * SIZE])
    }

    /// One float.
    pub(crate) fn at(self, index: usize) -> f32 {
        bytemuck::pod_read_unaligned(&self.0[index * SIZE..(index + 1) * SIZE])
    }

    pub(crate) fn as_slice(self) -> Option<&'a [f32]> {
        bytemuck::try_cast_slice(&self.0[..self.len() * SIZE]).ok()
    }
}

const SIZE: usize = size_of::<f32>();

/// Owned memory at a multiple of 64 bytes: a cache line, and the widest vector.
pub(crate) struct Aligned {
    memory: NonNull<u8>,
    layout: Layout,
    start: NonNull<f32>,
    len: usize,
}

const ALIGNMENT: usize = 64;

// SAFETY: it owns its memory, as a `Vec<f32>` does.
unsafe impl Send for Aligned {}
// SAFETY: shared access only reads.
unsafe impl Sync for Aligned {}

impl Aligned {
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        let too_much = Error::Memory { bytes: len.saturating_mul(size_of::<f32>()) };
        // With room to align in: asked for such an alignment, the allocator would write the zeros, which fresh pages of
        // the system's hold anyway.
        let Ok(layout) = Layout::array::<f32>(len.saturating_add(ALIGNMENT / size_of::<f32>())) else {
            return Err(too_much);
        };
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(memory) else { return Err(too_much) };
        // SAFETY: less than `ALIGNMENT` bytes on, which the layout has beside `len` floats.
        let start = unsafe { memory.add(memory.align_offset(ALIGNMENT)) }.cast();
        Ok(Self { memory, layout, start, len })
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        // SAFETY: `len` initialised floats, ours.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: `len` initialised floats, ours, and `self` is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for Aligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} floats", self.len)
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        // SAFETY: allocated with this very layout.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_memory_is_aligned_and_zero() {
        for len in [0, 1, 15, 16, 17, 100_000] {
            let buffer = HostBuffer::zeroed(len).unwrap();
            let floats = buffer.as_slice().unwrap();
            assert_eq!(floats.len(), len);
            assert!(floats.iter().all(|&x| x == 0.0));
            assert!(len == 0 || floats.as_ptr().addr().is_multiple_of(ALIGNMENT));
        }
    }

    #[test]
    fn shared_memory_cannot_be_written() {
        let floats: Arc<Vec<[u8; 4]>> = Arc::new(vec![1.0_f32.to_ne_bytes(), 2.0_f32.to_ne_bytes()]);
        struct Bytes(Arc<Vec<[u8; 4]>>, usize);
        impl AsRef<[u8]> for Bytes {
            fn as_ref(&self) -> &[u8] {
                &self.0.as_flattened()[self.1..]
            }
        }
        // Whichever of the four is aligned, the other three are not.
        let mut aligned = 0;
        for start in 0..4 {
            let mut buffer = Buffer::Host(HostBuffer::shared(Arc::new(Bytes(floats.clone(), start))));
            assert_eq!(buffer.len(), if start == 0 { 2 } else { 1 });
            aligned += usize::from(buffer.as_host().is_some());
            assert!(buffer.as_host_mut().is_none());
            let first = buffer.as_floats().unwrap().at(0).to_ne_bytes();
            assert_eq!(first, floats.as_flattened()[start..start + 4]);
        }
        assert_eq!(aligned, 1);
    }

    #[test]
    fn more_than_there_is_gives_an_error() {
        assert!(matches!(HostBuffer::zeroed(usize::MAX), Err(Error::Memory { .. })));
    }
}
