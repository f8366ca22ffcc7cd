//! What the emulator finds fault with, and what it lets pass.

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
        ("overwritten_input", "block (0, 0, 0), thread 0", "read-only: takes for an output what is an input"),
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
        ("race_of_blocks", "block (1, 0, 0), thread 0", "race: reads global memory that another block wrote"),
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
fn a_grid_beyond_a_gpus_is_refused() {
    let driver: Arc<dyn Driver> = Arc::new(Emulator::default());
    let x = DeviceBuffer::zeroed(&driver, 1).unwrap();
    let mut y = DeviceBuffer::zeroed(&driver, 1).unwrap();
    let target = Target::new(&mut y);
    for grid in [[0x8000_0000, 1, 1], [1, 65_536, 1], [1, 1, 65_536]] {
        let call = Call::new(&*driver, &FAULTS, "off_by_one").count(1).input(&x).output(&target, 1);
        let [x, y, z] = grid;
        let said = call.launch(grid, 256).unwrap_err().to_string();
        assert_eq!(said, format!("faults.cu: kernel `off_by_one`: a grid of {x}, {y}, {z} blocks"));
    }
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
