"""Runs in real Chainer what live_forward_caffe.py ran in real Caffe, with our weights, and compares every blob.

Needs: CPython 3.8 with chainer 7.8.1, numpy < 1.24, h5py.
Run:   python3.8 live_forward_chainer.py CAFFE_FORWARD.npz GROUPED.npz|GROUPED.h5 [TOLERANCE]

A Chain is built from the definition inside CAFFE_FORWARD.npz: Convolution2D and Deconvolution2D with groups=G, Linear,
BatchNormalization without gamma and beta, Scale, Bias, PReLU, each under its layer's name. GROUPED is loaded into it
by load_npz or load_hdf5, strictly, after every shape has been checked (Chainer itself would broadcast). Each layer then
runs on what Chainer computed before it; a layer type that has no counterpart here takes Caffe's own output, and its
line says so. The difference of a blob is max |a - b| / max |b|; TOLERANCE is 1e-5 by default.

Prints a table; exit 0 if every blob is within the tolerance, 1 if not, 2 if the weights cannot be loaded.
"""
import json
import sys

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
from chainer import serializers


def listed(value, count, default):
    value = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(value * count if len(value) == 1 else value or [default] * count)


def spatial(param, name, default):
    """kernel_size / kernel_h, kernel_w and the like, as (h, w)."""
    short = "kernel" if name == "kernel_size" else name
    if short + "_h" in param or short + "_w" in param:
        return (param.get(short + "_h", default), param.get(short + "_w", default))
    return listed(param.get(name), 2, default)


def weighted(layer, bottom, top):
    """The link of a layer with parameters, or None."""
    kind, x, y = layer["type"], bottom, top
    param = layer.get("convolution_param", {})
    if kind in ("Convolution", "DepthwiseConvolution", "Deconvolution") and len(x) == 4:
        make = L.Deconvolution2D if kind == "Deconvolution" else L.Convolution2D
        extra = {"dilate": spatial(param, "dilation", 1)}
        return make(
            x[1],
            y[1],
            spatial(param, "kernel_size", 1),
            spatial(param, "stride", 1),
            spatial(param, "pad", 0),
            nobias=not param.get("bias_term", True),
            groups=param.get("group", 1),
            **extra
        )
    if kind == "InnerProduct":
        param = layer["inner_product_param"]
        if param.get("axis", 1) != 1 or param.get("transpose"):
            return None
        return L.Linear(int(np.prod(x[1:])), param["num_output"], nobias=not param.get("bias_term", True))
    if kind == "BatchNorm":
        eps = layer.get("batch_norm_param", {}).get("eps", 1e-5)
        return L.BatchNormalization(x[1], use_gamma=False, use_beta=False, eps=eps)
    if kind == "Scale" and len(layer["bottom"]) == 1:
        param = layer.get("scale_param", {})
        axis, count = param.get("axis", 1), param.get("num_axes", 1)
        axis = axis + len(x) if axis < 0 else axis
        shape = x[axis:] if count == -1 else x[axis : axis + count]
        return L.Scale(axis, tuple(shape), bias_term=param.get("bias_term", False))
    if kind == "PReLU":
        shared = layer.get("prelu_param", {}).get("channel_shared", False)
        return L.PReLU(() if shared else (x[1],))
    return None


def pooling(layer, x, shape):
    param = layer["pooling_param"]
    if param.get("global_pooling"):
        kernel, stride, pad = x.shape[2:], (1, 1), (0, 0)
    else:
        kernel, stride, pad = spatial(param, "kernel_size", 0), spatial(param, "stride", 1), spatial(param, "pad", 0)
    if param.get("pool", "MAX") == "MAX":
        y = F.max_pooling_2d(x, kernel, stride, pad, cover_all=True)
        return y[:, :, : shape[2], : shape[3]]  # where Caffe clips the last window, Chainer has one more
    if param["pool"] != "AVE":
        return None
    y = np.empty(shape, np.float32)
    height, width = x.shape[2:]
    for i in range(shape[2]):
        for j in range(shape[3]):
            top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
            bottom, right = min(top + kernel[0], height + pad[0]), min(left + kernel[1], width + pad[1])
            area = (bottom - top) * (right - left)
            window = x.array[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
            y[:, :, i, j] = window.sum(axis=(2, 3), dtype=np.float64) / area
    return chainer.Variable(y)


def plain(layer, inputs, shape):
    """The outputs of a layer without parameters, or None."""
    kind, x = layer["type"], inputs[0] if inputs else None
    if kind == "ReLU":
        slope = layer.get("relu_param", {}).get("negative_slope", 0)
        return [F.leaky_relu(x, slope) if slope else F.relu(x)]
    if kind == "Pooling" and len(layer["top"]) == 1:
        y = pooling(layer, x, shape)
        return None if y is None else [y]
    if kind == "LRN":
        param = layer.get("lrn_param", {})
        if param.get("norm_region", "ACROSS_CHANNELS") != "ACROSS_CHANNELS":
            return None
        n = param.get("local_size", 5)
        return [F.local_response_normalization(x, n, param.get("k", 1.0), param.get("alpha", 1.0) / n, param.get("beta", 0.75))]
    if kind == "Softmax":
        return [F.softmax(x, axis=layer.get("softmax_param", {}).get("axis", 1))]
    if kind == "Eltwise":
        param = layer.get("eltwise_param", {})
        operation = param.get("operation", "SUM")
        total = None
        for value, factor in zip(inputs, param.get("coeff", [1.0] * len(inputs))):
            if operation == "SUM":
                total = value * factor if total is None else total + value * factor
            elif operation == "PROD":
                total = value if total is None else total * value
            else:
                total = value if total is None else F.maximum(total, value)
        return [total]
    if kind == "Concat":
        param = layer.get("concat_param", {})
        return [F.concat(inputs, axis=param.get("axis", param.get("concat_dim", 1)))]
    if kind == "Split":
        return [x for _ in layer["top"]]
    if kind == "Dropout":
        return [x]
    if kind in ("Reshape", "Flatten"):
        return [F.reshape(x, shape)]
    if kind == "Permute":
        order = layer.get("permute_param", {}).get("order", [])
        return [F.transpose(x, tuple(order) + tuple(i for i in range(x.ndim) if i not in order))]
    if kind in ("Sigmoid", "TanH", "ELU", "AbsVal"):
        return [{"Sigmoid": F.sigmoid, "TanH": F.tanh, "ELU": F.elu, "AbsVal": F.absolute}[kind](x)]
    return None


def check_shapes(model, path):
    """Chainer would broadcast a wrong shape in silence."""
    if path.endswith(".npz"):
        ours = dict(np.load(path))
    else:
        import h5py

        ours = {}
        with h5py.File(path, "r") as file:
            file.visititems(lambda key, item: ours.update({key: item[()]}) if isinstance(item, h5py.Dataset) else None)
    wanted = serializers.DictionarySerializer()
    wanted.save(model)
    for key, value in wanted.target.items():
        if key not in ours:
            return "%s is missing" % key
        if np.shape(ours[key]) != np.shape(value):
            return "%s has shape %s, the net wants %s" % (key, np.shape(ours[key]), np.shape(value))
    return None


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    chainer.config.train = False
    chainer.config.enable_backprop = False
    recorded = dict(np.load(sys.argv[1]))
    tolerance = float(sys.argv[3]) if len(sys.argv) == 4 else 1e-5
    layers = json.loads(str(recorded["\tdefinition"]))

    shapes, model = {}, chainer.Chain()
    links = {}
    for layer in layers:
        tops = [recorded["%s\ttop\t%d" % (layer["name"], i)].shape for i in range(len(layer["top"]))]
        bottoms = [shapes[b] for b in layer["bottom"]]
        link = weighted(layer, bottoms[0], tops[0]) if bottoms and tops else None
        if link is not None:
            with model.init_scope():
                setattr(model, layer["name"], link)
            links[layer["name"]] = link
        shapes.update(zip(layer["top"], tops))
    problem = check_shapes(model, sys.argv[2])
    if problem:
        print("%s: %s" % (sys.argv[2], problem), file=sys.stderr)
        sys.exit(2)
    if sys.argv[2].endswith(".npz"):
        serializers.load_npz(sys.argv[2], model, strict=True)
    else:
        serializers.load_hdf5(sys.argv[2], model)

    blobs, worst, taken = {}, 0.0, 0
    for layer in layers:
        wanted = [recorded["%s\ttop\t%d" % (layer["name"], i)] for i in range(len(layer["top"]))]
        inputs = [blobs[b] for b in layer["bottom"]]
        if layer["type"] == "Input":
            got, note = [chainer.Variable(w) for w in wanted], "input"
        elif layer["name"] in links:
            got, note = [links[layer["name"]](inputs[0])], ""
        else:
            got, note = plain(layer, inputs, wanted[0].shape if wanted else ()), ""
        if got is None:
            got, note = [chainer.Variable(w) for w in wanted], "TAKEN FROM CAFFE"
            taken += 1
        for name, mine, theirs in zip(layer["top"], got, wanted):
            blobs[name] = mine
            if note:
                print("%-28s %-20s %-16s %s" % (layer["name"], layer["type"], "x".join(map(str, theirs.shape)), note))
                continue
            if mine.shape != theirs.shape:
                print("%-28s %-20s shape %s, Caffe %s" % (layer["name"], layer["type"], mine.shape, theirs.shape))
                sys.exit(1)
            gap = np.abs(mine.array.astype(np.float64) - theirs)
            scale = np.abs(theirs).max() if theirs.size else 0
            relative = gap.max() / scale if scale else gap.max() if gap.size else 0.0
            relative = np.inf if np.isnan(relative) else relative
            worst = max(worst, relative)
            mark = "" if relative <= tolerance else "  PAST THE TOLERANCE"
            print("%-28s %-20s %-16s %.2e%s" % (layer["name"], layer["type"], "x".join(map(str, theirs.shape)), relative, mark))
    print("%d layers, %d taken from Caffe, largest relative difference %.2e (tolerance %g)" % (len(layers), taken, worst, tolerance))
    sys.exit(0 if worst <= tolerance else 1)


if __name__ == "__main__":
    main()
