//! One step of an LSTM.

use super::CpuBackend;
use super::math::{sigmoid, tanh};
use super::threads::Disjoint;

/// gates is batch×4·hidden in the order i, f, o, g; c is stepped in place.
pub(crate) fn unit(
    cpu: &CpuBackend,
    hidden: usize,
    gates: &[f32],
    continuation: &[f32],
    c: &mut [f32],
    h: &mut [f32],
) {
    let h = Disjoint::new(h);
    cpu.threads.chunks(c, hidden, 32, |sequence, c| {
        let gates = &gates[sequence * 4 * hidden..][..4 * hidden];
        let (i, gates) = gates.split_at(hidden);
        let (f, gates) = gates.split_at(hidden);
        let (o, g) = gates.split_at(hidden);
        let kept = continuation[sequence];
        // SAFETY: a sequence is one task's.
        let h = unsafe { h.slice(sequence * hidden, hidden) };
        cpu.level.vectorize(
            #[inline(always)]
            || {
                for d in 0..hidden {
                    // At the start of a sequence the old state counts for nothing, whatever it is.
                    let old = if kept == 0.0 { 0.0 } else { kept * sigmoid(f[d]) * c[d] };
                    c[d] = old + sigmoid(i[d]) * tanh(g[d]);
                    h[d] = sigmoid(o[d]) * tanh(c[d]);
                }
            },
        );
    });
}

/// The gradient of [`unit`]: `c` is the state before the step. dc holds the gradient of the state after it, and receives that
/// of the state before; dgates receives the gates'.
#[expect(clippy::too_many_arguments, reason = "what a step has")]
pub(crate) fn unit_backward(
    cpu: &CpuBackend,
    hidden: usize,
    gates: &[f32],
    continuation: &[f32],
    c: &[f32],
    dh: &[f32],
    dc: &mut [f32],
    dgates: &mut [f32],
) {
    let dgates = Disjoint::new(dgates);
    cpu.threads.chunks(dc, hidden, 64, |sequence, dc| {
        let gates = &gates[sequence * 4 * hidden..][..4 * hidden];
        // SAFETY: a sequence is one task's.
        let dgates = unsafe { dgates.slice(sequence * 4 * hidden, 4 * hidden) };
        let (c, dh) = (&c[sequence * hidden..][..hidden], &dh[sequence * hidden..][..hidden]);
        let kept = continuation[sequence];
        cpu.level.vectorize(
            #[inline(always)]
            || {
                for d in 0..hidden {
                    let [i, f, o] = [gates[d], gates[hidden + d], gates[2 * hidden + d]].map(sigmoid);
                    let g = tanh(gates[3 * hidden + d]);
                    let old = if kept == 0.0 { 0.0 } else { kept * c[d] };
                    let after = tanh(f * old + i * g);
                    let total = dc[d] + dh[d] * o * (1.0 - after * after);
                    dgates[d] = total * g * i * (1.0 - i);
                    dgates[hidden + d] = total * old * f * (1.0 - f);
                    dgates[2 * hidden + d] = dh[d] * after * o * (1.0 - o);
                    dgates[3 * hidden + d] = total * i * (1.0 - g * g);
                    dc[d] = total * f * kept;
                }
            },
        );
    });
}
