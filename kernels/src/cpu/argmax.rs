//! The largest elements along an axis.

use super::CpuBackend;
use crate::backend::ArgMaxOutput;
use crate::geometry::AxisGeometry;

/// y is outer×top_k×inner, or outer×2×top_k×inner for indices and values.
pub(crate) fn forward(
    cpu: &CpuBackend,
    geometry: &AxisGeometry,
    top_k: usize,
    output: ArgMaxOutput,
    x: &[f32],
    y: &mut [f32],
) {
    let (_, axis, inner) = geometry.sizes();
    let parts = if output == ArgMaxOutput::IndexAndValue { 2 } else { 1 };
    cpu.threads.chunks(y, parts * top_k * inner, axis * top_k, |outer, y| {
        let x = &x[outer * axis * inner..][..axis * inner];
        for column in 0..inner {
            let at = |index: usize| x[index * inner + column];
            let mut last: Option<usize> = None;
            for rank in 0..top_k {
                // The next in the order: largest first, the later of equals first, NaNs last.
                let comes_after =
                    |index: usize| last.is_none_or(|last| before(at(last), last, at(index), index));
                let mut best: Option<usize> = None;
                for index in (0..axis).filter(|&index| comes_after(index)) {
                    if best.is_none_or(|best| before(at(index), index, at(best), best)) {
                        best = Some(index);
                    }
                }
                let Some(best) = best else { break };
                let place = rank * inner + column;
                match output {
                    ArgMaxOutput::Index => y[place] = best as f32,
                    ArgMaxOutput::Value => y[place] = at(best),
                    ArgMaxOutput::IndexAndValue => {
                        y[place] = best as f32;
                        y[top_k * inner + place] = at(best);
                    }
                }
                last = Some(best);
            }
        }
    });
}

/// Whether value `a` at `i` comes before value `b` at `j`.
fn before(a: f32, i: usize, b: f32, j: usize) -> bool {
    match (a.is_nan(), b.is_nan()) {
        (false, true) => true,
        (true, false) => false,
        (true, true) => i < j,
        (false, false) => a > b || a >= b && i > j,
    }
}
