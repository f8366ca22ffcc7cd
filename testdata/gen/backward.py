"""One backward pass of every layer type in real Caffe, TEST phase: testdata/backward/<LayerType>.npz and nets.npz.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829 (Linux x86-64), protobuf 3.20.3, numpy < 1.24.
Run:   python3.8 backward.py [OUT_FOLDER] [LAYER_TYPE...]       (default: ../backward next to this script, every type)

Nets, inputs and parameters are made as forward.py makes them, with `force_backward: true`. A loss starts from its
`loss_weight`. Caffe ends when a gradient of indices is asked for: the types in INDEXED stand, without force_backward, between
a Scale that learns (but Embed) and a Power whose sum is the loss (a Filter's own sum is). Of other layers the tops of "l", of nets.npz the net's outputs, are given seeded noise for a gradient. A file holds

    index                   bytes of JSON: a list of {"case", "net", "in", "param", "seed", "din", "dparam"}, names in order
    <case>/in/<blob>        what was put into the net's inputs, before anything ran
    <case>/param/<layer>/<i>    parameter blobs
    <case>/seed/<blob>      gradients that were given
    <case>/din/<blob>       gradients of the inputs; zeros where Caffe computes none
    <case>/dparam/<layer>/<i>   gradients of the parameters that learn

Left out: layers in place whose gradient Caffe takes from what they have overwritten; LSTM and RNN with `expose_hidden`, whose
states Caffe leaves out of the gradient; and BatchNorm with `use_global_stats: false`, which this build computes wrongly.
"""
import json
import os
import pickle
import random
import re
import sys
import tempfile

import numpy as np

import real_caffe
from forward import SPECIAL, fill
from npz import save_npz
from real_caffe import caffe
from shapes import GENERATORS

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = """AbsVal BNLL BatchNorm BatchReindex Bias Concat ContrastiveLoss Convolution Crop Deconvolution ELU Eltwise Embed
EuclideanLoss Exp Filter Flatten HingeLoss Im2col InfogainLoss InnerProduct LRN LSTM LSTMUnit Log MVN MultinomialLogisticLoss PReLU
Parameter Permute Pooling Power RNN ReLU Reduction Reshape SPP Scale Sigmoid SigmoidCrossEntropyLoss Slice Softmax
SoftmaxWithLoss Split Swish TanH Tile nets""".split()
CASES = {"Convolution": 24, "Deconvolution": 20, "Pooling": 30, "InnerProduct": 16, "LRN": 14, "nets": 12}
VALUES = {"Convolution": 700, "Deconvolution": 700, "Pooling": 500, "nets": 1800, "SPP": 700}  # of a case, at most
IN_PLACE = {"ReLU", "PReLU", "Scale", "Bias", "BatchNorm", "Sigmoid", "TanH", "ELU", "Exp"}  # right in Caffe, too

INDEXED = {"BatchReindex", "Embed", "Filter", "InfogainLoss"}


def run(kind, path, text, case):
    """One forward and one backward pass; pickled arrays and names."""
    net = caffe.Net(path, caffe.TEST)
    r = np.random.RandomState(1000 * case + len(text))
    arrays = {"in": {}, "param": {}, "seed": {}, "din": {}, "dparam": {}}
    shapes = [list(net.blobs[name].shape) for name in net.inputs]
    own = "\n".join(line for line in text.splitlines() if 'name:"s"' not in line)
    for name, value in zip(net.inputs, fill(kind, own, shapes, r, kind != "nets" and case % 3 == 1)):
        net.blobs[name].data[...] = value
        arrays["in"][name] = np.array(net.blobs[name].data)
    layers = list(net._layer_names)
    types = dict(zip(layers, (layer.type for layer in net.layers)))
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            # In nets small, or a Softmax at their end is saturated, and its gradient all rounding.
            value = r.standard_normal(blob.shape) * (0.5 if i == 0 and kind != "nets" else 0.2)
            if types[name] == "BatchNorm":
                factor = [1, 1, 2.5, 999.982][(case + 1) % 4]
                value = [value, np.abs(value) + 0.5, np.array([factor])][i] * (factor if i < 2 else 1)
            blob.data[...] = value
            arrays["param"]["%s/%d" % (name, i)] = np.array(blob.data)
    net.forward()
    tops = list(net.outputs) if kind == "nets" else [net._blob_names[i] for i in net._top_ids(layers.index("l"))]
    if not kind.endswith("Loss") and kind not in INDEXED:
        for name in tops:
            seed = r.standard_normal(net.blobs[name].data.shape).astype(np.float32)
            net.blobs[name].diff[...] = seed
            arrays["seed"][name] = seed
    net._backward(len(layers) - 1, 0)
    for name in net.inputs:
        arrays["din"][name] = np.array(net.blobs[name].diff)
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            if types[name] != "BatchNorm":
                arrays["dparam"]["%s/%d" % (name, i)] = np.array(blob.diff)
    return pickle.dumps(arrays)


def surrounded(kind, text):
    """The net with a learning layer before, and a loss behind, the layer "l"."""
    lines = []
    for line in text.splitlines():
        if 'name:"l"' in line and kind != "Embed":
            lines.append('layer{name:"s" type:"Scale" bottom:"a" top:"s" scale_param{axis:0 num_axes:-1}}')
            line = line.replace('bottom:"a"', 'bottom:"s"')
        if 'name:"l"' in line and kind == "Filter":
            line = line[: line.rindex("}")] + " loss_weight:1" * line.count("top:") + "}"
        lines.append(line)
    if kind != "Filter" and not kind.endswith("Loss"):
        lines.append('layer{name:"q" type:"Power" bottom:"y0" top:"q" power_param{power:2} loss_weight:1}')
    return "\n".join(lines) + "\n"


def suits(kind, text):
    """Whether Caffe's gradient is the one of what it computes."""
    layer = [line for line in text.splitlines() if 'name:"l"' in line]
    if kind == "nets" or not layer:
        return True
    tops = set(re.findall(r'top:"([^"]*)"', layer[0]))
    if tops & set(re.findall(r'bottom:"([^"]*)"', layer[0])):
        return kind in IN_PLACE and "negative_slope:-" not in text
    return True


def main():
    out = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "backward"))
    wanted = sys.argv[2:] or KINDS
    os.makedirs(out, exist_ok=True)
    work = tempfile.TemporaryDirectory(prefix="backward-")
    os.chdir(work.name)
    total = 0
    for kind in wanted:
        r = random.Random("backward of " + kind)
        target, most = CASES.get(kind, 10), VALUES.get(kind, 330)
        candidates = [] if kind == "nets" else list(SPECIAL.get(kind, []))
        special, seen, index, arrays = len(candidates), set(), [], {}
        for attempt in range(60 * target):
            if len(index) >= target:
                break
            if attempt >= special:
                made = GENERATORS[kind](r)
                candidates.append(made[0] if isinstance(made, tuple) else made)
            text = "\n".join(" ".join(line.split()) for line in candidates[attempt].splitlines()) + "\n"
            if text in seen or "use_global_stats:false" in text or "STOCHASTIC" in text or "expose_hidden:true" in text or not suits(kind, text):
                continue
            seen.add(text)
            text = surrounded(kind, text) if kind in INDEXED else "force_backward: true\n" + text
            with open("net.prototxt", "w") as stream:
                stream.write(text)
            case = len(index)
            ok, value, _ = real_caffe.isolated(lambda: run(kind, "net.prototxt", text, case))
            if not ok:
                continue
            groups = pickle.loads(value)
            sizes = [array.size for group in groups.values() for array in group.values()]
            if attempt >= special and sum(sizes) > 2 * most or 0 in sizes:
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
