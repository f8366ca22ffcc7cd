"""A forward pass of what the packaged Caffe lacks or does wrongly: files of testdata/layers that forward.py cannot write.

These are the layer types that only forks of Caffe have, STOCHASTIC pooling (in no Caffe on the CPU) and BatchNorm by the
batch's own statistics (wrong in this build).

Needs: three interpreters, one after the other:
       CPython 3.8 with kendryte-caffe 1.0.0.20210829 (Linux x86-64), protobuf 3.20.3, numpy < 1.24;
       CPython 3.8 with chainer 7.8.1, setuptools < 60, numpy < 1.24;
       CPython 3.9 or later with opencv-python-headless 4.12 and numpy.
Run:   python forks.py [OUT_FOLDER] [FILE...]       in each of them, OpenCV's last
       (default: ../layers next to this script, every file of the program that the interpreter has)

The files are forward.py's to the letter (see there), but for `net`: it is the fork's net, and another program said what
comes out of it, never Rebrew. Fixed seeds.

    file                    what comes out is by
    Clip                    real Caffe: Eltwise MAX with a constant, and the same behind a change of sign (MIN): exact.
                            BVLC's order, the lower bound last, so that it wins where `min` is above `max`
    ReLU6                   real Caffe: ReLU, then the same MIN with 6
    DepthwiseConvolution    real Caffe: Convolution with `group` = channels
    ShuffleChannel          real Caffe: Reshape, Permute, Reshape (farmingyard's ShuffleNet: G×K channels become K×G)
    Normalize               real Caffe: Power, a Convolution of ones, Power -0.5, Tile, Eltwise PROD, Scale
    Upsample, one bottom    real Caffe: Deconvolution of ones, stride = kernel = scale, plane by plane
    Upsample, with a mask   real Caffe: the mask is Pooling's second top, the result the gradient that Pooling passes to its
                            bottom, which is SegNet's rule where windows do not overlap and the sizes are the pooling's own.
                            Otherwise numpy by SegNet's rule: zeros, then each value to its place, the later one wins
    PoolingStochastic       real Caffe: AVE pooling of the squares over AVE pooling; 0 where a window has the sum 0, by
                            the rule of BVLC's pooling_layer.cu, as numpy writes it
    BatchNormBatch          Chainer's F.batch_normalization in training
    Interp                  OpenCV's Interp; pad_beg and pad_end (crops) are cut off by numpy before, for it lacks them, and
                            height and width given where shrink_factor is
    PriorBox                OpenCV's PriorBox. It takes the image's size from the second bottom only, so for img_* it is given
                            one of that size; it keeps fractions of min_size and max_size, which SSD cuts (`int min_size_`), so
                            it is given the cut ones; it is told Caffe's defaults, for it clips where nothing is said
    DetectionOutput, ssd    OpenCV's DetectionOutput. Its places of code CORNER_SIZE, which it lacks, are multiplied by the
                            prior's size and given to it as CORNER; it is told Caffe's defaults, for it has none, a keep_top_k
                            that keeps all where there is none, 1e-30 for a nms_threshold of 0, and no variances where they are
                            in the places; its rows of zeros at the end are cut, and those that keep_top_k left, which it puts
                            by score, are put by class, SSD's `map`; where it finds nothing, SSD's row of -1 an image stands. It
                            ignores `eta`: those cases are its boxes before suppression, then its NMSBoxes, which has one

OpenCV's run also puts ReLU6, DepthwiseConvolution, ShuffleChannel and Normalize through OpenCV's own layers and says where
they differ from what real Caffe computed; it ends with an error if any does. A minute in all.
"""
import importlib.util
import json
import os
import random
import re
import sys
import zlib

import numpy as np

from npz import save_npz

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = 28


def shape_text(shape):
    return "shape{%s}" % " ".join("dim:%d" % extent for extent in shape)


def inputs_text(shapes):
    tops = " ".join('top:"%s"' % name for name in shapes)
    return 'layer{name:"in" type:"Input" %s input_param{%s}}\n' % (tops, " ".join(map(shape_text, shapes.values())))


def layer(kind, bottoms, tops, body="", name="l"):
    named = ['%s:"%s"' % (what, blob) for what, blobs in (("bottom", bottoms), ("top", tops)) for blob in blobs]
    return " ".join(('layer{name:"%s" type:"%s" %s %s' % (name, kind, " ".join(named), body)).split()) + "}\n"


def constant(name, shape, value):
    return layer("DummyData", [], [name], "dummy_data_param{%s data_filler{type:\"constant\" value:%r}}" % (shape_text(shape), value), name)


def noise(r, shape, coarse=False, scale=1.0):
    values = (r.standard_normal(shape) * scale).astype(np.float32)
    return np.round(values * 2) / 2 if coarse else values


class Case:
    """A net of the fork's, what goes into it, and what comes out."""

    def __init__(self, net, inputs, params=None, out=None):
        self.net, self.inputs, self.params, self.out = net, inputs, params or {}, out or {}

    def groups(self):
        return {"in": self.inputs, "param": self.params, "out": self.out}


def save(folder, file, cases):
    index, arrays = [], {}
    for number, case in enumerate(cases):
        index.append({"case": number, "net": case.net, **{group: list(named) for group, named in case.groups().items()}})
        for group, named in case.groups().items():
            for name, array in named.items():
                arrays["%d/%s/%s" % (number, group, name)] = np.asarray(array, np.float32)
    path = os.path.join(folder, file + ".npz")
    encoded = json.dumps(index, separators=(",", ":")).encode()
    save_npz(path, {"index": np.frombuffer(encoded, np.uint8), **arrays})
    print("%-24s %3d cases %7d bytes" % (file, len(cases), os.path.getsize(path)), flush=True)


def load(folder, file):
    with np.load(os.path.join(folder, file + ".npz")) as arrays:
        for entry in json.loads(bytes(arrays["index"])):
            groups = [{name: arrays["%d/%s/%s" % (entry["case"], group, name)] for name in entry[group]} for group in ("in", "param", "out")]
            yield Case(entry["net"], *groups)


def sources(file):
    """The two generators of a file: of configurations, of numbers."""
    return random.Random("forks: " + file), np.random.RandomState(zlib.crc32(file.encode()))


# --- by real Caffe: each yields cases ---


def run_caffe(text, inputs, params=None, names=("y",), gradient=None):
    """Blobs after a forward pass; with `gradient` (blob, its gradient, the bottom) the bottom's gradient behind it."""
    import tempfile

    from real_caffe import caffe

    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as stream:
        stream.write(text)
        stream.flush()
        net = caffe.Net(stream.name, caffe.TEST)
    for name, value in inputs.items():
        net.blobs[name].data[...] = value
    for name, value in (params or {}).items():
        owner, number = name.rsplit("/", 1)
        net.params[owner][int(number)].data[...] = value
    net.forward()
    found = {name: np.array(net.blobs[name].data) for name in names}
    if gradient:
        blob, value, bottom = gradient
        net.blobs[blob].diff[...] = value
        net._backward(list(net._layer_names).index("pool"), list(net._layer_names).index("pool"))
        found["gradient"] = np.array(net.blobs[bottom].diff)
    return found


def least(bottom, top, shape, value):
    """min(x, value), exactly."""
    return (
        layer("Power", [bottom], ["-" + bottom], "power_param{scale:-1}", "-" + bottom)
        + constant("-high", shape, -value)
        + layer("Eltwise", ["-" + bottom, "-high"], ["-" + top], "eltwise_param{operation:MAX}", "-" + top)
        + layer("Power", ["-" + top], [top], "power_param{scale:-1}", top)
    )


def any_shape(c):
    return [c.randint(1, 5) for _ in range(c.randint(1, 5))]


def clip():
    c, r = sources("Clip")
    bounds = [(-0.5, 0.5), (0, 1), (0, 6), (-1, 0), (0.25, 0.25), (1, -1), (-1e30, 1), (-1, 1e30), (-3.4e38, 3.4e38), (2, 3), (-3, -2)]
    for number in range(CASES):
        low, high = bounds[number] if number < len(bounds) else sorted((round(c.uniform(-2, 2), 3), round(c.uniform(-2, 2), 3)))
        shape, in_place = any_shape(c), number % 4 == 3
        x = noise(r, shape, number % 3 == 1, 2)
        x.flat[0] = [low, high, 0, -0.0][number % 4]
        text = inputs_text({"a": shape}) + least("a", "m", shape, float(high)) + constant("low", shape, float(low))
        y = run_caffe(text + layer("Eltwise", ["low", "m"], ["y"], "eltwise_param{operation:MAX}"), {"a": x})["y"]
        top = "a" if in_place else "y"
        yield Case(inputs_text({"a": shape}) + layer("Clip", ["a"], [top], "clip_param{min:%r max:%r}" % (low, high)), {"a": x}, out={top: y})
    yield from behind("Clip", "clip_param{min:%r max:%r}", [(-0.5, 0.75), (1, -1)])


def relu6():
    c, r = sources("ReLU6")
    for number in range(CASES):
        shape, top = any_shape(c), "a" if number % 4 == 3 else "y"
        x = noise(r, shape, number % 3 == 1, 6)
        x.flat[0] = [6, 0, 6.0000005, 5.9999995][number % 4]
        text = inputs_text({"a": shape}) + layer("ReLU", ["a"], ["m"], name="m") + least("m", "y", shape, 6.0)
        y = run_caffe(text, {"a": x})["y"]
        yield Case(inputs_text({"a": shape}) + layer("ReLU6", ["a"], [top]), {"a": x}, out={top: y})
    yield from behind("ReLU6", "", [(0, 6)])


def behind(kind, body, bounds):
    """Layers with sums, and the activation behind them, in place or not, as MobileNets have it."""
    r = sources("behind " + kind)[1]
    for number, (first, shape, terms, blobs) in enumerate(
        [
            ("Convolution", [1, 3, 6, 7], "num_output:9 kernel_size:3 pad:1", [[9, 3, 3, 3], [9]]),
            ("Convolution", [2, 8, 5, 5], "num_output:20 kernel_size:1 bias_term:false", [[20, 8, 1, 1]]),
            ("DepthwiseConvolution", [1, 8, 7, 6], "num_output:8 kernel_size:3 stride:2 pad:1", [[8, 1, 3, 3], [8]]),
            ("InnerProduct", [3, 10], "num_output:17", [[17, 10], [17]]),
            ("Deconvolution", [1, 4, 3, 3], "num_output:3 kernel_size:3 stride:2", [[4, 3, 3, 3], [3]]),
        ]
    ):
        param = "inner_product_param" if first == "InnerProduct" else "convolution_param"
        x, params = noise(r, shape), {"f/%d" % i: noise(r, blob) for i, blob in enumerate(blobs)}
        own = layer(first, ["a"], ["f"], "%s{%s}" % (param, terms), "f")
        caffes = own.replace("DepthwiseConvolution", "Convolution").replace("num_output:8 kernel", "group:8 num_output:8 kernel") if first[0] == "D" and first[2] == "p" else own
        made = run_caffe(inputs_text({"a": shape}) + caffes, {"a": x}, params, ("f",))["f"]
        for low, high in bounds:
            shape_of = list(made.shape)
            text = inputs_text({"f": shape_of}) + least("f", "m", shape_of, float(high)) + constant("low", shape_of, float(low))
            y = run_caffe(text + layer("Eltwise", ["low", "m"], ["y"], "eltwise_param{operation:MAX}"), {"f": made})["y"]
            top = "f" if number % 2 else "y"
            yield Case(inputs_text({"a": shape}) + own + layer(kind, ["f"], [top], body % (low, high) if body else ""), {"a": x}, params, {top: y})


def depthwise_convolution():
    c, r = sources("DepthwiseConvolution")
    fixed = [
        ([1, 3, 5, 5], "kernel_size:3"), ([2, 4, 6, 5], "kernel_size:3 pad:1"), ([1, 8, 7, 7], "kernel_size:3 pad:1 stride:2"), ([1, 16, 4, 5], "kernel_size:3 pad:1"),
        ([1, 5, 6, 6], "kernel_size:1"), ([1, 4, 6, 6], "kernel_size:1 stride:2"), ([1, 3, 9, 9], "kernel_size:5 pad:2"), ([1, 2, 9, 8], "kernel_size:5 stride:2 pad:2"),
        ([1, 3, 9, 9], "kernel_size:3 dilation:2 pad:2"), ([1, 3, 9, 9], "kernel_size:3 dilation:3 stride:2"), ([1, 3, 8, 12], "kernel_h:1 kernel_w:5 pad_h:0 pad_w:2"),
        ([1, 3, 12, 6], "kernel_h:7 kernel_w:1 pad_h:3 pad_w:0 stride_h:2 stride_w:1"), ([2, 1, 5, 5], "kernel_size:3 pad:1"), ([1, 2, 3, 3], "kernel_size:3 pad:3 stride:3"),
        ([1, 17, 3, 3], "kernel_size:3"), ([1, 4, 2, 9], "kernel_size:4 pad:2 stride:1"),
    ]  # fmt: skip
    for number in range(CASES + 4):
        if number < len(fixed):
            shape, body = fixed[number]
        else:
            shape = [c.randint(1, 2), c.randint(1, 6), c.randint(4, 9), c.randint(4, 9)]
            body = "kernel_h:%d kernel_w:%d stride:%d pad:%d" % (c.randint(1, 4), c.randint(1, 4), c.randint(1, 3), c.randint(0, 2))
        channels, outputs = shape[1], shape[1] * (2 if number % 7 == 6 else 1)
        body += " num_output:%d" % outputs + (" bias_term:false" if number % 3 == 2 else "")
        group = " group:%d" % channels
        head, text = inputs_text({"a": shape}), layer("Convolution", ["a"], ["y"], "convolution_param{%s}" % (body + group))
        kind = ("DepthwiseConvolution", "ConvolutionDepthwise", "DepthwiseConv")[number % 5 % 3]
        own = layer(kind, ["a"], ["y"], "convolution_param{%s}" % (body + (group if number % 2 else "")))
        kernel = {}
        for word in body.split():
            field, value = word.split(":")
            if field.startswith("kernel"):
                kernel[field[-1]] = int(value)
        side = [kernel.get(axis, kernel.get("e")) for axis in "hw"]
        params = {"l/0": noise(r, [outputs, 1] + side, scale=0.5)}
        if "bias_term" not in body:
            params["l/1"] = noise(r, [outputs], scale=0.25)
        x = noise(r, shape, number % 3 == 1)
        yield Case(head + own, {"a": x}, params, run_caffe(head + text, {"a": x}, params))


def shuffle_channel():
    c, r = sources("ShuffleChannel")
    fixed = [([1, 6, 2, 2], 2), ([1, 6, 2, 2], 3), ([2, 12, 1, 3], 4), ([1, 4, 3, 2], 1), ([1, 5, 2, 2], 5), ([2, 8], 2), ([3, 6, 4], 3), ([1, 24, 3, 3], 8), ([2, 1, 2, 2], 1), ([1, 9, 1, 1], 3)]
    for number in range(CASES):
        if number < len(fixed):
            shape, group = fixed[number]
        else:
            group = c.randint(1, 5)
            shape = [c.randint(1, 3), group * c.randint(1, 5), c.randint(1, 4), c.randint(1, 4)]
        n, channels, height, width = shape + [1] * (4 - len(shape))
        text = (
            inputs_text({"a": shape})
            + layer("Reshape", ["a"], ["g"], "reshape_param{shape{dim:%d dim:%d dim:%d dim:%d}}" % (n, group, channels // group, height * width), "g")
            + layer("Permute", ["g"], ["p"], "permute_param{order:0 order:2 order:1 order:3}", "p")
            + layer("Reshape", ["p"], ["y"], "reshape_param{shape{dim:%d dim:%d dim:%d dim:%d}}" % (n, channels, height, width))
        )
        body = "shuffle_channel_param{group:%d}" % group if group != 1 or number % 2 else ""
        x = noise(r, shape, number % 3 == 1)
        yield Case(inputs_text({"a": shape}) + layer("ShuffleChannel", ["a"], ["y"], body), {"a": x}, out=run_caffe(text, {"a": x}))


def normalize():
    c, r = sources("Normalize")
    fixed = [[1, 4, 3, 3], [2, 3, 4, 2], [1, 1, 3, 4], [2, 5, 1, 1], [3, 4], [2, 3, 5], [1, 16, 2, 3], [1, 3, 17, 17]]
    for number in range(CASES + 4):
        shape = fixed[number // 4] if number // 4 < len(fixed) else [c.randint(1, 2), c.randint(1, 6), c.randint(1, 5), c.randint(1, 5)]
        spatial, shared = number % 2 == 0, number // 2 % 2 == 0
        eps = [None, 0.5, 1e-6, None, 3.0][number % 5]
        channels, x = shape[1], noise(r, shape, number % 3 == 1, 10 ** c.choice([-1, 0, 0, 1]))
        if number % 6 == 5:
            x[0] = 0  # eps alone
        scale = np.float32(c.choice([1, 20, -0.5])) if shared else noise(r, [channels], scale=2)
        image = shape + [1] * (4 - len(shape))
        dims = "reshape_param{shape{%s}}" % " ".join("dim:%d" % extent for extent in (image if not spatial else [shape[0], 1, 1, int(np.prod(shape[1:]))]))
        width = 1 if not spatial else int(np.prod(shape[1:]))
        ones = np.ones([1, channels if not spatial else 1, 1, width], np.float32)
        # Power adds eps in single precision as SSD's layer does, which starts its sum of squares there.
        text = (
            inputs_text({"a": shape})
            + layer("Reshape", ["a"], ["r"], dims, "r")
            + layer("Power", ["r"], ["s"], "power_param{power:2}", "s")
            + layer("Convolution", ["s"], ["sum"], "convolution_param{num_output:1 kernel_h:1 kernel_w:%d bias_term:false}" % width, "sum")
            + layer("Power", ["sum"], ["norm"], "power_param{power:-0.5 shift:%r}" % (1e-10 if eps is None else eps), "norm")
            + layer("Tile", ["norm"], ["t"], "tile_param{axis:%d tiles:%d}" % ((3, width) if spatial else (1, channels)), "t")
            + layer("Eltwise", ["r", "t"], ["d"], "eltwise_param{operation:PROD}", "d")
            + layer("Reshape", ["d"], ["b"], "reshape_param{shape{%s}}" % " ".join("dim:%d" % extent for extent in shape), "b")
            + layer("Scale", ["b"], ["y"], "scale_param{axis:%d num_axes:%d}" % ((0, 0) if shared else (1, 1)))
        )
        words = ["across_spatial:false"] * (not spatial) + ["channel_shared:false"] * (not shared) + ["eps:%r" % eps] * (eps is not None)
        own = inputs_text({"a": shape}) + layer("Normalize", ["a"], ["y"], "norm_param{%s}" % " ".join(words) if words else "")
        y = run_caffe(text, {"a": x}, {"sum/0": ones, "l/0": scale})
        yield Case(own, {"a": x}, {"l/0": scale}, y)


def upsample():
    c, r = sources("Upsample")
    for number, (shape, scale) in enumerate([([1, 2, 2, 3], 2), ([2, 1, 3, 1], 3), ([1, 3, 2, 2], 1), ([2, 3], 2), ([2, 2, 3], 4), ([1, 2, 2, 2, 2], 2), ([1, 1, 1, 1], 5), ([1, 4, 3, 5], 2)]):
        x = noise(r, shape, number % 3 == 1)
        planes = x.reshape([-1, 1] + shape[-2:])
        text = inputs_text({"a": planes.shape}) + layer("Deconvolution", ["a"], ["y"], "convolution_param{num_output:1 kernel_size:%d stride:%d bias_term:false}" % (scale, scale))
        y = run_caffe(text, {"a": planes}, {"l/0": np.ones([1, 1, scale, scale], np.float32)})["y"]
        y = y.reshape(shape[:-2] + [shape[-2] * scale, shape[-1] * scale])
        yield Case(inputs_text({"a": shape}) + layer("Upsample", ["a"], ["y"], "upsample_param{scale:%d}" % scale), {"a": x}, out={"y": y})
    fixed = [
        # the pooled image; the pooling; the upsampling
        ([1, 2, 4, 4], "kernel_size:2 stride:2", "scale:2"), ([2, 3, 6, 4], "kernel_size:2 stride:2", ""), ([1, 2, 5, 5], "kernel_size:2 stride:2", "scale:2 pad_out_h:true pad_out_w:true"),
        ([1, 2, 5, 6], "kernel_size:2 stride:2", "scale:2 pad_out_h:true"), ([1, 2, 6, 7], "kernel_size:2 stride:2", "pad_out_w:true"), ([1, 2, 6, 6], "kernel_size:3 stride:3", "scale:3"),
        ([1, 2, 6, 4], "kernel_h:3 kernel_w:2 stride_h:3 stride_w:2", "scale_h:3 scale_w:2"), ([1, 3, 7, 5], "kernel_size:2 stride:2", "upsample_h:7 upsample_w:5"),
        ([2, 1, 6, 6], "kernel_size:2 stride:4", "upsample_h:6 upsample_w:6"), ([1, 2, 7, 9], "kernel_size:3 stride:3", "upsample_h:7 upsample_w:9"), ([1, 1, 5, 7], "kernel_size:2 stride:3", "upsample_h:5 upsample_w:7"),
        # windows that overlap, and sizes that are not the pooling's own
        ([1, 2, 6, 6], "kernel_size:3 stride:2", "scale:2"), ([2, 2, 7, 7], "kernel_size:3 stride:2 pad:1", "upsample_h:7 upsample_w:7"), ([1, 2, 5, 5], "kernel_size:3 stride:1", "upsample_h:5 upsample_w:5"),
        ([1, 2, 4, 4], "kernel_size:2 stride:2", "upsample_h:5 upsample_w:6"), ([1, 2, 5, 5], "kernel_size:2 stride:2", "scale:2"),
    ]  # fmt: skip
    for number, (shape, pooling, body) in enumerate(fixed * 2):
        x = noise(r, shape, number % 3 == 1)
        pool = layer("Pooling", ["a"], ["p", "m"], "pooling_param{pool:MAX %s}" % pooling, "pool")
        head = inputs_text({"a": shape})
        found = run_caffe("force_backward:true\n" + head + pool, {"a": x}, names=("p", "m"))
        pooled, mask = found["p"], found["m"]
        words = dict(word.split(":") for word in body.split())
        if "upsample_h" in words:
            size = [int(words["upsample_h"]), int(words["upsample_w"])]
        else:
            scales = [int(words.get("scale_" + axis, words.get("scale", 2))) for axis in "hw"]
            size = [extent * scale - ("pad_out_" + axis in words) for extent, scale, axis in zip(pooled.shape[2:], scales, "hw")]
        chained = number < len(fixed)
        value = -2 * pooled if chained else noise(r, pooled.shape)
        kernel = dict(word.split(":") for word in pooling.split())
        apart = all(int(kernel.get("kernel_" + axis, kernel.get("kernel_size", 0))) <= int(kernel.get("stride_" + axis, kernel.get("stride", 1))) for axis in "hw")
        y = np.zeros(list(pooled.shape[:2]) + size, np.float32)
        planes = y.reshape(-1, size[0] * size[1])
        for plane, values, places in zip(planes, value.reshape(len(planes), -1), mask.reshape(len(planes), -1)):
            for one, place in zip(values, places):
                plane[int(place)] = one
        if apart and size == shape[2:]:
            by_pooling = run_caffe("force_backward:true\n" + head + pool, {"a": x}, gradient=("p", value, "a"), names=())["gradient"]
            assert np.array_equal(by_pooling, y), (shape, pooling, body)
            y = by_pooling
        param = "upsample_param{%s}" % body if body else ""
        if chained:
            net = head + pool + layer("Power", ["p"], ["q"], "power_param{scale:-2}", "q") + layer("Upsample", ["q", "m"], ["y"], param)
            yield Case(net, {"a": x}, out={"y": y})
        else:
            net = inputs_text({"a": value.shape, "b": mask.shape}) + layer("Upsample", ["a", "b"], ["y"], param)
            yield Case(net, {"a": value, "b": mask}, out={"y": y})


def pooling_stochastic():
    c, r = sources("PoolingStochastic")
    fixed = [
        ([1, 2, 6, 6], "kernel_size:2 stride:2"), ([1, 2, 6, 6], "kernel_size:3 stride:2"), ([2, 3, 5, 7], "kernel_size:3"), ([1, 1, 7, 7], "kernel_size:3 stride:3"), ([1, 2, 5, 5], "kernel_size:1 stride:2"),
        ([2, 3, 4, 5], "global_pooling:true"), ([1, 2, 8, 6], "kernel_h:4 kernel_w:2 stride_h:3 stride_w:2"), ([1, 9, 3, 3], "kernel_size:2"),
    ]  # fmt: skip
    number = 0
    while number < 24:
        shape, body = fixed[number] if number < len(fixed) else ([c.randint(1, 2), c.randint(1, 3), c.randint(3, 8), c.randint(3, 8)], "kernel_h:%d kernel_w:%d stride:%d" % (c.randint(1, 3), c.randint(1, 3), c.randint(1, 3)))
        x = noise(r, shape, number % 3 == 1)
        if number % 4 != 2:
            x = np.maximum(x, 0)  # it is meant for what is behind a ReLU; so some windows hold nothing
        text = (
            inputs_text({"a": shape})
            + layer("Power", ["a"], ["s"], "power_param{power:2}", "s")
            + layer("Pooling", ["s"], ["squares"], "pooling_param{pool:AVE %s}" % body, "squares")
            + layer("Pooling", ["a"], ["sums"], "pooling_param{pool:AVE %s}" % body, "sums")
            + layer("Power", ["sums"], ["inverse"], "power_param{power:-1}", "inverse")
            + layer("Eltwise", ["squares", "inverse"], ["y"], "eltwise_param{operation:PROD}")
        )
        found = run_caffe(text, {"a": x}, names=("sums", "y"))
        if np.isnan(found["sums"]).any() or ((found["sums"] != 0) & (np.abs(found["sums"]) < 0.02)).any():
            continue  # a window beyond the image, where AVE's own divisor is 0, or a sum of which rounding is much
        y = np.where(found["sums"] > 0, found["y"], 0)
        number += 1
        yield Case(inputs_text({"a": shape}) + layer("Pooling", ["a"], ["y"], "pooling_param{pool:STOCHASTIC %s}" % body), {"a": x}, out={"y": y})


# --- by Chainer ---


def batch_norm_batch():
    os.environ["CHAINER_WARN_VERSION_MISMATCH"] = "0"
    import chainer
    import chainer.functions as F

    c, r = sources("BatchNormBatch")
    fixed = [[2, 3, 4, 3], [1, 4, 3, 3], [5, 4], [2, 3, 4], [1, 2, 1, 1], [3, 1, 2, 2], [1, 17, 2, 3], [2, 3, 2, 2, 2]]
    for number in range(28):
        shape = fixed[number] if number < len(fixed) else [c.randint(1, 4), c.randint(1, 6)] + [c.randint(1, 4) for _ in range(c.choice([0, 1, 2, 2, 2]))]
        channels, eps = shape[1], [1e-5, 0.01, 1e-3][number % 3]
        x = noise(r, shape, number % 3 == 1, 2) + np.float32(c.choice([0, 0, 5]))
        # The stored statistics are there, and must not matter.
        params = {"l/0": noise(r, [channels]), "l/1": np.abs(noise(r, [channels])) + 1, "l/2": np.float32([c.choice([0, 1, 2.5])])}
        gamma, beta, behind, terms = np.ones(channels, np.float32), np.zeros(channels, np.float32), "", "use_global_stats:false"
        terms += " eps:%r" % eps if number % 3 else ""
        top = "a" if number % 5 == 4 else "y"
        if number % 4 == 1:  # NVIDIA's own scale and shift
            gamma, beta = noise(r, [channels]), noise(r, [channels])
            params.update({"l/3": gamma, "l/4": beta})
            terms += " scale_bias:true"
        elif number % 4 == 3:
            gamma, beta = noise(r, [channels]), noise(r, [channels])
            params.update({"s/0": gamma, "s/1": beta})
            behind = layer("Scale", [top], [top], "scale_param{bias_term:true}", "s")
        with chainer.using_config("train", True):
            y = F.batch_normalization(x, gamma, beta, eps=eps, axis=tuple(i for i in range(len(shape)) if i != 1)).array
        yield Case(inputs_text({"a": shape}) + layer("BatchNorm", ["a"], [top], "batch_norm_param{%s}" % terms) + behind, {"a": x}, params, {top: y})


# --- by OpenCV ---


def caffemodel(params, kinds):
    """The parameters as a model file."""
    import wire

    model = b""
    for name in dict.fromkeys(key.rsplit("/", 1)[0] for key in params):
        blobs = [np.asarray(value, np.float32) for key, value in params.items() if key.rsplit("/", 1)[0] == name]
        body = wire.chunk(1, name.encode()) + wire.chunk(2, kinds[name].encode())
        # OpenCV takes one scale for all channels only where it has an axis.
        body += b"".join(wire.chunk(7, wire.shape(blob.shape or (1,)) + wire.packed_floats(5, blob.ravel().tolist())) for blob in blobs)
        model += wire.chunk(100, body)
    return model


def run_opencv(text, inputs, names, params=None):
    """The tops of the layers `names`; OpenCV knows inputs in the old spelling best."""
    import cv2

    kinds = dict(re.findall(r'layer\{name:"([^"]*)" type:"([^"]*)"', text))
    text = re.sub(r'layer\{name:"in" .*\n', "", text)
    head = "".join('input:"%s" input_shape{%s}\n' % (name, " ".join("dim:%d" % extent for extent in value.shape)) for name, value in inputs.items())
    arguments = [np.frombuffer((head + text).encode(), np.uint8)]
    if params:
        arguments.append(np.frombuffer(caffemodel(params, kinds), np.uint8))
    net = cv2.dnn.readNetFromCaffe(*arguments)
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.enableFusion(False)
    net.enableWinograd(False)
    for name, value in inputs.items():
        net.setInput(np.asarray(value, np.float32), name)
    return [np.array(value) for value in net.forward(names)]


def interp():
    c, r = sources("Interp")
    fixed = [
        ([1, 2, 3, 4], "zoom_factor:2"), ([1, 1, 2, 2], "zoom_factor:8"), ([1, 2, 9, 7], "shrink_factor:2"), ([1, 1, 10, 11], "shrink_factor:3"), ([1, 2, 5, 5], "shrink_factor:2 zoom_factor:3"),
        ([2, 3, 4, 5], "height:7 width:9"), ([1, 1, 8, 8], "height:3 width:5"), ([1, 2, 4, 4], "height:4 width:4"), ([1, 2, 1, 5], "height:3 width:9"), ([1, 1, 5, 1], "height:9 width:3"),
        ([1, 3, 1, 1], "height:4 width:3"), ([1, 2, 6, 6], "height:1 width:1"), ([1, 1, 6, 6], "height:1 width:8"), ([1, 1, 6, 6], "height:9 width:1"), ([1, 2, 3, 3], "zoom_factor:1"), ([1, 2, 4, 3], "shrink_factor:1"),
        ([1, 1, 4, 4], "zoom_factor:2 height:9 width:9"), ([1, 1, 5, 5], "shrink_factor:2 height:9 width:9"), ([1, 1, 5, 5], "shrink_factor:2 zoom_factor:2 height:6 width:7"),
        ([1, 2, 7, 8], "zoom_factor:2 pad_beg:-1"), ([1, 2, 7, 8], "zoom_factor:2 pad_end:-2"), ([2, 1, 9, 8], "shrink_factor:2 pad_beg:-1 pad_end:-2"), ([1, 1, 6, 6], "height:5 width:7 pad_beg:-2 pad_end:-1"),
        ([1, 2, 5, 6], "height:3 width:4 pad_beg:-1 pad_end:-1"),
    ]  # fmt: skip
    for number in range(CASES + 4):
        shape, body = fixed[number] if number < len(fixed) else ([1, 2, c.randint(1, 9), c.randint(1, 9)], "height:%d width:%d" % (c.randint(1, 12), c.randint(1, 12)))
        x = noise(r, shape, number % 3 == 1)
        words = {field: int(value) for field, value in (word.split(":") for word in body.split())}
        begin, end = -words.pop("pad_beg", 0), -words.pop("pad_end", 0)
        cut = np.ascontiguousarray(x[:, :, begin : shape[2] - end, begin : shape[3] - end])
        # DeepLab's order of precedence: a single factor, then height and width, then both factors.
        if ("shrink_factor" in words) != ("zoom_factor" in words):
            words = {field: value for field, value in words.items() if "factor" in field}
        elif "height" in words:
            words = {field: value for field, value in words.items() if "factor" not in field}
        else:  # OpenCV takes one factor at a time.
            size = [((extent - 1) // words["shrink_factor"]) * words["zoom_factor"] + 1 for extent in cut.shape[2:]]
            words = {"height": size[0], "width": size[1]}
        if words == {"shrink_factor": words.get("shrink_factor")}:
            size = [(extent - 1) // words["shrink_factor"] + 1 for extent in cut.shape[2:]]
            words = {"height": size[0], "width": size[1]}
        text = layer("Interp", ["a"], ["l"], "interp_param{%s}" % " ".join("%s:%d" % word for word in words.items()))
        y = run_opencv(text, {"a": cut}, ["l"])[0]
        yield Case(inputs_text({"a": shape}) + layer("Interp", ["a"], ["y"], "interp_param{%s}" % body), {"a": x}, out={"y": y})


def prior_box():
    c, r = sources("PriorBox")
    fixed = [
        ([3, 2], [30, 20], "min_size:8"), ([2, 3], [10, 15], "min_size:6 max_size:11"), ([2, 2], [16, 16], "min_size:9 max_size:16 aspect_ratio:2 flip:true"), ([2, 2], [16, 16], "min_size:9 aspect_ratio:2 flip:false"),
        ([2, 2], [16, 16], "min_size:9 aspect_ratio:2 aspect_ratio:3"), ([2, 2], [16, 16], "min_size:9 max_size:12 aspect_ratio:2 aspect_ratio:3 flip:false clip:true"),
        ([2, 1], [24, 18], "min_size:5 min_size:9 aspect_ratio:2"), ([2, 1], [24, 18], "min_size:5 min_size:9 max_size:7 max_size:14 aspect_ratio:1.5"), ([1, 1], [10, 10], "min_size:20 clip:true"), ([1, 1], [10, 10], "min_size:20 clip:false"),
        ([2, 2], [20, 20], "min_size:6 aspect_ratio:1"), ([2, 2], [20, 20], "min_size:6 aspect_ratio:2 aspect_ratio:0.5 aspect_ratio:2"), ([2, 2], [20, 20], "min_size:6 aspect_ratio:0.5 flip:true"),
        ([2, 3], [10, 15], "min_size:6 variance:0.1 variance:0.1 variance:0.2 variance:0.2"), ([2, 3], [10, 15], "min_size:6 variance:0.3"), ([2, 3], [10, 15], "min_size:6 variance:0.1 variance:0.15 variance:0.2 variance:0.25 aspect_ratio:2"),
        ([2, 3], [10, 15], "min_size:6 step:9"), ([2, 3], [10, 15], "min_size:6 step_h:11 step_w:8"), ([2, 3], [10, 15], "min_size:6 step:9.5 offset:0"), ([2, 3], [10, 15], "min_size:6 offset:0.25 clip:true"),
        ([2, 2], [20, 30], "min_size:6 img_size:40"), ([2, 2], [20, 30], "min_size:6 img_h:50 img_w:40"), ([2, 2], [20, 30], "min_size:6 img_size:33 step:8 aspect_ratio:3 clip:true"),
        ([2, 2], [30, 30], "min_size:7.9 max_size:12.7 aspect_ratio:2"), ([1, 3], [17, 23], "min_size:3.5"), ([3, 3], [25, 31], "min_size:4 max_size:7"),
    ]  # fmt: skip
    for number in range(CASES + 4):
        if number < len(fixed):
            (rows, columns), (height, width), body = fixed[number]
        else:
            rows, columns, height, width = c.randint(1, 3), c.randint(1, 3), c.randint(9, 24), c.randint(9, 24)
            count = c.randint(1, 2)
            smaller = [c.randint(2, 20) for _ in range(count)]
            body = " ".join("min_size:%d" % size for size in smaller)
            if c.random() < 0.6:
                body += "".join(" max_size:%d" % (size + c.randint(1, 9)) for size in smaller)
            body += "".join(" aspect_ratio:%r" % round(c.uniform(0.3, 3), 2) for _ in range(c.randint(0, 2))) + c.choice(["", " flip:false", " clip:true"])
        words, own = body.split(), body
        image = {field: int(value) for field, value in (word.split(":") for word in words) if field.startswith("img")}
        seen = [image.get("img_h", image.get("img_size", height)), image.get("img_w", image.get("img_size", width))]
        given = [word.split(".")[0] if word.startswith(("min_size", "max_size")) else word for word in words if not word.startswith("img")]
        # Caffe's defaults, where OpenCV has none or another.
        given += ["variance:0.1"] * ("variance" not in body) + ["clip:false"] * ("clip" not in body)
        map_shape = [1, 2, rows, columns]
        text = layer("PriorBox", ["a", "b"], ["l"], "prior_box_param{%s}" % " ".join(given))
        y = run_opencv(text, {"a": np.zeros(map_shape, np.float32), "b": np.zeros([1, 3] + seen, np.float32)}, ["l"])[0]
        a, b = noise(r, map_shape), np.zeros([1, 1, height, width], np.float32)
        yield Case(inputs_text({"a": a.shape, "b": b.shape}) + layer("PriorBox", ["a", "b"], ["y"], "prior_box_param{%s}" % own), {"a": a, "b": b}, out={"y": y})


def boxes(r, count):
    """Priors 1×2×(count·4): near each other, so that many overlap; then variances."""
    centers, sizes = r.uniform(0.2, 0.8, (count, 2)), r.uniform(0.1, 0.5, (count, 2))
    corners = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)
    variances = np.tile([0.1, 0.1, 0.2, 0.2], (count, 1))
    return np.stack([corners.ravel(), variances.ravel()])[None].astype(np.float32)


def detections(found, images):
    """OpenCV's rows up to the last that is not all zeros, in SSD's order; SSD's rows of -1 where it found nothing."""
    used = np.flatnonzero(found.any(axis=(0, 1, 3)))
    if used.size:
        rows = found[0, 0, : used[-1] + 1]
        return rows[np.lexsort((-rows[:, 2], rows[:, 1], rows[:, 0]))][None, None]
    return np.array([[[[image] + [-1] * 6 for image in range(images)]]], np.float32)


def suppressed(rows, images, nms, keep, least):
    """All boxes that there are, suppressed class by class with a threshold that falls; the best `keep` of an image."""
    import cv2

    found = []
    for image in range(images):
        of_image = []
        for label in np.unique(rows[:, 1]):
            own = rows[(rows[:, 0] == image) & (rows[:, 1] == label)]
            places = np.concatenate([own[:, 3:5], own[:, 5:7] - own[:, 3:5]], axis=1).astype(np.float64)
            places[:, 2:] = places[:, 2:].clip(1e-6)  # a box that is inside out overlaps none in SSD
            kept = cv2.dnn.NMSBoxes(places.tolist(), own[:, 2].tolist(), least, nms["nms_threshold"], nms["eta"], int(nms.get("top_k", 0)))
            of_image.extend(own[int(index)] for index in kept)
        found.extend(sorted(of_image, key=lambda row: -row[2])[:keep])
    return np.array(found, np.float32)[None, None]


def detection_output():
    c, r = sources("DetectionOutput")
    fixed = [
        "num_classes:3", "num_classes:3 share_location:false", "num_classes:3 code_type:CENTER_SIZE", "num_classes:3 code_type:CENTER_SIZE share_location:false", "num_classes:3 code_type:CORNER_SIZE",
        "num_classes:2 variance_encoded_in_target:true", "num_classes:2 code_type:CENTER_SIZE variance_encoded_in_target:true", "num_classes:2 code_type:CORNER_SIZE variance_encoded_in_target:true share_location:false",
        "num_classes:3 background_label_id:1", "num_classes:3 background_label_id:9", "num_classes:3 background_label_id:-1 share_location:false code_type:CENTER_SIZE", "num_classes:1 background_label_id:9",
        "num_classes:3 confidence_threshold:0.4", "num_classes:3 confidence_threshold:0.99", "num_classes:4 keep_top_k:5", "num_classes:4 keep_top_k:1 code_type:CENTER_SIZE", "num_classes:4 keep_top_k:200",
        "num_classes:3 nms_param{nms_threshold:0.45 top_k:3}", "num_classes:3 nms_param{nms_threshold:0}", "num_classes:3 nms_param{nms_threshold:1}", "num_classes:3 nms_param{nms_threshold:0.9 eta:0.8}", "num_classes:3 nms_param{nms_threshold:0.7 eta:0.5} code_type:CENTER_SIZE",
        "num_classes:3 nms_param{nms_threshold:0.5 top_k:400} keep_top_k:4 confidence_threshold:0.1 code_type:CENTER_SIZE", "num_classes:5 nms_param{nms_threshold:0.2 top_k:1}",
    ]  # fmt: skip
    for number in range(CASES + 12):
        body = fixed[number] if number < len(fixed) else "num_classes:%d background_label_id:%d %s code_type:%s nms_param{nms_threshold:%r%s%s}%s%s" % (c.randint(2, 4), c.choice([0, 0, 1, -1]), c.choice(["", "share_location:false", "variance_encoded_in_target:true"]), c.choice(["CORNER", "CENTER_SIZE", "CENTER_SIZE", "CORNER_SIZE"]), round(c.uniform(0.2, 0.95), 2), c.choice(["", " top_k:2", " top_k:6"]), c.choice(["", " eta:0.9", " eta:0.7"]), c.choice(["", " keep_top_k:3", " keep_top_k:7"]), c.choice(["", " confidence_threshold:0.3", " confidence_threshold:0.01"]))
        if "share_location:false" not in body:
            body = body.replace("background_label_id:-1", "background_label_id:9")  # SSD takes -1 for the shared location there and dies
        body = " ".join(body.split())
        images, priors, classes = 1 + number % 2, c.randint(6, 11), int(body.split("num_classes:")[1].split()[0])
        located = classes if "share_location:false" in body else 1
        encoded = "variance_encoded_in_target:true" in body
        places = noise(r, [images, priors * located * 4], scale=0.1 if encoded else 0.7)
        scores = r.uniform(0.02, 0.98, [images, priors * classes]).astype(np.float32)
        prior = boxes(r, priors)
        given, text = places, body
        if "CORNER_SIZE" in body:
            corners = prior[0, 0].reshape(priors, 4)
            size = np.tile(corners[:, 2:] - corners[:, :2], (1, 2))
            given = (places.reshape(images, priors, located, 4) * size[None, :, None]).reshape(places.shape).astype(np.float32)
            text = text.replace("CORNER_SIZE", "CORNER")
        text = text.replace("nms_threshold:0}", "nms_threshold:1e-30}")
        words, eta = dict(re.findall(r"(\w+):([^ {}]+)", text)), "eta:" in text
        if eta:
            text = re.sub(r" (keep_top_k|confidence_threshold):\S+|nms_param\{[^}]*\}", "", text) + " nms_param{nms_threshold:1}"
        # Caffe's defaults, which OpenCV has none of. Without a limit it writes behind its top's end.
        for field, value in (("keep_top_k", ":%d" % (priors * classes)), ("nms_param", "{nms_threshold:0.3}"), ("share_location", ":true"), ("background_label_id", ":0"), ("code_type", ":CORNER")):
            if field not in text:
                text += " " + field + value
        found = run_opencv(layer("DetectionOutput", ["a", "b", "c"], ["l"], "detection_output_param{%s}" % text), {"a": given, "b": scores, "c": prior[:, :1] if encoded else prior}, ["l"])[0]
        if eta:
            assert found.shape[2] >= images * priors * (classes - 1)
            nms = {field: float(words[field]) for field in ("nms_threshold", "eta", "top_k") if field in words}
            rows = found[0, 0][found[0, 0].any(axis=1)]
            found = suppressed(rows, images, nms, int(words.get("keep_top_k", len(rows))), float(words.get("confidence_threshold", 0)))
        inputs = {"a": places, "b": scores, "c": prior}
        net = inputs_text({name: value.shape for name, value in inputs.items()}) + layer("DetectionOutput", list("abc"), ["y"], "detection_output_param{%s}" % body)
        yield Case(net, inputs, out={"y": detections(found, images)})


def ssd():
    """Two levels of a small SSD, from image to boxes."""
    c, r = sources("ssd")
    number = 0
    while number < 6:
        classes, images, side = c.randint(2, 4), 1 + number % 2, c.choice([9, 11, 12])
        shared = number % 4 != 3
        ratios = ["", " aspect_ratio:2", " aspect_ratio:2 aspect_ratio:3"][number % 3]
        params = {}

        def convolution(bottom, top, inputs, outputs, kernel, stride=1):
            params[top + "/0"] = noise(r, [outputs, inputs, kernel, kernel], scale=1.0 / np.sqrt(inputs * kernel))
            params[top + "/1"] = noise(r, [outputs], scale=0.2)
            return layer("Convolution", [bottom], [top], "convolution_param{num_output:%d kernel_size:%d pad:%d stride:%d}" % (outputs, kernel, kernel // 2, stride), top)

        text = convolution("data", "conv1", 3, 6, 3, 2) + layer("ReLU", ["conv1"], ["conv1"], name="relu1")
        text += convolution("conv1", "conv2", 6, 5, 3, 2) + layer("ReLU", ["conv2"], ["conv2"], name="relu2")
        text += convolution("conv2", "conv3", 5, 3, 3, 2) + layer("ReLU", ["conv3"], ["conv3"], name="relu3")
        text += layer("Normalize", ["conv2"], ["norm"], "norm_param{across_spatial:false channel_shared:false}", "norm")
        params["norm/0"] = np.abs(noise(r, [5], scale=3)) + 1
        parts = {"loc": [], "conf": [], "priorbox": []}
        for level, (source, channels, low, high) in enumerate((("norm", 5, 3, 6), ("conv3", 3, 6, 10))):
            each = 2 + 2 * ratios.count(":")
            for what, outputs in (("loc", 4 if shared else 4 * classes), ("conf", classes)):
                name = "%s_%d" % (what, level)
                text += convolution(source, name, channels, each * outputs, 1 + 2 * level)
                text += layer("Permute", [name], [name + "_perm"], "permute_param{order:0 order:2 order:3 order:1}", name + "_perm")
                text += layer("Flatten", [name + "_perm"], [name + "_flat"], "flatten_param{axis:1}", name + "_flat")
                parts[what].append(name + "_flat")
            name = "priorbox_%d" % level
            variance = " variance:0.1 variance:0.1 variance:0.2 variance:0.2"
            text += layer("PriorBox", [source, "data"], [name], "prior_box_param{min_size:%d max_size:%d%s clip:%s%s}" % (low, high, ratios, "false true".split()[number % 2], variance), name)
            parts["priorbox"].append(name)
        text += layer("Concat", parts["loc"], ["loc"], "concat_param{axis:1}", "loc") + layer("Concat", parts["conf"], ["conf"], "concat_param{axis:1}", "conf")
        text += layer("Concat", parts["priorbox"], ["priorbox"], "concat_param{axis:2}", "priorbox")
        text += layer("Reshape", ["conf"], ["conf_reshape"], "reshape_param{shape{dim:0 dim:-1 dim:%d}}" % classes, "conf_reshape")
        text += layer("Softmax", ["conf_reshape"], ["conf_softmax"], "softmax_param{axis:2}", "conf_softmax")
        text += layer("Flatten", ["conf_softmax"], ["conf_flat"], "flatten_param{axis:1}", "conf_flat")
        body = "num_classes:%d share_location:%s background_label_id:0 nms_param{nms_threshold:0.45 top_k:%d} code_type:CENTER_SIZE keep_top_k:%d confidence_threshold:%r" % (classes, "true" if shared else "false", c.choice([10, 400]), c.choice([5, 12]), c.choice([0.01, 0.3]))
        text += layer("DetectionOutput", ["loc", "conf_flat", "priorbox"], ["found"], "detection_output_param{%s}" % body, "found")
        data = noise(r, [images, 3, side, side])
        names = ["loc", "conf_flat", "priorbox", "found"]
        out = dict(zip(names, run_opencv(text, {"data": data}, names, params)))
        out["found"] = detections(out["found"], images)
        rows = out["found"][0, 0]
        near = data + noise(r, data.shape, scale=1e-4)
        again = detections(run_opencv(text, {"data": near}, ["found"], params)[0], images)[0, 0]
        if rows.shape != again.shape or np.abs(rows - again).max() > 1e-2 or np.diff(np.sort(rows[:, 2])).min(initial=1) < 1e-5:
            continue  # another order of a sum would choose other boxes
        number += 1
        yield Case(inputs_text({"data": data.shape}) + text, {"data": data}, params, out)


def second_opinion(folder, file):
    """What real Caffe's other layers made of a type, against OpenCV's own layer of that name."""
    import cv2

    equal, cannot, differs = 0, [], []
    for number, case in enumerate(load(folder, file)):
        (top, expected), = case.out.items()
        text = case.net.replace("DepthwiseConvolution", "ConvolutionDepthwise").replace('"DepthwiseConv"', '"ConvolutionDepthwise"')
        if file == "DepthwiseConvolution" and "group:" not in text:
            text = text.replace("convolution_param{", "convolution_param{group:%d " % case.inputs["a"].shape[1])
        try:
            found = run_opencv(text, case.inputs, ["l"], case.params)[0]
        except cv2.error as error:
            cannot.append("%d (%s)" % (number, (error.err or str(error)).strip().splitlines()[-1][:60]))
            continue
        worst = np.abs(found.ravel() - expected.ravel()).max() / max(np.abs(expected).max(), 1e-6) if found.size == expected.size else np.inf
        if not worst < 1e-5:
            differs.append("%d by %.1e" % (number, worst))
        else:
            equal += 1
    print("%-24s %3d cases equal in OpenCV; it cannot run %s; different %s" % (file, equal, ", ".join(cannot) or "none", ", ".join(differs) or "none"), flush=True)
    return not differs


BY_CAFFE = {"Clip": clip, "DepthwiseConvolution": depthwise_convolution, "Normalize": normalize, "PoolingStochastic": pooling_stochastic, "ReLU6": relu6, "ShuffleChannel": shuffle_channel, "Upsample": upsample}
BY_CHAINER = {"BatchNormBatch": batch_norm_batch}
BY_OPENCV = {"DetectionOutput": detection_output, "Interp": interp, "PriorBox": prior_box, "ssd": ssd}


def main():
    folder = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "layers"))
    if importlib.util.find_spec("caffe"):
        makers = BY_CAFFE
    elif importlib.util.find_spec("chainer"):
        makers = BY_CHAINER
    else:
        import cv2

        cv2.setLogLevel(0)
        makers = BY_OPENCV
    os.makedirs(folder, exist_ok=True)
    for file, make in makers.items():
        if not sys.argv[2:] or file in sys.argv[2:]:
            save(folder, file, list(make()))
    if makers is BY_OPENCV and not sys.argv[2:]:
        equal = [second_opinion(folder, file) for file in ("DepthwiseConvolution", "Normalize", "ReLU6", "ShuffleChannel")]
        sys.exit(0 if all(equal) else "OpenCV and real Caffe differ")


if __name__ == "__main__":
    main()
