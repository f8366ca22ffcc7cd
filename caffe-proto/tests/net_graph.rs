//! Filtering by phase, level and stage; who makes, reads and shares what.

mod net_support;

use caffe_proto::net::{LayerKind, Net, ShareMode};
use caffe_proto::proto::{NetState, Phase};
use net_support::{error, input, net, parse, state};

fn names(net: &Net) -> Vec<&str> {
    net.layers.iter().map(|layer| layer.name.as_str()).collect()
}

fn rule(name: &str, rules: &str) -> String {
    format!(
        "layer {{ name: '{name}' type: 'Input' top: '{name}' input_param {{ shape {{ dim: 1 }} }} {rules} }}\n"
    )
}

#[test]
fn rules_on_phase_level_and_stage() {
    let definition = parse(
        &[
            rule("always", ""),
            rule("train", "include { phase: TRAIN }"),
            rule("not_train", "exclude { phase: TRAIN }"),
            rule("level2", "include { min_level: 2 max_level: 3 }"),
            rule("both", "include { stage: 'a' stage: 'b' }"),
            rule("either", "include { stage: 'a' } include { stage: 'b' }"),
            rule("without", "include { stage: 'a' not_stage: 'b' }"),
        ]
        .concat(),
    );
    let of = |phase: Phase, level: i32, stages: &[&str]| {
        let stage = stages.iter().map(|stage| (*stage).to_owned()).collect();
        let state = NetState { phase: Some(phase.into()), level: Some(level), stage };
        names(&Net::new(&definition, &state).unwrap()).join(" ")
    };
    assert_eq!(of(Phase::Train, 0, &[]), "always train");
    assert_eq!(of(Phase::Test, 2, &["a"]), "always not_train level2 either without");
    assert_eq!(of(Phase::Test, 4, &["a", "b"]), "always not_train both either");
    assert_eq!(Net::unfiltered(&definition).unwrap().layers.len(), 7);
}

#[test]
fn both_kinds_of_rules_are_refused() {
    assert_eq!(
        error(&rule("data", "include { phase: TEST } exclude { phase: TRAIN }")),
        "layer `data` (Input): it has 1 include and 1 exclude rules; Caffe takes one kind or the other: remove one"
    );
}

#[test]
fn stages_of_the_definition_count() {
    let definition = parse(&format!(
        "state {{ stage: 'deploy' }} {}",
        rule("a", "include {{ stage: 'deploy' }}").replace("{{", "{").replace("}}", "}")
    ));
    assert_eq!(names(&Net::new(&definition, &state(Phase::Test)).unwrap()), ["a"]);
}

#[test]
fn a_layers_phase_is_its_own_or_the_nets() {
    let net = net(&rule("a", "phase: TRAIN")).unwrap();
    assert_eq!((net.phase, net.layers[0].phase), (Phase::Test, Phase::Train));
}

#[test]
fn inputs_in_order_and_outputs_by_name() {
    let net = net(&format!(
        "{}{}layer {{ name: 'n' type: 'TanH' bottom: 'z' top: 'n' }} layer {{ name: 'r' type: 'ReLU' bottom: 'n' top: 'n' }}
         layer {{ name: 'm' type: 'TanH' bottom: 'a' top: 'm' }}",
        input("z", &[1]),
        input("a", &[1])
    ))
    .unwrap();
    assert_eq!(net.inputs, ["z", "a"]);
    assert_eq!(net.outputs, ["m", "n"]);
}

#[test]
fn unknown_bottoms_are_named() {
    let relu = |bottom: &str| format!("layer {{ name: 'r' type: 'ReLU' bottom: '{bottom}' top: 'r' }}\n");
    assert_eq!(
        error(&relu("x")),
        "layer `r` (ReLU): its bottom 0, `x`, is made by no layer of this phase: check the name, or add an Input layer"
    );
    assert_eq!(
        error(&(relu("x") + &input("x", &[1]))),
        "layer `r` (ReLU): its bottom 0, `x`, is made by layer `x` below it: put that layer first"
    );
    assert_eq!(Net::unfiltered(&parse(&relu("x"))).unwrap().inputs, ["x"]);
}

/// Caffe's automatic Split copies a blob for each of its readers, so that in-place work on one copy is a second maker
/// of the name. It is no second maker when the other readers come after.
#[test]
fn in_place_needs_the_blob_alone() {
    let other = "layer { name: 'other' type: 'TanH' bottom: 'x' top: 'other' }\n";
    let in_place = "layer { name: 'here' type: 'ReLU' bottom: 'x' top: 'x' }\n";
    assert!(net(&[&input("x", &[1]), in_place, other].concat()).is_ok());
    assert_eq!(
        error(&[&input("x", &[1]), other, in_place].concat()),
        "layer `here` (ReLU): it rewrites `x` in place, which is also read by `other`: give its top another name"
    );
    let same = "layer { name: 'twice' type: 'Eltwise' bottom: 'x' bottom: 'x' top: 'x' }\n";
    assert_eq!(
        error(&[&input("x", &[1]), same].concat()),
        "layer `twice` (Eltwise): it rewrites `x` in place, which is also read by another of its bottoms: give its top another name"
    );
}

#[test]
fn a_loss_weight_is_a_reader() {
    let weighted = "layer { name: 'w' type: 'TanH' bottom: 'x' top: 'w' loss_weight: 1 }\n";
    let in_place = "layer { name: 'here' type: 'ReLU' bottom: 'w' top: 'w' }\n";
    assert!(
        error(&[&input("x", &[1]), weighted, in_place].concat()).contains("also read by `the net's loss`")
    );
}

#[test]
fn two_makers_are_refused() {
    assert_eq!(
        error(&(input("x", &[1]) + &input("x", &[1]))),
        "layer `x` (Input): its top `x` is made by an earlier layer already: give it another name"
    );
}

#[test]
fn layers_may_share_a_name() {
    let twice = "layer { name: 'same' type: 'ReLU' bottom: 'x' top: 'a' } layer { name: 'same' type: 'TanH' bottom: 'a' top: 'b' }";
    let net = net(&(input("x", &[1]) + twice)).unwrap();
    assert_eq!(net.layer("same").unwrap().kind, LayerKind::ReLU { negative_slope: 0.0 });
}

#[test]
fn counts_of_bottoms_and_tops() {
    let x = input("x", &[1]);
    assert_eq!(
        error(&(x.clone() + "layer { name: 'e' type: 'Eltwise' bottom: 'x' top: 'e' }")),
        "layer `e` (Eltwise): it has 1 bottom, and this type takes 2 or more"
    );
    assert_eq!(
        error(
            &(x.clone()
                + "layer { name: 'p' type: 'Pooling' bottom: 'x' top: 'a' top: 'b' pooling_param { pool: AVE kernel_size: 2 } }")
        ),
        "layer `p` (Pooling): it has 2 tops, and this type takes 1"
    );
    assert_eq!(
        error(&(x.clone() + "layer { name: 'r' type: 'ReLU' bottom: 'x' top: 'r' param { lr_mult: 1 } }")),
        "layer `r` (ReLU): `param` is given 1 times, and this layer has 0 parameter blobs: remove 1"
    );
    assert_eq!(
        error(
            &(x + "layer { name: 'r' type: 'ReLU' bottom: 'x' top: 'r' propagate_down: true propagate_down: true }")
        ),
        "layer `r` (ReLU): `propagate_down` is given 2 times for 1 bottoms: give it once a bottom, or not at all"
    );
}

#[test]
fn loss_weights_and_the_automatic_top() {
    let ends = input("a", &[2, 3]) + &input("b", &[2, 3]);
    let loss =
        net(&(ends.clone() + "layer { name: 'l' type: 'EuclideanLoss' bottom: 'a' bottom: 'b' }")).unwrap();
    assert_eq!((loss.layers[2].top_count(), &loss.layers[2].loss_weight[..]), (1, &[1.0][..]));
    assert!(loss.outputs.is_empty());
    assert_eq!(
        error(
            &(ends
                + "layer { name: 'l' type: 'EuclideanLoss' bottom: 'a' bottom: 'b' top: 'l' loss_weight: 1 loss_weight: 2 }")
        ),
        "layer `l` (EuclideanLoss): `loss_weight` is given 2 times for 1 tops: give it once a top, or not at all"
    );
}

fn products(first: &str, second: &str) -> String {
    format!(
        "{}layer {{ name: 'one' type: 'InnerProduct' bottom: 'x' top: 'one' inner_product_param {{ num_output: 4 }} {first} }}
         layer {{ name: 'two' type: 'InnerProduct' bottom: 'one' top: 'two' inner_product_param {{ num_output: 4 }} {second} }}",
        input("x", &[2, 4])
    )
}

#[test]
fn sharers_take_the_owners_rates_and_the_owner_theirs() {
    let net = net(&products(
        "param { name: 'w' decay_mult: 0.5 }",
        "param { name: 'w' lr_mult: 3 share_mode: PERMISSIVE }",
    ))
    .unwrap();
    let (owner, sharer) = (&net.layers[1].params[0], &net.layers[2].params[0]);
    assert_eq!((owner.owner, sharer.owner), (None, Some((1, 0))));
    assert_eq!((owner.lr_mult, owner.decay_mult), (3.0, 0.5));
    assert_eq!((sharer.lr_mult, sharer.decay_mult, sharer.share_mode), (3.0, 0.5, ShareMode::Permissive));
    assert_eq!((net.layers[1].params.len(), net.layers[1].params[1].lr_mult), (2, 1.0));
}

#[test]
fn sharers_that_disagree_are_refused() {
    assert_eq!(
        error(&products("param { name: 'w' lr_mult: 1 }", "param { name: 'w' lr_mult: 2 }")),
        "layer `two` (InnerProduct): the shared parameter `w` has `lr_mult: 2` here and 1 in layer `one`: make them equal"
    );
    let wide =
        products("param { name: 'w' }", "param { name: 'w' }").replacen("num_output: 4", "num_output: 8", 1);
    assert_eq!(
        error(&wide),
        "layer `two` (InnerProduct): its parameter 0 of shape 4×8 shares `w` with layer `one`, where it is 8×4: make the shapes equal"
    );
    let permissive = products("param { name: 'w' }", "param { name: 'w' share_mode: PERMISSIVE }");
    assert!(net_support::shapes(&permissive.replacen("num_output: 4", "num_output: 8", 1)).is_ok());
}

#[test]
fn statistics_of_batch_norm_do_not_learn() {
    let layer = |param: &str| {
        input("x", &[2, 4])
            + &format!("layer {{ name: 'bn' type: 'BatchNorm' bottom: 'x' top: 'y' {param} }}")
    };
    let rates = |param: &str| {
        net(&layer(param)).unwrap().layers[1].params.iter().map(|spec| spec.lr_mult).collect::<Vec<_>>()
    };
    assert_eq!(rates(""), [0.0; 3]);
    assert_eq!(rates("param { lr_mult: 0 }"), [0.0; 3]);
    assert_eq!(
        rates("batch_norm_param { scale_bias: true } param { lr_mult: 1 }"),
        [0.0, 0.0, 0.0, 1.0, 1.0]
    );
    assert_eq!(
        error(&layer("param { lr_mult: 1 }")),
        "layer `bn` (BatchNorm): `param` 0 has `lr_mult: 1`; the statistics are not learned: set it to 0 or remove it"
    );
}
