//! A net in text, strict and lenient: upgraded, typed, its shapes inferred, and written as a binary net.
#![no_main]

use std::collections::BTreeMap;

use caffe_proto::net::Net;
use caffe_proto::proto::NetState;
use caffe_proto::text::{Options, parse_net};
use caffe_proto::{Storage, upgrade, write_caffemodel};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let storage = Storage::from_vec("fuzz.prototxt", data.to_vec());
    for lenient in [false, true] {
        let Ok((net, _)) = parse_net(&storage, Options { lenient }) else { continue };
        let Ok(model) = upgrade(storage.path(), net, Vec::new()) else { continue };
        let _ = write_caffemodel(&model, &mut Vec::new());
        let Some(definition) = model.definition else { continue };
        let _ = Net::unfiltered(&definition);
        if let Ok(net) = Net::new(&definition, &NetState::default())
            && let Ok(shapes) = net.infer_shapes(&BTreeMap::new())
        {
            let _ = net.costs(&shapes);
        }
    }
});
