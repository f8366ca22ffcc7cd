"""One forward pass of every layer type in real Caffe, TEST phase: testdata/layers/<LayerType>.npz and nets.npz.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829 (Linux x86-64), protobuf 3.20.3, numpy < 1.24.
Run:   python3.8 forward.py [OUT_FOLDER] [LAYER_TYPE...]        (default: ../layers next to this script, every type)

The configurations are shapes.py's, those whose blobs are small, after the ones listed in SPECIAL here; inputs and
parameters are seeded. (STOCHASTIC pooling does not exist on the CPU.) A file holds

    index                   bytes of JSON: a list of {"case", "net", "in", "param", "out"}, names in order
    <case>/in/<blob>        what was put into the net's inputs, before anything ran (a layer in place rewrites it)
    <case>/param/<layer>/<i>    parameter blobs
    <case>/out/<blob>       the tops of the layer "l"; of nets.npz the net's outputs

`<case>` counts from 0. An automatic loss top is `(automatic)`. Left out: BatchNorm with `use_global_stats: false`, which
this build of Caffe computes wrongly; types that read data (MemoryData, HDF5Data, ...) or compute nothing (Input).
A minute in all.
"""
import json
import os
import pickle
import random
import sys
import tempfile

import numpy as np

import real_caffe
from npz import save_npz
from real_caffe import caffe
from shapes import GENERATORS, one

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = {"Convolution": 40, "Deconvolution": 36, "Pooling": 60, "InnerProduct": 32, "Reshape": 30, "nets": 24}
VALUES = {"Convolution": 900, "Deconvolution": 900, "Pooling": 500, "nets": 1800, "SPP": 700}  # of a case, at most
LEFT_OUT = {"MemoryData", "Input"}


def plain(kind, shape, *bodies, **rest):
    return [one(kind, [list(shape)], rest.get("tops", 1), body, in_place=rest.get("in_place", False)) for body in bodies]


def pools(shape, *bodies, **rest):
    return plain("Pooling", shape, *["pooling_param{%s}" % body for body in bodies], **rest)


SPECIAL = {
    "AbsVal": plain("AbsVal", [2, 3, 4], ""),
    "ArgMax": plain("ArgMax", [2, 4, 3], "argmax_param{top_k:2}", "argmax_param{axis:1 top_k:3 out_max_val:true}", "argmax_param{axis:-1}", "argmax_param{out_max_val:true}"),
    "BatchNorm": plain("BatchNorm", [2, 3, 4, 3], "", "batch_norm_param{eps:0.01}", "batch_norm_param{use_global_stats:true}") + plain("BatchNorm", [3, 4], "") + plain("BatchNorm", [2, 3, 4], "", in_place=True),
    "Concat": [one("Concat", [[2, 1, 3], [2, 4, 3], [2, 2, 3]], 1, body) for body in ("", "concat_param{axis:-2}")],
    "Convolution": [
        one("Convolution", [shape], 1, "convolution_param{%s}" % body)
        for shape, body in (
            ([1, 4, 7, 7], "num_output:6 kernel_size:3 pad:1 stride:2 group:2"),
            ([2, 6, 5, 6], "num_output:6 kernel_size:3 pad:1 group:6 bias_term:false"),
            ([1, 3, 8, 8], "num_output:6 kernel_size:3 pad:2 dilation:2 group:3"),
            ([1, 4, 9, 7], "num_output:3 kernel_h:1 kernel_w:5 pad_h:0 pad_w:2 stride_h:2 stride_w:1"),
            ([2, 5, 4, 4], "num_output:4 kernel_size:1"),
            ([1, 3, 6, 6], "num_output:2 kernel_size:1 stride:2"),
            ([1, 2, 3, 3], "num_output:2 kernel_size:3 pad:3 stride:3"),
        )
    ],
    "Deconvolution": [
        one("Deconvolution", [shape], 1, "convolution_param{%s}" % body)
        for shape, body in (
            ([1, 4, 3, 4], "num_output:6 kernel_size:4 pad:1 stride:2 group:2"),
            ([1, 3, 4, 4], "num_output:3 kernel_size:4 pad:1 stride:2 group:3 bias_term:false"),
            ([1, 2, 3, 3], "num_output:3 kernel_size:3 dilation:2 pad:1"),
            ([2, 3, 4, 4], "num_output:2 kernel_size:1 stride:3"),
        )
    ],
    "ELU": plain("ELU", [2, 5], "elu_param{alpha:2}", "elu_param{alpha:0}"),
    "Eltwise": [one("Eltwise", [[2, 3, 2]] * count, 1, "eltwise_param{%s}" % body) for count, body in ((3, "coeff:1 coeff:-1 coeff:0.25"), (3, "operation:MAX"), (2, "operation:PROD"), (2, "coeff:1 coeff:-1"), (4, "operation:PROD"))] + [one("Eltwise", [[2, 3, 2]] * 3, 1, "eltwise_param{%s}" % body, in_place=True) for body in ("coeff:2 coeff:3 coeff:-1", "operation:MAX", "operation:PROD")],
    "Exp": plain("Exp", [2, 5], "exp_param{base:10}", "exp_param{scale:-0.5 shift:2}", "exp_param{base:0.5 scale:2}"),
    "LRN": plain("LRN", [2, 7, 3, 4], "lrn_param{local_size:5 alpha:0.5}", "lrn_param{local_size:3 alpha:2 beta:0.5 k:2}", "lrn_param{local_size:3 alpha:1 norm_region:WITHIN_CHANNEL}", "lrn_param{local_size:5 alpha:0.5 beta:1.5 k:3 norm_region:WITHIN_CHANNEL}") + plain("LRN", [1, 2, 3, 3], "lrn_param{local_size:7 alpha:1}"),
    "Log": plain("Log", [2, 5], "log_param{base:10}", "log_param{scale:2 shift:3}", "log_param{base:2 scale:0.5 shift:1}"),
    "MVN": plain("MVN", [2, 3, 4, 4], "", "mvn_param{across_channels:true}", "mvn_param{normalize_variance:false}", "mvn_param{across_channels:true normalize_variance:false}", "mvn_param{eps:0.1}"),
    "nets": [  # Layers in place behind those that share their bottom's memory: what is written shows under every name.
        """layer{name:"in" type:"Input" top:"a" input_param{shape{dim:2 dim:3 dim:4}}}
layer{name:"l1" type:"Power" bottom:"a" top:"p" power_param{scale:2 shift:-0.5}}
%s
layer{name:"l3" type:"ReLU" bottom:"f" top:"f"}
layer{name:"l4" type:"Power" bottom:"p" top:"q" power_param{scale:-1}}
layer{name:"l5" type:"Power" bottom:"%s" top:"r" power_param{scale:3}}
""" % lines
        for lines in (
            ('layer{name:"l2" type:"Flatten" bottom:"p" top:"f"}', "f"),
            ('layer{name:"l2" type:"Reshape" bottom:"p" top:"f" reshape_param{shape{dim:4 dim:-1}}}', "p"),
            ('layer{name:"l2" type:"Split" bottom:"p" top:"f" top:"g"}', "g"),
            ('layer{name:"l2" type:"Dropout" bottom:"p" top:"f"}', "f"),
            ('layer{name:"l2" type:"Concat" bottom:"p" top:"f"}', "f"),
            ('layer{name:"l2" type:"Slice" bottom:"p" top:"f"}', "p"),
            ('layer{name:"l0" type:"Power" bottom:"p" top:"before"}\nlayer{name:"l2" type:"Flatten" bottom:"p" top:"f"}', "f"),
        )
    ],
    "Permute": plain("Permute", [2, 3, 4, 2], "permute_param{order:0 order:2 order:3 order:1}", "permute_param{order:3}", "permute_param{order:1 order:0}"),
    "Pooling": pools([1, 2, 6, 6], "kernel_size:3 stride:2", "pool:AVE kernel_size:3 stride:2", "pool:AVE kernel_size:3 stride:2 pad:1", "kernel_size:3 stride:2 pad:1", "pool:AVE kernel_size:2 stride:2 pad:1", "kernel_size:2 stride:2 pad:1", "pool:AVE kernel_size:3 stride:2 round_mode:FLOOR", "kernel_size:3 stride:2 pad:1 round_mode:FLOOR")
    + pools([1, 1, 5, 5], "kernel_size:1 stride:3", "pool:AVE kernel_size:1 stride:3", "pool:AVE kernel_size:5 stride:4 pad:4", "kernel_size:5 stride:4 pad:4", "pool:AVE kernel_h:2 kernel_w:4 stride_h:2 stride_w:3 pad_h:0 pad_w:2", "kernel_h:2 kernel_w:4 stride_h:3 stride_w:3 pad_h:1 pad_w:3")
    + pools([1, 2, 7, 5], "kernel_size:3 stride:2 pad:1", "kernel_size:2 stride:2", "global_pooling:true", tops=2)
    + pools([2, 3, 4, 5], "pool:AVE global_pooling:true", "global_pooling:true"),
    "Power": plain("Power", [2, 5], "power_param{power:0.5 shift:4}", "power_param{scale:-2 shift:1}", "power_param{power:3 scale:0.5 shift:-1}", "power_param{power:0 scale:3 shift:1}", "power_param{power:-1 scale:2 shift:5}", "power_param{scale:0 power:2 shift:3}"),
    "PReLU": plain("PReLU", [2, 3, 2, 2], "", "prelu_param{channel_shared:true}") + plain("PReLU", [2, 3], "", in_place=True),
    "ReLU": plain("ReLU", [2, 6], "relu_param{negative_slope:0.25}", "relu_param{negative_slope:-1}", in_place=True),
    "Scale": [one("Scale", [[2, 3, 4]], 1, "scale_param{%s}" % body, in_place=True) for body in ("bias_term:true", "axis:0 num_axes:-1 bias_term:true", "axis:-1", "axis:1 num_axes:2")] + [one("Scale", [[2, 3, 4], [2, 3]], 1, "scale_param{axis:0 bias_term:true}"), one("Scale", [[2, 3, 4], [3]], 1), one("Scale", [[2, 3], []], 1, "scale_param{axis:0}")],
    "Softmax": plain("Softmax", [2, 3, 4], "", "softmax_param{axis:-1}", "softmax_param{axis:0}"),
    "Swish": plain("Swish", [2, 5], "swish_param{beta:0.5}", "swish_param{beta:-1}"),
    "Threshold": plain("Threshold", [2, 5], "threshold_param{threshold:0.5}", "threshold_param{threshold:-0.5}"),
}


def fill(kind, text, shapes, r, coarse):
    """The net's inputs: noise, or what the layer takes there. `coarse` values are few, so that there are ties."""

    def noise(shape):
        values = r.standard_normal(shape).astype(np.float32)
        return np.round(values * 2) / 2 if coarse else values

    def integers(shape, below):
        return r.randint(0, max(below, 1), shape).astype(np.float32)

    def chances(shape):
        return r.uniform(0.05, 0.95, shape).astype(np.float32)

    arrays = [noise(shape) for shape in shapes]
    if kind in ("SoftmaxWithLoss", "InfogainLoss", "Accuracy", "MultinomialLogisticLoss", "HingeLoss"):
        axis = int(text.split("axis:")[1].split()[0].split("}")[0]) if "axis:" in text else 1
        arrays[1] = integers(shapes[1], shapes[0][axis])
        if "ignore_label:255" in text:
            arrays[1][r.uniform(size=shapes[1]) < 0.3] = 255
    if kind in ("MultinomialLogisticLoss", "InfogainLoss"):
        arrays[0] = chances(shapes[0])
    if kind == "ContrastiveLoss":
        arrays[2] = integers(shapes[2], 2)
    if kind == "SigmoidCrossEntropyLoss":
        arrays[1] = integers(shapes[1], 2) if "ignore_label" in text else chances(shapes[1])
    if kind == "Embed":
        arrays[0] = integers(shapes[0], int(text.split("input_dim:")[1].split()[0].split("}")[0]))
    if kind == "BatchReindex":
        arrays[1] = integers(shapes[1], shapes[0][0])
    if kind == "Filter":
        arrays[-1] = integers(shapes[-1], 2)
        arrays[-1].flat[r.randint(arrays[-1].size)] = 1
    if kind in ("LSTM", "RNN"):
        arrays[1] = integers(shapes[1], 3).clip(0, 1)
    if kind == "LSTMUnit":
        arrays[2] = integers(shapes[2], 2)
    if kind in ("Log", "Power"):
        arrays[0] = np.abs(arrays[0]) + (0 if coarse and kind != "Log" else np.float32(0.1))
    return arrays


def run(kind, path, text, case):
    """One forward pass; pickled arrays and names."""
    net = caffe.Net(path, caffe.TEST)
    r = np.random.RandomState(1000 * case + len(text))
    coarse = case % 3 == 1
    arrays = {"in": {}, "param": {}, "out": {}}
    shapes = [list(net.blobs[name].shape) for name in net.inputs]
    for name, value in zip(net.inputs, fill(kind, text, shapes, r, coarse)):
        net.blobs[name].data[...] = value
        arrays["in"][name] = np.array(net.blobs[name].data)
    types = dict(zip(net._layer_names, (layer.type for layer in net.layers)))
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            value = r.standard_normal(blob.shape) * (0.5 if i == 0 else 0.25)
            if types[name] == "BatchNorm":
                factor = [0, 1, 2.5, 999.982][(case + 1) % 4]
                value = [value, np.abs(value) + 0.5, np.array([factor])][i] * (max(factor, 1) if i < 2 else 1)
            blob.data[...] = value
            arrays["param"]["%s/%d" % (name, i)] = np.array(blob.data)
    net.forward()
    if kind == "nets":
        tops = net.outputs
    else:
        tops = [net._blob_names[i] for i in net._top_ids(list(net._layer_names).index("l"))]
    for name in tops:
        arrays["out"][name] = np.array(net.blobs[name].data)
    return pickle.dumps(arrays)


def main():
    out = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "layers"))
    wanted = sys.argv[2:] or [kind for kind in GENERATORS if kind not in LEFT_OUT]
    os.makedirs(out, exist_ok=True)
    work = tempfile.TemporaryDirectory(prefix="forward-")
    os.chdir(work.name)
    total = 0
    for kind in wanted:
        r = random.Random("forward of " + kind)
        target, most = CASES.get(kind, 24), VALUES.get(kind, 330)
        candidates = list(SPECIAL.get(kind, []))
        special, seen, index, arrays = len(candidates), set(), [], {}
        for attempt in range(60 * target):
            if len(index) >= target:
                break
            if attempt >= special:
                made = GENERATORS[kind](r)
                candidates.append(made[0] if isinstance(made, tuple) else made)
            text = "\n".join(" ".join(line.split()) for line in candidates[attempt].splitlines()) + "\n"
            if text in seen or "use_global_stats:false" in text:
                continue
            seen.add(text)
            with open("net.prototxt", "w") as stream:
                stream.write(text)
            case = len(index)
            ok, value, log = real_caffe.isolated(lambda: run(kind, "net.prototxt", text, case))
            if not ok:
                if attempt < special:
                    sys.exit("real Caffe refuses %s: %s" % (text, log))
                continue
            groups = pickle.loads(value)
            sizes = [array.size for group in groups.values() for array in group.values()]
            if attempt >= special and (sum(sizes) > most or 0 in sizes):
                continue
            index.append({"case": case, "net": text, **{group: list(named) for group, named in groups.items()}})
            for group, named in groups.items():
                for name, array in named.items():
                    arrays["%d/%s/%s" % (case, group, name)] = array
        path = os.path.join(out, kind + ".npz")
        encoded = json.dumps(index, separators=(",", ":")).encode()
        save_npz(path, {"index": np.frombuffer(encoded, np.uint8), **arrays})
        total += os.path.getsize(path)
        print("%-24s %3d cases %7d bytes" % (kind, len(index), os.path.getsize(path)), flush=True)
    print("%d bytes" % total)


if __name__ == "__main__":
    main()
