//! Gradients hand their memory on, but for those that are read after a pass.

use caffe_proto::proto::{NetState, Phase};
use caffe_proto::{Storage, text};
use kernels::{Backend, CpuBackend};
use train_core::{Network, Trainee, TrainingOptions};

/// Blobs of 8, 6, 10 and 4 floats a sample, twice.
const CHAIN: &str = r#"
force_backward: true
layer { name: "in" type: "Input" top: "x" top: "y" input_param { shape { dim: 2 dim: 8 } shape { dim: 2 dim: 4 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "c" type: "InnerProduct" bottom: "b" top: "c" inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "c" bottom: "y" top: "loss" }"#;

#[test]
fn gradients_that_are_used_up_make_room() {
    let cpu = CpuBackend::new(1).unwrap();
    let memory = trainee(&cpu, CHAIN, &TrainingOptions::default()).memory();
    // The loss's and those of both inputs stay; c's is free for a's when b's is computed.
    let stay = 1 + 16 + 8;
    assert_eq!(memory.blob_gradients_apart, stay + 12 + 20 + 8);
    assert_eq!(memory.blob_gradients, stay + 20 + 12);
    // Of a given one, its own, and the layer behind its gradient begins anew.
    let given = TrainingOptions { given: vec!["b".to_owned()], ..TrainingOptions::default() };
    let memory = trainee(&cpu, CHAIN, &given).memory();
    assert_eq!(memory.blob_gradients, stay + 20 + 12);
    // Nothing is computed below what learns.
    let frozen = TrainingOptions { frozen: vec!["a".to_owned()], ..TrainingOptions::default() };
    let text = CHAIN.replace("force_backward: true", "");
    let memory = trainee(&cpu, &text, &frozen).memory();
    assert_eq!((memory.blob_gradients, memory.blob_gradients_apart), (1 + 8 + 20, 1 + 8 + 20));
}

/// The gradients are those that a pass has with memory of their own: of blobs that are given a gradient of zeros.
#[test]
fn gradients_are_those_of_memory_of_their_own() {
    let cpu = CpuBackend::new(1).unwrap();
    let given: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
    let apart = TrainingOptions { given: given.clone(), ..TrainingOptions::default() };
    let [shared, apart] = [TrainingOptions::default(), apart].map(|options| {
        let mut trainee = trainee(&cpu, CHAIN, &options);
        let values: Vec<f32> = (0..16).map(|at| at as f32 / 8.0 - 1.0).collect();
        trainee.set_input("x", &values).unwrap();
        trainee.set_input("y", &values[..8]).unwrap();
        for (name, len) in given.iter().zip([12, 20, 8]).filter(|_| !options.given.is_empty()) {
            trainee.set_gradient(name, &vec![0.0; len]).unwrap();
        }
        trainee.clear_gradients();
        trainee.forward().unwrap();
        trainee.backward().unwrap();
        let params = (0..trainee.infos().len()).map(|index| trainee.param_gradient(index).unwrap());
        let all = [trainee.input_gradient("x").unwrap(), trainee.input_gradient("y").unwrap()];
        params.chain(all).collect::<Vec<_>>()
    });
    assert!(shared.iter().flatten().flatten().any(|&value| value != 0.0));
    assert_eq!(shared, apart);
}

fn trainee<'b>(backend: &'b dyn Backend, net: &str, options: &TrainingOptions) -> Trainee<'b> {
    let text = Storage::from_vec("net", net.as_bytes().to_vec());
    let (definition, _) = text::parse_net(&text, text::Options::default()).unwrap();
    let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
    Network::new(definition, &state).unwrap().trainee(backend, options).unwrap()
}
