//! Seconds that a training step of AlexNet takes, with nothing and with most layers frozen:
//! `cargo run --release -p train-core --example train_step [THREADS]`.

use std::time::Instant;

use caffe_proto::proto::{NetState, Phase};
use caffe_proto::{Storage, text};
use kernels::CpuBackend;
use train_core::optim::{Adam, Optimizer};
use train_core::{Network, TrainingOptions};

const BATCH: usize = 32;
const STEPS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = std::env::args().nth(1).map_or(Ok(2), |count| count.parse())?;
    let cpu = CpuBackend::new(threads)?;
    let text = Storage::from_vec("alexnet", net().into_bytes());
    let (definition, _) = text::parse_net(&text, text::Options::default())?;
    let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
    let network = Network::new(definition, &state)?;
    let middle = ["conv2", "conv3", "conv4", "conv5", "fc6"];
    for (name, frozen) in [
        ("nothing frozen", Vec::new()),
        ("conv2 to fc6 frozen", middle.to_vec()),
        ("conv1 to fc6 frozen", [&["conv1"][..], &middle].concat()),
    ] {
        let frozen = frozen.into_iter().map(str::to_owned).collect();
        let options = TrainingOptions { frozen, ..TrainingOptions::default() };
        let mut trainee = network.trainee(&cpu, &options)?;
        let mut optimizer = Optimizer::new(Box::new(Adam::default()), trainee.infos().to_vec());
        optimizer.set_threads(threads);
        let pixels: Vec<f32> = (0..BATCH * 3 * 227 * 227).map(|at| (at % 255) as f32 / 255.0).collect();
        let labels: Vec<f32> = (0..BATCH).map(|at| (at % 10) as f32).collect();
        let mut seconds = Vec::new();
        for _ in 0..=STEPS {
            let start = Instant::now();
            trainee.set_input("data", &pixels)?;
            trainee.set_input("label", &labels)?;
            trainee.clear_gradients()?;
            trainee.forward()?;
            let forward = start.elapsed().as_secs_f64();
            trainee.backward()?;
            let backward = start.elapsed().as_secs_f64();
            optimizer.update(&mut trainee.params())?;
            let all = start.elapsed().as_secs_f64();
            seconds.push([all, forward, backward - forward, all - backward]);
        }
        seconds.remove(0);
        seconds.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let [all, forward, backward, update] = seconds[STEPS / 2];
        println!("{name:<20} {all:.3} s: forward {forward:.3}, backward {backward:.3}, update {update:.3}");
    }
    Ok(())
}

fn net() -> String {
    let convolution = |name: &str, bottom: &str, body: &str| {
        format!(
            r#"layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" convolution_param {{ {body} weight_filler {{ type: "msra" }} }} }}
            layer {{ name: "relu_{name}" type: "ReLU" bottom: "{name}" top: "{name}" }}"#
        )
    };
    let pool = |name: &str, bottom: &str| {
        format!(
            r#"layer {{ name: "{name}" type: "Pooling" bottom: "{bottom}" top: "{name}" pooling_param {{ kernel_size: 3 stride: 2 }} }}"#
        )
    };
    let norm = |name: &str, bottom: &str| {
        format!(
            r#"layer {{ name: "{name}" type: "LRN" bottom: "{bottom}" top: "{name}" lrn_param {{ local_size: 5 alpha: 0.0001 beta: 0.75 }} }}"#
        )
    };
    let full = |name: &str, bottom: &str, outputs: usize| {
        format!(
            r#"layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" inner_product_param {{ num_output: {outputs} weight_filler {{ type: "msra" }} }} }}"#
        )
    };
    let behind = |name: &str| {
        format!(
            r#"layer {{ name: "relu_{name}" type: "ReLU" bottom: "{name}" top: "{name}" }}
            layer {{ name: "drop_{name}" type: "Dropout" bottom: "{name}" top: "{name}" }}"#
        )
    };
    let lines = [
        format!(
            r#"layer {{ name: "in" type: "Input" top: "data" top: "label" input_param {{ shape {{ dim: {BATCH} dim: 3 dim: 227 dim: 227 }} shape {{ dim: {BATCH} }} }} }}"#
        ),
        convolution("conv1", "data", "num_output: 96 kernel_size: 11 stride: 4"),
        norm("norm1", "conv1"),
        pool("pool1", "norm1"),
        convolution("conv2", "pool1", "num_output: 256 kernel_size: 5 pad: 2 group: 2"),
        norm("norm2", "conv2"),
        pool("pool2", "norm2"),
        convolution("conv3", "pool2", "num_output: 384 kernel_size: 3 pad: 1"),
        convolution("conv4", "conv3", "num_output: 384 kernel_size: 3 pad: 1 group: 2"),
        convolution("conv5", "conv4", "num_output: 256 kernel_size: 3 pad: 1 group: 2"),
        pool("pool5", "conv5"),
        full("fc6", "pool5", 4096),
        behind("fc6"),
        full("fc7", "fc6", 4096),
        behind("fc7"),
        full("fc8", "fc7", 10),
        r#"layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc8" bottom: "label" top: "loss" }"#
            .to_owned(),
    ];
    lines.join("\n")
}
