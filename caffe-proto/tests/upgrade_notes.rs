//! What the upgrade says of what it drops and refuses, word for word.

use std::path::Path;

use caffe_proto::proto::{NetParameter, V1LayerParameter};
use caffe_proto::solver::read_solver;
use caffe_proto::text::{Options, parse_net};
use caffe_proto::{Blob, Error, Model, Payload, Storage, upgrade};

fn read(text: &str) -> Result<Model, Error> {
    let text = Storage::from_vec("net.prototxt", text.into());
    let (net, _) = parse_net(&text, Options::default()).unwrap();
    upgrade(text.path(), net, Vec::new())
}

fn notes(text: &str) -> Vec<String> {
    read(text).unwrap().notes
}

fn error(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn v0_fields_on_the_wrong_layers_are_named() {
    let text = r#"layers { layer { name: "r" type: "relu" num_output: 3 biasterm: true new_num: 1 scale: 0.5 } top: "t" }"#;
    let expected = "layer `r` (relu): `num_output`, `biasterm`, `new_num` mean nothing to this type: dropped; \
                    real Caffe drops them too";
    assert_eq!(notes(text), [expected]);
}

#[test]
fn what_a_v0_net_loses_is_named() {
    let text = r#"
        debug_info: true state { phase: TRAIN }
        layers { layer { name: "pad" type: "padding" pad: 1 } top: "p" }
        layers { layer { name: "a" type: "relu" } top: "a" loss_weight: 1 }
        layers { name: "b" type: TANH bottom: "a" top: "b" }
    "#;
    let expected = [
        "the net: `state`, `debug_info` dropped, which a V0 net cannot have; real Caffe drops it too",
        "layer `pad` (padding): dropped, as no layer reads it",
        "layer `a` (relu): `loss_weight` beside `layer { }` are V1's, in a V0 net: dropped; real Caffe drops them too",
        "layer `b`: `name`, `type` beside `layer { }` are V1's, in a V0 net: dropped; real Caffe drops them too",
    ];
    assert_eq!(notes(text), expected);
}

#[test]
fn v1_fields_without_a_place_are_named() {
    let layer = V1LayerParameter {
        name: Some("x".to_owned()),
        r#type: Some(77),
        insanity_param: Some(Box::default()),
        ..V1LayerParameter::default()
    };
    let net = NetParameter { layers: vec![layer], ..NetParameter::default() };
    let model = upgrade(Path::new("x.caffemodel"), net, Vec::new()).unwrap();
    let expected = [
        "layer `x` (V1 type 77): V1's types do not include this number; it is kept as the type's name",
        "layer `x` (V1 type 77): `insanity_param` have no place in today's form: dropped",
    ];
    assert_eq!(model.notes, expected);
}

#[test]
fn inputs_that_go_are_named() {
    assert_eq!(
        notes(r#"input: "a" input: "b" layer { name: "r" }"#),
        ["the net: its inputs `a`, `b` have no dimensions and are dropped"]
    );
    assert_eq!(
        notes(r#"input: "a" input_dim: [1, 2, 3, 4, 5]"#),
        ["the net: 1 `input_dim` too many are dropped"]
    );
    assert_eq!(
        notes(r#"input: "a" input_shape { dim: 1 } input_shape { dim: 2 } input_dim: 1"#),
        [
            "the net: 1 `input_shape` too many are dropped",
            "the net: `input_dim` is dropped, since `input_shape` says the same"
        ]
    );
}

#[test]
fn what_is_refused_is_said_why() {
    let cases = [
        (
            r#"layers { name: "a" } layer { name: "b" }"#,
            "net.prototxt: the net has layers of both forms, `layers` and `layer`: rewrite those in `layers`, such as \
             `layers { type: RELU }`, as `layer { type: \"ReLU\" }`",
        ),
        (
            r#"layers { layer { name: "a" type: "ReLU" } }"#,
            "layer `a` (ReLU): V0 nets have no such type; their types are written in small letters, such as `conv`",
        ),
        (
            r#"layers { layer { name: "a" type: "relu" } bottom: "x" }"#,
            "layer `a` (relu): its bottom `x` is made by no layer in front of it",
        ),
        (
            r#"input: "x" layers { layer { name: "p" type: "padding" } bottom: "x" top: "p" } layers { layer { name: "a" type: "relu" } bottom: "p" }"#,
            "layer `a` (relu): a `padding` layer can only be read by `conv` and `pool` layers; it reads `p`",
        ),
        (
            r#"input: "a" input: "b" input_dim: [1, 2, 3, 4]"#,
            "net.prototxt: 2 `input` need 8 `input_dim`, four each, but there are 4",
        ),
        (
            r#"input: "a" input: "b" input_shape { }"#,
            "net.prototxt: 2 `input` need as many `input_shape`, but there are 1",
        ),
        (
            r#"layer { name: "a" type: "Bias" blobs { data: 1 } blobs { shape { dim: [2, 2] } data: [1, 2, 3] } }"#,
            "layer `a` (Bias): blob 1 holds 3 values, its shape [2, 2] needs 4",
        ),
        (
            r#"layer { name: "a" type: "Bias" blobs { shape { dim: [4294967296, 4294967296] } } }"#,
            "layer `a` (Bias): blob 0 holds 0 values, its shape [4294967296, 4294967296] needs more than fit any machine",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected);
    }
    let both = Storage::from_vec("solver.prototxt", b"type: 'SGD' solver_type: ADAM".to_vec());
    assert_eq!(
        read_solver(&both, Options::default()).unwrap_err().to_string(),
        "solver.prototxt: the solver has both `type: \"SGD\"` and the old `solver_type`: remove one"
    );
}

#[test]
fn blobs_travel_with_their_layers() {
    let text = r#"
        input: "data" input_dim: [1, 1, 4, 4]
        layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "p" }
        layers { layer { name: "c" type: "conv" blobs { num: 1 channels: 1 height: 1 width: 1 data: 2 diff: 9 } } bottom: "p" top: "c" }
    "#;
    let (net, _) = parse_net(&Storage::from_vec("n", text.into()), Options::default()).unwrap();
    let blob = |value: f32| Blob::new(vec![], Payload::from_f32(&[value]));
    let model = upgrade(Path::new("n"), net, vec![vec![], vec![blob(1.0)]]).unwrap();
    let blobs: Vec<_> = model.layers.iter().map(|layer| (layer.name.as_str(), layer.blobs.len())).collect();
    assert_eq!(blobs, [("input", 0), ("c", 2)]);
    let values: Vec<_> = model.layers[1].blobs.iter().map(|blob| blob.to_vec().unwrap()).collect();
    assert_eq!(values, [[1.0], [2.0]]);
    assert!(model.layers[1].blobs[1].is_legacy());
    assert_eq!(model.notes, ["layer `c` (conv): gradients (`diff`) of its blobs are not kept"]);
}
