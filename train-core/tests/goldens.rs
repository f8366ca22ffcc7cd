//! Every layer type, and whole nets, against a forward pass of real Caffe, Chainer or OpenCV: `testdata/layers`.

mod support;

use std::collections::BTreeMap;

use kernels::Backend;
use support::{Golden, difference};
use train_core::{Match, Options};

/// Relative to the largest value of a blob: sums are in another order here.
const TOLERANCE: f64 = 1e-5;

/// Each test is one file of the folder; [`no_golden_is_forgotten`] makes sure of that.
macro_rules! goldens {
    ($($test:ident: $file:literal,)*) => {
        $(#[test]
        fn $test() {
            check($file);
        })*

        #[test]
        fn no_golden_is_forgotten() {
            assert_eq!(support::names(), [$($file),*]);
        }
    };
}

goldens! {
    abs_val: "AbsVal",
    accuracy: "Accuracy",
    arg_max: "ArgMax",
    bnll: "BNLL",
    batch_norm: "BatchNorm",
    batch_norm_batch: "BatchNormBatch",
    batch_reindex: "BatchReindex",
    bias: "Bias",
    clip: "Clip",
    concat: "Concat",
    contrastive_loss: "ContrastiveLoss",
    convolution: "Convolution",
    crop: "Crop",
    deconvolution: "Deconvolution",
    depthwise_convolution: "DepthwiseConvolution",
    detection_output: "DetectionOutput",
    dropout: "Dropout",
    dummy_data: "DummyData",
    elu: "ELU",
    eltwise: "Eltwise",
    embed: "Embed",
    euclidean_loss: "EuclideanLoss",
    exp: "Exp",
    filter: "Filter",
    flatten: "Flatten",
    hinge_loss: "HingeLoss",
    im2col: "Im2col",
    infogain_loss: "InfogainLoss",
    inner_product: "InnerProduct",
    interp: "Interp",
    lrn: "LRN",
    lstm: "LSTM",
    lstm_unit: "LSTMUnit",
    log: "Log",
    mvn: "MVN",
    multinomial_logistic_loss: "MultinomialLogisticLoss",
    normalize: "Normalize",
    prelu: "PReLU",
    parameter: "Parameter",
    permute: "Permute",
    pooling: "Pooling",
    pooling_stochastic: "PoolingStochastic",
    power: "Power",
    prior_box: "PriorBox",
    rnn: "RNN",
    relu: "ReLU",
    relu6: "ReLU6",
    reduction: "Reduction",
    reshape: "Reshape",
    spp: "SPP",
    scale: "Scale",
    shuffle_channel: "ShuffleChannel",
    sigmoid: "Sigmoid",
    sigmoid_cross_entropy_loss: "SigmoidCrossEntropyLoss",
    silence: "Silence",
    slice: "Slice",
    softmax: "Softmax",
    softmax_with_loss: "SoftmaxWithLoss",
    split: "Split",
    swish: "Swish",
    tanh: "TanH",
    threshold: "Threshold",
    tile: "Tile",
    upsample: "Upsample",
    nets: "nets",
    ssd: "ssd",
}

/// Runs every case of a file as a plan is made for use, and again with every blob kept.
fn check(name: &str) {
    let golden = Golden::open(name);
    let mut faults = Vec::new();
    for backend in support::backends() {
        for (case, all_blobs) in golden.cases().iter().flat_map(|case| [(case, false), (case, true)]) {
            if let Err(what) = run(&golden, case, all_blobs, &*backend) {
                let way = format!("{}, case {}, all_blobs {all_blobs}", backend.name(), case.number);
                faults.push(format!("{way}: {what}\n{}", case.net));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

fn run(golden: &Golden, case: &support::Case, all_blobs: bool, backend: &dyn Backend) -> Result<(), String> {
    let say = |error: &dyn std::error::Error| support::chain(error);
    let mut network = case.network()?;
    network.initialise_from_model(&golden.model(case), Match::ByName).map_err(|error| say(&error))?;
    let expected: BTreeMap<_, _> =
        case.out.iter().map(|name| (name, golden.array(case, "out", name))).collect();
    let options = Options { all_blobs, keep: case.out.clone() };
    let mut executor = network.executor(backend, &options).map_err(|error| say(&error))?;
    // A second pass must not see anything of the first, unless the layer goes on where it stopped.
    let goes_on = golden.is_recurrent();
    for pass in 1..=if goes_on { 1 } else { 2 } {
        for name in &case.inputs {
            let (_, values) = golden.array(case, "in", name);
            executor.set_input(name, &values).map_err(|error| say(&error))?;
        }
        executor.forward().map_err(|error| say(&error))?;
        for (name, (shape, values)) in &expected {
            let (found_shape, found) = executor.blob(name).map_err(|error| say(&error))?;
            if found_shape != shape.as_slice() {
                return Err(format!("pass {pass}: `{name}` has shape {found_shape:?}, Caffe's {shape:?}"));
            }
            let worst = difference(&found, values);
            if worst.is_nan() || worst > TOLERANCE {
                return Err(format!(
                    "pass {pass}: `{name}` differs by {worst:.2e}\nfound    {:?}\nexpected {:?}",
                    &found[..found.len().min(24)],
                    &values[..values.len().min(24)]
                ));
            }
        }
    }
    Ok(())
}
