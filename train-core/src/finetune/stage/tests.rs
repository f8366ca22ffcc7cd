//! Steps of a stage with the next batch on its way to the emulated GPU, and with no memory there for it: the same bits.

use std::fs;
use std::path::Path;

use caffe_proto::Storage;
use kernels::{DeviceBackend, EmulatedMemory};

use super::*;
use crate::finetune::{ImageOptions, Request, Stepping, prepare};

const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/classify/boot.png");

const NET: &str = r#"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 6 dim: 6 } } }
layer { name: "f" type: "InnerProduct" bottom: "data" top: "f" inner_product_param { num_output: 2 weight_filler { type: "msra" } } }
layer { name: "prob" type: "Softmax" bottom: "f" top: "prob" }"#;

/// Steps within which the loader is in time at least once.
const MOST: u64 = 10_000;

struct Silent;

impl Observer for Silent {
    fn note(&mut self, _: &str) {}

    fn features(&mut self, _: u64, _: u64) {}

    fn stepped(&mut self, _: &Stepping) {}

    fn judged(&mut self, _: u64, _: &Stepping, _: &Judgement, _: bool) {}

    fn is_over(&mut self) -> bool {
        false
    }
}

#[test]
fn the_next_batch_comes_ahead_where_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    for class in ["one", "two"] {
        let of_class = folder.path().join(class);
        fs::create_dir(&of_class).unwrap();
        for number in 0..4 {
            fs::copy(IMAGE, of_class.join(format!("{number}.png"))).unwrap();
        }
    }
    let prepared = prepared(folder.path());
    let options = options();
    let memories = [(); 2].map(|()| EmulatedMemory::default());
    let devices = memories.each_ref().map(|memory| DeviceBackend::emulated_with(memory).unwrap());
    let held = vec![false; 2];
    let [mut ahead, mut late] = devices.each_ref().map(|device| {
        let ground = Ground { backend: device, prepared: &prepared, options: &options };
        let current = &prepared.base;
        let position = Position::default();
        let start = Start { held: &held, current, state: None, position, is_cached: None };
        Stage::new(ground, &start, &mut Silent).unwrap()
    });

    let inputs_ahead = |stage: &Stage<'_>| stage.trainer.trainee().memory().inputs_ahead;
    while !ahead.is_ahead && ahead.trainer.iteration() < MOST {
        ahead.step().unwrap();
    }
    assert!(ahead.is_ahead);
    assert_eq!(inputs_ahead(&ahead), 2 * 6 * 6 + 2);

    // A run that has all the memory that it needs goes on without what it could use beside.
    late.step().unwrap();
    memories[1].fill();
    let end = 3 + ahead.trainer.iteration();
    for stage in [&mut ahead, &mut late] {
        while stage.trainer.iteration() < end {
            stage.step().unwrap();
        }
    }
    assert_eq!((late.is_ahead, inputs_ahead(&late), memories[1].refusals()), (false, 0, 1));
    assert!(bits(&ahead) == bits(&late));
}

fn prepared(data: &Path) -> Prepared {
    let net = Storage::from_vec("net", NET.as_bytes().to_vec());
    let (definition, _) = text::parse_net(&net, text::Options::default()).unwrap();
    let request = Request {
        definition: &definition,
        base: data.to_path_buf(),
        weights: None,
        data: data.to_path_buf(),
        validation: None,
        classes: None,
        class_names: None,
        limit: None,
        image: ImageOptions { scale: Some(0.01), ..ImageOptions::default() },
        replace: Vec::new(),
        head_lr_mult: 1.0,
        batch_size: 2,
        seed: 3,
    };
    prepare(&request).unwrap()
}

fn options() -> Options {
    Options {
        epochs: MOST,
        batch_size: 2,
        optimizer: "momentumsgd".to_owned(),
        rate: Some(0.01),
        weight_decay: None,
        clip: None,
        freeze: Vec::new(),
        cache: CacheMode::Off,
        cache_folder: None,
        seed: 3,
        strict: true,
        threads: 1,
        snapshot_every: None,
    }
}

fn bits(stage: &Stage<'_>) -> Vec<(String, Vec<u32>)> {
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    let state = stage.trainer.to_state().unwrap();
    state.iter().map(|(name, tensor)| (name.to_owned(), bits(tensor.to_f32().unwrap()))).collect()
}
