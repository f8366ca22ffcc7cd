"""Shapes of every blob and parameter, as real Caffe sets them up: testdata/shapes/<LayerType>.json and nets.json.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829 (Linux x86-64), protobuf 3.20.3, numpy < 1.24.
Run:   python3.8 shapes.py [OUT_FOLDER] [LAYER_TYPE...]        (default: ../shapes next to this script, every type)

For every layer type that needs neither Python nor a data source: seeded random configurations, legal and not. A file is
a list of
    {"net": prototxt, "phase": "TRAIN"|"TEST", "blobs": [[name, shape]...], "params": [[layer, [shape...]]...]}
    {"net": prototxt, "phase": ..., "error": true, "message": what Caffe said before it ended the process}
Blobs are in pycaffe's order (the order of their making); those of the automatic Split layers are left out. A message
"(ended by signal N, ...)" is a plain crash. Each configuration runs in a forked child. About a minute in all.
"""
import json
import os
import random
import sys
import tempfile

import real_caffe
from real_caffe import caffe

HERE = os.path.dirname(os.path.abspath(__file__))
LEGAL, ILLEGAL = 40, 14  # how many of each kind a file holds, where the generator finds them
MORE = {"Convolution": 100, "Pooling": 120, "Deconvolution": 80, "Reshape": 80, "InnerProduct": 60, "Crop": 60, "Slice": 60, "nets": 70}


def shape_text(dims):
    return "shape{%s}" % " ".join("dim:%d" % d for d in dims)


def inputs(shapes):
    """Input layers for bottoms a, b, c ... as one layer with many tops."""
    if not shapes:
        return ""
    tops = " ".join('top:"%s"' % chr(97 + i) for i in range(len(shapes)))
    return 'layer{name:"in" type:"Input" %s input_param{%s}}\n' % (tops, " ".join(shape_text(s) for s in shapes))


def one(kind, shapes, tops, body="", in_place=False, bottoms=None):
    bottoms = bottoms or [chr(97 + i) for i in range(len(shapes))]
    names = ["a"] if in_place else ["y%d" % i for i in range(tops)]
    return inputs(shapes) + 'layer{name:"l" type:"%s" %s %s %s}\n' % (
        kind,
        " ".join('bottom:"%s"' % b for b in bottoms),
        " ".join('top:"%s"' % t for t in names),
        body,
    )


def dims(r, low=1, high=5, largest=6, first=None):
    return ([first] if first else []) + [r.randint(1, largest) for _ in range(r.randint(low, high))]


def some(r, chance, text):
    return text if r.random() < chance else ""


def image(r, channels=None, low=1, high=12):
    return [r.randint(1, 3), channels or r.randint(1, 6), r.randint(low, high), r.randint(low, high)]


# --- generators: kind -> function(random) -> prototxt or (prototxt, phase) ---


def convolution_terms(r, deconvolution=False, im2col=False):
    group = 1 if im2col else r.choice([1, 1, 1, 2, 2, 3, 4])
    channels = group * r.randint(1, 3)
    if r.random() < 0.05:
        channels += 1  # not divisible
    outputs = group * r.randint(1, 3) if r.random() > 0.05 else r.randint(1, 5)
    body = "" if im2col else "num_output:%d " % outputs
    kernel = r.randint(1, 4)
    style = r.random()
    if style < 0.5:
        body += "kernel_size:%d " % kernel
    elif style < 0.75:
        body += "kernel_h:%d kernel_w:%d " % (r.randint(1, 4), r.randint(1, 5))
    elif style < 0.95:
        body += "kernel_size:%d kernel_size:%d " % (r.randint(1, 4), r.randint(1, 4))
    elif style < 0.97:
        body += "kernel_size:0 "
    elif style < 0.99:
        body += "kernel_size:2 kernel_h:2 kernel_w:2 "
    if r.random() < 0.6:
        body += r.choice(["stride:%d " % r.randint(1, 3), "stride_h:%d stride_w:%d " % (r.randint(1, 3), r.randint(1, 3)), "stride:%d stride:%d " % (r.randint(1, 3), r.randint(1, 3)), "stride:2 stride_h:1 " if r.random() < 0.2 else "", "stride:0 " if r.random() < 0.1 else ""])
    if r.random() < 0.6:
        body += r.choice(["pad:%d " % r.randint(0, 3), "pad_h:%d pad_w:%d " % (r.randint(0, 2), r.randint(0, 3)), "pad:%d pad:%d " % (r.randint(0, 2), r.randint(0, 2)), "pad_w:1 " if r.random() < 0.3 else "", "pad:1 pad:1 pad:1 " if r.random() < 0.2 else ""])
    if r.random() < 0.35:
        body += r.choice(["dilation:2 ", "dilation:%d dilation:%d " % (r.randint(1, 3), r.randint(1, 3))])
    if group != 1:
        body += "group:%d " % group
    if not im2col and r.random() < 0.3:
        body += "bias_term:false "
    shape = image(r, channels)
    if r.random() < 0.12:  # other numbers of axes
        spatial = r.choice([1, 3])
        shape = [2, channels] + [r.randint(4, 8) for _ in range(spatial)]
        body = ("" if im2col else "num_output:%d " % outputs) + "kernel_size:%d " % r.randint(1, 3) + some(r, 0.5, "stride:2 ") + some(r, 0.5, "pad:1 ") + ("group:%d " % group if group != 1 else "")
    elif r.random() < 0.12:
        axis = r.choice([0, 2, -3, -2, -1, 3, 4])
        body += "axis:%d " % axis
        if r.random() < 0.6:
            shape = [channels if i == (axis + 4) % 4 else r.randint(4, 7) for i in range(4)]
            rest = 3 - (axis + 4) % 4
            body = ("" if im2col else "num_output:%d " % outputs) + "axis:%d " % axis + " ".join(["kernel_size:2"] * r.choice([1, max(rest, 1)])) + (" group:%d" % group if group != 1 else "")
    if r.random() < 0.03:
        shape[0] = 0
    return shape, body


def convolution(kind):
    def make(r):
        shape, body = convolution_terms(r, deconvolution=kind == "Deconvolution")
        shapes = [shape]
        if r.random() < 0.08:
            shapes.append(list(shape) if r.random() < 0.7 else image(r, shape[1]))
        return one(kind, shapes, len(shapes), "convolution_param{%s}" % body.strip())

    return make


def im2col(r):
    shape, body = convolution_terms(r, im2col=True)
    return one("Im2col", [shape], 1, "convolution_param{%s}" % body.strip())


def pooling(r):
    shape = image(r, r.randint(1, 3), 1, 14)
    pool = r.choice(["MAX", "MAX", "AVE", "STOCHASTIC"])
    body = "pool:%s " % pool if pool != "MAX" or r.random() < 0.5 else ""
    tops = 1
    if r.random() < 0.12:
        body += "global_pooling:true "
        body += some(r, 0.3, r.choice(["kernel_size:2 ", "pad:1 ", "stride:2 "]))
    else:
        style = r.random()
        if style < 0.6:
            body += "kernel_size:%d " % r.randint(1, 5)
        elif style < 0.95:
            body += "kernel_h:%d kernel_w:%d " % (r.randint(1, 4), r.randint(1, 5))
        else:
            body += r.choice(["kernel_size:0 ", "kernel_h:2 ", "kernel_size:2 kernel_h:2 kernel_w:2 ", ""])
        if r.random() < 0.75:
            body += r.choice(["stride:%d " % r.randint(1, 5), "stride_h:%d stride_w:%d " % (r.randint(1, 3), r.randint(1, 4)), "stride:2 stride_h:2 stride_w:2 " if r.random() < 0.2 else "", "stride:2 stride_h:3 " if r.random() < 0.2 else ""])
        if r.random() < 0.5:
            body += r.choice(["pad:%d " % r.randint(0, 3), "pad_h:%d pad_w:%d " % (r.randint(0, 2), r.randint(0, 2)), "pad_h:1 "])
        if r.random() < 0.2:
            body += r.choice(["round_mode:FLOOR ", "round_mode:CEIL ", "round_mode:FLOOR "])
    if r.random() < 0.12:
        tops = 2
    if r.random() < 0.04:
        shape = shape[1:]
    return one("Pooling", [shape], tops, "pooling_param{%s}" % body.strip()), r.choice(["TEST", "TRAIN"])


def inner_product(r):
    shape = dims(r, 1, 5)
    body = "num_output:%d " % r.randint(1, 5)
    if r.random() < 0.5:
        body += "axis:%d " % r.randint(-len(shape) - 1, len(shape))
    body += some(r, 0.3, "transpose:true ") + some(r, 0.3, "bias_term:false ")
    if r.random() < 0.05:
        shape[r.randrange(len(shape))] = 0
    return one("InnerProduct", [shape], 1, "inner_product_param{%s}" % body.strip())


def embed(r):
    shape = dims(r, 0, 3)
    body = "num_output:%d input_dim:%d " % (r.randint(0 if r.random() < 0.1 else 1, 5), r.randint(0 if r.random() < 0.1 else 1, 9))
    body += some(r, 0.4, "bias_term:false")
    return one("Embed", [shape], 1, "embed_param{%s}" % body.strip())


def elementwise(kind, *params):
    def make(r):
        shape = dims(r, 0, 5)
        if r.random() < 0.08 and shape:
            shape[0] = 0
        body = r.choice(params) if params else ""
        shapes, tops = [shape], 1
        fault = r.random()
        if fault < 0.06:
            tops = 2
        elif fault < 0.12:
            shapes = [shape, list(shape)]
        return one(kind, shapes, tops, body, in_place=tops == 1 and len(shapes) == 1 and r.random() < 0.4), r.choice(["TRAIN", "TEST"])

    return make


def prelu(r):
    shape = dims(r, 1, 5)
    return one("PReLU", [shape], 1, some(r, 0.5, "prelu_param{channel_shared:%s}" % r.choice(["true", "true", "false"])), in_place=r.random() < 0.4)


def batch_norm(r):
    shape = dims(r, 1, 5)
    body = some(r, 0.5, "batch_norm_param{%s}" % r.choice(["use_global_stats:true", "use_global_stats:false", "eps:0.01", "moving_average_fraction:0.9"]))
    if r.random() < 0.3:
        count = r.choice([1, 2, 3, 3, 4])
        body += " " + " ".join("param{lr_mult:%d}" % r.choice([0, 0, 1]) for _ in range(count))
    return one("BatchNorm", [shape], 1, body, in_place=r.random() < 0.4), r.choice(["TRAIN", "TEST"])


def affine(kind):
    field = kind.lower() + "_param"

    def make(r):
        shape = dims(r, 0, 4)
        rank = len(shape)
        body = ""
        axis = 1
        if r.random() < 0.6:
            axis = r.randint(-rank, max(rank - 1, 0)) if r.random() < 0.9 else rank + 1
            body += "axis:%d " % axis
        start = axis + rank if axis < 0 else axis
        if r.random() < 0.4:
            shapes = [shape]
            if r.random() < 0.8:
                length = r.randint(0, max(rank - start, 0))
                shapes.append([shape[start + i] for i in range(length) if 0 <= start + i < rank])
            else:
                shapes.append(dims(r, 0, 3))
            body += some(r, 0.1, "num_axes:2 ")
        else:
            shapes = [shape]
            if r.random() < 0.6:
                body += "num_axes:%d " % r.choice([-1, 0, 1, 2, 3, -2] if r.random() < 0.3 else [-1, 0, 1, 2])
        if kind == "Scale":
            body += some(r, 0.5, "bias_term:true ")
        return one(kind, shapes, 1, "%s{%s}" % (field, body.strip()), in_place=r.random() < 0.3)

    return make


def eltwise(r):
    shape = dims(r, 0, 4)
    count = r.choice([1, 2, 2, 2, 3, 4])
    shapes = [list(shape) for _ in range(count)]
    if r.random() < 0.15 and shape:
        shapes[-1][r.randrange(len(shape))] += 1
    if r.random() < 0.05:
        shapes[-1] = shapes[-1] + [1]
    operation = r.choice(["SUM", "PROD", "MAX"])
    body = "operation:%s " % operation
    if r.random() < 0.3:
        body += "coeff:0.5 " * (count if r.random() < 0.7 else max(count - 1, 1))
    return one("Eltwise", shapes, 1, "eltwise_param{%s}" % body.strip(), in_place=r.random() < 0.2)


def concat(r):
    shape = dims(r, 1, 4)
    rank = len(shape)
    field = r.choice(["axis", "axis", "concat_dim", ""])
    axis = r.randint(-rank, rank - 1) if field == "axis" else r.randrange(rank)
    if r.random() < 0.08:
        axis = rank + 1
    count = r.randint(1, 4)
    shapes = []
    for _ in range(count):
        s = list(shape)
        where = axis if field else 1
        if -rank <= where < rank:
            s[where] = r.randint(1, 5)
        shapes.append(s)
    if r.random() < 0.12:
        shapes[-1] = dims(r, 1, 4)
    body = "concat_param{%s:%d}" % (field, axis) if field else ""
    if r.random() < 0.03:
        body = "concat_param{axis:0 concat_dim:0}"
    return one("Concat", shapes, 1, body)


def slice_(r):
    shape = dims(r, 1, 4, 9)
    rank = len(shape)
    field = r.choice(["axis", "axis", "slice_dim", ""])
    axis = r.randint(-rank, rank - 1) if field == "axis" else (r.randrange(rank) if field else 1)
    tops = r.randint(1, 4)
    if -rank <= axis < rank:
        if r.random() < 0.5:
            shape[axis] = tops * r.randint(1, 3)
        points = ""
        if r.random() < 0.6:
            candidates = list(range(1, shape[axis]))
            if len(candidates) >= tops - 1:
                points = " ".join("slice_point:%d" % p for p in sorted(r.sample(candidates, tops - 1)))
            if r.random() < 0.15:
                points += r.choice([" slice_point:20", " slice_point:1", " slice_point:0"])
    else:
        points = ""
    if r.random() < 0.05:
        axis = rank
        field = "axis"
    body = "slice_param{%s%s}" % ("%s:%d " % (field, axis) if field else "", points)
    return one("Slice", [shape], tops, body)


def split(r):
    shape = dims(r, 0, 5)
    return one("Split", [shape], r.randint(1, 4))


def silence(r):
    return one("Silence", [dims(r, 0, 4) for _ in range(r.randint(1, 4))], 1 if r.random() < 0.1 else 0)


def flatten(r):
    shape = dims(r, 1, 5)
    rank = len(shape)
    body = ""
    if r.random() < 0.8:
        body += "axis:%d " % r.randint(-rank - (1 if r.random() < 0.1 else 0), rank - 1 + (1 if r.random() < 0.1 else 0))
    if r.random() < 0.7:
        body += "end_axis:%d " % r.randint(-rank, rank - 1)
    return one("Flatten", [shape], 1, "flatten_param{%s}" % body.strip(), in_place=r.random() < 0.05)


def factor(r, count):
    """Random dims whose product is count."""
    out = []
    while count > 1 and r.random() < 0.8:
        d = r.choice([d for d in range(1, count + 1) if count % d == 0])
        out.append(d)
        count //= d
    out.append(count)
    r.shuffle(out)
    return out


def reshape(r):
    shape = dims(r, 1, 4)
    rank = len(shape)
    axis, num_axes = 0, -1
    body = ""
    if r.random() < 0.5:
        axis = r.randint(-rank - 1, rank)
        body += "axis:%d " % axis
    start = axis if axis >= 0 else rank + axis + 1
    start = min(max(start, 0), rank)
    if r.random() < 0.5:
        num_axes = r.choice([-1, 0] + list(range(1, rank - start + 1)))
        body += "num_axes:%d " % num_axes
    end = rank if num_axes == -1 else start + num_axes
    count = 1
    for d in shape[start:end]:
        count *= d
    target = factor(r, count) if r.random() < 0.9 else dims(r, 0, 3)
    if target and r.random() < 0.6:
        target[r.randrange(len(target))] = -1
    for i in range(len(target)):
        if r.random() < 0.25 and start + i < rank:
            if target[i] == shape[start + i] or r.random() < 0.3:
                target[i] = 0
    if r.random() < 0.04:
        target = target + [-1, -1]
    if r.random() < 0.03:
        target = target + [-2]
    body += shape_text(target) if target or r.random() < 0.5 else ""
    if r.random() < 0.04:
        shape[0] = 0
    return one("Reshape", [shape], 1, "reshape_param{%s}" % body.strip(), in_place=r.random() < 0.04)


def tile(r):
    shape = dims(r, 1, 4)
    rank = len(shape)
    body = some(r, 0.7, "axis:%d " % r.randint(-rank, rank - 1)) + (("tiles:%d" % r.randint(0 if r.random() < 0.1 else 1, 4)) if r.random() < 0.95 else "")
    return one("Tile", [shape], 1, "tile_param{%s}" % body.strip())


def reduction(r):
    shape = dims(r, 0, 4)
    rank = len(shape)
    body = some(r, 0.8, "axis:%d " % r.randint(-rank - (r.random() < 0.08), max(rank - 1, 0) + (r.random() < 0.08)))
    body += some(r, 0.6, "operation:%s " % r.choice(["SUM", "ASUM", "SUMSQ", "MEAN"])) + some(r, 0.2, "coeff:2")
    return one("Reduction", [shape], 1, "reduction_param{%s}" % body.strip())


def argmax(r):
    shape = dims(r, 1, 4, 5)
    rank = len(shape)
    body = some(r, 0.6, "axis:%d " % r.randint(-rank, rank - 1)) + some(r, 0.5, "top_k:%d " % r.randint(1, 4)) + some(r, 0.4, "out_max_val:true")
    return one("ArgMax", [shape], 1, "argmax_param{%s}" % body.strip())


def crop(r):
    rank = r.randint(1, 5)
    shape = [r.randint(2, 9) for _ in range(rank)]
    reference = [r.randint(1, s + (r.random() < 0.06)) for s in shape]
    if r.random() < 0.08:
        reference = dims(r, 1, 4)
    axis = r.randint(-rank, rank - 1) if r.random() < 0.8 or rank < 3 else 2
    body = "axis:%d " % axis if axis != 2 or r.random() < 0.5 else ""
    start = axis + rank if axis < 0 else axis
    if r.random() < 0.7:
        count = max(rank - start, 0)
        slack = [max(s - q, 0) for s, q in zip(shape[start:], reference[start:])]
        if r.random() < 0.5 and slack:
            body += "offset:%d " % r.randint(0, min(slack) + (r.random() < 0.1))
        elif slack and len(slack) == count:
            body += " ".join("offset:%d" % r.randint(0, s + (r.random() < 0.06)) for s in slack)
            body += some(r, 0.08, " offset:1")
    return one("Crop", [shape, reference], 1, "crop_param{%s}" % body.strip())


def softmax(r):
    shape = dims(r, 1, 4)
    rank = len(shape)
    return one("Softmax", [shape], 1, some(r, 0.7, "softmax_param{axis:%d}" % r.randint(-rank - (r.random() < 0.1), rank - 1 + (r.random() < 0.1))), in_place=r.random() < 0.2)


def labels_for(r, shape, axis):
    axis = axis + len(shape) if axis < 0 else axis
    rest = shape[:axis] + shape[axis + 1 :]
    if r.random() < 0.2:
        rest = shape[:axis] + [1] + shape[axis + 1 :]
    if r.random() < 0.1:
        rest = rest + [2]
    return rest


def softmax_loss(r):
    shape = dims(r, 2, 4)
    axis = r.randint(-len(shape), len(shape) - 1) if r.random() < 0.4 else 1
    body = "softmax_param{axis:%d}" % axis if axis != 1 or r.random() < 0.2 else ""
    body += " " + some(r, 0.4, "loss_param{%s}" % r.choice(["ignore_label:255", "normalize:true", "normalize:false", "normalization:FULL", "normalization:NONE"]))
    body += some(r, 0.2, " loss_weight:2")
    return one("SoftmaxWithLoss", [shape, labels_for(r, shape, axis)], r.choice([0, 1, 1, 2, 3] if r.random() < 0.2 else [0, 1, 1, 2]), body.strip()), "TRAIN"


def infogain_loss(r):
    shape = dims(r, 2, 4)
    axis = r.randint(-len(shape), len(shape) - 1) if r.random() < 0.4 else 1
    classes = shape[axis]
    matrix = r.choice([[1, 1, classes, classes], [classes, classes], [1, 1, classes, classes], [1, classes * classes]])
    if r.random() < 0.1:
        matrix = [1, 1, classes, classes + 1]
    body = "infogain_loss_param{axis:%d}" % axis if axis != 1 or r.random() < 0.2 else ""
    shapes = [shape, labels_for(r, shape, axis), matrix]
    if r.random() < 0.06:
        shapes = shapes[:2]
    return one("InfogainLoss", shapes, r.choice([0, 1, 1, 2]), body), "TRAIN"


def pair_loss(kind, *params):
    def make(r):
        shape = dims(r, 1, 4)
        other = list(shape)
        if r.random() < 0.25:
            other = r.choice([shape + [1], shape[:1] + [1] * (len(shape) - 1), dims(r, 1, 3), [shape[0]]])
        body = (r.choice(params) if params and r.random() < 0.6 else "") + some(r, 0.2, " loss_weight:0.5")
        return one(kind, [shape, other], r.choice([0, 1, 1, 1, 2]) if r.random() < 0.5 else 1, body.strip()), "TRAIN"

    return make


def label_loss(kind, *params):
    def make(r):
        shape = [r.randint(1, 5), r.randint(1, 6)] + r.choice([[], [1, 1], [2, 3]])
        label = r.choice([[shape[0]], [shape[0]], [shape[0], 1, 1, 1], [shape[0], 1], [shape[0] + 1], shape])
        body = r.choice(params) if params and r.random() < 0.6 else ""
        return one(kind, [shape, label], r.choice([0, 1, 1, 1, 2]) if r.random() < 0.5 else 1, body), "TRAIN"

    return make


def contrastive(r):
    n, c = r.randint(1, 5), r.randint(1, 6)
    tail = r.choice([[], [1, 1], [1, 1], [2, 1]])
    shapes = [[n, c] + tail, [n, c] + tail, r.choice([[n], [n, 1], [n, 1, 1, 1], [n, 2]])]
    if r.random() < 0.1:
        shapes[1] = [n, c + 1] + tail
    return one("ContrastiveLoss", shapes, r.choice([0, 1, 1]), some(r, 0.5, "contrastive_loss_param{margin:2 legacy_version:true}")), "TRAIN"


def accuracy(r):
    shape = dims(r, 2, 4)
    axis = r.randint(-len(shape), len(shape) - 1) if r.random() < 0.4 else 1
    body = ("axis:%d " % axis if axis != 1 else "") + some(r, 0.4, "top_k:%d " % r.randint(1, 3)) + some(r, 0.3, "ignore_label:1")
    return one("Accuracy", [shape, labels_for(r, shape, axis)], r.choice([1, 1, 2, 2, 0]), "accuracy_param{%s}" % body.strip()), "TEST"


def lrn(r):
    shape = image(r, None, 1, 7) if r.random() < 0.9 else dims(r, 1, 5)
    body = some(r, 0.8, "local_size:%d " % r.choice([1, 3, 5, 7] if r.random() < 0.85 else [2, 4])) + some(r, 0.5, "norm_region:%s " % r.choice(["WITHIN_CHANNEL", "ACROSS_CHANNELS"])) + some(r, 0.3, "alpha:0.1 beta:0.5 k:2")
    return one("LRN", [shape], 1, "lrn_param{%s}" % body.strip(), in_place=r.random() < 0.08)


def mvn(r):
    shape = image(r, None, 1, 6) if r.random() < 0.8 else dims(r, 1, 5)
    return one("MVN", [shape], 1, some(r, 0.7, "mvn_param{%s}" % r.choice(["normalize_variance:false", "across_channels:true", "eps:1e-6"])))


def spp(r):
    shape = image(r, r.randint(1, 3), 1, 14)
    height = r.randint(0 if r.random() < 0.1 else 1, 4)
    return one("SPP", [shape if r.random() < 0.95 else shape[1:]], 1, "spp_param{pyramid_height:%d %s}" % (height, some(r, 0.5, "pool:%s" % r.choice(["MAX", "AVE", "STOCHASTIC"])))), "TEST"


def batch_reindex(r):
    shape = dims(r, 1, 4)
    index = [r.randint(1, 6)] if r.random() < 0.85 else dims(r, 0, 3)
    return one("BatchReindex", [shape, index], 1)


def filter_(r):
    batch = r.randint(1, 5)
    count = r.randint(1, 3)
    shapes = [[batch] + dims(r, 0, 3) for _ in range(count)]
    selector = r.choice([[batch], [batch, 1], [batch, 1, 1, 1], [batch]])
    if r.random() < 0.15:
        selector = r.choice([[batch + 1], [batch, 2]])
    return one("Filter", shapes + [selector], count if r.random() < 0.92 else count + 1)


def input_(r):
    tops = r.randint(1, 3)
    shapes = [dims(r, 0, 5) for _ in range(r.choice([1, tops, tops, tops + 1, 0]) if r.random() < 0.5 else r.choice([1, tops]))]
    if shapes and r.random() < 0.1 and shapes[0]:
        shapes[0][0] = r.choice([0, -1])
    if r.random() < 0.1:
        shapes = [[2] * r.choice([32, 33])] if r.random() < 0.5 else [[65536, 65536]]
    return 'layer{name:"l" type:"Input" %s input_param{%s}}\n' % (" ".join('top:"y%d"' % i for i in range(tops)), " ".join(map(shape_text, shapes)))


def parameter(r):
    return 'layer{name:"l" type:"Parameter" top:"y0" %s parameter_param{%s}}\n' % (some(r, 0.3, 'param{name:"owner"}'), shape_text(dims(r, 0, 4)))


def dummy_data(r):
    tops = r.randint(1, 3)
    fillers = r.choice([0, 1, tops, 2])
    body = 'data_filler{type:"constant" value:1} ' * fillers
    if r.random() < 0.6:
        body += " ".join(shape_text(dims(r, 0, 4)) for _ in range(r.choice([1, tops, tops, 2])))
    else:
        n = r.choice([1, tops, tops])
        body += " ".join("num:%d channels:%d height:%d width:%d" % tuple(r.randint(1, 5) for _ in range(4)) for _ in range(n))
        body += some(r, 0.1, " num:3") + some(r, 0.05, " " + shape_text([1]))
    return 'layer{name:"l" type:"DummyData" %s dummy_data_param{%s}}\n' % (" ".join('top:"y%d"' % i for i in range(tops)), body.strip())


def memory_data(r):
    values = tuple(r.randint(0 if r.random() < 0.06 else 1, 5) for _ in range(4))
    extra = some(r, 0.3, " transform_param{%s}" % r.choice(["crop_size:2", "scale:0.5", "mirror:true"]))
    tops = r.choice(['top:"y0" top:"y1"'] * 8 + ['top:"y0"', 'top:"y0" top:"y1" top:"y2"'])
    return 'layer{name:"l" type:"MemoryData" %s memory_data_param{batch_size:%d channels:%d height:%d width:%d}%s}\n' % ((tops,) + values + (extra,))


def recurrent(kind):
    def make(r):
        time, batch = r.randint(1, 4), r.randint(1, 3)
        outputs = r.randint(1, 4)
        shapes = [[time, batch] + dims(r, 1, 2, 4), [time, batch]]
        body = "num_output:%d " % outputs if r.random() < 0.95 else ""
        tops = 1
        static = r.random() < 0.3
        if static:
            shapes.append([batch] + dims(r, 1, 2, 3))
        if r.random() < 0.3:
            body += "expose_hidden:true "
            states = 2 if kind == "LSTM" else 1
            shapes += [[1, batch, outputs] for _ in range(states)]
            tops += states
        fault = r.random()
        if fault < 0.05:
            shapes[1] = [time, batch + 1]
        elif fault < 0.1:
            shapes[0] = [time]
        elif fault < 0.14:
            tops += 1
        elif fault < 0.18:
            shapes[1] = [time, batch, 1]
        filler = 'weight_filler{type:"uniform" min:-0.1 max:0.1} bias_filler{type:"constant"}'
        return one(kind, shapes, tops, "recurrent_param{%s%s}" % (body, filler)), r.choice(["TRAIN", "TEST"])

    return make


def lstm_unit(r):
    batch, width = r.randint(1, 9), r.randint(1, 9)
    shapes = [[1, batch, width], [1, batch, 4 * width], [1, batch]]
    fault = r.random()
    if fault < 0.06:
        shapes[0] = [2, batch, width]
    elif fault < 0.12:
        shapes[1] = [1, batch, 3 * width]
    elif fault < 0.18:
        shapes[2] = [batch]
    elif fault < 0.24:
        shapes[2] = [1, batch, 1]
    return one("LSTMUnit", shapes, 2 if r.random() < 0.95 else 1)


def permute(r):
    shape = dims(r, 1, 5)
    rank = len(shape)
    order = r.sample(range(rank), r.randint(0, rank))
    if r.random() < 0.12:
        order = order + [r.choice([rank, 0, rank + 3])]
    return one("Permute", [shape], 1, "permute_param{%s}" % " ".join("order:%d" % o for o in order))


def random_net(r):
    """A chain with branches: what a real net looks like, in small."""
    counter = [0]
    text = inputs([[r.randint(1, 2), r.randint(1, 2) * 2, r.randint(12, 20), r.randint(12, 20)]])
    blob, channels_even = "a", True

    def add(kind, bottoms, body="", in_place=False):
        counter[0] += 1
        name = "l%d" % counter[0]
        top = bottoms[0] if in_place else "t%d" % counter[0]
        nonlocal text
        text += 'layer{name:"%s" type:"%s" %s top:"%s" %s}\n' % (name, kind, " ".join('bottom:"%s"' % b for b in bottoms), top, body)
        return top

    for _ in range(r.randint(3, 7)):
        step = r.choice(["conv", "conv", "group", "pool", "norm", "act", "inception", "residual", "bn"])
        if step == "conv":
            blob = add("Convolution", [blob], "convolution_param{num_output:%d kernel_size:%d pad:1 stride:%d}" % (r.choice([2, 4, 6]), r.choice([1, 3]), r.choice([1, 1, 2])))
        elif step == "group":
            blob = add("Convolution", [blob], "convolution_param{num_output:%d kernel_size:3 pad:1 group:2}" % r.choice([2, 4, 6]))
        elif step == "pool":
            blob = add("Pooling", [blob], "pooling_param{pool:%s kernel_size:%d stride:%d %s}" % (r.choice(["MAX", "AVE"]), r.choice([2, 3]), r.choice([1, 2]), some(r, 0.4, "pad:1")))
        elif step == "norm":
            blob = add("LRN", [blob], "lrn_param{local_size:3 %s}" % some(r, 0.3, "norm_region:WITHIN_CHANNEL"))
        elif step == "act":
            blob = add(r.choice(["ReLU", "TanH", "PReLU", "Sigmoid", "ELU"]), [blob], in_place=blob != "a" and r.random() < 0.6)
        elif step == "bn":
            blob = add("BatchNorm", [blob])
            blob = add("Scale", [blob], "scale_param{bias_term:true}", in_place=True)
        elif step == "inception":
            left = add("Convolution", [blob], "convolution_param{num_output:2 kernel_size:1}")
            right = add("Convolution", [blob], "convolution_param{num_output:4 kernel_size:3 pad:1}")
            side = add("Pooling", [blob], "pooling_param{kernel_size:3 stride:1 pad:1}")
            blob = add("Concat", [left, right, side])
            blob = add("Convolution", [blob], "convolution_param{num_output:4 kernel_size:1}")
        else:
            left = add("Convolution", [blob], "convolution_param{num_output:4 kernel_size:1}")
            right = add("Convolution", [blob], "convolution_param{num_output:4 kernel_size:3 pad:1 bias_term:false}")
            blob = add("Eltwise", [left, right])
    head = r.choice(["fc", "global", "deconv", "reshape"])
    if head == "fc":
        blob = add("InnerProduct", [blob], "inner_product_param{num_output:5}")
        blob = add("Dropout", [blob], in_place=True)
        add("Softmax", [blob])
    elif head == "global":
        blob = add("Pooling", [blob], "pooling_param{pool:AVE global_pooling:true}")
        blob = add("Flatten", [blob])
        add("InnerProduct", [blob], "inner_product_param{num_output:3 transpose:true}")
    elif head == "deconv":
        blob = add("Deconvolution", [blob], "convolution_param{num_output:2 kernel_size:4 stride:2 pad:1}")
        add("ArgMax", [blob], "argmax_param{axis:1}")
    else:
        blob = add("Reshape", [blob], "reshape_param{shape{dim:0 dim:-1}}")
        add("Softmax", [blob])
    return text, r.choice(["TRAIN", "TEST"])


GENERATORS = {
    "AbsVal": elementwise("AbsVal"),
    "Accuracy": accuracy,
    "ArgMax": argmax,
    "BNLL": elementwise("BNLL"),
    "BatchNorm": batch_norm,
    "BatchReindex": batch_reindex,
    "Bias": affine("Bias"),
    "Concat": concat,
    "ContrastiveLoss": contrastive,
    "Convolution": convolution("Convolution"),
    "Crop": crop,
    "Deconvolution": convolution("Deconvolution"),
    "Dropout": elementwise("Dropout", "dropout_param{dropout_ratio:0.2}", "dropout_param{dropout_ratio:0}", "dropout_param{dropout_ratio:1}", ""),
    "DummyData": dummy_data,
    "ELU": elementwise("ELU", "elu_param{alpha:0.5}", ""),
    "Eltwise": eltwise,
    "Embed": embed,
    "EuclideanLoss": pair_loss("EuclideanLoss"),
    "Exp": elementwise("Exp", "exp_param{base:2 scale:3 shift:1}", "exp_param{base:0}", ""),
    "Filter": filter_,
    "Flatten": flatten,
    "HingeLoss": label_loss("HingeLoss", "hinge_loss_param{norm:L2}"),
    "Im2col": im2col,
    "InfogainLoss": infogain_loss,
    "InnerProduct": inner_product,
    "Input": input_,
    "LRN": lrn,
    "LSTM": recurrent("LSTM"),
    "LSTMUnit": lstm_unit,
    "Log": elementwise("Log", "log_param{base:2}", "log_param{base:-2}", ""),
    "MVN": mvn,
    "MemoryData": memory_data,
    "MultinomialLogisticLoss": label_loss("MultinomialLogisticLoss"),
    "PReLU": prelu,
    "Parameter": parameter,
    "Permute": permute,
    "Pooling": pooling,
    "Power": elementwise("Power", "power_param{power:2}", ""),
    "RNN": recurrent("RNN"),
    "ReLU": elementwise("ReLU", "relu_param{negative_slope:0.1}", ""),
    "Reduction": reduction,
    "Reshape": reshape,
    "SPP": spp,
    "Scale": affine("Scale"),
    "Sigmoid": elementwise("Sigmoid"),
    "SigmoidCrossEntropyLoss": pair_loss("SigmoidCrossEntropyLoss", "loss_param{normalization:VALID}", "loss_param{ignore_label:0}"),
    "Silence": silence,
    "Slice": slice_,
    "Softmax": softmax,
    "SoftmaxWithLoss": softmax_loss,
    "Split": split,
    "Swish": elementwise("Swish", "swish_param{beta:2}", ""),
    "TanH": elementwise("TanH"),
    "Threshold": elementwise("Threshold", "threshold_param{threshold:1}", ""),
    "Tile": tile,
    "nets": random_net,
}


def measure(path, phase):
    def call():
        net = caffe.Net(path, caffe.TRAIN if phase == "TRAIN" else caffe.TEST)
        return json.dumps(
            {
                "blobs": [[name, list(blob.shape)] for name, blob in net.blobs.items() if "_split_" not in name],
                "params": [[name, [list(blob.shape) for blob in blobs]] for name, blobs in net.params.items()],
            }
        )

    return real_caffe.isolated(call)


def main():
    out = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "shapes"))
    wanted = sys.argv[2:] or list(GENERATORS)
    os.makedirs(out, exist_ok=True)
    work = tempfile.TemporaryDirectory(prefix="shapes-")
    os.chdir(work.name)
    for kind in wanted:
        r = random.Random("shapes of " + kind)
        target, legal, illegal, seen, entries = MORE.get(kind, LEGAL), 0, 0, set(), []
        for _ in range(40 * target):
            if legal >= target:
                break
            made = GENERATORS[kind](r)
            text, phase = made if isinstance(made, tuple) else (made, "TEST")
            text = "\n".join(" ".join(line.split()) for line in text.splitlines()) + "\n"
            if (text, phase) in seen:
                continue
            seen.add((text, phase))
            with open("net.prototxt", "w") as stream:
                stream.write(text)
            ok, value, log = measure("net.prototxt", phase)
            entry = {"net": text, "phase": phase}
            if ok:
                legal += 1
                entry.update(json.loads(value))
            else:
                if illegal >= max(ILLEGAL, target // 3):
                    continue
                illegal += 1
                entry.update({"error": True, "message": log})
            entries.append(entry)
        with open(os.path.join(out, kind + ".json"), "w") as stream:
            stream.write("[\n" + ",\n".join(json.dumps(e, separators=(",", ":")) for e in entries) + "\n]\n")
        print("%-24s %3d legal %3d illegal %7d bytes" % (kind, legal, illegal, os.path.getsize(os.path.join(out, kind + ".json"))), flush=True)


if __name__ == "__main__":
    main()
