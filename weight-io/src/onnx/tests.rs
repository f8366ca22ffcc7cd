//! What is in an exported file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use caffe_proto::text::Options;
use caffe_proto::{
    Blob, LayerBlobs, Model, Payload, Sink, Source, Storage, open_definition, read_caffemodel,
};
use prost::Message as _;

use super::attribute::{flag, int, ints};
use super::proto::tensor_shape_proto::dimension::Value;
use super::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use super::{Bytes, export};
use crate::{Conversion, Error, Format, Note, Opened};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name)
}

/// The file made of the bundled model with its deploy definition.
fn fashion(folder: &Path) -> Vec<u8> {
    let mut opened = Opened::open(testdata("fashion/fashion.caffemodel")).unwrap();
    let definition = open_definition(testdata("fashion/deploy.prototxt"), Options::default()).unwrap();
    opened.define(definition.definition.unwrap());
    let output = folder.join("fashion.onnx");
    let mut conversion = Conversion::to(Format::of_name(&output).unwrap());
    conversion.write.force = true;
    conversion.run(&opened, &output, &mut |_, _| {}).unwrap();
    std::fs::read(output).unwrap()
}

/// A net of one input `a`, and a model without blobs but for those given.
fn net(input: &str, layers: &str, blobs: Vec<LayerBlobs>) -> Result<(GraphProto, Vec<Note>), Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.prototxt");
    let text =
        format!("layer{{name:\"in\" type:\"Input\" top:\"a\" input_param{{shape{{{input}}}}}}}\n{layers}");
    std::fs::write(&path, text).unwrap();
    let definition = open_definition(&path, Options::default()).unwrap().definition.unwrap();
    let model = Model { layers: blobs, ..Model::default() };
    let (graph, notes) = export(&definition, &model)?;
    let (node, input, output) = (graph.nodes, graph.inputs, graph.outputs);
    Ok((GraphProto { node, input, output, ..GraphProto::default() }, notes))
}

fn blobs(name: &str, shapes: &[&[usize]]) -> LayerBlobs {
    let blob =
        |shape: &&[usize]| Blob::new(shape.to_vec(), Payload::from_f32(&vec![1.0; shape.iter().product()]));
    LayerBlobs { name: name.to_owned(), blobs: shapes.iter().map(blob).collect() }
}

fn kinds(graph: &GraphProto) -> Vec<&str> {
    graph.node.iter().map(NodeProto::op_type).collect()
}

fn extents(value: &ValueInfoProto) -> String {
    let shape = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap().shape.as_ref().unwrap();
    let extent = |value: &Value| match value {
        Value::DimValue(extent) => extent.to_string(),
        Value::DimParam(name) => name.clone(),
    };
    let extents = shape.dim.iter().map(|dim| extent(dim.value.as_ref().unwrap()));
    format!("{} {}", value.name(), extents.collect::<Vec<_>>().join("×"))
}

#[test]
fn the_bundled_model_is_the_net_whole() {
    let folder = tempfile::tempdir().unwrap();
    let model = ModelProto::decode(&fashion(folder.path())[..]).unwrap();
    assert_eq!(model.ir_version(), 8);
    assert_eq!((model.opset_import[0].domain(), model.opset_import[0].version()), ("", 18));
    let graph = model.graph.unwrap();
    assert_eq!(
        kinds(&graph),
        [
            "Conv", "Relu", "MaxPool", "LRN", "Conv", "Relu", "MaxPool", "Conv", "Relu", "MaxPool",
            "Flatten", "Gemm", "Relu", "Gemm", "Softmax"
        ]
    );
    assert_eq!(graph.input.iter().map(extents).collect::<Vec<_>>(), ["data N×1×28×28"]);
    assert_eq!(graph.output.iter().map(extents).collect::<Vec<_>>(), ["prob N×10"]);

    let conv2 = graph.node.iter().find(|node| node.input.contains(&"conv2/W".to_owned())).unwrap();
    assert!(conv2.attribute.contains(&int("group", 2)));
    assert_eq!(conv2.input[1..], ["conv2/W", "conv2/b"]);
    let source = read_caffemodel(&Storage::open(testdata("fashion/fashion.caffemodel")).unwrap()).unwrap();
    let own = source.layers.iter().find(|layer| layer.name == "conv2").unwrap();
    let weight = graph.initializer.iter().find(|tensor| tensor.name() == "conv2/W").unwrap();
    assert_eq!(weight.dims, own.blobs[0].shape().iter().map(|&dim| dim as i64).collect::<Vec<_>>());
    assert_eq!(weight.data_type(), 1);
    let mut values = Vec::new();
    own.blobs[0]
        .values()
        .read(&mut |bytes| {
            values.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
    assert!(weight.raw_data() == values);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    assert!(fashion(folder.path()) == fashion(folder.path()));
}

#[test]
fn windows_at_the_edge_are_caffes() {
    let pool = |params: &str| {
        let layer =
            format!("layer{{name:\"p\" type:\"Pooling\" bottom:\"a\" top:\"y\" pooling_param{{{params}}}}}");
        net("dim:1 dim:2 dim:6 dim:6", &layer, Vec::new()).unwrap().0
    };
    let max = pool("kernel_size:3 stride:2");
    assert_eq!(max.node[0].attribute[1], ints("pads", [0, 0, 1, 1]));
    // With pads the last window would begin behind the image, and goes.
    assert_eq!(pool("kernel_size:2 stride:2 pad:1").node[0].attribute[1], ints("pads", [1, 1, 1, 1]));
    let average = pool("pool:AVE kernel_size:3 stride:2");
    assert_eq!(kinds(&average), ["AveragePool"]);
    assert_eq!(average.node[0].attribute[3], flag("count_include_pad", false));
    // Divided by what lies within the pads, where the window reaches past them.
    assert_eq!(kinds(&pool("pool:AVE kernel_size:4 stride:3 pad:1")), ["AveragePool", "Mul"]);
    // The third window begins at 6, where the image has ended.
    assert_eq!(kinds(&pool("kernel_h:2 kernel_w:3 stride:3")), ["MaxPool", "Pad"]);
    assert_eq!(kinds(&pool("pool:AVE kernel_size:1 stride:3")), ["AveragePool", "Pad", "Pad"]);
    assert_eq!(kinds(&pool("pool:AVE global_pooling:true")), ["GlobalAveragePool"]);
}

#[test]
fn a_blob_written_in_place_is_several_values() {
    let layers = "layer{name:\"c\" type:\"Power\" bottom:\"a\" top:\"b\" power_param{scale:2}}
        layer{name:\"r\" type:\"ReLU\" bottom:\"b\" top:\"b\"}
        layer{name:\"d\" type:\"Dropout\" bottom:\"b\" top:\"b\"}
        layer{name:\"s\" type:\"Sigmoid\" bottom:\"b\" top:\"b\"}
        layer{name:\"e\" type:\"Dropout\" bottom:\"b\" top:\"e\"}";
    let (graph, _) = net("dim:2 dim:3", layers, Vec::new()).unwrap();
    let outputs = graph.node.iter().map(|node| node.output[0].as_str()).collect::<Vec<_>>();
    assert_eq!(outputs, ["b/c", "b/r", "b", "e"]);
    assert_eq!(kinds(&graph), ["Mul", "Relu", "Sigmoid", "Identity"]);
    assert_eq!(graph.output.iter().map(extents).collect::<Vec<_>>(), ["e N×3"]);
}

#[test]
fn a_batch_norm_and_its_scale_are_one_node() {
    let layers = "layer{name:\"n\" type:\"BatchNorm\" bottom:\"a\" top:\"b\"}
        layer{name:\"s\" type:\"Scale\" bottom:\"b\" top:\"b\" scale_param{bias_term:true}}";
    let given = vec![blobs("n", &[&[3], &[3], &[1]]), blobs("s", &[&[3], &[3]])];
    let (graph, _) = net("dim:2 dim:3 dim:4 dim:4", layers, given).unwrap();
    assert_eq!(kinds(&graph), ["BatchNormalization"]);
    assert_eq!(graph.node[0].input, ["a", "s/W", "s/bias/b", "n/avg_mean", "n/avg_var"]);
    assert_eq!(graph.node[0].output, ["b"]);
}

#[test]
fn the_batch_is_open_where_the_net_allows_it() {
    let reshape = |dims: &str| {
        let layer = format!(
            "layer{{name:\"r\" type:\"Reshape\" bottom:\"a\" top:\"y\" reshape_param{{shape{{{dims}}}}}}}"
        );
        let (graph, _) = net("dim:2 dim:3 dim:4 dim:5", &layer, Vec::new()).unwrap();
        format!("{}, {}", extents(&graph.input[0]), extents(&graph.output[0]))
    };
    assert_eq!(reshape("dim:0 dim:-1"), "a N×3×4×5, y N×60");
    assert_eq!(reshape("dim:-1 dim:5"), "a N×3×4×5, y 12*N×5");
    assert_eq!(reshape("dim:2 dim:60"), "a 2×3×4×5, y 2×60");
    assert_eq!(reshape("dim:1 dim:-1"), "a 2×3×4×5, y 1×120");
}

#[test]
fn losses_end_as_in_a_deploy_net() {
    let layers = "layer{name:\"l\" type:\"Input\" top:\"label\" input_param{shape{dim:2}}}
        layer{name:\"loss\" type:\"SoftmaxWithLoss\" bottom:\"a\" bottom:\"label\" top:\"loss\"}
        layer{name:\"acc\" type:\"Accuracy\" bottom:\"a\" bottom:\"label\" top:\"acc\"}";
    let (graph, notes) = net("dim:2 dim:3", layers, Vec::new()).unwrap();
    assert_eq!(kinds(&graph), ["Softmax"]);
    assert_eq!(graph.input.iter().map(extents).collect::<Vec<_>>(), ["a 2×3"]);
    assert_eq!(graph.output.iter().map(extents).collect::<Vec<_>>(), ["prob 2×3"]);
    assert_eq!(
        notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "left out, as in a deploy net: `loss (SoftmaxWithLoss, of which the Softmax stays)`, `acc (Accuracy)`"
        ]
    );
}

#[test]
fn every_layer_without_words_is_named_at_once() {
    let layers = "layer{name:\"x\" type:\"Pooling\" bottom:\"a\" top:\"x\" pooling_param{pool:STOCHASTIC kernel_size:2}}
        layer{name:\"y\" type:\"ReLU\" bottom:\"x\" top:\"y\"}
        layer{name:\"z\" type:\"PriorBox\" bottom:\"y\" bottom:\"a\" top:\"z\" prior_box_param{min_size:2}}";
    let error = net("dim:1 dim:2 dim:6 dim:6", layers, Vec::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ONNX has no words for 2 of the net's layers: `x` (Pooling: `pool: STOCHASTIC`), `z` (PriorBox)"
    );
}

#[test]
fn a_net_that_reads_data_or_computes_nothing_is_refused() {
    let data = "layer{name:\"m\" type:\"MemoryData\" top:\"x\" top:\"l\" memory_data_param{batch_size:1 channels:1 height:1 width:1}}";
    assert_eq!(
        net("dim:1", data, Vec::new()).unwrap_err().to_string(),
        "layer `m` (MemoryData): it reads data, and an .onnx begins with inputs: give the deploy prototxt, which has Input \
         layers, with --definition"
    );
    assert_eq!(
        net("dim:1", "", Vec::new()).unwrap_err().to_string(),
        "the net computes nothing: an .onnx needs a layer that is neither input nor loss"
    );
    let product =
        "layer{name:\"p\" type:\"InnerProduct\" bottom:\"a\" top:\"y\" inner_product_param{num_output:2}}";
    assert_eq!(
        net("dim:1 dim:3", product, Vec::new()).unwrap_err().to_string(),
        "layer `p` (InnerProduct): the file holds no blobs for it, its definition needs 2 (was the file saved without \
         weights, or is the layer's name another?)"
    );
    assert_eq!(
        net("dim:1 dim:3", product, vec![blobs("p", &[&[2, 4], &[2]])]).unwrap_err().to_string(),
        "layer `p` (InnerProduct): weight blob holds 8 values, shape 2×3 needs 6"
    );
}

#[test]
fn an_exported_file_is_known_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    fashion(folder.path());
    let path = folder.path().join("fashion.onnx");
    assert_eq!(
        Opened::open(&path).unwrap_err().to_string(),
        format!(
            "{}: expected a file of weights, but this is an ONNX file; ONNX is written here, not read",
            path.display()
        )
    );
}

#[test]
fn a_training_net_without_inputs_asks_for_the_deploy_net() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.prototxt");
    std::fs::write(&path, "layer{name:\"r\" type:\"ReLU\" bottom:\"data\" top:\"y\"}").unwrap();
    let definition = open_definition(&path, Options::default()).unwrap().definition.unwrap();
    assert_eq!(
        export(&definition, &Model::default()).unwrap_err().to_string(),
        "layer `r` (ReLU): no layer makes its bottom `data`, and an .onnx begins with inputs: give the deploy prototxt, which \
         has Input layers, with --definition"
    );
}

#[test]
fn a_file_that_nobody_reads_is_not_written() {
    /// Values that are never made.
    #[derive(Debug)]
    struct Long;

    impl Source for Long {
        fn len(&self) -> u64 {
            1 << 31
        }

        fn read(&self, _: &mut Sink<'_>) -> Result<(), caffe_proto::Error> {
            Ok(())
        }
    }

    let mut graph = super::graph::Graph::new("net");
    graph.weight("w", &[1 << 29], &Payload::Made(Arc::new(Long)));
    assert_eq!(
        Bytes::new(&graph).err().unwrap().to_string(),
        "the .onnx would take 2147483705 bytes, and what reads ONNX takes at most 2147483647: write a .safetensors instead"
    );
}
