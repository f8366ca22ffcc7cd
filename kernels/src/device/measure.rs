//! Times of work on a device, compared.

use crate::error::Result;

/// A device's own clock.
pub(crate) trait Clock: Send + Sync {
    /// What times depend on, in a line: the device, its driver, the kernels and who compiled them.
    fn environment(&self) -> Result<String>;

    /// The milliseconds that the device takes for `work`, behind all that was given before.
    fn time(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<f32>;
}

/// The fastest of `count` by the median of several runs, after one that warms up. Who fails is out; rounds go over all of them
/// in turn, so that a device that changes its clock changes it for all.
pub(super) fn measure(
    clock: &dyn Clock,
    count: usize,
    run: &mut dyn FnMut(usize) -> Result<()>,
) -> Option<usize> {
    const ROUNDS: usize = 5;
    /// After the first round, who takes so many times the best's time is out.
    const HOPELESS: f32 = 1.5;
    /// Milliseconds that a measurement takes at least, if that many runs do: a clock ticks in microseconds.
    const LONG: f32 = 0.5;
    const MOST_RUNS: f32 = 16.0;
    let mut times = |index: usize, runs: usize| -> Option<f32> {
        let took = clock.time(&mut || (0..runs).try_for_each(|_| run(index))).ok()?;
        (took >= 0.0).then_some(took / runs as f32)
    };
    // The first run compiles what it needs.
    let mut living: Vec<usize> = (0..count).filter(|&index| times(index, 1).is_some()).collect();
    let mut samples: Vec<Vec<f32>> = vec![Vec::with_capacity(ROUNDS); count];
    let mut runs = vec![1; count];
    for round in 0..ROUNDS {
        living.retain(|&index| match times(index, runs[index]) {
            Some(took) => {
                samples[index].push(took);
                true
            }
            None => false,
        });
        if round == 0 {
            let best = living.iter().map(|&index| samples[index][0]).fold(f32::INFINITY, f32::min);
            living.retain(|&index| samples[index][0] <= HOPELESS * best);
            for &index in &living {
                runs[index] =
                    (LONG / samples[index][0].max(f32::MIN_POSITIVE)).clamp(1.0, MOST_RUNS) as usize;
            }
        }
        if living.len() < 2 {
            break;
        }
    }
    let median = |index: usize| {
        let mut sorted = samples[index].clone();
        sorted.sort_by(f32::total_cmp);
        sorted[sorted.len() / 2]
    };
    living.into_iter().min_by(|&one, &other| median(one).total_cmp(&median(other)))
}

#[cfg(all(test, feature = "emulate"))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::device::stand_in::FakeClock;
    use crate::error::Error;

    /// Runs that say who they are to the clock.
    #[test]
    fn the_median_decides_and_who_fails_is_out() {
        let at = Arc::new(AtomicUsize::new(0));
        let measured = |times: fn(usize, usize) -> f32, failing: usize| {
            let running = at.clone();
            let rounds = [0; 3].map(|_: usize| AtomicUsize::new(0));
            let clock = FakeClock::new(move |_| {
                let index = running.load(Ordering::Relaxed);
                times(index, rounds[index].fetch_add(1, Ordering::Relaxed))
            });
            measure(&clock, 3, &mut |index| {
                at.store(index, Ordering::Relaxed);
                if index == failing { Err(Error::geometry("", "")) } else { Ok(()) }
            })
        };
        // One slow round of five, after the one that warms up, does not matter.
        let times = |index, round| if round == 3 { 90.0 } else { [10.0, 11.0, 12.0][index] };
        assert_eq!(measured(times, 9), Some(0));
        assert_eq!(measured(times, 0), Some(1));
        assert_eq!(measured(|index, round| if index == 2 && round > 1 { 1.0 } else { 1.2 }, 9), Some(2));
        assert_eq!(measured(|_, _| f32::NAN, 9), None);
    }
}
