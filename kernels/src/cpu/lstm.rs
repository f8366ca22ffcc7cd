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
