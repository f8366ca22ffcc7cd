//! What a net takes in training, and what it would take if each blob's gradient had memory of its own.
//!
//! ```text
//! cargo run --release -p train-core --example training_memory [DEFINITION]
//! ```
//! Without a DEFINITION, AlexNet with a batch of 32.

use std::error::Error;

use caffe_proto::proto::{NetState, Phase};
use caffe_proto::{Storage, text};
use kernels::{Backend as _, CpuBackend};
use train_core::{Network, TrainingOptions};

const ALEXNET: &str = r#"
layer { name: "data" type: "Input" top: "data" top: "label" input_param { shape { dim: 32 dim: 3 dim: 227 dim: 227 } shape { dim: 32 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 96 kernel_size: 11 stride: 4 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" convolution_param { num_output: 256 pad: 2 kernel_size: 5 group: 2 } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "norm2" type: "LRN" bottom: "conv2" top: "norm2" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layer { name: "pool2" type: "Pooling" bottom: "norm2" top: "pool2" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "conv3" type: "Convolution" bottom: "pool2" top: "conv3" convolution_param { num_output: 384 pad: 1 kernel_size: 3 } }
layer { name: "relu3" type: "ReLU" bottom: "conv3" top: "conv3" }
layer { name: "conv4" type: "Convolution" bottom: "conv3" top: "conv4" convolution_param { num_output: 384 pad: 1 kernel_size: 3 group: 2 } }
layer { name: "relu4" type: "ReLU" bottom: "conv4" top: "conv4" }
layer { name: "conv5" type: "Convolution" bottom: "conv4" top: "conv5" convolution_param { num_output: 256 pad: 1 kernel_size: 3 group: 2 } }
layer { name: "relu5" type: "ReLU" bottom: "conv5" top: "conv5" }
layer { name: "pool5" type: "Pooling" bottom: "conv5" top: "pool5" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "fc6" type: "InnerProduct" bottom: "pool5" top: "fc6" inner_product_param { num_output: 4096 } }
layer { name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }
layer { name: "drop6" type: "Dropout" bottom: "fc6" top: "fc6" }
layer { name: "fc7" type: "InnerProduct" bottom: "fc6" top: "fc7" inner_product_param { num_output: 4096 } }
layer { name: "relu7" type: "ReLU" bottom: "fc7" top: "fc7" }
layer { name: "drop7" type: "Dropout" bottom: "fc7" top: "fc7" }
layer { name: "fc8" type: "InnerProduct" bottom: "fc7" top: "fc8" inner_product_param { num_output: 1000 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc8" bottom: "label" top: "loss" }"#;

fn main() -> Result<(), Box<dyn Error>> {
    let definition = match std::env::args_os().nth(1) {
        Some(file) => Storage::open(file)?,
        None => Storage::from_vec("AlexNet", ALEXNET.as_bytes().to_vec()),
    };
    let (definition, _) = text::parse_net(&definition, text::Options::default())?;
    let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
    let network = Network::new(definition, &state)?;
    let cpu = CpuBackend::new(std::thread::available_parallelism().map_or(1, usize::from))?;
    let mut trainee = network.trainee(&cpu, &TrainingOptions::default())?;
    // A pass, for the memory that is made in one.
    trainee.clear_gradients();
    trainee.forward()?;
    trainee.backward()?;
    cpu.synchronize()?;
    let memory = trainee.memory();
    let mib = |floats: usize| floats as f64 * 4.0 / f64::from(1 << 20);
    for (what, floats) in [
        ("blobs", memory.blobs),
        ("their gradients", memory.blob_gradients),
        ("  each apart", memory.blob_gradients_apart),
        ("parameters", memory.params),
        ("their gradients", memory.param_gradients),
        ("workspace", memory.workspace),
    ] {
        println!("{what:<16} {:>9.1} MiB", mib(floats));
    }
    let others = memory.blobs + memory.params + memory.param_gradients + memory.workspace;
    println!("{:<16} {:>9.1} MiB", "together", mib(others + memory.blob_gradients));
    println!("{:<16} {:>9.1} MiB", "  each apart", mib(others + memory.blob_gradients_apart));
    Ok(())
}
