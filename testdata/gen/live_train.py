"""Ten steps of each of Caffe's six solvers in real Caffe, from and to the snapshots of another program.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829 (Linux x86-64), protobuf 3.20.3, h5py, numpy < 1.24.
Run:   python3.8 live_train.py make FOLDER IMAGES.gz LABELS.gz [CASE...]     nets, data, solvers; Caffe's steps 0..10, and 10..20 after a restart
       python3.8 live_train.py continue FOLDER                     Caffe goes on from the other program's snapshot after step 10
       python3.8 live_train.py compare FOLDER                      prints the largest difference of each case, relative to the blob's largest value

FOLDER/NAME/ for each NAME holds solver.prototxt, start.caffemodel, and Caffe's snapshots caffe_iter_{10,20}. `make` also
writes ours.prototxt, the same solver with the prefix `ours` (from step 0) and on.prototxt with the prefix `on` (going on from
Caffe's step 10). Called so, with the cases sgd and adam, it wrote testdata/train/ (IMAGES and LABELS from testdata/fashion). `continue` goes on from ours_iter_10 and writes back_iter_20. Data begin anew after a restart, as in Caffe.
"""
import gzip
import os
import sys

import h5py
import numpy as np

import real_caffe  # noqa: F401  (sets Caffe's environment)
from real_caffe import PROTO, caffe

NET = """name: "live"
layer { name: "data" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "../data.txt" batch_size: 16 } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 8 kernel_size: 5 stride: 2 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param { local_size: 3 alpha: 0.1 beta: 0.75 } }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "frozen" type: "Convolution" bottom: "pool1" top: "frozen" param { lr_mult: 0 decay_mult: 0 } param { lr_mult: 0 }
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 group: 2 weight_filler { type: "msra" } } }
layer { name: "bn" type: "BatchNorm" bottom: "frozen" top: "bn" batch_norm_param { use_global_stats: true } }
layer { name: "scale" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true } }
layer { name: "relu2" type: "ReLU" bottom: "bn" top: "bn" }
layer { name: "fc" type: "InnerProduct" bottom: "bn" top: "fc" inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" include { phase: TEST } }
"""

COMMON = """net: "net.prototxt" max_iter: 20 snapshot_prefix: "%s" random_seed: 3 solver_mode: CPU
base_lr: %s weight_decay: 0.001 display: 5 average_loss: 4 test_iter: 2 test_interval: 10 snapshot: 10
"""

CASES = {
    "sgd": ("0.02", 'type: "SGD" momentum: 0.9 lr_policy: "multistep" gamma: 0.5 stepvalue: 4 stepvalue: 13'),
    "sgd_h5": ("0.02", 'type: "SGD" momentum: 0.9 lr_policy: "step" gamma: 0.5 stepsize: 6 iter_size: 2 snapshot_format: HDF5'),
    "nesterov": ("0.01", 'type: "Nesterov" momentum: 0.9 lr_policy: "inv" gamma: 0.1 power: 0.75 clip_gradients: 0.5'),
    "adagrad": ("0.01", 'type: "AdaGrad" lr_policy: "fixed" regularization_type: "L1"'),
    "rmsprop": ("0.001", 'type: "RMSProp" rms_decay: 0.95 lr_policy: "exp" gamma: 0.95'),
    "adadelta": ("1", 'type: "AdaDelta" momentum: 0.95 delta: 1e-6 lr_policy: "fixed"'),
    "adam": ("0.001", 'type: "Adam" momentum: 0.9 momentum2: 0.99 lr_policy: "poly" power: 1'),
}


def read_idx(path, header):
    with gzip.open(path) as stream:
        return np.frombuffer(stream.read()[header:], np.uint8)


def ending(folder):
    return ".h5" if folder.endswith("h5") else ""


def go_on(solver_file, state, steps):
    solver = caffe.get_solver(solver_file)
    if state:
        solver.restore(state)
    solver.step(steps)
    return solver


def make(folder, images, labels, cases):
    images = read_idx(images, 16).reshape(-1, 1, 28, 28)[:240].astype(np.float32) / 128 - 1
    labels = read_idx(labels, 8)[:240].astype(np.float32)
    os.chdir(folder)
    with h5py.File("data.h5", "w") as out:
        out.create_dataset("data", data=images, compression="gzip")
        out["label"] = labels
    with open("data.txt", "w") as out:
        out.write("../data.h5\n")
    for name in cases:
        rate, rule = CASES[name]
        os.makedirs(name)
        os.chdir(name)
        with open("net.prototxt", "w") as out:
            out.write(NET)
        for file, prefix in [("solver", "caffe"), ("ours", "ours"), ("on", "on"), ("back", "back")]:
            with open(file + ".prototxt", "w") as out:
                out.write(COMMON % (prefix, rate) + rule + "\n")
        solver = caffe.get_solver("solver.prototxt")
        for layer, blobs in solver.net.params.items():
            if layer == "bn":
                rng = np.random.RandomState(5)
                blobs[0].data[...], blobs[1].data[...] = rng.randn(8) * 0.1, rng.rand(8) + 0.5
                blobs[2].data[...] = 1
        solver.net.save("start.caffemodel")
        solver.step(10)
        solver.snapshot()
        go_on("solver.prototxt", "caffe_iter_10.solverstate" + ending(name), 10).snapshot()
        os.chdir("..")


def cases_of(folder):
    return [name for name in CASES if os.path.isdir(os.path.join(folder, name))]


def continue_(folder):
    for name in cases_of(folder):
        os.chdir(os.path.join(folder, name))
        go_on("back.prototxt", "ours_iter_10.solverstate" + ending(name), 10).snapshot()


def params(path):
    if path.endswith(".h5"):
        with h5py.File(path, "r") as file:
            return {(layer, int(at)): blob[...] for layer, blobs in file["data"].items() for at, blob in blobs.items()}
    net = PROTO.NetParameter()
    with open(path, "rb") as stream:
        net.ParseFromString(stream.read())
    return {(layer.name, at): np.array(blob.data, np.float32).reshape(tuple(blob.shape.dim))
            for layer in net.layer for at, blob in enumerate(layer.blobs)}


def states(path):
    if path.endswith(".h5"):
        with h5py.File(path, "r") as file:
            return [file["history"][str(at)][...] for at in range(len(file["history"]))], int(file["iter"][0])
    state = PROTO.SolverState()
    with open(path, "rb") as stream:
        state.ParseFromString(stream.read())
    return [np.array(blob.data, np.float32) for blob in state.history], state.iter


def difference(a, b):
    return float(np.abs(a.ravel() - b.ravel()).max() / max(np.abs(b).max(), 1e-30)) if b.size else 0.0


def compare(folder):
    for name in cases_of(folder):
        os.chdir(os.path.join(folder, name))
        end = ending(name)
        start = params("caffe_iter_10.caffemodel" + end)
        for case, ours, theirs in [("steps 0 to 10", "ours_iter_10", "caffe_iter_10"), ("on from Caffe's", "on_iter_20", "caffe_iter_20"),
                                   ("Caffe on from ours", "back_iter_20", "caffe_iter_20")]:
            a, b = params(ours + ".caffemodel" + end), params(theirs + ".caffemodel" + end)
            assert a.keys() == b.keys() and len(a) >= 9, (a.keys(), b.keys())
            assert case == "steps 0 to 10" or any(difference(b[key], start[key]) > 1e-4 for key in b), "nothing moved"
            frozen = all(np.array_equal(a[key], b[key]) for key in b if key[0] == "frozen")
            (mine, mine_iter), (its, its_iter) = states(ours + ".solverstate" + end), states(theirs + ".solverstate" + end)
            assert mine_iter == its_iter and len(mine) == len(its)
            moved = max(difference(a[key], b[key]) for key in b)
            # The decay of what is frozen is in Caffe's history, to no effect: ours holds zeros there.
            learns = [layer not in ("frozen", "bn") for layer, _ in b]
            history = max(difference(x, y) for at, (x, y) in enumerate(zip(mine, its)) if learns[at % len(learns)])
            print("%s\t%s\t%.3g\t%.3g\t%s" % (name, case, moved, history, "yes" if frozen else "NO"))


if __name__ == "__main__":
    folder = os.path.abspath(sys.argv[2])
    if sys.argv[1] == "make":
        make(folder, os.path.abspath(sys.argv[3]), os.path.abspath(sys.argv[4]), sys.argv[5:] or list(CASES))
    elif sys.argv[1] == "continue":
        continue_(folder)
    else:
        compare(folder)
