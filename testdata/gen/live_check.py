"""Compares a converted weight file with what real Caffe loaded, and loads it in real Chainer; bit for bit.

Needs: CPython 3.8 with chainer 7.8.1, setuptools < 60, numpy < 1.24, protobuf 3.20.3, h5py.
Run:   python3.8 live_check.py CAFFE.npz OURS.npz|OURS.h5|OURS.safetensors [MODEL.caffemodel]

CAFFE.npz comes from live_caffe.py; MODEL.caffemodel is by default the file that it was made from. OURS has Chainer's
names (LAYER/W, LAYER/b, LAYER/avg_mean, LAYER/bias/b, ...), with convolutions dense (as CaffeFunction makes them) or
grouped (Caffe's own shape); or it is itself a live_caffe.py output (of our .caffemodel, say).

1. Every blob of CAFFE.npz must be in OURS, and nothing else: convolution, deconvolution and inner product as W and b
   (dense: block-diagonal, zero elsewhere), BatchNorm as avg_mean, avg_var (blob / blob[2] in float32; zeros where
   blob[2] is 0) and N = 0, Scale as W and bias/b, any other layer's blobs bit for bit under whatever names the layer has.
2. For .npz and .h5: CaffeFunction(MODEL) is made twice. OURS must hold each of its arrays with the same dtype, shape and
   bits; then one of the two is filled with noise, OURS is loaded into it by load_npz or load_hdf5 (strict), and it must
   equal the other. A grouped file is loaded into Convolution2D/Deconvolution2D(groups=G) put in the dense one's place.
   Where Chainer cannot load the model, or skips a layer, or divides by a zero scale factor, the line says so and
   Caffe's values count.

Prints a table; exit 0 if all is equal, 1 on any difference, 2 if a file cannot be read.
"""
import json
import os
import struct
import sys

os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

import chainer  # noqa: E402
import chainer.links as L  # noqa: E402
import h5py  # noqa: E402
import numpy as np  # noqa: E402
from chainer import serializers  # noqa: E402

from live_chainer import load  # noqa: E402

SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}


def read_safetensors(path):
    with open(path, "rb") as stream:
        data = stream.read()
    (size,) = struct.unpack("<Q", data[:8])
    head = json.loads(data[8 : 8 + size])
    found = {}
    for key, entry in head.items():
        if key != "__metadata__":
            start, end = entry["data_offsets"]
            found[key] = np.frombuffer(data[8 + size + start : 8 + size + end], SAFETENSORS[entry["dtype"]]).reshape(entry["shape"])
    return found


def read(path):
    with open(path, "rb") as stream:
        magic = stream.read(8)
    if magic == b"\x89HDF\r\n\x1a\n":
        found = {}
        with h5py.File(path, "r") as file:
            file.visititems(lambda key, item: found.update({key: item[()]}) if isinstance(item, h5py.Dataset) else None)
        return "h5", {key: np.asarray(value) for key, value in found.items()}
    if magic[:4] == b"PK\3\4" or magic[:4] == b"PK\5\6":
        with np.load(path, allow_pickle=False) as archive:
            return "npz", {key: archive[key] for key in archive.files}
    return "safetensors", read_safetensors(path)


def same(a, b):
    """Bit for bit, NaN payloads and signed zeros included."""
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def difference(a, b):
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return "shape %s, not %s" % ("x".join(map(str, a.shape)) or "()", "x".join(map(str, b.shape)) or "()")
    if a.dtype != b.dtype:
        return "%s, not %s" % (a.dtype, b.dtype)
    unlike = np.ascontiguousarray(a).reshape(-1).view(np.uint8).reshape(a.size, -1) != np.ascontiguousarray(b).reshape(-1).view(np.uint8).reshape(a.size, -1)
    gap = np.abs(a.astype(np.float64) - b.astype(np.float64))
    gap = gap[np.isfinite(gap)]
    return "%d of %d values differ, by up to %g" % (int(unlike.any(axis=1).sum()), a.size, gap.max() if gap.size else np.nan)


def dense(blob, shape, transposed):
    """Caffe's grouped kernel as the block-diagonal kernel of `shape`, or None where that cannot be."""
    if blob.ndim != 4 or len(shape) != 4 or blob.shape[0] != shape[0] or blob.shape[2:] != tuple(shape[2:]) or shape[1] % blob.shape[1]:
        return None
    groups = shape[1] // blob.shape[1]
    if blob.shape[0] % groups:
        return None
    out = np.zeros(shape, blob.dtype)
    rows, columns = blob.shape[0] // groups, blob.shape[1]
    for g in range(groups):
        out[g * rows : (g + 1) * rows, g * columns : (g + 1) * columns] = blob[g * rows : (g + 1) * rows]
    return out


class Table:
    def __init__(self):
        self.rows, self.failed = [], 0

    def add(self, name, array, versus, verdict, good):
        shape = "" if array is None else "x".join(map(str, np.shape(array))) or "()"
        self.rows.append((name, shape, versus, verdict))
        self.failed += not good

    def show(self):
        widths = [max(len(row[i]) for row in self.rows) if self.rows else 0 for i in range(3)]
        for row in self.rows:
            print("%-*s  %-*s  %-*s  %s" % (widths[0], row[0], widths[1], row[1], widths[2], row[2], row[3]))
        print("%d lines, %d differences" % (len(self.rows), self.failed))


def blobs_of(caffe):
    """layer -> (type, [blob or None])"""
    layers = {}
    for key, value in caffe.items():
        layer, what = key.rsplit("\t", 1)
        if not layer:
            continue
        kind, blobs = layers.setdefault(layer, ["", {}])
        if what == "type":
            layers[layer][0] = str(value)
        else:
            blobs[int(what)] = value
    return {name: (kind, [blobs[i] for i in sorted(blobs)]) for name, (kind, blobs) in layers.items()}


def owner(key, layers):
    """The longest layer name that key begins with, and the rest."""
    best = None
    for name in layers:
        if key.startswith(name) and key[len(name) : len(name) + 1] in ("/", ".") and (best is None or len(name) > len(best)):
            best = name
    return best, key[len(best) + 1 :] if best is not None else key


def expected(kind, blobs, ours):
    """Chainer's names for one layer's blobs -> what they must hold; None: names unknown, compare by value."""
    if kind == "BatchNorm" and len(blobs) == 3 and "avg_mean" in ours:
        factor = blobs[2].ravel()[0]
        if factor == 0:
            mean, variance = np.zeros_like(blobs[0]), np.zeros_like(blobs[1])
        else:
            mean, variance = blobs[0] / factor, blobs[1] / factor
        # A legacy blob may have its channel count behind leading ones.
        wanted = {"avg_mean": mean.reshape(-1), "avg_var": variance.reshape(-1)}
        if factor == 0:  # 0 times a negative number is -0: either zero will do
            wanted = {k: ours[k] if k in ours and ours[k].shape == v.shape and not ours[k].any() else v for k, v in wanted.items()}
        if "N" in ours:
            wanted["N"] = np.asarray(0, ours["N"].dtype)
        return wanted
    names = {"Convolution": ["W", "b"], "Deconvolution": ["W", "b"], "InnerProduct": ["W", "b"], "Scale": ["W", "bias/b"]}.get(kind)
    if names is None or (blobs and "W" not in ours):
        return None
    wanted = {}
    for name, blob in zip(names, blobs):
        wanted[name] = blob
        got = ours.get(name)
        if got is not None and got.shape != blob.shape:
            if name == "W" and kind in ("Convolution", "Deconvolution"):
                full = dense(blob, got.shape, kind == "Deconvolution")
                wanted[name] = blob if full is None else full
            elif got.size == blob.size and [d for d in got.shape if d != 1] == [d for d in blob.shape if d != 1]:
                wanted[name] = blob.reshape(got.shape)  # a legacy blob's leading ones
    return wanted


def against_caffe(caffe, ours, table):
    layers = blobs_of(caffe)
    mine = {name: {} for name in layers}
    for key, value in ours.items():
        name, rest = owner(key, layers)
        if name is None:
            table.add(key, value, "Caffe", "DIFFERENT: no layer of the model has this name", False)
        else:
            mine[name][rest] = value
    for name, (kind, blobs) in layers.items():
        wanted = expected(kind, blobs, mine[name])
        if wanted is None:
            left = dict(mine[name])
            for i, blob in enumerate(blobs):
                # By value: legacy leading ones aside, some array of this layer must hold exactly these bits.
                match = [k for k, v in left.items() if v.dtype == blob.dtype and np.ascontiguousarray(v).tobytes() == blob.tobytes()]
                if match:
                    table.add("%s/%s" % (name, match[0]), left.pop(match[0]), "Caffe", "equal (blob %d, %s)" % (i, kind or "type unknown"), True)
                else:
                    table.add(name, blob, "Caffe", "DIFFERENT: blob %d (%s) is not here" % (i, kind or "type unknown"), False)
            for key, value in left.items():
                table.add("%s/%s" % (name, key), value, "Caffe", "DIFFERENT: no blob holds this", False)
            continue
        for key, value in wanted.items():
            got = mine[name].pop(key, None)
            if got is None:
                table.add("%s/%s" % (name, key), value, "Caffe", "DIFFERENT: missing", False)
            elif same(got, value):
                table.add("%s/%s" % (name, key), got, "Caffe", "equal", True)
            else:
                table.add("%s/%s" % (name, key), got, "Caffe", "DIFFERENT: " + difference(got, value), False)
        for key, value in mine[name].items():
            table.add("%s/%s" % (name, key), value, "Caffe", "DIFFERENT: no blob holds this", False)


def flat(model):
    serializer = serializers.DictionarySerializer()
    serializer.save(model)
    return serializer.target


def spoil(model):
    """No array keeps its value, so that what is equal afterwards was loaded."""
    for parameter in model.params():
        parameter.array[...] = 12345.5
    for link in model.links():
        for name in getattr(link, "_persistent", ()):
            value = getattr(link, name)
            if isinstance(value, np.ndarray):
                value[...] = 54321.5
            else:
                setattr(link, name, 77)


def regroup(model, ours, table):
    """Puts grouped links where OURS is grouped. Returns key -> grouped array that the dense one stands for."""
    swapped = {}
    for name in sorted(model._children):
        link = model[name]
        key = name + "/W"
        if not isinstance(link, (L.Convolution2D, L.Deconvolution2D)) or key not in ours or ours[key].shape == link.W.shape:
            continue
        got = ours[key]
        full = dense(got, link.W.shape, isinstance(link, L.Deconvolution2D))
        if full is None:
            continue
        groups = link.W.shape[1] // got.shape[1]
        kind = L.Deconvolution2D if isinstance(link, L.Deconvolution2D) else L.Convolution2D
        if kind is L.Convolution2D:
            inputs, outputs = link.W.shape[1], link.W.shape[0]
        else:
            inputs, outputs = link.W.shape[0], link.W.shape[1]
        new = kind(inputs, outputs, link.W.shape[2:], link.stride, link.pad, nobias=link.b is None, groups=groups)
        delattr(model, name)
        with model.init_scope():
            setattr(model, name, new)
        swapped[key] = (got, full)
    return swapped


def against_chainer(model_path, kind, path, ours, caffe, table):
    layers = blobs_of(caffe)
    try:
        wanted_model, skipped = load(model_path)
        target, _ = load(model_path)
    except Exception as error:  # whatever Chainer raises is its answer
        table.add("", None, "Chainer", "cannot load the model itself (%s: %s): only Caffe counts" % (type(error).__name__, error), True)
        return
    for line in skipped:
        table.add("", None, "Chainer", line.split(",")[0], True)
    wanted = {key: np.asarray(value) for key, value in flat(wanted_model).items()}
    for parameter in target.params():
        if parameter.array is None:
            table.add("", None, "Chainer", "holds uninitialised parameters: only Caffe counts", True)
            return
    swapped = regroup(target, ours, table)
    zero = {name for name, (_, blobs) in layers.items() if len(blobs) == 3 and blobs[2].size == 1 and blobs[2].ravel()[0] == 0}
    for key, value in wanted.items():
        got = ours.get(key)
        if got is None:
            table.add(key, value, "Chainer", "DIFFERENT: missing", False)
        elif owner(key, layers)[0] in zero and key.rsplit("/", 1)[1] in ("avg_mean", "avg_var"):
            table.add(key, got, "Chainer", "scale factor 0: Chainer has NaN, Caffe's zeros count", True)
        elif key in swapped:
            good = same(swapped[key][1], value)
            table.add(key, got, "Chainer", "grouped; as dense %s" % ("equal" if good else "DIFFERENT: " + difference(swapped[key][1], value)), good)
        elif same(got, value):
            table.add(key, got, "Chainer", "equal", True)
        else:
            table.add(key, got, "Chainer", "DIFFERENT: " + difference(got, value), False)
    spoil(target)
    try:
        if kind == "npz":
            serializers.load_npz(path, target, strict=True)
        else:
            serializers.load_hdf5(path, target)  # a missing dataset is a KeyError
    except Exception as error:  # whatever Chainer raises is its answer
        table.add(os.path.basename(path), None, "load_" + kind, "DIFFERENT: %s: %s" % (type(error).__name__, error), False)
        return
    loaded = flat(target)
    wrong = [key for key, value in loaded.items() if key not in ours or not same(np.asarray(value), ours[key])]
    verdict = "all %d arrays arrive" % len(loaded) if not wrong else "DIFFERENT after loading: " + ", ".join(wrong)
    table.add(os.path.basename(path), None, "load_" + kind, verdict, not wrong)


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    try:
        _, caffe = read(sys.argv[1])
        kind, ours = read(sys.argv[2])
    except Exception as error:  # a file that cannot be read at all
        print("%s: %s" % (type(error).__name__, error), file=sys.stderr)
        sys.exit(2)
    model = sys.argv[3] if len(sys.argv) == 4 else str(caffe["\tfile"])
    table = Table()
    if any("\t" in key for key in ours):
        for key in sorted({k for k in list(caffe) + list(ours) if k.rsplit("\t", 1)[1].isdigit()}):
            if key not in ours or key not in caffe:
                table.add(key.replace("\t", "/"), ours.get(key, caffe.get(key)), "Caffe", "DIFFERENT: %s" % ("missing" if key in caffe else "not in the model"), False)
            else:
                good = same(ours[key], caffe[key])
                table.add(key.replace("\t", "/"), ours[key], "Caffe", "equal" if good else "DIFFERENT: " + difference(ours[key], caffe[key]), good)
    else:
        against_caffe(caffe, ours, table)
        if kind != "safetensors":
            against_chainer(model, kind, sys.argv[2], ours, caffe, table)
    table.show()
    sys.exit(1 if table.failed else 0)


if __name__ == "__main__":
    chainer.config.train = False
    main()
