//! The worst error of each operation on each backend, for `cargo xtask conformance`.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, PoisonError};

use kernels::Backend;

/// What an error is at least a part of. Numbers that go in are about as large as 1: results that all are smaller than this are what a
/// cancellation has left.
const SMALLEST: f64 = 0.01;

/// Keeps the largest difference, as a part of the largest value expected, where it is the worst of an operation on a backend so far, and writes all of
/// them, a line each, into the file that the variable `KERNELS_ERRORS` names. Without it, does nothing.
pub(crate) fn note(op: &'static str, backend: &dyn Backend, found: &[f32], expected: &[f64]) {
    static WORST: Mutex<BTreeMap<(&str, String), f64>> = Mutex::new(BTreeMap::new());
    let Some(file) = std::env::var_os("KERNELS_ERRORS") else { return };
    let largest = expected.iter().fold(SMALLEST, |largest, value| largest.max(value.abs()));
    let differences = found.iter().zip(expected).filter(|(found, expected)| f64::from(**found) != **expected);
    let differences = differences.map(|(&found, expected)| (f64::from(found) - expected).abs());
    let error = differences.fold(0.0, f64::max) / largest;
    let mut worst = WORST.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = worst.entry((op, backend.arithmetic())).or_insert(-1.0);
    if error > *entry {
        *entry = error;
        let line =
            |((op, backend), error): (&(&str, String), &f64)| format!("{op}\t{backend}\t{error:.1e}\n");
        fs::write(file, worst.iter().map(line).collect::<String>()).unwrap();
    }
}
