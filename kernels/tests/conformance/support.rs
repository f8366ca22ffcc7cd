//! Backends to test on, numbers to test with, and the comparison.

use std::sync::LazyLock;

#[cfg(any(feature = "cuda", feature = "emulate"))]
use kernels::DeviceBackend;
use kernels::{Backend, Buffer, CpuBackend, Isa};

use crate::table;

/// Each instruction set of this machine, with one thread and with three.
static BACKENDS: LazyLock<Vec<[CpuBackend; 2]>> = LazyLock::new(|| {
    [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512]
        .into_iter()
        .filter(|isa| isa.is_available())
        .map(|isa| [1, 3].map(|threads| CpuBackend::with_isa(threads, isa).unwrap()))
        .collect()
});

/// Devices that run the kernels of `cu/`, chosen by sizes alone: the emulator, and a GPU if there is one.
#[cfg(any(feature = "cuda", feature = "emulate"))]
static DEVICES: LazyLock<Vec<DeviceBackend>> = LazyLock::new(open_devices);

#[cfg(any(feature = "cuda", feature = "emulate"))]
pub(crate) fn open_devices() -> Vec<DeviceBackend> {
    let devices = [
        #[cfg(feature = "emulate")]
        Some(DeviceBackend::emulated().unwrap()),
        #[cfg(feature = "cuda")]
        DeviceBackend::cuda(0).ok().map(|device| device.with_choice(kernels::Choice::Deterministic)),
    ];
    devices.into_iter().flatten().collect()
}

#[cfg(any(feature = "cuda", feature = "emulate"))]
pub(crate) fn devices() -> &'static [DeviceBackend] {
    &DEVICES
}

/// As [`check`], of an operation of [`Backend`], or several with commas: its errors go into the table.
#[track_caller]
pub(crate) fn check_op(
    op: &'static str,
    expected: &[f64],
    absolute: f64,
    relative: f64,
    operation: impl Fn(&dyn Backend) -> Vec<f32>,
) {
    check(expected, absolute, relative, |backend| {
        let found = operation(backend);
        table::note(op, backend, &found, expected);
        found
    });
}

/// Runs `operation` on every backend; the result must be within `absolute + relative · |expected|` of `expected`, and
/// on the processor have the same bits with any number of threads.
#[track_caller]
pub(crate) fn check(
    expected: &[f64],
    absolute: f64,
    relative: f64,
    operation: impl Fn(&dyn Backend) -> Vec<f32>,
) {
    check_cpu(expected, absolute, relative, |cpu| operation(cpu));
    #[cfg(any(feature = "cuda", feature = "emulate"))]
    for device in devices() {
        close(&operation(device), expected, absolute, relative, &device.name());
    }
}

/// The same of what only devices have.
#[cfg(any(feature = "cuda", feature = "emulate"))]
#[track_caller]
pub(crate) fn check_devices(
    expected: &[f64],
    absolute: f64,
    relative: f64,
    operation: impl Fn(&DeviceBackend) -> Vec<f32>,
) {
    for device in devices() {
        close(&operation(device), expected, absolute, relative, &device.name());
    }
}

/// The same of what only the processor has.
#[track_caller]
pub(crate) fn check_cpu(
    expected: &[f64],
    absolute: f64,
    relative: f64,
    operation: impl Fn(&CpuBackend) -> Vec<f32>,
) {
    for pair in &*BACKENDS {
        let [one, several] = pair.each_ref().map(&operation);
        close(&one, expected, absolute, relative, &format!("{:?}", pair[0].isa()));
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(
            bits(&one),
            bits(&several),
            "{:?}: the number of threads shows in the result",
            pair[0].isa()
        );
    }
}

#[track_caller]
fn close(found: &[f32], expected: &[f64], absolute: f64, relative: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let found = f64::from(found);
        let same = found == expected || (found.is_nan() && expected.is_nan());
        let allowed = absolute + relative * expected.abs();
        assert!(
            same || (found - expected).abs() <= allowed,
            "{what}: element {index} of {} is {found}, expected {expected}, allowed {allowed:e}",
            found.abs()
        );
    }
}

/// A buffer with `values` in it, and a few floats too many.
pub(crate) fn buffer(cpu: &dyn Backend, values: &[f32]) -> Buffer {
    let mut buffer = cpu.allocate(values.len() + 5).unwrap();
    cpu.write(&mut buffer, 0, values).unwrap();
    buffer
}

/// A buffer for a result of `len`, full of NaNs: whatever is not written shows.
pub(crate) fn output(cpu: &dyn Backend, len: usize) -> Buffer {
    buffer(cpu, &vec![f32::NAN; len])
}

/// The first `len` floats.
pub(crate) fn values(cpu: &dyn Backend, buffer: &Buffer, len: usize) -> Vec<f32> {
    let mut values = vec![0.0; len];
    cpu.read(buffer, 0, &mut values).unwrap();
    values
}

/// `len` numbers in [−1, 1), the same for the same seed (a linear congruential generator, Knuth's MMIX).
pub(crate) fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// The pass in which tests draw: both of its halves count.
pub(crate) const PASS: u64 = (3 << 32) + 5;

/// The first `len` numbers of a key in a pass, one after the other: Philox4x32-10 as its authors describe it.
pub(crate) fn drawn(key: u64, pass: u64, len: usize) -> Vec<f32> {
    let number = |i: usize| {
        let mut counter = [(i / 256 * 64 + i % 64) as u64, 0, pass & 0xffff_ffff, pass >> 32];
        let mut key = [key & 0xffff_ffff, key >> 32];
        for _ in 0..10 {
            let (left, right) = (0xd251_1f53 * counter[0], 0xcd9e_8d57 * counter[2]);
            let low = |word: u64| word & 0xffff_ffff;
            counter =
                [right >> 32 ^ counter[1] ^ key[0], low(right), left >> 32 ^ counter[3] ^ key[1], low(left)];
            key = [low(key[0] + 0x9e37_79b9), low(key[1] + 0xbb67_ae85)];
        }
        (counter[i / 64 % 4] >> 8) as f32 / (1 << 24) as f32
    };
    (0..len).map(number).collect()
}

pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}
