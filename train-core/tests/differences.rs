//! Gradients against central differences: of what the packaged Caffe lacks or computes wrongly, and of how layers meet.

mod support;

use caffe_proto::proto::{NetState, Phase};
use caffe_proto::{Storage, text};
use kernels::CpuBackend;
use train_core::{Network, Trainee, TrainingOptions};

/// Relative to the largest value of a gradient.
const TOLERANCE: f64 = 1e-3;
const STEP: f32 = 4e-3;

/// Each is checked in the phase TRAIN, with noise in its inputs and parameters, and noise for the gradient of `y`.
macro_rules! differences {
    ($($test:ident: [$($shape:expr),*] $layers:expr;)*) => {
        $(#[test]
        fn $test() {
            check(&[$(&$shape),*], $layers);
        })*
    };
}

differences! {
    batch_norm: [[4, 3, 5, 2]] r#"layer{name:"l" type:"BatchNorm" bottom:"a" top:"y"}"#;
    batch_norm_of_vectors: [[6, 3]] r#"layer{name:"l" type:"BatchNorm" bottom:"a" top:"y" batch_norm_param{eps:0.1}}"#;
    batch_norm_with_scale: [[4, 3, 2, 2]] r#"
        layer{name:"l" type:"BatchNorm" bottom:"a" top:"y" batch_norm_param{scale_bias:true}}"#;
    batch_norm_stored_with_scale: [[4, 3, 2, 2]] r#"
        layer{name:"l" type:"BatchNorm" bottom:"a" top:"y" batch_norm_param{scale_bias:true use_global_stats:true}}"#;
    batch_norm_then_scale: [[4, 3, 2, 2]] r#"
        layer{name:"c" type:"Convolution" bottom:"a" top:"c" convolution_param{num_output:4 kernel_size:1}}
        layer{name:"l" type:"BatchNorm" bottom:"c" top:"c"}
        layer{name:"s" type:"Scale" bottom:"c" top:"c" scale_param{bias_term:true}}
        layer{name:"t" type:"TanH" bottom:"c" top:"y"}"#;
    depthwise_convolution: [[2, 4, 5, 4]] r#"layer{name:"l" type:"DepthwiseConvolution" bottom:"a" top:"y"
        convolution_param{num_output:4 kernel_size:3 stride:2 pad:1}}"#;
    clip: [[2, 9]] r#"layer{name:"l" type:"Clip" bottom:"a" top:"y" clip_param{min:-0.5 max:0.75}}"#;
    relu6: [[2, 9]] r#"
        layer{name:"p" type:"Power" bottom:"a" top:"p" power_param{scale:5}}
        layer{name:"l" type:"ReLU6" bottom:"p" top:"y"}"#;
    shuffle_channel: [[2, 6, 2, 2]] r#"layer{name:"l" type:"ShuffleChannel" bottom:"a" top:"y" shuffle_channel_param{group:3}}"#;
    normalize: [[2, 3, 2, 3]] r#"layer{name:"l" type:"Normalize" bottom:"a" top:"y" norm_param{across_spatial:false}}"#;
    normalize_across: [[2, 3, 2, 3]] r#"layer{name:"l" type:"Normalize" bottom:"a" top:"y"}"#;
    normalize_by_channel: [[2, 3, 2, 3]] r#"
        layer{name:"l" type:"Normalize" bottom:"a" top:"y" norm_param{across_spatial:false channel_shared:false}}"#;
    interp: [[2, 2, 3, 4]] r#"layer{name:"l" type:"Interp" bottom:"a" top:"y" interp_param{height:7 width:5}}"#;
    interp_of_a_part: [[2, 2, 5, 6]] r#"
        layer{name:"l" type:"Interp" bottom:"a" top:"y" interp_param{height:7 width:5 pad_beg:-1 pad_end:-1}}"#;
    upsample: [[2, 2, 3, 2]] r#"layer{name:"l" type:"Upsample" bottom:"a" top:"y" upsample_param{scale:2}}"#;
    upsample_by_a_mask: [[2, 2, 4, 4]] r#"
        layer{name:"p" type:"Pooling" bottom:"a" top:"p" top:"m" pooling_param{kernel_size:2 stride:2}}
        layer{name:"q" type:"Power" bottom:"p" top:"q" power_param{scale:-2}}
        layer{name:"l" type:"Upsample" bottom:"q" bottom:"m" top:"y" upsample_param{scale:2}}"#;
    dropout: [[4, 9]] r#"layer{name:"l" type:"Dropout" bottom:"a" top:"y" dropout_param{dropout_ratio:0.4}}"#;
    // By this name no draw is so near to another element that the step changes it.
    stochastic_pooling: [[2, 2, 4, 4]] r#"
        layer{name:"p" type:"Exp" bottom:"a" top:"p"}
        layer{name:"draw" type:"Pooling" bottom:"p" top:"y" pooling_param{pool:STOCHASTIC kernel_size:3 stride:2}}"#;
    eltwise_quotient: [[2, 5], [2, 5], [2, 5]] r#"layer{name:"l" type:"Eltwise" bottom:"a" bottom:"b" bottom:"c" top:"y"
        eltwise_param{operation:PROD stable_prod_grad:false}}"#;
    smooth_l1_loss: [[3, 4], [3, 4]] r#"
        layer{name:"l" type:"SmoothL1Loss" bottom:"a" bottom:"b" top:"y" smooth_l1_loss_param{sigma:1.5}}"#;
    smooth_l1_loss_with_weights: [[3, 4], [3, 4], [3, 4], [3, 4]] r#"layer{name:"c" type:"Silence" bottom:"c"}
        layer{name:"l" type:"SmoothL1Loss" bottom:"a" bottom:"b" bottom:"c" bottom:"d" top:"y"}"#;
    a_value_for_several: [[2, 5]] r#"
        layer{name:"t" type:"TanH" bottom:"a" top:"t"}
        layer{name:"f" type:"InnerProduct" bottom:"t" top:"f" inner_product_param{num_output:5}}
        layer{name:"p" type:"Power" bottom:"t" top:"p" power_param{power:2}}
        layer{name:"r" type:"Reshape" bottom:"t" top:"r" reshape_param{shape{dim:0 dim:-1}}}
        layer{name:"y" type:"Eltwise" bottom:"f" bottom:"p" bottom:"r" bottom:"t" top:"y" eltwise_param{coeff:1 coeff:2 coeff:3 coeff:-1}}"#;
    a_parameter_for_several: [[2, 4]] r#"
        layer{name:"f" type:"InnerProduct" bottom:"a" top:"f" param{name:"w"} param{name:"b"} inner_product_param{num_output:4}}
        layer{name:"t" type:"TanH" bottom:"f" top:"f"}
        layer{name:"g" type:"InnerProduct" bottom:"f" top:"y" param{name:"w"} param{name:"b"} inner_product_param{num_output:4}}"#;
    convolution_of_several: [[1, 2, 4, 4], [1, 2, 4, 4]] r#"
        layer{name:"f" type:"Convolution" bottom:"a" bottom:"b" top:"f" top:"g" convolution_param{num_output:3 kernel_size:3}}
        layer{name:"y" type:"Eltwise" bottom:"f" bottom:"g" top:"y" eltwise_param{operation:PROD}}"#;
    lstm_with_states: [[3, 2, 4], [1, 2, 3], [1, 2, 3]] r#"
        layer{name:"m" type:"DummyData" top:"m"
            dummy_data_param{shape{dim:3 dim:2} data_filler{type:"constant" value:1}}}
        layer{name:"l" type:"LSTM" bottom:"a" bottom:"m" bottom:"b" bottom:"c" top:"y" top:"h" top:"s"
            recurrent_param{num_output:3 expose_hidden:true}}
        layer{name:"p" type:"Power" bottom:"h" top:"p" power_param{power:2} loss_weight:1}
        layer{name:"q" type:"Power" bottom:"s" top:"q" power_param{power:2} loss_weight:1}"#;
    rnn_with_a_state: [[3, 2, 4], [1, 2, 3]] r#"
        layer{name:"m" type:"DummyData" top:"m"
            dummy_data_param{shape{dim:3 dim:2} data_filler{type:"constant" value:1}}}
        layer{name:"l" type:"RNN" bottom:"a" bottom:"m" bottom:"b" top:"y" top:"h"
            recurrent_param{num_output:3 expose_hidden:true}}
        layer{name:"p" type:"Power" bottom:"h" top:"p" power_param{power:2} loss_weight:1}"#;
    a_loss_in_two_parts: [[3, 4], [3, 4]] r#"
        layer{name:"f" type:"InnerProduct" bottom:"a" top:"f" inner_product_param{num_output:4}}
        layer{name:"n" type:"Reduction" bottom:"f" top:"n" reduction_param{operation:SUMSQ} loss_weight:0.25}
        layer{name:"l" type:"EuclideanLoss" bottom:"f" bottom:"b" top:"l" loss_weight:2}
        layer{name:"y" type:"Sigmoid" bottom:"f" top:"y"}"#;
}

/// BatchNorm's statistics after passes, by batch_norm_layer.cpp's formula in f64; held when the layer is frozen.
#[test]
fn statistics_are_gathered_as_caffe_does() {
    let net = r#"layer{name:"in" type:"Input" top:"a" input_param{shape{dim:3 dim:2 dim:2 dim:1}}}
        layer{name:"l" type:"BatchNorm" bottom:"a" top:"y" batch_norm_param{moving_average_fraction:0.9}}
        layer{name:"f" type:"InnerProduct" bottom:"y" top:"f" loss_weight:1 inner_product_param{num_output:1}}"#;
    let cpu = CpuBackend::new(1).unwrap();
    let network = network(net);
    let mut trainee = network.trainee(&cpu, &TrainingOptions::default()).unwrap();
    let mut random = Noise(7);
    let mut expected = [[0.0_f64; 2]; 3];
    for _ in 0..5 {
        let values = random.values(12);
        trainee.set_input("a", &values).unwrap();
        trainee.forward().unwrap();
        trainee.backward().unwrap();
        let [means, variances, sums] = &mut expected;
        for (channel, (gathered_mean, gathered_variance)) in means.iter_mut().zip(variances).enumerate() {
            let of_channel = (0..12).filter(|at| at / 2 % 2 == channel).map(|at| f64::from(values[at]));
            let mean = of_channel.clone().sum::<f64>() / 6.0;
            let variance = of_channel.map(|value| (value - mean).powi(2)).sum::<f64>() / 6.0;
            *gathered_mean = *gathered_mean * 0.9 + mean;
            *gathered_variance = *gathered_variance * 0.9 + variance * 6.0 / 5.0;
        }
        sums[0] = sums[0] * 0.9 + 1.0;
    }
    let blobs = |trainee: &Trainee<'_>| -> Vec<Vec<f32>> {
        let model = trainee.to_model().unwrap();
        let layer = model.layers.iter().find(|layer| layer.name == "l").unwrap();
        layer.blobs.iter().map(|blob| blob.to_vec().unwrap()).collect()
    };
    let found = blobs(&trainee);
    for (found, expected) in found.iter().zip(expected) {
        for (&found, expected) in found.iter().zip(expected) {
            assert!((f64::from(found) - expected).abs() < 1e-5, "{found} for {expected}");
        }
    }
    trainee.freeze(&["l"]).unwrap();
    trainee.set_input("a", &random.values(12)).unwrap();
    trainee.forward().unwrap();
    trainee.backward().unwrap();
    assert_eq!(blobs(&trainee), found);
}

/// What is in a gradient's way is refused with all names; what is beside it is not.
#[test]
fn layers_without_a_gradient_are_named() {
    let head = r#"layer{name:"in" type:"Input" top:"a" top:"b" input_param{shape{dim:2 dim:3} shape{dim:2}}}
        layer{name:"f" type:"InnerProduct" bottom:"a" top:"f" inner_product_param{num_output:3}}
        layer{name:"loss" type:"SoftmaxWithLoss" bottom:"f" bottom:"b" top:"loss"}
        layer{name:"accuracy" type:"Accuracy" bottom:"f" bottom:"b" top:"accuracy"}
        layer{name:"best" type:"ArgMax" bottom:"f" top:"best"}
        layer{name:"step" type:"Threshold" bottom:"f" top:"step"}"#;
    let cpu = CpuBackend::new(1).unwrap();
    assert!(network(head).trainee(&cpu, &TrainingOptions::default()).is_ok());
    let tail = r#"layer{name:"one" type:"Reduction" bottom:"best" top:"one" loss_weight:1}
        layer{name:"two" type:"Reduction" bottom:"step" top:"two" loss_weight:1}"#;
    let through = network(&format!("{head}\n{tail}"));
    let error = through.trainee(&cpu, &TrainingOptions::default()).err().unwrap().to_string();
    assert!(error.contains("`best` (ArgMax") && error.contains("`step` (Threshold"), "{error}");
    assert!(!error.contains("accuracy"), "{error}");
    let frozen = TrainingOptions { frozen: vec!["f".to_owned()], ..TrainingOptions::default() };
    assert!(through.trainee(&cpu, &frozen).is_ok());
    let without = head.replace("SoftmaxWithLoss\" bottom:\"f\" bottom:\"b\"", "Softmax\" bottom:\"f\"");
    let error = network(&without).trainee(&cpu, &TrainingOptions::default()).err().unwrap().to_string();
    assert!(error.contains("no loss"), "{error}");
}

/// Nothing is computed below the lowest layer that learns, nor past `propagate_down: false`.
#[test]
fn backward_stops_where_nothing_below_learns() {
    let net = r#"layer{name:"in" type:"Input" top:"a" input_param{shape{dim:2 dim:3}}}
        layer{name:"f" type:"InnerProduct" bottom:"a" top:"f" inner_product_param{num_output:3}}
        layer{name:"t" type:"TanH" bottom:"f" top:"t"}
        layer{name:"g" type:"InnerProduct" bottom:"t" top:"g" inner_product_param{num_output:3}}
        layer{name:"s" type:"Sigmoid" bottom:"g" top:"s"}
        layer{name:"h" type:"InnerProduct" bottom:"s" top:"h" loss_weight:1 inner_product_param{num_output:1}}"#;
    let cpu = CpuBackend::new(1).unwrap();
    let count = |net: &str, frozen: &[&str]| {
        let frozen = frozen.iter().map(|&name| name.to_owned()).collect();
        let options = TrainingOptions { frozen, ..TrainingOptions::default() };
        network(net).trainee(&cpu, &options).unwrap().backward_step_count()
    };
    assert_eq!(count(net, &[]), 5);
    assert_eq!(count(net, &["f"]), 3);
    assert_eq!(count(net, &["f", "g"]), 1);
    assert_eq!(count(net, &["g"]), 5);
    assert_eq!(count(net, &["f", "g", "h"]), 0);
    assert_eq!(count(&net.replace("bottom:\"g\" top", "bottom:\"g\" propagate_down:false top"), &[]), 1);
    let by_rate = net.replace("top:\"f\" inner", "top:\"f\" param{lr_mult:0} param{lr_mult:0} inner");
    assert_eq!(count(&by_rate, &[]), 3);
    assert_eq!(count(&format!("force_backward:true\n{by_rate}"), &["g", "h"]), 5);
}

fn check(shapes: &[&[usize]], layers: &str) {
    let names = ["a", "b", "c", "d"];
    let mut net = "force_backward:true\nlayer{name:\"in\" type:\"Input\"".to_owned();
    for name in &names[..shapes.len()] {
        net.extend([" top:\"", name, "\""]);
    }
    net += " input_param{";
    for shape in shapes {
        let dims: Vec<String> = shape.iter().map(|extent| format!("dim:{extent}")).collect();
        net.extend(["shape{", &dims.join(" "), "}"]);
    }
    let network = network(&format!("{net}}}}}\n{layers}"));
    let cpu = CpuBackend::new(1).unwrap();
    let options = TrainingOptions { given: vec!["y".to_owned()], ..TrainingOptions::default() };
    let mut trainee =
        network.trainee(&cpu, &options).unwrap_or_else(|error| panic!("{}", support::chain(&error)));
    let mut random = Noise(shapes[0].len() as u64 + layers.len() as u64);
    let mut inputs: Vec<Vec<f32>> =
        shapes.iter().map(|shape| random.values(shape.iter().product())).collect();
    let is_statistic = |layer: &str, name: &str| {
        !name.ends_with("blob3") && !name.ends_with("blob4") && layers.contains("BatchNorm") && layer == "l"
    };
    let infos = trainee.infos().to_vec();
    for (view, info) in trainee.params().into_iter().zip(&infos) {
        view.value.copy_from_slice(&random.values(info.count()));
        if is_statistic(&info.layer, &info.name) {
            view.value.iter_mut().for_each(|value| *value = value.abs() + 0.5);
        }
    }
    let outputs = trainee.blob("y").unwrap().1.len();
    let seed = random.values(outputs);
    let run = |trainee: &mut Trainee<'_>, inputs: &[Vec<f32>]| {
        trainee.set_passes(0);
        for (name, values) in names.iter().zip(inputs) {
            trainee.set_input(name, values).unwrap();
        }
        trainee.forward().unwrap();
        let y = trainee.blob("y").unwrap().1;
        let own_loss = trainee.loss().unwrap();
        let is_loss = layers.contains("SmoothL1Loss");
        let given: f64 = y.iter().zip(&seed).map(|(&y, &seed)| f64::from(y) * f64::from(seed)).sum();
        if is_loss { own_loss } else { own_loss + given }
    };
    run(&mut trainee, &inputs);
    trainee.set_gradient("y", &seed).unwrap();
    // Nothing of what there was may be left.
    trainee.params().into_iter().filter_map(|view| view.grad).for_each(|grad| grad.fill(f32::NAN));
    trainee.clear_gradients();
    trainee.backward().unwrap();
    let mut compared = 0;
    for place in 0..inputs.len() {
        let Some(found) = trainee.input_gradient(names[place]).unwrap() else { continue };
        let expected = (0..found.len()).map(|at| {
            let own = inputs[place][at];
            inputs[place][at] = own + STEP;
            let above = run(&mut trainee, &inputs);
            inputs[place][at] = own - STEP;
            let below = run(&mut trainee, &inputs);
            inputs[place][at] = own;
            ((above - below) / f64::from(2.0 * STEP)) as f32
        });
        let expected: Vec<f32> = expected.collect();
        compare(names[place], &found, &expected);
        compared += 1;
    }
    for (index, info) in infos.iter().enumerate() {
        let Some(found) = trainee.params()[index].grad.as_deref().map(<[f32]>::to_vec) else { continue };
        let expected = (0..found.len()).map(|at| {
            let own = trainee.params()[index].value[at];
            trainee.params()[index].value[at] = own + STEP;
            let above = run(&mut trainee, &inputs);
            trainee.params()[index].value[at] = own - STEP;
            let below = run(&mut trainee, &inputs);
            trainee.params()[index].value[at] = own;
            ((above - below) / f64::from(2.0 * STEP)) as f32
        });
        let expected: Vec<f32> = expected.collect();
        compare(&info.name, &found, &expected);
        compared += 1;
    }
    assert!(compared > 0);
}

fn compare(name: &str, found: &[f32], expected: &[f32]) {
    let difference = support::difference(found, expected);
    println!("{name}: {difference:.1e}");
    // Nothing but rounding: of a bias that a normalization takes off again.
    let is_nothing =
        found.iter().all(|value| value.abs() < 1e-5) && expected.iter().all(|value| value.abs() < 1e-3);
    assert!(
        is_nothing || difference < TOLERANCE,
        "`{name}`: {difference:.2e}\nfound    {found:?}\nexpected {expected:?}"
    );
}

fn network(net: &str) -> Network {
    let text = Storage::from_vec("net", net.as_bytes().to_vec());
    let (definition, _) = text::parse_net(&text, text::Options::default()).unwrap();
    let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
    Network::new(definition, &state).unwrap_or_else(|error| panic!("{}", support::chain(&error)))
}

/// Numbers between −1.5 and 1.5.
struct Noise(u64);

impl Noise {
    fn values(&mut self, count: usize) -> Vec<f32> {
        let mut next = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.0 >> 40) as f32 / (1 << 24) as f32 - 0.5) * 3.0
        };
        (0..count).map(|_| next()).collect()
    }
}
