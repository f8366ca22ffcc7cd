//! Nets of many kinds, given heads for other classes: what is kept, made anew and left out.

use std::fs;
use std::path::{Path, PathBuf};

use caffe_proto::proto::{LayerParameter, NetParameter, NetState, ParamSpec, Phase};
use caffe_proto::{Storage, open_definition, text};
use train_core::surgery::{Anatomy, Error, Operated, Replacement, Wish};
use train_core::{Network, TrainingOptions};

fn parse(source: &str) -> NetParameter {
    let text = Storage::from_vec("net", source.as_bytes().to_vec());
    text::parse_net(&text, text::Options::default()).unwrap().0
}

fn operate(source: &str, replace: &[(&str, usize)], classes: usize) -> Result<Operated, Error> {
    let anatomy = Anatomy::of(&parse(source))?;
    let shape = anatomy.input().shape.clone().unwrap_or(vec![3, 8, 8]);
    let replace = replace.iter().map(|&(layer, outputs)| Replacement::new(layer, outputs)).collect();
    let operated =
        anatomy.operate(&Wish { replace, classes, batch_size: 2, ..Wish::for_input(shape) }, &|_| true)?;
    runs(&operated);
    Ok(operated)
}

/// Both nets can be built, in the phases that they are for.
fn runs(operated: &Operated) {
    let backend = kernels::CpuBackend::new(1).unwrap();
    let state = NetState { phase: Some(Phase::Train.into()), ..NetState::default() };
    let network = Network::new(operated.train_val.clone(), &state).unwrap();
    network.trainee(&backend, &TrainingOptions::default()).unwrap();
    let deploy = Network::new(operated.deploy.clone(), &NetState::default()).unwrap();
    deploy.executor(&backend, &train_core::Options::default()).unwrap();
    assert_eq!(deploy.net().outputs.len(), 1, "{:?}", deploy.net().outputs);
}

fn names(net: &NetParameter) -> Vec<&str> {
    net.layer.iter().map(LayerParameter::name).collect()
}

fn layer<'n>(net: &'n NetParameter, name: &str) -> &'n LayerParameter {
    net.layer.iter().find(|layer| layer.name() == name).unwrap()
}

fn input() -> String {
    "name: \"n\" layer { name: \"data\" type: \"Input\" top: \"data\" \
     input_param { shape { dim: 10 dim: 3 dim: 8 dim: 8 } } }\n"
        .to_owned()
}

fn conv(name: &str, bottom: &str, outputs: usize) -> String {
    format!(
        "layer {{ name: \"{name}\" type: \"Convolution\" bottom: \"{bottom}\" top: \"{name}\" \
         convolution_param {{ num_output: {outputs} kernel_size: 1 }} }}\n"
    )
}

fn product(name: &str, bottom: &str, outputs: usize) -> String {
    format!(
        "layer {{ name: \"{name}\" type: \"InnerProduct\" bottom: \"{bottom}\" top: \"{name}\" \
         inner_product_param {{ num_output: {outputs} }} }}\n"
    )
}

fn plain(kind: &str, name: &str, bottoms: &[&str], top: &str, more: &str) -> String {
    let bottoms = bottoms.iter().map(|bottom| format!("bottom: \"{bottom}\"")).collect::<Vec<_>>().join(" ");
    format!("layer {{ name: \"{name}\" type: \"{kind}\" {bottoms}top: \"{top}\" {more} }}\n")
}

#[test]
fn the_scores_may_be_layers_behind_the_head() {
    // As SqueezeNet ends.
    let net = input()
        + &conv("conv1", "data", 4)
        + &plain("Dropout", "drop9", &["conv1"], "conv1", "")
        + &conv("conv10", "conv1", 1000)
        + &plain("ReLU", "relu10", &["conv10"], "conv10", "")
        + &plain(
            "Pooling",
            "pool10",
            &["conv10"],
            "pool10",
            "pooling_param { pool: AVE global_pooling: true }",
        )
        + &plain("Softmax", "prob", &["pool10"], "prob", "");
    let operated = operate(&net, &[("conv10", 5)], 5).unwrap();
    assert_eq!(operated.scores, "pool10");
    assert_eq!(
        names(&operated.train_val),
        ["data", "conv1", "drop9", "conv10", "relu10", "pool10", "loss", "accuracy"]
    );
    assert_eq!(names(&operated.deploy), ["data", "conv1", "drop9", "conv10", "relu10", "pool10", "prob"]);
    let head = layer(&operated.train_val, "conv10");
    let param = head.convolution_param.as_ref().unwrap();
    assert_eq!((param.num_output(), param.weight_filler.as_ref().unwrap().r#type()), (5, "msra"));
    assert_eq!(head.param.iter().map(ParamSpec::lr_mult).collect::<Vec<_>>(), [10.0, 10.0]);
    assert_eq!(operated.replaced[0].old_outputs, 1000);
    // The head's number of outputs is the data's: nothing is to be said.
    assert_eq!(operated.notes, ["left out, as the scores end the net now: `prob` (Softmax)"]);
}

#[test]
fn without_a_wish_the_last_layer_follows_the_classes() {
    let net = input() + &product("fc7", "data", 6) + &product("fc8", "fc7", 10);
    let same = operate(&net, &[], 10).unwrap();
    assert!(same.replaced.is_empty() && same.notes.is_empty());
    let other = operate(&net, &[], 3).unwrap();
    assert_eq!(other.replaced[0].outputs, 3);
    assert_eq!(other.notes, ["`fc8` is replaced, as the data have 3 classes and it has 10 outputs"]);
    // A net without a Softmax is given one.
    assert_eq!(names(&other.deploy), ["data", "fc7", "fc8", "prob"]);
}

#[test]
fn what_follows_a_replaced_layer_begins_anew() {
    let net = input()
        + &conv("conv1", "data", 6)
        + &plain("BatchNorm", "bn1", &["conv1"], "conv1", "")
        + &plain("Scale", "scale1", &["conv1"], "conv1", "")
        + &product("fc8", "conv1", 10)
        + &plain("Softmax", "prob", &["fc8"], "prob", "");
    let operated = operate(&net, &[("conv1", 4)], 10).unwrap();
    assert_eq!(operated.anew, ["conv1", "bn1", "scale1", "fc8"]);
    assert!(
        operated.notes[0].starts_with("made anew too, as the inputs are others now: `bn1`, `scale1`, `fc8`")
    );
}

/// As GoogLeNet's training net: two more classifiers on the way.
fn googlenet() -> String {
    let data = |phase: &str, mirror: bool| {
        format!(
            "layer {{ name: \"data\" type: \"Data\" top: \"data\" top: \"label\" include {{ phase: {phase} }} \
             transform_param {{ mirror: {mirror} crop_size: 8 mean_value: 104 mean_value: 117 mean_value: 123 }} \
             data_param {{ source: \"x\" batch_size: 4 backend: LMDB }} }}\n"
        )
    };
    let loss = |name: &str, bottom: &str, weight: f32| {
        plain("SoftmaxWithLoss", name, &[bottom, "label"], name, &format!("loss_weight: {weight}"))
            + &plain(
                "Accuracy",
                &format!("{name}/top-1"),
                &[bottom, "label"],
                &format!("{name}/top-1"),
                "include { phase: TEST }",
            )
    };
    format!("name: \"g\"\n{}{}", data("TRAIN", true), data("TEST", false))
        + &conv("conv1", "data", 4)
        + &conv("loss1/conv", "conv1", 2)
        + &product("loss1/classifier", "loss1/conv", 1000)
        + &loss("loss1/loss", "loss1/classifier", 0.3)
        + &conv("conv2", "conv1", 4)
        + &product("loss3/classifier", "conv2", 1000)
        + &loss("loss3/loss3", "loss3/classifier", 1.0)
}

#[test]
fn branches_that_are_not_replaced_go() {
    let operated = operate(&googlenet(), &[("loss3/classifier", 3)], 3).unwrap();
    assert_eq!(
        names(&operated.train_val),
        ["data", "conv1", "conv2", "loss3/classifier", "loss3/loss3", "accuracy"]
    );
    assert_eq!(
        operated.notes,
        [
            "data come from --data; left out: `data` (Data)",
            "left out, as the scores end the net now: `loss1/loss` (SoftmaxWithLoss), `loss3/loss3` (SoftmaxWithLoss)",
            "left out, as they lead to no scores that are learned: `loss1/conv` (Convolution), `loss1/classifier` \
             (InnerProduct)",
        ]
    );
}

#[test]
fn branches_that_are_replaced_too_keep_their_weight() {
    let replace = [("loss3/classifier", 3), ("loss1/classifier", 3)];
    let operated = operate(&googlenet(), &replace, 3).unwrap();
    assert_eq!(layer(&operated.train_val, "loss1/loss").loss_weight, [0.3]);
    assert_eq!(layer(&operated.train_val, "loss3/loss3").loss_weight, [0.0_f32; 0]);
    assert_eq!(operated.scores, "loss3/classifier");
    assert!(!names(&operated.deploy).contains(&"loss1/classifier"));
}

#[test]
fn data_layers_tell_how_images_are_read() {
    let anatomy = Anatomy::of(&parse(&googlenet())).unwrap();
    let input = anatomy.input();
    assert_eq!((input.blob.as_str(), input.label.as_str(), input.channels), ("data", "label", Some(3)));
    let (train, test) = (input.train.as_ref().unwrap(), input.test.as_ref().unwrap());
    assert_eq!(train.transform.crop, Some([8, 8]));
    assert!(train.transform.mirror && !test.transform.mirror);
}

#[test]
fn layers_of_one_phase_stay_of_one_phase() {
    // As nets are written whose statistics are fixed for testing.
    let norm = |phase: &str, global: bool| {
        plain(
            "BatchNorm",
            "bn",
            &["conv1"],
            "bn",
            &format!("include {{ phase: {phase} }} batch_norm_param {{ use_global_stats: {global} }}"),
        )
    };
    let net = input()
        + &conv("conv1", "data", 4)
        + &norm("TRAIN", false)
        + &norm("TEST", true)
        + &product("fc", "bn", 2);
    let operated = operate(&net, &[], 2).unwrap();
    let norms = operated.train_val.layer.iter().filter(|layer| layer.name() == "bn").collect::<Vec<_>>();
    assert_eq!(norms.len(), 2);
    assert_eq!(norms[0].include[0].phase(), Phase::Train);
    assert_eq!(norms[1].include[0].phase(), Phase::Test);
    let deployed = operated.deploy.layer.iter().filter(|layer| layer.name() == "bn").collect::<Vec<_>>();
    assert_eq!(deployed.len(), 1);
    assert!(
        deployed[0].batch_norm_param.as_ref().unwrap().use_global_stats() && deployed[0].include.is_empty()
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let net = input()
        + &product("fc7", "data", 6)
        + &plain("ReLU", "relu7", &["fc7"], "fc7", "")
        + &product("fc8", "fc7", 10)
        + &plain("Softmax", "prob", &["fc8"], "prob", "");
    let refused = |replace: &[(&str, usize)]| operate(&net, replace, 3).unwrap_err().to_string();
    assert_eq!(refused(&[("fc9", 3)]), "there is no layer `fc9` to replace; did you mean `fc7`, `fc8`?");
    assert_eq!(
        refused(&[("relu7", 3)]),
        "layer `relu7` is ReLU: only InnerProduct and Convolution layers can be given another number of outputs, here \
         `fc7`, `fc8`"
    );
    assert_eq!(refused(&[("fc8", 0)]), "cannot replace layer `fc8`: it needs one output or more");
    assert_eq!(refused(&[("fc8", 3), ("fc8", 4)]), "cannot replace layer `fc8`: it is named twice");
    let sum = input()
        + &conv("a", "data", 4)
        + &conv("b", "data", 4)
        + &plain("Eltwise", "sum", &["a", "b"], "sum", "")
        + &plain("Softmax", "prob", &["sum"], "prob", "");
    assert_eq!(
        operate(&sum, &[], 3).unwrap_err().to_string(),
        "the data have 3 classes, and which layer makes the scores `sum` is not clear: it is `a`, `b`: name those to replace \
         with --replace LAYER=3"
    );
    let two = input().replace("top: \"data\"", "top: \"data\" top: \"more\"")
        + &plain("Concat", "both", &["data", "more"], "both", "")
        + &product("fc", "both", 3);
    assert_eq!(
        operate(&two, &[], 3).unwrap_err().to_string(),
        "the net has 2 inputs that lead to its outputs, `data`, `more`: expected one, for images"
    );
}

fn prototxts(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            prototxts(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "prototxt" || ending == "caffemodel") {
            found.push(path);
        }
    }
}

#[test]
fn every_definition_of_the_test_data_is_operated_on_or_refused() {
    let mut paths = Vec::new();
    prototxts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata"), &mut paths);
    let mut operated = 0;
    for path in paths {
        let Ok(model) = open_definition(&path, text::Options { lenient: true }) else { continue };
        let Ok(anatomy) = Anatomy::of(&model.definition.unwrap_or_default()) else { continue };
        let shape = anatomy.input().shape.clone().unwrap_or(vec![3, 16, 16]);
        let Ok(result) = anatomy.operate(&Wish { classes: 3, ..Wish::for_input(shape) }, &|_| true) else {
            continue;
        };
        // What is printed is what was made.
        let printed = text::print(&result.train_val);
        assert_eq!(parse(&printed), result.train_val, "{}", path.display());
        operated += 1;
    }
    assert!(operated > 20, "{operated}");
}
