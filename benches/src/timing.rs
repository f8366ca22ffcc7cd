//! Seconds.

use std::time::{Duration, Instant};

use kernels::{Backend, Result};

/// How often a time is taken; the median counts.
const SAMPLES: usize = 7;
/// How long a sample is at least, if what is measured is not longer.
const SAMPLE: Duration = Duration::from_millis(20);

/// The seconds that `work` takes on a device: runs follow each other as in a net, and the device has done them all when the
/// clock is read.
///
/// # Errors
/// Those of `work`.
pub fn seconds(backend: &dyn Backend, work: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    median(&mut |count| {
        let start = Instant::now();
        (0..count).try_for_each(|_| work())?;
        backend.synchronize()?;
        Ok(start.elapsed())
    })
}

/// The median of the seconds that one of `count` runs takes, of which `run` gives the time of all. What is done first for the
/// first time is not counted.
///
/// # Errors
/// Those of `run`.
pub fn median<E>(
    run: &mut dyn FnMut(u32) -> std::result::Result<Duration, E>,
) -> std::result::Result<f64, E> {
    run(1)?;
    let one = run(1)?.max(Duration::from_nanos(100));
    let count = (SAMPLE.as_secs_f64() / one.as_secs_f64()).ceil().clamp(1.0, 1e5) as u32;
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        samples.push(run(count)?.as_secs_f64() / f64::from(count));
    }
    samples.sort_unstable_by(f64::total_cmp);
    Ok(samples[SAMPLES / 2])
}
