//! An HDF5 file, Chainer's or Caffe's: opened, every value read, and laid out for both sides by a definition.
#![no_main]

use libfuzzer_sys::fuzz_target;

mod weights;

fuzz_target!(|data: &[u8]| weights::exercise("fuzz.hdf5", data));
