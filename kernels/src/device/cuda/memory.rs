//! Allocations in a device's memory.

use cudarc::driver::{result, sys};

use super::Outcome;
use super::stream::Stream;
use crate::device::driver::{ALIGNMENT, Address};

/// Where parts of `lens` floats begin in an allocation, in bytes, and how long it is; `None` where no number can say it.
pub(super) fn places(lens: &[usize]) -> Option<(Vec<usize>, usize)> {
    let mut end = 0_usize;
    let mut places = Vec::with_capacity(lens.len());
    for len in lens {
        places.push(end);
        let bytes = len.checked_mul(size_of::<f32>())?.max(1).checked_next_multiple_of(ALIGNMENT)?;
        end = end.checked_add(bytes)?;
    }
    Some((places, end))
}

/// So many bytes, all 0 for whatever is put into `compute` from here on.
pub(super) fn allocate(compute: &Stream, bytes: usize) -> Outcome<Address> {
    // SAFETY: nobody reads it before it is filled.
    let address = unsafe { result::malloc_sync(bytes) }?;
    // SAFETY: so many bytes were just allocated there.
    let filled = unsafe { result::memset_d8_async(address, 0, bytes, compute.handle()) };
    if filled.is_err() {
        free(compute, address);
    }
    filled.map(|()| address)
}

/// Gives an allocation back when whatever is in `compute` is done. The driver would wait too. No step does: what it needs was
/// allocated before, and where a net is dropped, all but its first allocation find the queue empty. There is nobody to tell of a
/// failure: the memory is then the process's, until it ends.
pub(super) fn free(compute: &Stream, address: sys::CUdeviceptr) {
    let _ = compute.wait();
    // SAFETY: allocated here, freed once by its last buffer, and no kernel uses it any more.
    let _ = unsafe { result::free_sync(address) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_apart_and_aligned() {
        assert_eq!(places(&[]), Some((vec![], 0)));
        assert_eq!(places(&[1, 0, 64, 65, 1]), Some((vec![0, 256, 512, 768, 1280], 1536)));
        assert_eq!(places(&[usize::MAX / 4 - 1]), None);
        assert_eq!(places(&[1 << 61, 1 << 61]), None);
    }
}
