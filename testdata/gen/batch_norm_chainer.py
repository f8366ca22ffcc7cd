"""Forward and backward of Chainer's BatchNormalization in training: testdata/backward_chainer/BatchNorm.npz.

Needs: CPython 3.8 with chainer 7.8.1, setuptools < 60, numpy < 1.24.
Run:   python3.8 batch_norm_chainer.py [OUT_FOLDER]     (default: ../backward_chainer next to this script)

The packaged Caffe computes BatchNorm with `use_global_stats: false` wrongly, so the oracle is `F.batch_normalization`, of
doubles that are exact in single precision, stored as floats. Each case is a net of Caffe's that says the same: a BatchNorm
alone, with a Scale behind it, or with `scale_bias`. The file is as backward.py writes them, and has besides

    <case>/out/<blob>       the result
"""
import json
import os
import sys
import warnings

os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
os.environ["CHAINER_WARN_VERSION_MISMATCH"] = "0"
warnings.simplefilter("ignore")

import chainer  # noqa: E402
import numpy as np  # noqa: E402

from npz import save_npz  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "backward_chainer"))

SHAPES = [(9, 2), (7, 3), (4, 3, 5), (2, 3, 4, 5), (5, 2, 1, 3), (3, 17, 3, 5), (1, 4, 7, 9), (2, 3, 2, 3, 4)]
EPS = [1e-5, 2e-5, 1e-3]
KINDS = ["plain", "scale", "scale_bias"]


def prototxt(kind, shape, eps):
    dims = " ".join("dim:%d" % extent for extent in shape)
    more = " scale_bias:true" if kind == "scale_bias" else ""
    top = "n" if kind == "scale" else "y"
    lines = [
        "force_backward:true",
        'layer{name:"in" type:"Input" top:"x" input_param{shape{%s}}}' % dims,
        'layer{name:"l" type:"BatchNorm" bottom:"x" top:"%s" batch_norm_param{use_global_stats:false eps:%g%s}}'
        % (top, eps, more),
    ]
    if kind == "scale":
        lines.append('layer{name:"s" type:"Scale" bottom:"n" top:"y" scale_param{bias_term:true}}')
    return "\n".join(lines)


def case(number, kind, shape, eps):
    random = np.random.RandomState(number)
    channels = shape[1]

    def noise(extents, middle=0.0):
        return (middle + random.normal(size=extents)).astype(np.float32).astype(np.float64)

    x, seed = noise(shape, 0.5 * number % 3), noise(shape)
    gamma, beta = noise(channels, 1.0), noise(channels)
    if kind == "plain":
        gamma, beta = np.ones(channels), np.zeros(channels)
    variables = [chainer.Variable(array) for array in (x, gamma, beta)]
    with chainer.using_config("train", True):
        y = chainer.functions.batch_normalization(*variables, eps=float(np.float32(eps)))
    y.grad = seed
    y.backward()
    dx, dgamma, dbeta = (variable.grad for variable in variables)

    params = {"l/0": np.zeros(channels), "l/1": np.ones(channels), "l/2": np.ones(1)}
    names = {"scale": ["s/0", "s/1"], "scale_bias": ["l/3", "l/4"], "plain": []}[kind]
    params.update(zip(names, (gamma, beta)))
    groups = {
        "in": {"x": x},
        "param": params,
        "out": {"y": y.array},
        "seed": {"y": seed},
        "din": {"x": dx},
        "dparam": dict(zip(names, (dgamma, dbeta))),
    }
    entry = {"case": number, "net": prototxt(kind, shape, eps)}
    arrays = {}
    for group, members in groups.items():
        entry[group] = list(members)
        arrays.update({"%d/%s/%s" % (number, group, name): np.float32(value) for name, value in members.items()})
    return entry, arrays


def main():
    index, arrays = [], {}
    for shape in SHAPES:
        for kind in KINDS:
            entry, more = case(len(index), kind, shape, EPS[len(index) % len(EPS)])
            index.append(entry)
            arrays.update(more)
    text = json.dumps(index, sort_keys=True).encode()
    os.makedirs(OUT, exist_ok=True)
    save_npz(os.path.join(OUT, "BatchNorm.npz"), {"index": np.frombuffer(text, np.uint8), **arrays})
    print("%d cases" % len(index))


if __name__ == "__main__":
    main()
