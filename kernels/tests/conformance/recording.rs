//! Work that is recorded: the same bits, whenever it is done.

use kernels::prelude::*;
use kernels::{Activation, ConvGeometry, CpuBackend, Epilogue, Error, GemmGeometry, Recording, Result};

use crate::support::{devices, numbers, open_devices, output, values};

/// Parts of one allocation, as a net has them: a convolution with new weights, its activation, and a product that is cut into
/// parts.
#[test]
fn what_is_replayed_has_the_bits_of_what_is_launched() {
    let geometry = ConvGeometry::new(2, [5, 7], &[9, 8], &[3, 3]).with_pad(&[1, 1]);
    let gemm = GemmGeometry::new(9, 20, 3000);
    for device in devices() {
        let lens = [720, 315, 1008, 27_000, 60_000, 180, device.gemm_workspace_len(&gemm)];
        let mut parts = device.allocate_all(&lens).unwrap();
        assert_eq!(parts.iter().map(kernels::Buffer::len).collect::<Vec<_>>(), lens);
        let [x, weights, y, a, b, c, workspace] = &mut parts[..] else { unreachable!("seven") };
        device.write(a, 0, &numbers(1, 27_000)).unwrap();
        device.write(b, 0, &numbers(2, 60_000)).unwrap();
        let mut prepared = device.convolution_prepare(&geometry, weights).unwrap();
        let mut space = output(device, prepared.workspace_len());
        let inputs = |x: &mut _, weights: &mut _, seed| {
            device.write(x, 0, &numbers(seed, 720)).unwrap();
            device.write(weights, 0, &numbers(seed + 1, 315)).unwrap();
        };
        let mut work = |x: &_, weights: &_, y: &mut _, c: &mut _| -> Result<()> {
            device.convolution_repack(&mut prepared, weights)?;
            device.convolution_forward(&prepared, x, &Epilogue::default(), y, &mut space)?;
            device.activation_forward(Activation::Relu, 1008, None, y)?;
            device.gemm(&gemm, a, b, c, workspace)?;
            device.axpy(0.5, 180, y, c)
        };
        inputs(x, weights, 3);
        work(x, weights, y, c).unwrap();
        let mut outcome = Ok(());
        let recording = device.record(&mut || outcome = work(x, weights, y, c)).unwrap();
        outcome.unwrap();
        for seed in [5, 7] {
            inputs(x, weights, seed);
            work(x, weights, y, c).unwrap();
            let expected = [values(device, y, 1008), values(device, c, 180)];
            for part in [&mut *y, &mut *c] {
                device.fill(part, 100, 7.0).unwrap();
            }
            device.replay(&recording).unwrap();
            assert_eq!([values(device, y, 1008), values(device, c, 180)], expected);
        }
    }
}

/// A sum that comes to the host is in no recording.
#[test]
fn a_sum_on_the_host_is_refused() {
    for device in devices() {
        let x = output(device, 300);
        device.sum_of_squares(300, &x).unwrap();
        let mut within = None;
        let outcome = device.record(&mut || within = device.sum_of_squares(300, &x).err());
        let message = "cannot record: it reads to the host. Nothing of it was done";
        assert_eq!(outcome.unwrap_err().to_string(), message);
        assert_eq!(within.unwrap().to_string(), message);
    }
}

#[test]
fn recordings_of_another_device_are_refused() {
    for device in open_devices() {
        let recording = device.record(&mut || {}).unwrap();
        let elsewhere = |outcome: Result<()>| {
            let message = "replay: what was recorded is not in this device's memory";
            assert_eq!(outcome.unwrap_err().to_string(), message);
        };
        for other in open_devices() {
            elsewhere(other.replay(&recording));
        }
        elsewhere(CpuBackend::new(1).unwrap().replay(&recording));
        device.replay(&recording).unwrap();
    }
}

#[test]
fn a_processor_records_nothing() {
    let mut called = false;
    let outcome: Result<Recording> = CpuBackend::new(1).unwrap().record(&mut || called = true);
    assert!(matches!(outcome, Err(Error::Unrecordable { .. })));
    assert!(!called);
}
