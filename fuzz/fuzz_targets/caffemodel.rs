//! A binary net of any generation: read, upgraded, typed, its blobs decoded, and written again.
#![no_main]

use caffe_proto::net::Net;
use caffe_proto::{Storage, read_binaryproto, read_caffemodel, write_caffemodel};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let storage = Storage::from_vec("fuzz.caffemodel", data.to_vec());
    let _ = read_binaryproto(&storage);
    let Ok(model) = read_caffemodel(&storage) else { return };
    let mut written = Vec::new();
    let _ = write_caffemodel(&model, &mut written);
    if let Some(definition) = &model.definition {
        let _ = Net::unfiltered(definition);
    }
});
