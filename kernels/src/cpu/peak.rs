//! What the processor can do at all: the measure that a kernel's speed is a share of.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::CpuBackend;
use super::simd::{Simd, WithSimd};

/// Sums that do not wait for each other: as many as hide a multiply-add's latency on two units.
const SUMS: usize = 12;
/// Multiply-adds of each sum in one measurement: some tens of microseconds.
const ROUNDS: usize = 20_000;
/// How often it is measured. The best counts: the others were disturbed.
const TIMES: usize = 200;

impl CpuBackend {
    /// Floating-point operations a second that all its threads together do in registers, measured for some tens of
    /// milliseconds: multiply-adds, which count twice, on the widest vectors it uses.
    pub fn peak_flops(&self) -> f64 {
        let measure = || self.level.dispatch(MultiplyAdds);
        self.threads.everywhere(measure).into_iter().sum()
    }
}

/// Multiply-adds in registers; the operations a second of one thread.
struct MultiplyAdds;

impl WithSimd for MultiplyAdds {
    type Output = f64;

    fn run<S: Simd>(self, simd: S) -> f64 {
        let mut best = Duration::MAX;
        for _ in 0..TIMES {
            let start = Instant::now();
            simd.vectorize(
                #[inline(always)]
                || {
                    let (factor, term) = (simd.splat(black_box(0.999)), simd.splat(black_box(1e-3)));
                    let mut sums = [term; SUMS];
                    for _ in 0..ROUNDS {
                        for sum in &mut sums {
                            *sum = simd.mul_add(*sum, factor, term);
                        }
                    }
                    let total = sums.into_iter().reduce(
                        #[inline(always)]
                        |total, sum| simd.add(total, sum),
                    );
                    let mut lanes = [0.0f32; 16];
                    if let Some(total) = total {
                        // SAFETY: no vector is longer than the array.
                        unsafe { simd.store(lanes.as_mut_ptr(), total) };
                    }
                    black_box(lanes);
                },
            );
            best = best.min(start.elapsed());
        }
        (2 * SUMS * ROUNDS * S::LANES) as f64 / best.as_secs_f64().max(1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_can_do_something() {
        let peak = CpuBackend::new(1).unwrap().peak_flops();
        assert!(peak > 1e7 && peak < 1e13, "{peak}");
    }
}
