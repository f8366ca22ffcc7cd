//! The way of values between the host's memory and the device's, through page-locked memory.
//!
//! What the host writes goes into a slot of page-locked memory, and from there, in a queue of its own and so beside whatever is
//! computed, to a slot on the device; the queue of computation then takes it from there to its place, in its turn. So `write`
//! need not wait, a write is never done before what was given before it has read the old values, and what is given after it
//! sees the new ones; and the slow part of the way, the bus, lies beside computation. The last part goes at the speed of the
//! device's memory. A slot is used again when its last part is done.

use std::ptr;

use cudarc::driver::{result, sys};

use super::Outcome;
use super::ring::{Ring, Slot};
use super::stream::{Mark, Stream};

/// Floats of a slot, 4 MiB: starting a copy is little beside it, and small nets lock few of them.
const SLOT: usize = 1 << 20;

/// 128 MiB on the host, and on the device: an AlexNet's batch of 128 (227×227×3 floats each, 76 MiB) can be under way with
/// room to spare.
const SLOTS: usize = 32;

/// Floats up to which a write goes straight to its place in the queue of computation: 64 KiB, 4 µs on a bus of 16 GB/s, for which
/// a detour of four more calls is not worth while.
const SHORT: usize = 16 * 1024;

/// The slots, and the queue of what goes to the device.
pub(super) struct Staging {
    up: Ring<UpSlot>,
    /// Two that take turns, made when first used.
    down: Option<[DownSlot; 2]>,
    uploads: Stream,
}

impl Staging {
    pub(super) fn new() -> Outcome<Self> {
        Ok(Self { up: Ring::new(SLOTS), down: None, uploads: Stream::new()? })
    }

    /// Copies `values` to the device, in their turn in `compute`.
    ///
    /// # Safety
    /// There is room for them at `address` until that turn has come.
    pub(super) unsafe fn upload(
        &mut self,
        compute: &Stream,
        address: sys::CUdeviceptr,
        values: &[f32],
    ) -> Outcome<()> {
        for (piece, place) in values.chunks(SLOT).zip((address..).step_by(SLOT * size_of::<f32>())) {
            let slot = self.up.take(UpSlot::new)?;
            slot.pinned.store(piece);
            // SAFETY: as the caller promises.
            let outcome = unsafe { slot.send(&self.uploads, compute, place, piece.len()) };
            if outcome.is_err() {
                // Part of it may be under way, and the slot's mark does not say so.
                let _ = (self.uploads.wait(), compute.wait());
            }
            self.up.put_back(slot);
            outcome?;
        }
        Ok(())
    }

    /// Copies from the device, when all that is in `compute` is done. While one piece is copied out of its slot, the next is
    /// under way.
    ///
    /// # Safety
    /// There are so many floats at `address`.
    pub(super) unsafe fn download(
        &mut self,
        compute: &Stream,
        address: sys::CUdeviceptr,
        values: &mut [f32],
    ) -> Outcome<()> {
        let slots = match &self.down {
            Some(slots) => slots,
            None => self.down.insert([DownSlot::new()?, DownSlot::new()?]),
        };
        let mut before: Option<(&DownSlot, &mut [f32])> = None;
        let places = (address..).step_by(SLOT * size_of::<f32>());
        for ((piece, place), slot) in values.chunks_mut(SLOT).zip(places).zip(slots.iter().cycle()) {
            // SAFETY: as the caller promises. The slot's last piece was copied out, and a slot has room for a piece.
            unsafe { slot.pinned.receive(compute, place, piece.len()) }?;
            slot.arrived.set(compute)?;
            if let Some((slot, piece)) = before.replace((slot, piece)) {
                slot.copy_out(piece)?;
            }
        }
        before.map_or(Ok(()), |(slot, piece)| slot.copy_out(piece))
    }
}

/// A slot on the host, and one on the device.
struct UpSlot {
    pinned: Pinned,
    device: DeviceSlot,
    arrived: Mark,
    /// Behind its last use.
    done: Mark,
}

impl UpSlot {
    fn new() -> Outcome<Self> {
        Ok(Self {
            pinned: Pinned::new()?,
            device: DeviceSlot::new()?,
            arrived: Mark::new()?,
            done: Mark::new()?,
        })
    }

    /// # Safety
    /// As [`Staging::upload`].
    unsafe fn send(
        &self,
        uploads: &Stream,
        compute: &Stream,
        place: sys::CUdeviceptr,
        count: usize,
    ) -> Outcome<()> {
        if count <= SHORT {
            // SAFETY: as the caller promises; the slot is not touched before it is done.
            unsafe { self.pinned.send(compute, place, count) }?;
            return self.done.set(compute);
        }
        // SAFETY: the slot on the device has room for it, and its last use is over.
        unsafe { self.pinned.send(uploads, self.device.0, count) }?;
        self.arrived.set(uploads)?;
        compute.go_on_after(&self.arrived)?;
        let bytes = count * size_of::<f32>();
        // SAFETY: as the caller promises; the slot is not touched before it is done.
        unsafe { result::memcpy_dtod_async(place, self.device.0, bytes, compute.handle()) }?;
        self.done.set(compute)
    }
}

impl Slot for UpSlot {
    fn is_free(&self) -> Outcome<bool> {
        self.done.is_reached()
    }

    fn wait(&self) -> Outcome<()> {
        self.done.wait()
    }
}

/// A slot for what comes back.
struct DownSlot {
    pinned: Pinned,
    arrived: Mark,
}

impl DownSlot {
    fn new() -> Outcome<Self> {
        Ok(Self { pinned: Pinned::new()?, arrived: Mark::new()? })
    }

    fn copy_out(&self, piece: &mut [f32]) -> Outcome<()> {
        self.arrived.wait()?;
        self.pinned.load(piece);
        Ok(())
    }
}

/// [`SLOT`] floats of the host's memory that the system does not move.
struct Pinned(*mut f32);

// SAFETY: it owns its memory, as a `Vec<f32>` does.
unsafe impl Send for Pinned {}

impl Pinned {
    fn new() -> Outcome<Self> {
        // SAFETY: what is read of it was written before: `store` and `receive` precede `send` and `load`.
        let memory = unsafe { result::malloc_host(SLOT * size_of::<f32>(), 0) }?;
        Ok(Self(memory.cast()))
    }

    fn store(&self, values: &[f32]) {
        debug_assert!(values.len() <= SLOT, "values are cut into pieces");
        // SAFETY: room for `SLOT` floats, which nobody uses meanwhile: the device is done with the slot.
        unsafe { ptr::copy_nonoverlapping(values.as_ptr(), self.0, values.len().min(SLOT)) };
    }

    fn load(&self, values: &mut [f32]) {
        debug_assert!(values.len() <= SLOT, "values are cut into pieces");
        // SAFETY: as many floats came from the device, which is done with the slot.
        unsafe { ptr::copy_nonoverlapping(self.0, values.as_mut_ptr(), values.len().min(SLOT)) };
    }

    /// # Safety
    /// There is room for `count` floats at `place`, and nobody touches these until they are sent.
    unsafe fn send(&self, stream: &Stream, place: sys::CUdeviceptr, count: usize) -> Outcome<()> {
        // SAFETY: as the caller promises.
        unsafe { sys::cuMemcpyHtoDAsync_v2(place, self.0.cast(), count * size_of::<f32>(), stream.handle()) }
            .result()
    }

    /// # Safety
    /// There are `count` floats at `place`, and nobody touches these until they have come.
    unsafe fn receive(&self, stream: &Stream, place: sys::CUdeviceptr, count: usize) -> Outcome<()> {
        // SAFETY: as the caller promises.
        unsafe { sys::cuMemcpyDtoHAsync_v2(self.0.cast(), place, count * size_of::<f32>(), stream.handle()) }
            .result()
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, freed once; `Cuda` waits for all work before it drops its slots.
        let _ = unsafe { result::free_host(self.0.cast()) };
    }
}

/// [`SLOT`] floats of the device's memory.
struct DeviceSlot(sys::CUdeviceptr);

impl DeviceSlot {
    fn new() -> Outcome<Self> {
        // SAFETY: what is read of it was written before.
        unsafe { result::malloc_sync(SLOT * size_of::<f32>()) }.map(Self)
    }
}

impl Drop for DeviceSlot {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, freed once; `Cuda` waits for all work before it drops its slots.
        let _ = unsafe { result::free_sync(self.0) };
    }
}
