//! No definition makes the net panic.

mod net_support;

use std::collections::BTreeMap;

use caffe_proto::net::Net;
use caffe_proto::proto::{
    BlobShape, ConvolutionParameter, InputParameter, LayerParameter, NetParameter, Phase, PoolingParameter,
};
use net_support::{error, input, state};
use proptest::prelude::*;
use prost::Message as _;

/// Every type with a number of bottoms and tops that it takes.
const TYPES: &[(&str, usize, usize)] = &[
    ("Convolution", 1, 1),
    ("Deconvolution", 2, 2),
    ("DepthwiseConvolution", 1, 1),
    ("InnerProduct", 1, 1),
    ("Pooling", 1, 1),
    ("LRN", 1, 1),
    ("BatchNorm", 1, 1),
    ("Scale", 1, 1),
    ("Scale", 2, 1),
    ("Bias", 1, 1),
    ("Bias", 2, 1),
    ("ReLU", 1, 1),
    ("PReLU", 1, 1),
    ("ELU", 1, 1),
    ("Sigmoid", 1, 1),
    ("TanH", 1, 1),
    ("AbsVal", 1, 1),
    ("BNLL", 1, 1),
    ("Power", 1, 1),
    ("Exp", 1, 1),
    ("Log", 1, 1),
    ("Clip", 1, 1),
    ("Swish", 1, 1),
    ("Threshold", 1, 1),
    ("Dropout", 1, 1),
    ("Eltwise", 2, 1),
    ("Concat", 3, 1),
    ("Slice", 1, 2),
    ("Split", 1, 3),
    ("Crop", 2, 1),
    ("Reshape", 1, 1),
    ("Flatten", 1, 1),
    ("Tile", 1, 1),
    ("Reduction", 1, 1),
    ("ArgMax", 1, 1),
    ("BatchReindex", 2, 1),
    ("Filter", 2, 1),
    ("Embed", 1, 1),
    ("Im2col", 1, 1),
    ("MVN", 1, 1),
    ("SPP", 1, 1),
    ("Silence", 2, 0),
    ("Parameter", 0, 1),
    ("DummyData", 0, 1),
    ("Input", 0, 1),
    ("Softmax", 1, 1),
    ("LSTM", 2, 1),
    ("LSTM", 3, 1),
    ("LSTM", 4, 3),
    ("LSTMUnit", 3, 2),
    ("RNN", 2, 1),
    ("RNN", 3, 2),
    ("SoftmaxWithLoss", 2, 1),
    ("EuclideanLoss", 2, 0),
    ("HingeLoss", 2, 1),
    ("SigmoidCrossEntropyLoss", 2, 1),
    ("ContrastiveLoss", 3, 1),
    ("InfogainLoss", 3, 1),
    ("MultinomialLogisticLoss", 2, 1),
    ("SmoothL1Loss", 3, 1),
    ("MultiBoxLoss", 4, 1),
    ("Accuracy", 2, 2),
    ("Data", 0, 2),
    ("ImageData", 0, 2),
    ("HDF5Data", 0, 1),
    ("HDF5Output", 2, 0),
    ("WindowData", 0, 2),
    ("MemoryData", 0, 2),
    ("AnnotatedData", 0, 2),
    ("Permute", 1, 1),
    ("Normalize", 1, 1),
    ("PriorBox", 2, 1),
    ("DetectionOutput", 3, 1),
    ("ReLU6", 1, 1),
    ("ShuffleChannel", 1, 1),
    ("Interp", 1, 1),
    ("Upsample", 1, 1),
    ("Upsample", 2, 1),
    ("Python", 1, 1),
];

/// The number of each `…_param` field of a layer that the types above read.
const PARAMS: &[u32] = &[
    100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 114, 115, 116, 117, 118, 119, 120, 121,
    122, 123, 125, 126, 128, 129, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144, 145,
    146, 148, 150, 164, 200, 201, 202, 203, 204, 206, 20011,
];

/// Mostly small, sometimes at the edge of what fits.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        30 => 1_u64..5,
        3 => Just(0_u64),
        1 => Just(i32::MAX as u64),
        1 => Just(1_u64 << 31),
        1 => Just(u64::from(u32::MAX)),
        1 => Just(u64::MAX),
    ]
}

/// Fields 1 to 18 of a message as varints: right for its numbers, flags and enums, and passed over where the message
/// has something else there. Most layers need some of the first.
fn fields() -> impl Strategy<Value = Vec<(u32, u64)>> {
    let needed =
        prop::sample::select(vec![vec![], vec![1], vec![1, 4], vec![1, 2], vec![2], vec![1, 2, 3, 4]]);
    let needed = needed
        .prop_flat_map(|fields| fields.into_iter().map(|field| (Just(field), number())).collect::<Vec<_>>());
    (needed, prop::collection::vec((1_u32..19, number()), 0..4))
        .prop_map(|(needed, more)| [needed, more].concat())
}

/// Mostly small, else anything that fits the field.
fn edge() -> impl Strategy<Value = u32> {
    prop_oneof![16 => 1_u32..6, 1 => 0_u32..2, 1 => Just(i32::MAX as u32), 1 => any::<u32>()]
}

fn extents() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(number(), 0..6)
}

/// A few shapes that go together: the first, or its beginning.
fn related(first: &[u64], cuts: &[usize]) -> Vec<Vec<u64>> {
    cuts.iter().map(|&cut| first[..cut.min(first.len())].to_vec()).collect()
}

fn message(fields: &[(u32, u64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &(field, value) in fields {
        prost::encoding::uint64::encode(field, &value, &mut bytes);
    }
    bytes
}

/// A layer whose parameter messages hold the numbers, each message as far as its schema takes them.
fn layer(kind: &str, params: &[(u32, Vec<(u32, u64)>)]) -> LayerParameter {
    let mut layer =
        LayerParameter { name: Some(kind.to_owned()), r#type: Some(kind.to_owned()), ..Default::default() };
    for (field, values) in params {
        for value in values {
            let mut bytes = Vec::new();
            prost::encoding::bytes::encode(*field, &message(std::slice::from_ref(value)), &mut bytes);
            // A number where the schema has a string or a float does not decode: that value is left out.
            let mut with = layer.clone();
            if with.merge(bytes.as_slice()).is_ok() {
                layer = with;
            }
        }
    }
    layer
}

fn shaped(name: &str, dims: &[u64]) -> LayerParameter {
    let mut layer = layer("Input", &[]);
    let shape = BlobShape { dim: dims.iter().map(|&dim| dim as i64).collect() };
    layer.input_param = Some(Box::new(InputParameter { shape: vec![shape] }));
    layer.top = vec![name.to_owned()];
    layer
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn any_layer_on_any_bottoms(
        (kind, bottoms, tops) in prop::sample::select(TYPES),
        (params, own) in (prop::collection::vec((prop::sample::select(PARAMS), fields()), 0..3), fields()),
        first in prop_oneof![4 => prop::collection::vec(1_u64..7, 1..6), 1 => extents()],
        cuts in prop::collection::vec(prop_oneof![2 => Just(6_usize), 1 => Just(2), 1 => 0_usize..5], 8),
        odd in prop::option::weighted(0.1, (extents(), 0_usize..4)),
        reshape in prop_oneof![Just(vec![0, 0, u64::MAX]), extents()],
        in_place in prop::bool::weighted(0.2),
    ) {
        let mut all = params;
        all.extend(PARAMS.iter().map(|&field| (field, own.clone())));
        let mut under_test = layer(kind, &all);
        let shape = BlobShape { dim: reshape.iter().map(|&dim| dim as i64).collect() };
        under_test.reshape_param.get_or_insert_default().shape = Some(shape.clone());
        under_test.parameter_param.get_or_insert_default().shape = Some(shape.clone());
        under_test.dummy_data_param.get_or_insert_default().shape.push(shape);
        under_test.clip_param.get_or_insert_default();

        let mut shapes = related(&first, &cuts[..bottoms]);
        let mut tops = tops;
        if let Some((shape, more_tops)) = odd {
            shapes.push(shape);
            tops += more_tops;
        }
        under_test.top = (0..tops).map(|top| format!("y{top}")).collect();
        let mut layers = Vec::new();
        for (index, dims) in shapes.iter().enumerate() {
            layers.push(shaped(&format!("x{index}"), dims));
            under_test.bottom.push(format!("x{index}"));
        }
        if in_place && tops > 0 && !shapes.is_empty() {
            under_test.top[0] = "x0".to_owned();
        }
        layers.push(under_test);
        let definition = NetParameter { layer: layers, ..NetParameter::default() };
        for net in [Net::new(&definition, &state(Phase::Train)), Net::unfiltered(&definition)].into_iter().flatten() {
            let given = BTreeMap::from([("y0".to_owned(), vec![2, 3]), ("y1".to_owned(), vec![2])]);
            for given in [BTreeMap::new(), given] {
                let Ok(shapes) = net.infer_shapes(&given) else { continue };
                prop_assert_eq!(net.costs(&shapes).len(), net.layers.len());
                for found in shapes.layers() {
                    for shape in found.tops.iter().chain(&found.params) {
                        let values = shape.iter().fold(1, |values: usize, &extent| values.saturating_mul(extent));
                        prop_assert!(shape.contains(&0) || i32::try_from(values).is_ok());
                    }
                }
            }
        }
    }

    #[test]
    fn any_window_on_any_image(
        kind in prop::sample::select(vec!["Convolution", "Deconvolution", "DepthwiseConvolution", "Im2col", "Pooling"]),
        image in prop::collection::vec(edge(), 4),
        [kernel, stride, pad, dilation] in [edge(), edge(), edge(), edge()],
        (num_output, group, is_floor) in (edge(), edge(), any::<bool>()),
    ) {
        let mut under_test = layer(kind, &[]);
        under_test.convolution_param = Some(Box::new(ConvolutionParameter {
            num_output: Some(num_output),
            group: Some(group),
            kernel_size: vec![kernel],
            stride: vec![stride],
            pad: vec![pad],
            dilation: vec![dilation],
            ..Default::default()
        }));
        under_test.pooling_param = Some(Box::new(PoolingParameter {
            kernel_size: Some(kernel),
            stride: Some(stride),
            pad: Some(pad),
            round_mode: Some(i32::from(is_floor)),
            ..Default::default()
        }));
        under_test.bottom = vec!["x".to_owned()];
        under_test.top = vec!["y".to_owned()];
        let image: Vec<u64> = image.into_iter().map(u64::from).collect();
        let definition = NetParameter { layer: vec![shaped("x", &image), under_test], ..NetParameter::default() };
        if let Ok(net) = Net::new(&definition, &state(Phase::Test))
            && let Ok(shapes) = net.infer_shapes(&BTreeMap::new())
        {
            prop_assert_eq!(net.costs(&shapes).len(), 2);
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let conv = |param: &str| {
        input("x", &[1, 3, 8, 8])
            + &format!(
                "layer {{ name: 'c' type: 'Convolution' bottom: 'x' top: 'c' convolution_param {{ {param} }} }}"
            )
    };
    for (param, what) in [
        ("kernel_size: 3", "`num_output` is missing or 0: give it a positive value"),
        ("num_output: 2", "`kernel_size` is missing: give it, or kernel_h and kernel_w"),
        (
            "num_output: 2 kernel_size: 3 kernel_h: 3",
            "both `kernel_size: [3]` and `kernel_h` or `kernel_w` are given: remove one spelling",
        ),
        ("num_output: 2 kernel_h: 3", "`kernel_size` is [3, 0]; no value may be 0 or left out"),
        ("num_output: 2 kernel_size: 3 stride: 0", "`stride` is [0]; no value may be 0 or left out"),
        (
            "num_output: 4 kernel_size: 3 group: 2",
            "`group` is 2 for 3 channels of input and `num_output: 4`; it must divide both",
        ),
        (
            "num_output: 3 kernel_size: 3 group: 2",
            "`num_output: 3` is no multiple of `group: 2`: each group makes the same number of channels",
        ),
        (
            "num_output: 2 kernel_size: 11",
            "its window spans 11 of axis 2, where the bottom has 8 and 0 of padding on each side",
        ),
        (
            "num_output: 4000000000 kernel_size: 1",
            "`num_output: 4000000000` is too large: 2147483647 is the most",
        ),
        (
            "num_output: 2147483647 kernel_size: 1",
            "its top 0 would have shape 1×2147483647×8×8: that is more than the 2147483647 values that a blob can have",
        ),
        (
            "num_output: 2 kernel_size: 3 kernel_size: 3 kernel_size: 3",
            "`kernel_size` has 3 values for 2 spatial axes: give one, or one an axis (its _h and _w forms are for two)",
        ),
    ] {
        assert_eq!(error(&conv(param)), format!("layer `c` (Convolution): {what}"));
    }
}
