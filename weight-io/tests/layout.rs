//! Layers' blobs under Chainer's names and back, on nets of a few layers.

use caffe_proto::proto::NetParameter;
use caffe_proto::{Blob, LayerBlobs, Model, Payload, Storage, text};
use weight_io::chainer::{BatchNorm, Conv, Options, to_blobs, to_links};
use weight_io::{Tensor, Weights};

const DENSE: Options = Options { conv: Conv::Dense, batchnorm: BatchNorm::Caffe };
const FOLDED: Options = Options { conv: Conv::Grouped, batchnorm: BatchNorm::Folded };

fn net(definition: &str) -> NetParameter {
    let storage = Storage::from_vec("net.prototxt", definition.as_bytes().to_vec());
    text::parse_net(&storage, text::Options::default()).unwrap().0
}

fn blob(shape: &[usize]) -> Blob {
    let values = (1..=shape.iter().product::<usize>()).map(|value| value as f32).collect::<Vec<_>>();
    Blob::new(shape.to_vec(), Payload::from_f32(&values))
}

fn model(layers: &[(&str, &[&[usize]])]) -> Model {
    let layer = |(name, shapes): &(&str, &[&[usize]])| LayerBlobs {
        name: (*name).to_owned(),
        blobs: shapes.iter().map(|shape| blob(shape)).collect(),
    };
    Model { layers: layers.iter().map(layer).collect(), ..Model::default() }
}

fn weights(tensors: &[(&str, &[usize], &[f32])]) -> Weights {
    let mut weights = Weights::new();
    for (name, shape, values) in tensors {
        weights.insert(*name, Tensor::from_f32(shape.to_vec(), values).unwrap()).unwrap();
    }
    weights
}

fn values(weights: &Weights, name: &str) -> Vec<f32> {
    weights.get(name).unwrap().to_f32().unwrap()
}

fn blobs(model: &Model) -> Vec<(Vec<usize>, Vec<f32>)> {
    let all = model.layers.iter().flat_map(|layer| &layer.blobs);
    all.map(|blob| (blob.shape().to_vec(), blob.to_vec().unwrap())).collect()
}

/// What comes back from Chainer's names is what went in.
fn assert_round_trip(definition: &str, layers: &[(&str, &[&[usize]])], options: Options) -> Weights {
    let (definition, model) = (net(definition), model(layers));
    let (weights, _) = to_links(&definition, &model, options).unwrap();
    let (back, _) = to_blobs(&definition, &weights).unwrap();
    assert_eq!(blobs(&back), blobs(&model));
    weights
}

fn refusal(definition: &str, weights: &Weights) -> String {
    to_blobs(&net(definition), weights).unwrap_err().to_string()
}

const GROUPS: &str = "layer { name: 'conv' type: 'Convolution' bottom: 'x' top: 'y'
    convolution_param { num_output: 4 kernel_size: 1 group: 2 bias_term: false } }";

#[test]
fn groups_are_made_dense_and_come_back() {
    let dense = assert_round_trip(GROUPS, &[("conv", &[&[4, 1, 1, 1]])], DENSE);
    assert_eq!(dense.get("conv/W").unwrap().shape(), [4, 2, 1, 1]);
    assert_eq!(values(&dense, "conv/W"), [1.0, 0.0, 2.0, 0.0, 0.0, 3.0, 0.0, 4.0]);
    let grouped = assert_round_trip(GROUPS, &[("conv", &[&[4, 3, 1, 1]])], Options::default());
    assert_eq!(grouped.get("conv/W").unwrap().shape(), [4, 3, 1, 1]);

    let deconvolution = "layer { name: 'up' type: 'Deconvolution' bottom: 'x' top: 'y'
        convolution_param { num_output: 6 kernel_size: 2 group: 2 } }";
    let layers: &[(&str, &[&[usize]])] = &[("up", &[&[4, 3, 2, 2], &[6]])];
    assert_eq!(assert_round_trip(deconvolution, layers, DENSE).get("up/W").unwrap().shape(), [4, 6, 2, 2]);
    assert_round_trip(deconvolution, layers, Options::default());
}

#[test]
fn a_dense_array_with_values_between_its_groups_is_refused() {
    let definition =
        "layer { name: 'data' type: 'Input' top: 'x' input_param { shape { dim: [1, 2, 5, 5] } } }"
            .to_owned()
            + GROUPS;
    let trained = weights(&[("conv/W", &[4, 2, 1, 1], &[1.0, 0.5, 2.0, 0.0, 0.0, 3.0, -0.75, 4.0])]);
    assert_eq!(
        refusal(&definition, &trained),
        "layer `conv` (Convolution): `conv/W` is dense, and 2 of its values between the 2 groups are not zero, the \
         largest 7.5e-1: it has no grouped form"
    );
}

#[test]
fn depthwise_weights_come_in_three_layouts() {
    let definition = "layer { name: 'dw' type: 'Convolution' bottom: 'x' top: 'y'
        convolution_param { num_output: 4 kernel_size: 1 group: 2 bias_term: false } }";
    let grouped = weights(&[("dw/W", &[4, 1, 1, 1], &[1.0, 2.0, 3.0, 4.0])]);
    let dense = weights(&[("dw/W", &[4, 2, 1, 1], &[1.0, 0.0, 2.0, 0.0, 0.0, 3.0, 0.0, 4.0])]);
    let chainers = weights(&[("dw/W", &[2, 2, 1, 1], &[1.0, 3.0, 2.0, 4.0])]);
    for weights in [grouped, dense, chainers] {
        let (model, _) = to_blobs(&net(definition), &weights).unwrap();
        assert_eq!(blobs(&model), [(vec![4, 1, 1, 1], vec![1.0, 2.0, 3.0, 4.0])]);
    }
    let fork = "layer { name: 'dw' type: 'DepthwiseConvolution' bottom: 'x' top: 'y'
        convolution_param { num_output: 4 kernel_size: 3 } }";
    assert_round_trip(fork, &[("dw", &[&[4, 1, 3, 3], &[4]])], Options::default());
    assert_round_trip(fork, &[("dw", &[&[4, 1, 3, 3], &[4]])], DENSE);
}

#[test]
fn transposed_inner_products_are_turned() {
    let definition = "layer { name: 'fc' type: 'InnerProduct' bottom: 'x' top: 'y'
        inner_product_param { num_output: 2 transpose: true } }";
    let turned = assert_round_trip(definition, &[("fc", &[&[3, 2], &[2]])], Options::default());
    assert_eq!(turned.get("fc/W").unwrap().shape(), [2, 3]);
    assert_eq!(values(&turned, "fc/W"), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
}

#[test]
fn leading_ones_of_old_files_are_taken_off() {
    let definition = "layer { name: 'fc' type: 'InnerProduct' bottom: 'x' top: 'y'
        inner_product_param { num_output: 2 } }";
    let old = model(&[("fc", &[&[1, 1, 2, 3], &[1, 1, 1, 2]])]);
    let (weights, _) = to_links(&net(definition), &old, Options::default()).unwrap();
    assert_eq!(weights.get("fc/W").unwrap().shape(), [2, 3]);
    assert_eq!(weights.get("fc/b").unwrap().shape(), [2]);
    let turned = model(&[("fc", &[&[2, 3, 1, 1], &[2]])]);
    let error = to_links(&net(definition), &turned, Options::default()).unwrap_err().to_string();
    assert_eq!(error, "layer `fc` (InnerProduct): weight blob has shape 2×3×1×1, needs 2×any");
}

const NORMALIZED: &str = "
    layer { name: 'bn' type: 'BatchNorm' bottom: 'x' top: 'x' }
    layer { name: 'sc' type: 'Scale' bottom: 'x' top: 'x' scale_param { bias_term: true } }
    layer { name: 'relu' type: 'ReLU' bottom: 'x' top: 'x' }
    layer { name: 'alone' type: 'BatchNorm' bottom: 'x' top: 'z' batch_norm_param { eps: 0.001 } }";

#[test]
fn batch_normalization_is_folded_where_its_scale_follows() {
    let layers: &[(&str, &[&[usize]])] =
        &[("bn", &[&[2], &[2], &[1]]), ("sc", &[&[2], &[2]]), ("alone", &[&[2], &[2], &[1]])];
    let (definition, model) = (net(NORMALIZED), model(layers));
    let (folded, notes) = to_links(&definition, &model, FOLDED).unwrap();
    let names = folded.iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(
        names,
        [
            "bn/avg_mean",
            "bn/avg_var",
            "bn/N",
            "bn/gamma",
            "bn/beta",
            "alone/avg_mean",
            "alone/avg_var",
            "alone/N"
        ]
    );
    let notes = notes.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(notes.iter().any(|note| note.contains("not folded") && note.contains("`alone`")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("give 0.001 for `alone`")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("give 1e-5 for `bn`")), "{notes:?}");

    // Back: sums again, by a power of two, so that dividing them gives the same averages.
    let (back, _) = to_blobs(&definition, &folded).unwrap();
    assert_eq!(back.layers[0].blobs[2].to_vec().unwrap(), [1024.0]);
    assert_eq!(back.layers[0].blobs[0].to_vec().unwrap(), [1024.0, 2048.0]);
    assert_eq!(back.layers[1].blobs[1].to_vec().unwrap(), [1.0, 2.0]);
    let (again, _) = to_links(&definition, &back, FOLDED).unwrap();
    for (name, tensor) in folded.iter() {
        assert_eq!(again.get(name).unwrap().to_f32().unwrap(), tensor.to_f32().unwrap());
    }
}

#[test]
fn every_layer_with_parameters_has_names() {
    let definition = "
        layer { name: 'prelu' type: 'PReLU' bottom: 'x' top: 'x' }
        layer { name: 'norm' type: 'Normalize' bottom: 'x' top: 'n' norm_param { channel_shared: false } }
        layer { name: 'embed' type: 'Embed' bottom: 'i' top: 'e' embed_param { num_output: 2 input_dim: 5 } }
        layer { name: 'bias' type: 'Bias' bottom: 'x' top: 'x' }
        layer { name: 'two' type: 'Scale' bottom: 'x' bottom: 'n' top: 't' scale_param { bias_term: true } }
        layer { name: 'lstm' type: 'LSTM' bottom: 't' bottom: 'c' bottom: 's' top: 'l'
            recurrent_param { num_output: 1 } }
        layer { name: 'rnn' type: 'RNN' bottom: 't' bottom: 'c' top: 'r' recurrent_param { num_output: 1 } }
        layer { name: 'odd' type: 'Python' bottom: 'x' top: 'o' }";
    let layers: &[(&str, &[&[usize]])] = &[
        ("prelu", &[&[3]]),
        ("norm", &[&[3]]),
        ("embed", &[&[5, 2], &[2]]),
        ("bias", &[&[3]]),
        ("two", &[&[3]]),
        ("lstm", &[&[4, 2], &[4], &[4, 3], &[4, 1]]),
        ("rnn", &[&[1, 2], &[1], &[1, 1], &[1, 1], &[1]]),
        ("odd", &[&[2, 2], &[7]]),
    ];
    let weights = assert_round_trip(definition, layers, Options::default());
    let names = weights.iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(
        names,
        [
            "prelu/W",
            "norm/scale",
            "embed/W",
            "embed/b",
            "bias/b",
            "two/bias/b",
            "lstm/W_xc",
            "lstm/b_c",
            "lstm/W_xc_static",
            "lstm/W_hc",
            "rnn/W_xh",
            "rnn/b_h",
            "rnn/W_hh",
            "rnn/W_ho",
            "rnn/b_o",
            "odd/blob0",
            "odd/blob1"
        ]
    );
}

#[test]
fn shapes_and_counts_that_do_not_fit_are_named() {
    let definition = "
        layer { name: 'data' type: 'Input' top: 'x' input_param { shape { dim: [1, 96, 27, 27] } } }
        layer { name: 'conv2' type: 'Convolution' bottom: 'x' top: 'y'
            convolution_param { num_output: 256 kernel_size: 5 GROUP } }";
    let says = |group: &str, shape: &[usize]| {
        let definition = net(&definition.replace("GROUP", group));
        let layers: &[(&str, &[&[usize]])] = &[("conv2", &[shape, &[256]])];
        to_links(&definition, &model(layers), Options::default()).unwrap_err().to_string()
    };
    assert_eq!(
        says("", &[256, 48, 5, 5]),
        "layer `conv2` (Convolution): weight blob holds 307200 values, shape 256×96×5×5 needs 614400 (is `group: 2` \
         missing in the definition?)"
    );
    assert_eq!(
        says("group: 2", &[256, 96, 5, 5]),
        "layer `conv2` (Convolution): weight blob holds 614400 values, shape 256×48×5×5 needs 307200 (is `group: 2` \
         too much in the definition?)"
    );
    let one = model(&[("conv2", &[&[256, 96, 5, 5]])]);
    let error =
        to_links(&net(&definition.replace("GROUP", "")), &one, Options::default()).unwrap_err().to_string();
    assert!(
        error
            .starts_with("layer `conv2` (Convolution): the file holds 1 blob for it, its definition needs 2"),
        "{error}"
    );
}

#[test]
fn tensors_without_a_layer_and_layers_without_a_tensor_are_named() {
    let definition = "layer { name: 'fc' type: 'InnerProduct' bottom: 'x' top: 'y'
        inner_product_param { num_output: 1 } }";
    let w: (&str, &[usize], &[f32]) = ("fc/W", &[1, 2], &[1.0, 2.0]);
    let b: (&str, &[usize], &[f32]) = ("fc/b", &[1], &[1.0]);
    assert_eq!(
        refusal(definition, &weights(&[w, b, ("fc/gamma", &[1], &[0.0])])),
        "1 of the tensors has no place in the layer of its name of the definition: `fc/gamma` (is its type or its \
         bias_term another?)"
    );
    let (_, notes) = to_blobs(&net(definition), &weights(&[w, b, ("fc9/W", &[1], &[0.0])])).unwrap();
    assert_eq!(notes[0].to_string(), "left out, as the definition does not have their layers: `fc9/W`");
    let missing = refusal(definition, &weights(&[w]));
    assert!(
        missing.starts_with("layer `fc` (InnerProduct): its bias is missing: no tensor is named `fc/b`"),
        "{missing}"
    );
    assert_eq!(
        refusal(definition, &weights(&[("fc/W", &[2, 1], &[1.0, 2.0]), b])),
        "layer `fc` (InnerProduct): weight `fc/W` has shape 2×1, needs 1×any"
    );
}
