"""Runs a net once in real Caffe and keeps everything that live_forward_chainer.py needs to run it again.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829 (Linux x86-64), protobuf 3.20.3, numpy < 1.24.
Run:   python3.8 live_forward_caffe.py DEPLOY.prototxt FILE.caffemodel OUT.npz

The inputs are seeded noise. OUT.npz: "LAYER<TAB>top<TAB>I" each top as it is right after its layer (so in-place layers
keep every stage), "BLOB<TAB>input" the inputs, and "<TAB>definition", the upgraded net as JSON: a list of {name, type,
bottom, top, and the layer's own parameters}. Exit 0, or 2 with Caffe's message on stderr.
"""
import json
import os
import pickle
import sys

import numpy as np
from google.protobuf import json_format

import real_caffe
from npz import save_npz
from real_caffe import PROTO, caffe


def run(deploy, weights):
    ok, data, log = real_caffe.upgrade_text(deploy)
    if not ok:
        raise real_caffe.Fatal(log)
    definition = {layer.name: layer for layer in PROTO.NetParameter.FromString(data).layer}
    net = caffe.Net(deploy, caffe.TEST, weights=weights)
    random = np.random.RandomState(1)
    arrays = {}
    for name in net.inputs:
        net.blobs[name].data[...] = random.standard_normal(net.blobs[name].data.shape)
        arrays["%s\tinput" % name] = net.blobs[name].data.copy()
    layers = []
    for index, name in enumerate(net._layer_names):
        net._forward(index, index)
        tops = [net._blob_names[i] for i in net._top_ids(index)]
        bottoms = [net._blob_names[i] for i in net._bottom_ids(index)]
        for i, top in enumerate(tops):
            arrays["%s\ttop\t%d" % (name, i)] = net.blobs[top].data.copy()
        if name in definition:
            entry = json_format.MessageToDict(definition[name], preserving_proto_field_name=True)
            entry.pop("blobs", None)
        else:
            entry = {}
        entry.update({"name": name, "type": net.layers[index].type, "bottom": bottoms, "top": tops})
        layers.append(entry)
    arrays["\tdefinition"] = np.array(json.dumps(layers))
    return pickle.dumps(arrays)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    deploy, weights = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    ok, value, log = real_caffe.isolated(lambda: run(deploy, weights))
    if not ok:
        lines = log.strip().splitlines() or ["it says nothing"]
        said = next((line for line in lines if "heck failed" in line or "rror" in line), lines[-1])
        print("real Caffe cannot run %s: %s" % (os.path.basename(deploy), said), file=sys.stderr)
        sys.exit(2)
    arrays = pickle.loads(value)
    save_npz(sys.argv[3], arrays)
    print("%s: %d arrays" % (sys.argv[3], len(arrays)))


if __name__ == "__main__":
    main()
