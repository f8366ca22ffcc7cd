//! A solver state in either form, and a solver's text.
#![no_main]

use caffe_proto::text::Options;
use caffe_proto::{SolverState, Storage, solver};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let storage = Storage::from_vec("fuzz.solverstate", data.to_vec());
    let _ = solver::read_solver(&storage, Options { lenient: true });
    if let Ok(state) = SolverState::read(&storage) {
        for blob in &state.history {
            let _ = blob.values().read(&mut |_| Ok(()));
        }
    }
});
