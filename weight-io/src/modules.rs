//! What a `.safetensors` file says of the net beside its tensors: enough to build the modules that take them.
//!
//! The metadata entry `layers` is a JSON list of the net's layers in order. Each has `name`, `type`, `bottom`, `top`,
//! `tensors` (the names of its tensors without `name/`), and what its type is told, under Caffe's names with Caffe's
//! defaults filled in: `group`, `kernel`, `stride`, `pad`, `dilation` (one value an axis of space), `eps`, and so on. A
//! Scale layer that has become `gamma` and `beta` of a BatchNorm has `folded_into`.

use std::collections::HashSet;

use caffe_proto::net::params::{
    ConvolutionParams, EltwiseOperation, LrnRegion, PoolMethod, PoolingParams, Rounding,
};
use caffe_proto::net::{Layer, LayerKind as K, Net};
use caffe_proto::proto::{NetParameter, NetState};
use serde_json::{Map, Value, json};

use crate::chainer::{BatchNorm, Conv, Options, fold};
use crate::{Error, Tensor, Weights};

/// The key of the metadata.
pub(crate) const KEY: &str = "layers";

/// The list of layers as text.
///
/// # Errors
/// When the definition contradicts itself.
pub(crate) fn describe(
    definition: &NetParameter,
    weights: &Weights,
    options: Options,
) -> Result<String, Error> {
    // The net that infers, if it can be told from the one that is trained.
    let net = match Net::new(definition, &NetState::default()) {
        Ok(net) => net,
        Err(_) => Net::unfiltered(definition)?,
    };
    let names = weights.iter().map(|(name, _)| name).collect::<HashSet<_>>();
    let mut layers = Vec::with_capacity(net.layers.len());
    for (at, layer) in net.layers.iter().enumerate() {
        let mut entry = Map::new();
        entry.insert("name".to_owned(), json!(layer.name));
        entry.insert("type".to_owned(), json!(layer.type_name));
        entry.insert("bottom".to_owned(), json!(layer.bottoms));
        entry.insert("top".to_owned(), json!(layer.tops));
        let tensors = KEYS.iter().filter(|key| names.contains(format!("{}/{key}", layer.name).as_str()));
        entry.insert("tensors".to_owned(), json!(tensors.collect::<Vec<_>>()));
        if let Value::Object(told) = told(layer, weights, options) {
            entry.extend(told);
        }
        if options.batchnorm == BatchNorm::Folded
            && let Some(normalization) = (0..at).find(|&normalization| {
                fold::partner(&net.layers, normalization).is_some_and(|scale| std::ptr::eq(scale, layer))
            })
        {
            entry.insert("folded_into".to_owned(), json!(net.layers[normalization].name));
        }
        layers.push(Value::Object(entry));
    }
    Ok(Value::Array(layers).to_string())
}

/// What the arrays of a layer are called.
const KEYS: [&str; 19] = [
    "W",
    "b",
    "bias/b",
    "avg_mean",
    "avg_var",
    "N",
    "gamma",
    "beta",
    "scale",
    "W_xc",
    "b_c",
    "W_xc_static",
    "W_hc",
    "W_xh",
    "b_h",
    "W_xh_static",
    "W_hh",
    "W_ho",
    "b_o",
];

/// What a layer's type is told.
fn told(layer: &Layer, weights: &Weights, options: Options) -> Value {
    match &layer.kind {
        K::Convolution(p) | K::Deconvolution(p) | K::DepthwiseConvolution(p) => {
            convolution(layer, p, weights, options)
        }
        K::InnerProduct(p) => json!({ "num_output": p.num_output, "axis": p.axis }),
        K::Embed(p) => json!({ "num_output": p.num_output, "input_dim": p.input_dim }),
        K::BatchNorm(p) => json!({ "eps": p.eps, "use_global_stats": p.use_global_stats }),
        K::Scale(p) | K::Bias(p) => json!({ "axis": p.axis, "num_axes": p.num_axes }),
        K::Normalize(p) => json!({
            "across_spatial": p.across_spatial, "channel_shared": p.channel_shared, "eps": p.eps
        }),
        K::Mvn(p) => json!({
            "normalize_variance": p.normalize_variance, "across_channels": p.across_channels, "eps": p.eps
        }),
        K::Lrn(p) => json!({
            "local_size": p.local_size, "alpha": p.alpha, "beta": p.beta, "k": p.k,
            "within_channel": p.region == LrnRegion::WithinChannel
        }),
        K::Pooling(p) => pooling(p),
        K::ReLU { negative_slope } => json!({ "negative_slope": negative_slope }),
        K::PReLU { channel_shared } => json!({ "channel_shared": channel_shared }),
        K::Elu { alpha } => json!({ "alpha": alpha }),
        K::Clip { min, max } => json!({ "min": min, "max": max }),
        K::Swish { beta } => json!({ "beta": beta }),
        K::Threshold { threshold } => json!({ "threshold": threshold }),
        K::Power(p) => json!({ "power": p.power, "scale": p.scale, "shift": p.shift }),
        K::Exp(p) | K::Log(p) => json!({ "base": p.base, "scale": p.scale, "shift": p.shift }),
        K::Dropout { ratio } => json!({ "dropout_ratio": ratio }),
        K::Softmax { axis } | K::Concat { axis } => json!({ "axis": axis }),
        K::Slice(p) => json!({ "axis": p.axis, "slice_point": p.points }),
        K::Flatten(p) => json!({ "axis": p.axis, "end_axis": p.end_axis }),
        K::Reshape(p) => json!({ "dim": p.dims, "axis": p.axis, "num_axes": p.num_axes }),
        K::Permute { order } => json!({ "order": order }),
        K::ShuffleChannel { group } => json!({ "group": group }),
        K::Lstm(p) | K::Rnn(p) => json!({ "num_output": p.num_output, "expose_hidden": p.expose_hidden }),
        K::Eltwise(p) => json!({
            "operation": match p.operation {
                EltwiseOperation::Product => "PROD",
                EltwiseOperation::Sum => "SUM",
                EltwiseOperation::Max => "MAX",
            },
            "coeff": p.coefficients
        }),
        K::Input(p) => json!({ "shape": p.shapes }),
        _ => Value::Null,
    }
}

fn convolution(layer: &Layer, p: &ConvolutionParams, weights: &Weights, options: Options) -> Value {
    let shape = weights.find(&format!("{}/W", layer.name)).map(Tensor::shape);
    let axes = shape.map_or(2, |shape| shape.len().saturating_sub(2));
    let spread = |written: &[usize], default| match written {
        [] => vec![default; axes],
        [one] => vec![*one; axes],
        several => several.to_vec(),
    };
    let group = match (&layer.kind, options.conv) {
        // The zeros between the groups are in the array.
        (_, Conv::Dense) => 1,
        (K::DepthwiseConvolution(_), Conv::Grouped) => p.num_output,
        _ => p.group,
    };
    json!({
        "num_output": p.num_output,
        "group": group,
        "kernel": shape.and_then(|shape| shape.get(2..)).map_or_else(|| spread(&p.kernel, 1), <[usize]>::to_vec),
        "stride": spread(&p.stride, 1),
        "pad": spread(&p.pad, 0),
        "dilation": spread(&p.dilation, 1),
    })
}

fn pooling(p: &PoolingParams) -> Value {
    json!({
        "pool": match p.method {
            PoolMethod::Max => "MAX",
            PoolMethod::Average => "AVE",
            PoolMethod::Stochastic => "STOCHASTIC",
        },
        "global_pooling": p.kernel.is_none(),
        "kernel": p.kernel,
        "stride": p.stride,
        "pad": p.pad,
        "ceil_mode": p.rounding == Rounding::Ceil,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use caffe_proto::open_definition;
    use caffe_proto::text::Options as TextOptions;

    use super::*;
    use crate::{Conversion, Format, Opened};

    #[test]
    fn a_safetensors_file_says_what_its_layers_are() {
        let fashion = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/fashion");
        let mut opened = Opened::open(fashion.join("fashion.caffemodel")).unwrap();
        let definition = open_definition(fashion.join("deploy.prototxt"), TextOptions::default()).unwrap();
        opened.define(definition.definition.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fashion.safetensors");
        Conversion::to(Format::Safetensors).run(&opened, &path, &mut |_, _| {}).unwrap();

        let weights = Weights::open(&path).unwrap();
        let layers = serde_json::from_str::<Value>(&weights.metadata()[KEY]).unwrap();
        let find =
            |name: &str| layers.as_array().unwrap().iter().find(|layer| layer["name"] == name).unwrap();
        assert_eq!(
            find("conv2").to_string(),
            r#"{"bottom":["norm1"],"dilation":[1,1],"group":2,"kernel":[5,5],"name":"conv2","num_output":32,"pad":[2,2],"stride":[1,1],"tensors":["W","b"],"top":["conv2"],"type":"Convolution"}"#
        );
        assert_eq!(find("norm1")["within_channel"], false);
        assert_eq!(find("pool1")["ceil_mode"], true);
        assert_eq!(layers.as_array().unwrap().len(), 16);
    }
}
