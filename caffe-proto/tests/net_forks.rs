//! The layers of the forks, by the rules in their sources; and shapes that are given from outside.

mod net_support;

use std::collections::BTreeMap;

use caffe_proto::net::params::{InterpSize, Rounding};
use caffe_proto::net::{Cost, LayerKind};
use net_support::{error, input, net, shapes};

fn top(bottoms: &[(&str, &[usize])], layer: &str) -> Vec<usize> {
    let prototxt = bottoms.iter().map(|(name, shape)| input(name, shape)).collect::<String>() + layer;
    shapes(&prototxt).unwrap().layers().last().unwrap().tops[0].clone()
}

#[test]
fn depthwise_by_its_three_names() {
    for name in ["DepthwiseConvolution", "ConvolutionDepthwise", "DepthwiseConv"] {
        let layer = |group: &str| {
            input("x", &[1, 8, 9, 9])
                + &format!(
                    "layer {{ name: 'd' type: '{name}' bottom: 'x' top: 'd' convolution_param {{ num_output: 16 kernel_size: 3 stride: 2 {group} }} }}"
                )
        };
        let found = shapes(&layer("")).unwrap();
        assert_eq!(found.blob("d"), Some(&[1, 16, 4, 4][..]));
        assert_eq!(found.layers()[1].params, [vec![16, 1, 3, 3], vec![16]]);
        assert!(shapes(&layer("group: 8")).is_ok());
        assert!(error(&layer("group: 2")).contains("as many groups as channels"));
    }
}

#[test]
fn ssd() {
    let prior = "layer { name: 'p' type: 'PriorBox' bottom: 'map' bottom: 'image' top: 'p'
        prior_box_param { min_size: 30 max_size: 60 aspect_ratio: 2 aspect_ratio: 2 variance: 0.1 } }";
    assert_eq!(top(&[("map", &[1, 8, 3, 5]), ("image", &[1, 3, 300, 300])], prior), [1, 2, 3 * 5 * 4 * 4]);

    let output = "layer { name: 'o' type: 'DetectionOutput' bottom: 'places' bottom: 'scores' bottom: 'priors' top: 'o'
        detection_output_param { num_classes: 2 keep_top_k: 200 } }";
    let prototxt =
        input("places", &[1, 40]) + &input("scores", &[1, 20]) + &input("priors", &[1, 2, 40]) + output;
    let found = shapes(&prototxt).unwrap();
    assert_eq!((found.blob("o"), found.layers()[3].exact), (Some(&[1, 1, 1, 7][..]), false));
    assert!(error(&prototxt.replace("num_classes: 2", "num_classes: 3")).contains("10 priors and 3 classes"));

    let normalize =
        "layer { name: 'n' type: 'Normalize' bottom: 'x' top: 'n' norm_param { channel_shared: false } }";
    let found = shapes(&(input("x", &[2, 5, 4, 4]) + normalize)).unwrap();
    assert_eq!(found.layers()[1].params, [vec![5]]);

    let permute = "layer { name: 'q' type: 'Permute' bottom: 'x' top: 'q' permute_param { order: 0 order: 2 order: 3 } }";
    assert_eq!(top(&[("x", &[2, 5, 3, 4])], permute), [2, 3, 4, 5]);
}

#[test]
fn shuffle_and_resizing() {
    let x: (&str, &[usize]) = ("x", &[1, 6, 5, 7]);
    let shuffle =
        "layer { name: 's' type: 'ShuffleChannel' bottom: 'x' top: 's' shuffle_channel_param { group: 3 } }";
    assert_eq!(top(&[x], shuffle), [1, 6, 5, 7]);
    let interp = |param: &str| {
        format!("layer {{ name: 'i' type: 'Interp' bottom: 'x' top: 'i' interp_param {{ {param} }} }}")
    };
    assert_eq!(top(&[x], &interp("zoom_factor: 8")), [1, 6, 33, 49]);
    assert_eq!(top(&[x], &interp("shrink_factor: 2")), [1, 6, 3, 4]);
    assert_eq!(top(&[x], &interp("height: 10 width: 11 shrink_factor: 2 zoom_factor: 2")), [1, 6, 10, 11]);
    assert_eq!(top(&[x], &interp("height: 10 width: 11 shrink_factor: 2")), [1, 6, 3, 4]);
    assert_eq!(top(&[x], &interp("pad_beg: -1 pad_end: -1 zoom_factor: 2")), [1, 6, 5, 9]);
    assert!(
        error(&(input("x", &[1, 1, 2, 2]) + &interp("pad_beg: -2 zoom_factor: 2"))).contains("leave nothing")
    );
    assert!(error(&(input("x", &[1, 1, 2, 2]) + &interp("height: 3"))).contains("the new size is missing"));

    let upsample = |bottoms: &str, param: &str| {
        format!("layer {{ name: 'u' type: 'Upsample' {bottoms} top: 'u' upsample_param {{ {param} }} }}")
    };
    assert_eq!(top(&[x], &upsample("bottom: 'x'", "scale: 2")), [1, 6, 10, 14]);
    let both = [x, ("mask", x.1)];
    let unpool = |param| top(&both, &upsample("bottom: 'x' bottom: 'mask'", param));
    assert_eq!(unpool(""), [1, 6, 10, 14]);
    assert_eq!(unpool("scale: 2 pad_out_h: true"), [1, 6, 9, 14]);
    assert_eq!(unpool("upsample_h: 11 upsample_w: 15"), [1, 6, 11, 15]);
}

#[test]
fn ceil_mode_and_round_mode() {
    let layer = |param: &str| {
        input("x", &[1, 1, 4, 4])
            + &format!(
                "layer {{ name: 'p' type: 'Pooling' bottom: 'x' top: 'p' pooling_param {{ kernel_size: 3 stride: 2 {param} }} }}"
            )
    };
    let rounding = |param: &str| match &net(&layer(param)).unwrap().layers[1].kind {
        LayerKind::Pooling(p) => p.rounding,
        other => panic!("{other:?}"),
    };
    assert_eq!(rounding(""), Rounding::Ceil);
    assert_eq!(rounding("round_mode: FLOOR"), Rounding::Floor);
    assert_eq!(rounding("ceil_mode: false"), Rounding::Floor);
    assert_eq!(rounding("ceil_mode: true"), Rounding::Ceil);
    assert_eq!(
        error(&layer("ceil_mode: false round_mode: CEIL")),
        "layer `p` (Pooling): `round_mode: CEIL` and `ceil_mode: false` contradict each other: remove one"
    );
}

#[test]
fn interp_reads_its_size() {
    let net = net(&(input("x", &[1, 1, 4, 4])
        + "layer { name: 'i' type: 'Interp' bottom: 'x' top: 'i' interp_param { height: 9 width: 8 } }"))
    .unwrap();
    let LayerKind::Interp(p) = &net.layers[1].kind else { panic!() };
    assert_eq!(p.size, InterpSize::Fixed { height: 9, width: 8 });
}

#[test]
fn unknown_types_stay_and_take_given_shapes() {
    let prototxt = input("x", &[1, 4])
        + "layer { name: 'py' type: 'Python' bottom: 'x' top: 'y' param { lr_mult: 2 } }
           layer { name: 'r' type: 'ReLU' bottom: 'y' top: 'r' }";
    let net = net(&prototxt).unwrap();
    assert_eq!(net.layers[1].kind, LayerKind::Unsupported("Python".to_owned()));
    assert!(net.layers[1].params[0].lr_mult > 1.0);
    assert_eq!(
        error(&prototxt),
        "layer `py` (Python): the type `Python` is not supported, so the shapes of its tops are not known: give them as inputs"
    );
    let found = net.infer_shapes(&BTreeMap::from([("y".to_owned(), vec![1, 9])])).unwrap();
    assert_eq!(found.blob("r"), Some(&[1, 9][..]));
}

#[test]
fn given_shapes_win_and_data_need_them() {
    let conv = "layer { name: 'c' type: 'Convolution' bottom: 'data' top: 'c' convolution_param { num_output: 2 kernel_size: 3 } }";
    let net = net(&(input("data", &[1, 3, 8, 8]) + conv)).unwrap();
    let given = BTreeMap::from([("data".to_owned(), vec![16, 3, 10, 10])]);
    assert_eq!(net.infer_shapes(&given).unwrap().blob("c"), Some(&[16, 2, 8, 8][..]));
    let wrong = BTreeMap::from([("dta".to_owned(), vec![1])]);
    assert_eq!(
        net.infer_shapes(&wrong).unwrap_err().to_string(),
        "layer `dta` (input): shape 1 was given for this input: the net has no such input; it has `data`"
    );
    let made = BTreeMap::from([("c".to_owned(), vec![1])]);
    assert!(net.infer_shapes(&made).unwrap_err().to_string().contains("it is made by layer `c`"));

    let data =
        "layer { name: 'd' type: 'Data' top: 'data' top: 'label' data_param { source: 's' batch_size: 32 } }";
    assert_eq!(
        error(data),
        "layer `d` (Data): the definition does not tell the shape of `data`, its data do: give it as an input"
    );
    let net = net_support::net(data).unwrap();
    assert_eq!(net.infer_shapes(&given).unwrap().blob("label"), Some(&[16][..]));
}

#[test]
fn data_layers_that_tell_their_shapes() {
    let images =
        "layer { name: 'd' type: 'ImageData' top: 'data' top: 'label' transform_param { crop_size: 24 }
        image_data_param { source: 's' batch_size: 5 new_height: 32 new_width: 40 is_color: false } }";
    let found = shapes(images).unwrap();
    assert_eq!((found.blob("data"), found.blob("label")), (Some(&[5, 1, 24, 24][..]), Some(&[5][..])));
    assert!(error(&images.replace("new_width: 40", "")).contains("new_height is 32 and new_width 0"));
    assert!(
        error(&images.replace("crop_size: 24", "mean_file: 'm' mean_value: 1"))
            .contains("both `mean_file: \"m\"`")
    );
    assert!(
        error("layer { name: 'd' type: 'HDF5Data' top: 'd' transform_param {} }").contains("not transformed")
    );
}

#[test]
fn costs() {
    let prototxt = input("x", &[2, 4, 6, 6])
        + "layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'c' convolution_param { num_output: 8 kernel_size: 3 group: 2 } }
           layer { name: 'r' type: 'ReLU' bottom: 'c' top: 'c' }
           layer { name: 'd' type: 'Deconvolution' bottom: 'c' top: 'd' convolution_param { num_output: 2 kernel_size: 2 stride: 2 } }
           layer { name: 'i' type: 'InnerProduct' bottom: 'd' top: 'i' inner_product_param { num_output: 10 } }";
    let net = net(&prototxt).unwrap();
    let costs = net.costs(&net.infer_shapes(&BTreeMap::new()).unwrap());
    let (conv, deconv, product) = (2 * 8 * 16 * 2 * 9, 2 * 8 * 16 * 2 * 4, 2 * 10 * 2 * 64);
    assert_eq!(costs.iter().map(|cost| cost.macs).collect::<Vec<_>>(), [0, conv, 0, deconv, product]);
    assert_eq!(costs[1].activation_bytes, 4 * 2 * 8 * 16);
    assert_eq!(costs[2], Cost::default());

    let lstm = input("x", &[3, 2, 5])
        + &input("marks", &[3, 2])
        + "layer { name: 'l' type: 'LSTM' bottom: 'x' bottom: 'marks' top: 'l' recurrent_param { num_output: 4 } }";
    let net = net_support::net(&lstm).unwrap();
    let costs = net.costs(&net.infer_shapes(&BTreeMap::new()).unwrap());
    assert_eq!(costs[2].macs, 3 * 2 * (16 * 5 + 16 * 4));
}

/// A slope, which one fork's ReLU6 has, is refused, not left out.
#[test]
fn relu6_takes_no_slope() {
    let relu6 = |param: &str| {
        input("x", &[1, 2]) + &format!("layer {{ name: 'l' type: 'ReLU6' bottom: 'x' top: 'y' {param} }}\n")
    };
    assert!(
        error(&relu6("relu6_param { negative_slope: 0.1 }"))
            .contains("`negative_slope: 0.1` is not known here")
    );
    assert_eq!(
        net(&relu6("relu6_param { negative_slope: 0 }")).unwrap().layer("l").unwrap().kind,
        LayerKind::ReLU6
    );
}
