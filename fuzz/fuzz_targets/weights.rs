//! What every reader of weights is put through.

use caffe_proto::Storage;
use caffe_proto::text::{Options, parse_net};
use weight_io::{Opened, chainer};

/// Layers whose names the seeds of the corpora use, so that tensors find a place.
const DEFINITION: &str = "
    layer { name: 'conv1' type: 'Convolution' convolution_param { num_output: 4 kernel_size: 3 group: 2 } }
    layer { name: 'bn1' type: 'BatchNorm' bottom: 'x' top: 'y' }
    layer { name: 'scale1' type: 'Scale' bottom: 'y' top: 'z' scale_param { bias_term: true } }
    layer { name: 'fc1' type: 'InnerProduct' inner_product_param { num_output: 3 transpose: true } }";

/// Opens `data`, reads every value, and lays it out both ways.
pub fn exercise(name: &str, data: &[u8]) {
    let Ok(mut opened) = Opened::read(&Storage::from_vec(name, data.to_vec())) else { return };
    let layouts = [
        chainer::Options::default(),
        chainer::Options { conv: chainer::Conv::Dense, batchnorm: chainer::BatchNorm::Folded },
    ];
    for layout in layouts {
        if let Ok((weights, _)) = opened.weights(layout) {
            for (_, tensor) in weights.iter() {
                let _ = tensor.values().read(&mut |_| Ok(()));
            }
        }
        let definition = Storage::from_vec("fuzz.prototxt", DEFINITION.as_bytes().to_vec());
        if let Ok((definition, _)) = parse_net(&definition, Options::default()) {
            opened.define(definition);
        }
        if let Ok((model, _)) = opened.model() {
            for blob in model.layers.iter().flat_map(|layer| &layer.blobs) {
                let _ = blob.values().read(&mut |_| Ok(()));
            }
        }
    }
}
