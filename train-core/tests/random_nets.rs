//! Nets from a generator: what inference says of shapes is what execution finds, whatever the plan fuses and reuses.

use std::collections::BTreeMap;
use std::path::Path;

use caffe_proto::proto::NetState;
use caffe_proto::{Storage, text};
use kernels::CpuBackend;
use proptest::prelude::*;
use train_core::{Network, Options};

/// What one layer is made from: its type, the bottoms it reads, and numbers for its parameters.
type Gene = (usize, [u8; 2], [u8; 6], bool);

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_valid_net_runs_as_inferred(
        axes in proptest::collection::vec(1..=9_usize, 2..=4),
        genes in proptest::collection::vec(
            (0..KINDS.len(), any::<[u8; 2]>(), any::<[u8; 6]>(), any::<bool>()), 1..12),
    ) {
        let net = grow(&axes, &genes);
        let network = network(&net).unwrap_or_else(|error| panic!("{error}\n{net}"));
        let shapes = network.shapes().unwrap();
        let cpu = CpuBackend::new(2).unwrap();
        let input: Vec<f32> = (0..axes.iter().product::<usize>()).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0).collect();

        let all = Options { all_blobs: true, ..Options::default() };
        let mut whole = match network.executor(&cpu, &all) {
            Ok(executor) => executor,
            // A layer may refuse a blob of no values, by an error.
            Err(_) if shapes.layers().iter().flat_map(|layer| &layer.tops).any(|top| top.contains(&0)) => return Ok(()),
            Err(error) => panic!("{}\n{net}", chain(&error)),
        };
        whole.set_input("data", &input).unwrap();
        whole.forward().unwrap_or_else(|error| panic!("{}\n{net}", chain(&error)));
        let mut blobs: BTreeMap<String, (Vec<usize>, Vec<f32>)> = BTreeMap::new();
        for (layer, shapes) in network.net().layers.iter().zip(shapes.layers()) {
            for (top, shape) in layer.tops.iter().zip(&shapes.tops) {
                let (found, values) = whole.blob(top).unwrap();
                if layer.bottoms.first() != Some(top) {
                    prop_assert_eq!(found, shape.as_slice(), "`{}` of\n{}", top, net);
                }
                prop_assert_eq!(values.len(), found.iter().product::<usize>());
                blobs.insert(top.clone(), (found.to_vec(), values));
            }
        }

        // As for use: fused, folded, memory handed on. Twice, so that what a pass leaves behind would show.
        let mut lean = network.executor(&cpu, &Options::default()).unwrap();
        for _ in 0..2 {
            lean.set_input("data", &input).unwrap();
            lean.forward().unwrap();
        }
        for name in lean.outputs().to_vec() {
            let (shape, values) = lean.blob(&name).unwrap();
            let (expected_shape, expected) = &blobs[&name];
            prop_assert_eq!(shape, expected_shape.as_slice());
            // A rounding more or less decides these.
            if !["ArgMax", "Threshold"].iter().any(|kind| net.contains(kind)) {
                let worst = difference(&values, expected);
                prop_assert!(worst < 1e-4, "`{}` differs by {:.2e}\n{}", name, worst, net);
            }
        }
    }
}

/// A layer's body, from numbers; `B` and `T` stand for its bottom and its top.
type Body = fn([u8; 6]) -> String;

const KINDS: [(&str, Body); 42] = [
    ("Convolution", |n| convolution(n, n[3] % 2 == 0)),
    ("Convolution", |n| convolution(n, true)),
    ("Convolution", |_| format!("convolution_param {{ num_output: 8 kernel_size: 3 pad: 1 {FILLER} }}")),
    ("Convolution", |n| {
        format!("convolution_param {{ num_output: {} kernel_size: 1 {FILLER} }}", n[0] % 9 + 1)
    }),
    ("DepthwiseConvolution", |n| {
        format!(
            "convolution_param {{ num_output: {} kernel_size: 3 pad: {} stride: {} {FILLER} }}",
            n[0] % 9 + 1,
            n[1] % 2,
            n[2] % 2 + 1
        )
    }),
    ("Deconvolution", |n| convolution(n, n[3] % 2 == 0)),
    ("Im2col", |n| {
        format!(
            "convolution_param {{ kernel_size: {} stride: {} pad: {} }}",
            n[0] % 3 + 1,
            n[1] % 3 + 1,
            n[2] % 2
        )
    }),
    ("Pooling", |n| pooling("MAX", n)),
    ("Pooling", |n| pooling("AVE", n)),
    ("Pooling", |n| {
        format!("pooling_param {{ pool: {} global_pooling: true }}", ["MAX", "AVE"][usize::from(n[0] % 2)])
    }),
    ("InnerProduct", |n| {
        format!(
            "inner_product_param {{ num_output: {} axis: {} transpose: {} {FILLER} }}",
            n[0] % 9 + 1,
            n[1] % 3,
            n[2] % 2 == 0
        )
    }),
    ("LRN", |n| format!("lrn_param {{ local_size: {} alpha: 0.5 }}", n[0] % 4 * 2 + 1)),
    ("LRN", |_| "lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }".to_owned()),
    ("BatchNorm", |n| format!("batch_norm_param {{ eps: 0.{} }}", n[0] % 9 + 1)),
    ("BatchNorm", |_| String::new()),
    ("Scale", |n| {
        format!(
            "scale_param {{ axis: {} bias_term: {} filler {{ type: 'uniform' min: 0.5 max: 1.5 }} }}",
            n[0] % 3,
            n[1] % 2 == 0
        )
    }),
    ("Scale", |_| "scale_param { bias_term: true }".to_owned()),
    ("Bias", |n| format!("bias_param {{ axis: {} filler {{ type: 'uniform' max: 0.5 }} }}", n[0] % 3)),
    ("ReLU", |n| format!("relu_param {{ negative_slope: {} }}", f32::from(n[0] % 2) / 4.0)),
    ("ReLU", |_| String::new()),
    ("ReLU6", |_| String::new()),
    ("PReLU", |n| format!("prelu_param {{ channel_shared: {} }}", n[0] % 2 == 0)),
    ("ELU", |_| String::new()),
    ("Sigmoid", |_| String::new()),
    ("TanH", |_| String::new()),
    ("Clip", |_| "clip_param { min: -0.5 max: 0.75 }".to_owned()),
    ("Power", |_| "power_param { scale: 0.5 shift: 1 }".to_owned()),
    ("Threshold", |_| "threshold_param { threshold: 0.1 }".to_owned()),
    ("Dropout", |_| String::new()),
    ("Eltwise", |n| {
        format!("B eltwise_param {{ operation: {} }}", ["SUM", "PROD", "MAX"][usize::from(n[0] % 3)])
    }),
    ("Eltwise", |_| "B eltwise_param { }".to_owned()),
    ("Concat", |n| format!("B concat_param {{ axis: {} }}", n[0] % 4)),
    ("Slice", |n| format!("T slice_param {{ axis: {} }}", n[0] % 4)),
    ("Split", |_| "T".to_owned()),
    ("Crop", |n| format!("B crop_param {{ axis: {} }}", n[0] % 4)),
    ("Flatten", |n| format!("flatten_param {{ axis: {} }}", n[0] % 3)),
    ("Reshape", |n| format!("reshape_param {{ shape {{ dim: 0 dim: {} dim: -1 }} }}", n[0] % 4)),
    ("Permute", |n| format!("permute_param {{ order: {} order: {} }}", n[0] % 3, n[1] % 3 + 1)),
    ("Softmax", |n| format!("softmax_param {{ axis: {} }}", n[0] % 3)),
    ("Reduction", |n| {
        format!(
            "reduction_param {{ axis: {} operation: {} }}",
            n[0] % 3,
            ["SUM", "ASUM", "SUMSQ", "MEAN"][usize::from(n[1] % 4)]
        )
    }),
    ("ArgMax", |n| format!("argmax_param {{ axis: {} }}", n[0] % 3)),
    ("Tile", |n| format!("tile_param {{ axis: {} tiles: {} }}", n[0] % 3, n[1] % 3 + 1)),
];

/// Those that Caffe computes rightly in the memory of their bottom, and leave its shape alone.
const IN_PLACE: [&str; 16] = [
    "BatchNorm",
    "Scale",
    "Bias",
    "ReLU",
    "ReLU6",
    "PReLU",
    "ELU",
    "Sigmoid",
    "TanH",
    "Clip",
    "Power",
    "Threshold",
    "Dropout",
    "Softmax",
    "Eltwise",
    "Swish",
];

const FILLER: &str =
    "weight_filler { type: 'uniform' min: -0.5 max: 0.5 } bias_filler { type: 'uniform' max: 0.5 }";

fn convolution(n: [u8; 6], grouped: bool) -> String {
    let group = if grouped { n[4] % 3 + 1 } else { 1 };
    format!(
        "convolution_param {{ num_output: {} kernel_size: {} stride: {} pad: {} dilation: {} group: {group} {FILLER} }}",
        u32::from(n[0] % 4 + 1) * u32::from(group),
        n[1] % 5 + 1,
        n[2] % 3 + 1,
        n[3] % 3,
        n[5] % 2 + 1,
    )
}

fn pooling(method: &str, n: [u8; 6]) -> String {
    let rounding = ["CEIL", "FLOOR"][usize::from(n[3] % 2)];
    format!(
        "pooling_param {{ pool: {method} kernel_size: {} stride: {} pad: {} round_mode: {rounding} }}",
        n[0] % 4 + 1,
        n[1] % 3 + 1,
        n[2] % 2,
    )
}

/// A prototxt with those of the layers that fit where they stand.
fn grow(axes: &[usize], genes: &[Gene]) -> String {
    let dims: Vec<String> = axes.iter().map(|axis| format!("dim: {axis}")).collect();
    let dims = dims.join(" ");
    let mut net =
        format!("layer {{ name: 'data' type: 'Input' top: 'data' input_param {{ shape {{ {dims} }} }} }}\n");
    let mut blobs = vec!["data".to_owned()];
    for (index, &(kind, reads, numbers, in_place)) in genes.iter().enumerate() {
        let (kind, body) = KINDS[kind];
        let in_place = in_place && IN_PLACE.contains(&kind);
        let bottom = |gene: u8| &blobs[blobs.len() - 1 - usize::from(gene) % blobs.len().min(4)];
        let mut tops = vec![if in_place { bottom(reads[0]).clone() } else { format!("top{index}") }];
        let mut layer = format!(
            "layer {{ name: 'l{index}' type: '{kind}' bottom: '{}' top: '{}' ",
            bottom(reads[0]),
            tops[0]
        );
        for word in body(numbers).split(' ') {
            match word {
                "B" => layer.extend(["bottom: '", bottom(reads[1]), "' "]),
                "T" => {
                    tops.push(format!("more{index}"));
                    layer.extend(["top: 'more", &index.to_string(), "' "]);
                }
                word => layer.extend([word, " "]),
            }
        }
        let longer = format!("{net}{layer}}}\n");
        let small = |network: &Network| {
            network.shapes().is_ok_and(|shapes| {
                let tops = shapes.layers().iter().flat_map(|layer| &layer.tops);
                tops.map(|top| top.iter().product::<usize>()).sum::<usize>() < 200_000
            })
        };
        if network(&longer).is_ok_and(|network| small(&network)) {
            net = longer;
            blobs.extend(tops.into_iter().filter(|top| !in_place || top.starts_with("more")));
        }
    }
    net
}

fn network(net: &str) -> Result<Network, String> {
    let text = Storage::from_vec("generated", net.as_bytes().to_vec());
    let (definition, _) =
        text::parse_net(&text, text::Options::default()).map_err(|error| error.to_string())?;
    let model = caffe_proto::upgrade(Path::new("generated"), definition, Vec::new())
        .map_err(|error| error.to_string())?;
    Network::new(model.definition.unwrap(), &NetState::default()).map_err(|error| error.to_string())
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The largest difference over the largest value; what is not finite counts where only one side has it.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    let largest =
        expected.iter().filter(|x| x.is_finite()).fold(1e-6, |largest: f32, x| largest.max(x.abs()));
    let apart = found.iter().zip(expected).map(|(&found, &expected)| match () {
        () if found == expected || found.is_nan() && expected.is_nan() => 0.0,
        () if found.is_finite() != expected.is_finite() => f32::INFINITY,
        () => (found - expected).abs(),
    });
    apart.fold(0.0, f32::max) / largest
}
