//! A few samples: each row of W is multiplied into all of them as it comes by.

use super::Forward;
use crate::buffer::Floats;
use crate::cpu::conv::Operands;
use crate::cpu::gemm::Split;
use crate::cpu::simd::{Simd, array};
use crate::cpu::threads::Disjoint;

/// Rows of W in a task of [`Forward::by_rows`].
const ROWS_OF_TASK: usize = 16;

/// Floats by which memory is asked for ahead of its use: a page of the system's ends what the processor guesses itself.
const AHEAD: usize = 1024;

impl Forward<'_> {
    /// A few samples: rows of W one by one, each multiplied into all of them.
    pub(super) fn by_rows<S: Simd, const BATCH: usize>(self, simd: S) {
        let Self { cpu, geometry, weights, operands } = self;
        let Operands { x, bias, accumulate, finish, y, .. } = operands;
        let (inputs, outputs) = (geometry.inputs as usize, geometry.outputs as usize);
        let y = Disjoint::new(y);
        let tasks = Split::new(outputs, ROWS_OF_TASK);
        cpu.threads.run(tasks.parts(), |_, task| {
            for output in tasks.part(task) {
                let row = weights.part(output * inputs..(output + 1) * inputs);
                let sums = simd.vectorize(
                    #[inline(always)]
                    || dots::<S, BATCH>(simd, row, x),
                );
                let bias = bias.map_or(0.0, |bias| bias[output]);
                for (sample, sum) in sums.into_iter().enumerate() {
                    // SAFETY: an output is one task's.
                    let y = unsafe { y.slice(sample * outputs + output, 1) };
                    let old = if accumulate { y[0] } else { 0.0 };
                    y[0] = finish.scalar(sum + bias + old);
                }
            }
        });
    }
}

/// The products of one row with each of `BATCH` samples, which lie one after the other in `x`.
#[inline(always)]
fn dots<S: Simd, const BATCH: usize>(simd: S, row: Floats<'_>, x: &[f32]) -> [f32; BATCH] {
    const UNROLL: usize = 4;
    let len = row.len();
    assert!(x.len() >= BATCH * len, "x is too short");
    let mut sums = [[simd.splat(0.0); UNROLL]; BATCH];
    let step = UNROLL * S::LANES;
    let whole = len / step * step;
    for at in (0..whole).step_by(step) {
        for line in (0..step).step_by(16) {
            simd.prefetch(row.as_ptr().wrapping_add(at + line + AHEAD));
        }
        for v in 0..UNROLL {
            let place = at + v * S::LANES;
            // SAFETY: `place + LANES` is at most `whole`, and both slices are as long, x for each sample.
            unsafe {
                let weights = simd.load(row.as_ptr().add(place));
                for (sample, sums) in sums.iter_mut().enumerate() {
                    let values = simd.load(x.as_ptr().add(sample * len + place));
                    sums[v] = simd.mul_add(weights, values, sums[v]);
                }
            }
        }
    }
    array(
        #[inline(always)]
        |sample| {
            let [a, b, c, d] = sums[sample];
            let sum = simd.add(simd.add(a, b), simd.add(c, d));
            let mut lanes = [0.0; 16];
            // SAFETY: the array is at least a vector long.
            unsafe { simd.store(lanes.as_mut_ptr(), sum) };
            let rest = (whole..len).map(|place| row.at(place) * x[sample * len + place]);
            lanes.iter().sum::<f32>() + rest.sum::<f32>()
        },
    )
}
