"""Ten iterations of real Caffe's SGD from the bundled weights on the bundled images: testdata/fashion/fine_tune.npz.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829 (Linux x86-64), protobuf 3.20.3, numpy < 1.24.
Run:   python3.8 fine_tune.py [OUT_FILE]                (default: ../fashion/fine_tune.npz next to this script)

The net is fashion/train_val.prototxt without Dropout, whose numbers are Caffe's own, with Input layers for its data, conv1
frozen and `iter_size: 2`; pixels are (pixel - 73) / 128, a batch 32 images in the file's order. A file holds

    net, solver             bytes of text
    loss                    the loss of each iteration
    <layer>/<i>             parameters after the last
"""
import gzip
import os
import re
import sys
import tempfile

import numpy as np

from npz import save_npz
from real_caffe import caffe

HERE = os.path.dirname(os.path.abspath(__file__))
FASHION = os.path.join(HERE, "..", "fashion")
SOLVER = """net: "net.prototxt" base_lr: 0.01 lr_policy: "step" gamma: 0.5 stepsize: 4 momentum: 0.9 weight_decay: 0.0005
clip_gradients: 3 iter_size: 2 max_iter: 10 display: 0 snapshot_after_train: false solver_mode: CPU
"""


def main():
    out = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "fashion", "fine_tune.npz"))
    text = open(os.path.join(FASHION, "train_val.prototxt")).read()
    body = text[text.index('layer {\n  name: "conv1"') :]
    body = re.sub(r'layer \{\n  name: "drop4".*?\n\}\n', "", body, flags=re.S)
    body = re.sub(r'layer \{\n  name: "accuracy".*?\n\}\n', "", body, flags=re.S)
    first = body[: body.index('layer { name: "relu1"')]
    body = body.replace(first, re.sub(r"lr_mult: \d", "lr_mult: 0", first))
    net = 'name: "fine_tune"\nlayer { name: "in" type: "Input" top: "data" top: "label"\n  input_param { shape { dim: 32 dim: 1 dim: 28 dim: 28 } shape { dim: 32 dim: 1 } } }\n' + body
    read = lambda name, head: np.frombuffer(gzip.open(os.path.join(FASHION, name)).read(), np.uint8, offset=head)
    images = ((read("t10k-sample-images-idx3-ubyte.gz", 16).astype(np.float32) - 73) / 128).reshape(-1, 1, 28, 28)
    labels = read("t10k-sample-labels-idx1-ubyte.gz", 8).astype(np.float32).reshape(-1, 1)
    work = tempfile.TemporaryDirectory(prefix="fine-tune-")
    os.chdir(work.name)
    open("net.prototxt", "w").write(net)
    open("solver.prototxt", "w").write(SOLVER)
    solver = caffe.SGDSolver("solver.prototxt")
    solver.net.copy_from(os.path.join(FASHION, "fashion.caffemodel"))
    losses = []
    for iteration in range(10):
        start = 32 * iteration % 256
        solver.net.blobs["data"].data[...] = images[start : start + 32]
        solver.net.blobs["label"].data[...] = labels[start : start + 32]
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    arrays = {"net": np.frombuffer(net.encode(), np.uint8), "solver": np.frombuffer(SOLVER.encode(), np.uint8), "loss": np.float32(losses)}
    for name, blobs in solver.net.params.items():
        for i, blob in enumerate(blobs):
            arrays["%s/%d" % (name, i)] = np.array(blob.data)
    save_npz(out, arrays)
    print(losses, os.path.getsize(out))


if __name__ == "__main__":
    main()
