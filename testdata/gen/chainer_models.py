"""Small caffemodels for Chainer to load, written by real Caffe: testdata/chainer/*.caffemodel and *.prototxt.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829, protobuf 3.20.3, numpy < 1.24.
Run:   python3.8 chainer_models.py [OUT_FOLDER]        (default: ../chainer next to this script), then chainer_goldens.py

For every net also NAME.forward.npz: a random input `data` and every blob that real Caffe makes of it (TEST phase).
"""
import os
import sys

import numpy as np

from npz import save_npz
from real_caffe import caffe

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "chainer"))

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: %d dim: 6 dim: 6 } } }\n'

NETS = {
    # BatchNorm whose third blob is neither 0 nor 1, an eps that is not the default, Scale with bias; a second pair without
    # Scale's bias, and a scalar Scale.
    "bn_scale": INPUT % 3
    + '''layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 bias_term: false } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" batch_norm_param { use_global_stats: true eps: 0.001 } }
layer { name: "scale" type: "Scale" bottom: "bn" top: "scale" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "scale" top: "scale" }
layer { name: "bn2" type: "BatchNorm" bottom: "scale" top: "bn2" batch_norm_param { use_global_stats: true } }
layer { name: "scale2" type: "Scale" bottom: "bn2" top: "scale2" }
layer { name: "scalar" type: "Scale" bottom: "scale2" top: "scalar" scale_param { axis: 0 num_axes: 0 } }
layer { name: "fc" type: "InnerProduct" bottom: "scalar" top: "fc" inner_product_param { num_output: 2 } }
''',
    # scale_factor 0: Caffe takes mean and variance as 0, Chainer divides 0 by 0.
    "bn_zero": INPUT % 3
    + '''layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn" batch_norm_param { use_global_stats: true } }
layer { name: "conv" type: "Convolution" bottom: "bn" top: "conv" convolution_param { num_output: 2 kernel_size: 1 } }
''',
    # Depthwise (one and two outputs per channel) and group 2.
    "groups": INPUT % 4
    + '''layer { name: "depthwise" type: "Convolution" bottom: "data" top: "depthwise" convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 4 } }
layer { name: "depthwise2" type: "Convolution" bottom: "depthwise" top: "depthwise2" convolution_param { num_output: 8 kernel_h: 3 kernel_w: 2 group: 4 bias_term: false } }
layer { name: "group2" type: "Convolution" bottom: "depthwise2" top: "group2" convolution_param { num_output: 6 kernel_size: 2 group: 2 } }
''',
    "deconvolution": INPUT % 4
    + '''layer { name: "up" type: "Deconvolution" bottom: "data" top: "up" convolution_param { num_output: 6 kernel_size: 3 stride: 2 pad: 1 group: 2 } }
layer { name: "up_depthwise" type: "Deconvolution" bottom: "up" top: "up_depthwise" convolution_param { num_output: 6 kernel_size: 2 stride: 2 group: 6 bias_term: false } }
''',
    # GoogLeNet's way of naming: `/` in layer names, one name the beginning of another.
    "slashes": INPUT % 3
    + '''layer { name: "inc/3x3_reduce" type: "Convolution" bottom: "data" top: "inc/3x3_reduce" convolution_param { num_output: 2 kernel_size: 1 } }
layer { name: "inc/3x3" type: "Convolution" bottom: "inc/3x3_reduce" top: "inc/3x3" convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "inc/3x3/bn" type: "BatchNorm" bottom: "inc/3x3" top: "inc/3x3/bn" }
layer { name: "inc/3x3/scale" type: "Scale" bottom: "inc/3x3/bn" top: "inc/3x3/bn" scale_param { bias_term: true } }
layer { name: "loss/fc" type: "InnerProduct" bottom: "inc/3x3/bn" top: "loss/fc" inner_product_param { num_output: 3 } }
''',
}
SCALE_FACTORS = {"bn": 999.982, "bn2": 1.0, "inc/3x3/bn": 3.75}


def main():
    os.makedirs(OUT, exist_ok=True)
    for name, text in NETS.items():
        definition = os.path.join(OUT, name + ".prototxt")
        with open(definition, "w") as stream:
            stream.write('name: "%s"\n%s' % (name, text))
        net = caffe.Net(definition, caffe.TEST)
        random = np.random.RandomState(sum(map(ord, name)))
        types = dict(zip(net._layer_names, (layer.type for layer in net.layers)))
        for layer, blobs in net.params.items():
            for i, blob in enumerate(blobs):
                blob.data[...] = random.standard_normal(blob.data.shape) * 0.4
            if types[layer] == "BatchNorm":
                factor = 0.0 if name == "bn_zero" else SCALE_FACTORS[layer]
                blobs[0].data[...] *= factor
                blobs[1].data[...] = np.abs(blobs[1].data) * factor + 0.2 * factor
                blobs[2].data[...] = factor
        net.save(os.path.join(OUT, name + ".caffemodel"))
        net.blobs["data"].data[...] = random.standard_normal(net.blobs["data"].data.shape)
        picture = net.blobs["data"].data.copy()
        net.forward()
        blobs = {key: blob.data.copy() for key, blob in net.blobs.items() if "_split_" not in key}
        blobs["data"] = picture
        save_npz(os.path.join(OUT, name + ".forward.npz"), blobs)
        print(name, os.path.getsize(os.path.join(OUT, name + ".caffemodel")))


if __name__ == "__main__":
    main()
