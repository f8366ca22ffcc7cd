//! A solver's run with the next batch on its way to the emulated GPU, and with no memory there for it: the same bits.

use std::fs;

use caffe_proto::Storage;
use kernels::{DeviceBackend, EmulatedMemory};

use super::*;

const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/classify/boot.png");

const NET: &str = r#"
layer { name: "data" type: "ImageData" top: "x" top: "y" transform_param { scale: 0.01 }
  image_data_param { source: "list.txt" batch_size: 2 new_height: 6 new_width: 6 is_color: false } }
layer { name: "f" type: "InnerProduct" bottom: "x" top: "f" inner_product_param { num_output: 3 weight_filler { type: "msra" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "y" top: "loss" }"#;

const SOLVER: &str = r#"net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: 100000
  snapshot_after_train: false snapshot_prefix: "run""#;

/// Steps within which the loader is in time at least once.
const MOST: u64 = 10_000;

#[test]
fn the_next_batch_comes_ahead_where_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let list = (0..5).map(|number| format!("{IMAGE} {}\n", number % 3)).collect::<Vec<_>>();
    fs::write(folder.path().join("list.txt"), list.concat()).unwrap();
    fs::write(folder.path().join("net.prototxt"), NET).unwrap();
    let memories = [(); 2].map(|()| EmulatedMemory::default());
    let devices = memories.each_ref().map(|memory| DeviceBackend::emulated_with(memory).unwrap());
    let [mut ahead, mut late] = devices.each_ref().map(|device| open(device, folder.path()));

    let len = 2 * 6 * 6 + 2;
    while !ahead.is_ahead && ahead.trainer().iteration() < MOST {
        step(&mut ahead);
    }
    assert!(ahead.is_ahead);
    assert_eq!(inputs_ahead(&ahead), len);

    // A run that has all the memory that it needs goes on without what it could use beside.
    step(&mut late);
    memories[1].fill();
    let end = 3 + ahead.trainer().iteration();
    for session in [&mut ahead, &mut late] {
        while session.trainer().iteration() < end {
            step(session);
        }
        assert!(session.trainer().is_recorded());
    }
    assert_eq!((late.is_ahead, inputs_ahead(&late), memories[1].refusals()), (false, 0, 1));
    assert!(state(&ahead) == state(&late));
}

fn open<'b>(device: &'b DeviceBackend, folder: &Path) -> Session<'b> {
    let solver = Storage::from_vec("solver", SOLVER.as_bytes().to_vec());
    let solver: SolverParameter = text::parse(&solver, text::Options::default()).unwrap().0;
    Session::open(&solver, folder, device, 3, &mut |_| Ok(())).unwrap()
}

/// One iteration.
fn step(session: &mut Session<'_>) {
    let mut begun = false;
    session.run(&mut || std::mem::replace(&mut begun, true), &mut |_| Ok(())).unwrap();
}

fn inputs_ahead(session: &Session<'_>) -> usize {
    session.trainer().trainee().memory().inputs_ahead
}

fn state(session: &Session<'_>) -> Vec<(String, Vec<u32>)> {
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    let state = session.trainer().to_state().unwrap();
    state.iter().map(|(name, tensor)| (name.to_owned(), bits(tensor.to_f32().unwrap()))).collect()
}
