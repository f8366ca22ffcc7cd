"""Every parameter blob of a Caffe weight file as real Caffe loads it, into an .npz.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829 (Linux x86-64), protobuf 3.20.3, h5py, numpy < 1.24.
Run:   python3.8 live_caffe.py FILE [PROTOTXT] OUT.npz

FILE is a .caffemodel or a .caffemodel.h5. With PROTOTXT the net is set up (TEST phase) and FILE's weights are copied into
it by layer name, as Caffe always does. Without, the file goes through Caffe's own binary reader and upgrade, and the
blobs are taken from the result by Caffe's rules (the four legacy fields before shape, double_data before data).

OUT.npz: "LAYER<TAB>I" the blob, float32; "LAYER<TAB>type" the layer's type; "<TAB>file" and "<TAB>definition" the paths
given. Exit 0, or 2 with Caffe's message on stderr.
"""
import os
import pickle
import sys

import numpy as np

import real_caffe
import wire
from npz import save_npz
from real_caffe import PROTO, caffe


def through_net(prototxt, weights):
    net = caffe.Net(prototxt, caffe.TEST, weights=weights)
    types = dict(zip(net._layer_names, (layer.type for layer in net.layers)))
    return [(name, types[name], [np.array(blob.data) for blob in blobs]) for name, blobs in net.params.items()]


def one_blob(data):
    """A BlobProto that Caffe's own writer wrote: packed, no unknown encodings. None: it holds no values Caffe reads."""
    legacy, dims, floats, doubles, seen = [0, 0, 0, 0], [], [], [], False
    for field, kind, value, _ in wire.fields(data):
        if 1 <= field <= 4:
            legacy[field - 1], seen = value, True
        elif field == 5:
            floats.append(np.frombuffer(value, "<f4"))
        elif field == 8:
            doubles.append(np.frombuffer(value, "<f8"))
        elif field == 7:
            for inner, inner_kind, content, _ in wire.fields(value):
                if inner == 1 and inner_kind == 2:
                    at = 0
                    while at < len(content):
                        dim, at = wire.read_varint(content, at)
                        dims.append(dim)
                elif inner == 1:
                    dims.append(content)
    values = np.concatenate(doubles).astype(np.float32) if doubles else np.concatenate(floats) if floats else np.zeros(0, np.float32)
    shape = legacy if seen else dims
    if values.size != int(np.prod(shape, dtype=np.int64)):
        return None
    return values.reshape(shape)


def through_upgrade(weights):
    ok, data, log = real_caffe.upgrade_binary(weights)
    if not ok:
        raise real_caffe.Fatal(log)
    found = []
    for field, _, value, _ in wire.fields(data):
        if field != 100:
            continue
        name, kind, blobs = "", "", []
        for inner, _, content, _ in wire.fields(value):
            if inner == 1:
                name = content.decode()
            elif inner == 2:
                kind = content.decode()
            elif inner == 7:
                blobs.append(one_blob(content))
        for i, blob in enumerate(blobs):
            if blob is None:
                print("%s: blob %d of layer `%s` holds no values that real Caffe reads" % (weights, i, name), file=sys.stderr)
        found.append((name, kind, blobs))
    return found


def through_hdf5(weights):
    import h5py

    with h5py.File(weights, "r") as file:
        return [(name, "", [file["data"][name][str(i)][()] for i in range(len(file["data"][name]))]) for name in file["data"]]


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    weights, out = os.path.abspath(sys.argv[1]), sys.argv[-1]
    prototxt = os.path.abspath(sys.argv[2]) if len(sys.argv) == 4 else None
    with open(weights, "rb") as stream:
        hdf5 = stream.read(8) == b"\x89HDF\r\n\x1a\n"

    def call():
        if prototxt:
            found = through_net(prototxt, weights)
        else:
            found = through_hdf5(weights) if hdf5 else through_upgrade(weights)
        return pickle.dumps(found)

    ok, value, log = real_caffe.isolated(call)
    if not ok:
        print("real Caffe cannot load %s: %s" % (weights, log), file=sys.stderr)
        sys.exit(2)
    if log:
        print(log, file=sys.stderr)
    arrays = {"\tfile": np.array(weights), "\tdefinition": np.array(prototxt or "")}
    for name, kind, blobs in pickle.loads(value):
        arrays["%s\ttype" % name] = np.array(kind)
        for i, blob in enumerate(blobs):
            if blob is not None:
                arrays["%s\t%d" % (name, i)] = blob
    save_npz(out, arrays)
    count = sum(1 for key in arrays if key.rsplit("\t", 1)[1].isdigit())
    print("%s: %d blobs" % (out, count))


if __name__ == "__main__":
    main()
