"""One net in Caffe's three generations, and one V2 weight file in every encoding of its blobs: testdata/generations/.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829, protobuf 3.20.3, numpy < 1.24.
Run:   python3.8 generations.py [OUT_FOLDER]        (default: ../generations next to this script)

OUT_FOLDER must hold v0.prototxt, v1.prototxt and v2.prototxt. See testdata/README.md for what is written.
"""
import json
import os
import sys

import numpy as np

import real_caffe
import wire
from npz import save_npz
from real_caffe import PROTO, caffe

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "generations"))
SHAPES = {
    "conv1": [(6, 2, 3, 3), (6,)],
    "conv2": [(4, 6, 2, 2)],
    "ip1": [(5, 16), (5,)],
    "ip2": [(3, 5), (3,)],
}
V0_TYPES = {"conv1": "conv", "conv2": "conv", "ip1": "innerproduct", "ip2": "innerproduct"}


def path(*parts):
    return os.path.join(OUT, *parts)


def write(name, data):
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    with open(path(name), "wb") as stream:
        stream.write(data)


def weights():
    random = np.random.RandomState(20241124)
    return {
        "%s/%d" % (layer, i): (random.standard_normal(shape) * 0.3).astype(np.float32)
        for layer, shapes in SHAPES.items()
        for i, shape in enumerate(shapes)
    }


def legacy_blob(blob, array):
    dims = [1] * (4 - array.ndim) + list(array.shape)
    blob.num, blob.channels, blob.height, blob.width = dims
    blob.data.extend(array.ravel().tolist())


def old_container(prototxt, values, generation):
    """A V0 or V1 caffemodel: the definition as the prototxt has it, with legacy four-dimension blobs in its layers."""
    from google.protobuf import text_format

    net = PROTO.NetParameter()
    with open(path(prototxt)) as stream:
        text_format.Merge(stream.read(), net)
    for layer in net.layers:
        holder = layer.layer if generation == 0 else layer
        for i in range(len(SHAPES.get(holder.name, []))):
            legacy_blob(holder.blobs.add(), values["%s/%d" % (holder.name, i)])
    return net


def forward(prototxt, model, picture):
    net = caffe.Net(path(prototxt), caffe.TEST, weights=path(model))
    net.blobs["data"].data[...] = picture
    net.forward()
    return net


def load_check(model, values):
    """What real Caffe makes of a variant: "equal", "different" or its message."""

    def call():
        net = caffe.Net(path("v2.prototxt"), caffe.TEST, weights=path(model))
        same = all(
            np.array_equal(net.params[layer][i].data.view(np.uint32), values["%s/%d" % (layer, i)].view(np.uint32))
            for layer, shapes in SHAPES.items()
            for i in range(len(shapes))
        )
        return "equal" if same else "different"

    ok, value, log = real_caffe.isolated(call)
    return value.decode() if ok else "fatal: " + log.replace(OUT + os.sep, "")


def variants(values, half):
    """name -> (what it shows, weight set, encode(layer, index, old))"""
    random = np.random.RandomState(7)

    def array(layer, i):
        return values["%s/%d" % (layer, i)]

    def dims(layer, i):
        return array(layer, i).shape

    def floats(layer, i):
        return array(layer, i).ravel().tolist()

    def near(layer, i):
        """Doubles that are no floats, but round to the float."""
        exact = array(layer, i).ravel().astype(np.float64)
        return (exact * (1 + 2.0 ** -27)).tolist()

    def garbage(layer, i):
        return random.standard_normal(array(layer, i).size).astype(np.float32).tolist()

    def half_bytes(layer, i):
        return half["%s/%d" % (layer, i)].astype("<f2").tobytes()

    def split(layer, i):
        values_ = floats(layer, i)
        middle = len(values_) // 2
        return wire.packed_floats(5, values_[:middle]) + wire.unpacked_floats(5, values_[middle : middle + 1]) + wire.packed_floats(5, values_[middle + 1 :])

    def overlong(layer, i, length):
        payload = array(layer, i).astype("<f4").tobytes()
        dims_ = wire.chunk(1, b"".join(wire.varint(d) for d in dims(layer, i)))
        return (
            wire.overlong(7 << 3 | 2, 5)
            + wire.overlong(len(dims_), 5)
            + dims_
            + wire.overlong(5 << 3 | 2, 5)
            + wire.overlong(len(payload), length)
            + payload
        )

    def old_shape(layer, i):
        d = dims(layer, i)
        return list(d) if len(d) == 4 else [1] * (4 - len(d)) + list(d)

    return {
        "packed": ("shape and packed data, re-encoded: the plain form", "f32", lambda l, i, o: wire.shape(dims(l, i)) + wire.packed_floats(5, floats(l, i))),
        "data_first": ("the same with data before shape", "f32", lambda l, i, o: wire.packed_floats(5, floats(l, i)) + wire.shape(dims(l, i))),
        "legacy_4d": ("num, channels, height, width instead of shape, missing axes as leading ones", "f32", lambda l, i, o: wire.legacy(dims(l, i)) + wire.packed_floats(5, floats(l, i))),
        "legacy_and_shape": ("both: the four legacy fields win, the shape is wrong on purpose", "f32", lambda l, i, o: wire.shape([7]) + wire.legacy(dims(l, i)) + wire.packed_floats(5, floats(l, i))),
        "new_style_4d": ("shape with leading ones, as [1,1,O,I]: not the legacy form, so only the full shape matches", "f32", lambda l, i, o: wire.shape(old_shape(l, i)) + wire.packed_floats(5, floats(l, i))),
        "unpacked": ("every float with its own key", "f32", lambda l, i, o: wire.shape(dims(l, i)) + wire.unpacked_floats(5, floats(l, i))),
        "shape_unpacked": ("every dim with its own key", "f32", lambda l, i, o: wire.shape(dims(l, i), packed=False) + wire.packed_floats(5, floats(l, i))),
        "split_runs": ("data in three pieces: packed, unpacked, packed", "f32", lambda l, i, o: wire.shape(dims(l, i)) + split(l, i)),
        "double": ("double_data only; the doubles round to the floats", "f32", lambda l, i, o: wire.shape(dims(l, i)) + wire.packed_doubles(8, near(l, i))),
        "double_unpacked": ("double_data, every value with its own key", "f32", lambda l, i, o: wire.shape(dims(l, i)) + wire.unpacked_doubles(8, near(l, i))),
        "double_and_data": ("double_data and data: double_data wins, data is noise", "f32", lambda l, i, o: wire.shape(dims(l, i)) + wire.packed_floats(5, garbage(l, i)) + wire.packed_doubles(8, near(l, i))),
        "diff": ("data and diff", "f32", lambda l, i, o: wire.shape(dims(l, i)) + wire.packed_floats(5, floats(l, i)) + wire.packed_floats(6, garbage(l, i))),
        "diff_unpacked_first": ("unpacked diff before shape and data", "f32", lambda l, i, o: wire.unpacked_floats(6, garbage(l, i)) + wire.shape(dims(l, i)) + wire.packed_floats(5, floats(l, i))),
        "double_diff": ("double_data and double_diff", "f32", lambda l, i, o: wire.shape(dims(l, i)) + wire.packed_doubles(8, near(l, i)) + wire.packed_doubles(9, garbage(l, i))),
        "unknown_fields": ("fields 3000..3003 of all four wire types around shape and data", "f32", lambda l, i, o: wire.integer(3000, 5) + wire.shape(dims(l, i)) + wire.chunk(3001, b"unknown") + wire.key(3002, 5) + b"\1\2\3\4" + wire.packed_floats(5, floats(l, i)) + wire.key(3003, 1) + bytes(8)),
        "overlong_varints": ("keys and lengths in five bytes each", "f32", lambda l, i, o: overlong(l, i, 5)),
        "overlong_length_10": ("a length in ten bytes: real Caffe's protobuf refuses more than five", "none", lambda l, i, o: overlong(l, i, 10)),
        "raw_fp16": ("raw_data (12) with raw_data_type (10) FLOAT16 = 2, as the forks write", "f16", lambda l, i, o: wire.shape(dims(l, i)) + wire.integer(10, 2) + wire.chunk(12, half_bytes(l, i))),
        "raw_float": ("raw_data with raw_data_type FLOAT = 1", "f32", lambda l, i, o: wire.shape(dims(l, i)) + wire.integer(10, 1) + wire.chunk(12, array(l, i).astype("<f4").tobytes())),
        "raw_double": ("raw_data with raw_data_type DOUBLE = 0", "f32", lambda l, i, o: wire.shape(dims(l, i)) + wire.integer(10, 0) + wire.chunk(12, np.array(near(l, i), "<f8").tobytes())),
        "truncated_data": ("one float too few: an error", "none", lambda l, i, o: wire.shape(dims(l, i)) + wire.packed_floats(5, floats(l, i)[:-1])),
        "excess_data": ("one float too many: an error", "none", lambda l, i, o: wire.shape(dims(l, i)) + wire.packed_floats(5, floats(l, i) + [0.0])),
        "trailing_ones": ("legacy weights as (O,I,1,1): an error where the layer wants (O,I)", "none", lambda l, i, o: b"".join(wire.integer(k + 1, d) for k, d in enumerate(list(dims(l, i)) + [1] * (4 - len(dims(l, i))))) + wire.packed_floats(5, floats(l, i))),
    }


def main():
    values = weights()
    half = {key: value.astype(np.float16).astype(np.float32) for key, value in values.items()}
    save_npz(path("weights.npz"), values)
    save_npz(path("weights_f16.npz"), half)

    net = caffe.Net(path("v2.prototxt"), caffe.TEST)
    for key, value in values.items():
        layer, index = key.split("/")
        net.params[layer][int(index)].data[...] = value
    net.save(path("v2.caffemodel"))
    write("v0.caffemodel", old_container("v0.prototxt", values, 0).SerializeToString())
    old = old_container("v1.prototxt", values, 1)
    write("v1.caffemodel", old.SerializeToString())
    del old.input_dim[:]
    write("v1_input_without_dims.caffemodel", old.SerializeToString())

    random = np.random.RandomState(3)
    picture = random.standard_normal((2, 4, 9, 9)).astype(np.float32)
    outputs = {}
    for generation in ("v0", "v1", "v2"):
        net = forward(generation + ".prototxt", generation + ".caffemodel", picture)
        net.save(path(generation + ".upgraded.caffemodel"))
        outputs[generation] = {name: blob.data.copy() for name, blob in net.blobs.items()}
        ok, text, log = real_caffe.upgrade_text(path(generation + ".prototxt"), out_text=True)
        assert ok, log
        write(generation + ".upgraded.prototxt", text)
    for generation in ("v0", "v1"):
        for name, blob in outputs["v2"].items():
            assert np.array_equal(blob, outputs[generation][name]), (generation, name)
    saved = [open(path(g + ".upgraded.caffemodel"), "rb").read() for g in ("v0", "v1", "v2")]
    assert saved[0] == saved[1] == saved[2], "the three generations do not save alike"
    texts = [open(path(g + ".upgraded.prototxt"), "rb").read() for g in ("v0", "v1", "v2")]
    assert texts[0] == texts[1] == texts[2], "the three generations do not upgrade alike"
    for model in ("v0", "v1", "v1_input_without_dims"):
        ok, data, log = real_caffe.upgrade_binary(path(model + ".caffemodel"))
        assert ok, log
        write(model + ".reread.caffemodel", data)
    save_npz(path("forward.npz"), dict({"data": picture}, **{n: b for n, b in outputs["v2"].items() if n != "data"}))

    with open(path("v2.caffemodel"), "rb") as stream:
        model = stream.read()
    index = []
    for name, (what, which, encode) in variants(values, half).items():
        file = os.path.join("variants", name + ".caffemodel")
        write(file, wire.replace_blobs(model, encode))
        verdict = load_check(file, half if which == "f16" else values)
        index.append({"file": file, "what": what, "weights": which, "real_caffe": verdict})
        print("%-22s %s" % (name, verdict.splitlines()[-1][:150]))
    with open(path("variants.json"), "w") as stream:
        json.dump(index, stream, indent=1)
        stream.write("\n")


if __name__ == "__main__":
    main()
