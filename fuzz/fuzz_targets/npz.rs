//! An .npz: opened, every value read, and laid out for both sides by a definition.
#![no_main]

use libfuzzer_sys::fuzz_target;

mod weights;

fuzz_target!(|data: &[u8]| weights::exercise("fuzz.npz", data));
