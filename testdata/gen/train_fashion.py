"""Trains testdata/fashion/fashion.caffemodel in real Caffe, and writes the other real Caffe files beside it.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829, protobuf 3.20.3, h5py (any), numpy < 1.24.
Run:   PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python python3.8 train_fashion.py [IDX_FOLDER] [OUT_FOLDER]

IDX_FOLDER holds the four Fashion-MNIST files `{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz`. Without it they
are taken from the Debian package `dataset-fashion-mnist` (Fashion-MNIST, (c) 2017 Zalando SE, MIT licence):

    apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb DIR
    # -> DIR/usr/share/datasets/fashion-mnist

OUT_FOLDER (default: ../fashion next to this script) must hold train_val.prototxt and solver.prototxt. Written there:

    mean.binaryproto            mean training image, BlobProto in the legacy four-dimension form (pycaffe's own writer)
    fashion.caffemodel          weights after max_iter steps (Solver::Snapshot, BINARYPROTO)
    fashion.solverstate         momentum of that moment
    fashion.caffemodel.h5       the same two through Solver::Snapshot, HDF5
    fashion.solverstate.h5
    t10k-sample-images-idx3-ubyte.gz, t10k-sample-labels-idx1-ubyte.gz     the first 256 test images, as IDX
    fashion.json                what the run reached: test accuracy, loss, outputs on the first test image

One BLAS thread and a fixed seed: the same machine type gives the same weights. About six minutes on one core.
"""
import glob
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.setdefault("GLOG_minloglevel", "2")
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

import caffe  # noqa: E402
import h5py  # noqa: E402
import numpy as np  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
SCALE = 0.0078125
SAMPLE = 256


def idx_folder():
    """The folder with the IDX files, unpacked from the Debian package if need be."""
    if len(sys.argv) > 1:
        return sys.argv[1]
    work = tempfile.mkdtemp(prefix="fashion-mnist-")
    subprocess.check_call(["apt-get", "download", "dataset-fashion-mnist"], cwd=work)
    package = glob.glob(os.path.join(work, "*.deb"))[0]
    subprocess.check_call(["dpkg-deb", "-x", package, work])
    return os.path.join(work, "usr/share/datasets/fashion-mnist")


def read_idx(path):
    with gzip.open(path, "rb") as stream:
        data = stream.read()
    rank = data[3]
    shape = struct.unpack(">%dI" % rank, data[4 : 4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def write_idx(path, array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(">%dI" % array.ndim, *array.shape)
    with open(path, "wb") as raw:  # no name and no time in the gzip header: the bytes stay the same
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=9, mtime=0) as stream:
            stream.write(head + array.tobytes())


def solver_text(text, snapshot_format):
    return text + "snapshot_format: %s\n" % snapshot_format


def main():
    source = idx_folder()
    out = os.path.abspath(sys.argv[2] if len(sys.argv) > 2 else os.path.join(HERE, "..", "fashion"))
    split = {}
    for name in ("train", "t10k"):
        split[name] = (
            read_idx(os.path.join(source, name + "-images-idx3-ubyte.gz")),
            read_idx(os.path.join(source, name + "-labels-idx1-ubyte.gz")),
        )

    write_idx(os.path.join(out, "t10k-sample-images-idx3-ubyte.gz"), split["t10k"][0][:SAMPLE])
    write_idx(os.path.join(out, "t10k-sample-labels-idx1-ubyte.gz"), split["t10k"][1][:SAMPLE])

    mean = split["train"][0].mean(axis=0, dtype=np.float64).astype(np.float32)
    with open(os.path.join(out, "mean.binaryproto"), "wb") as stream:
        stream.write(caffe.io.array_to_blobproto(mean[None, None]).SerializeToString())

    work = tempfile.mkdtemp(prefix="fashion-train-")
    for name, file in (("train", "train"), ("t10k", "test")):
        images, labels = split[name]
        with h5py.File(os.path.join(work, file + ".h5"), "w") as h5:
            h5["data"] = ((images.astype(np.float32) - mean) * np.float32(SCALE))[:, None]
            h5["label"] = labels.astype(np.float32)
        with open(os.path.join(work, file + ".txt"), "w") as stream:
            stream.write(file + ".h5\n")
    shutil.copy(os.path.join(out, "train_val.prototxt"), work)
    with open(os.path.join(out, "solver.prototxt")) as stream:
        text = stream.read()
    for snapshot_format in ("BINARYPROTO", "HDF5"):
        with open(os.path.join(work, "solver_%s.prototxt" % snapshot_format), "w") as stream:
            stream.write(solver_text(text, snapshot_format))

    os.chdir(work)
    solver = caffe.SGDSolver("solver_BINARYPROTO.prototxt")
    parameter = caffe.proto.caffe_pb2.SolverParameter()
    from google.protobuf import text_format

    text_format.Merge(text, parameter)
    while solver.iter < parameter.max_iter:
        solver.step(min(500, parameter.max_iter - solver.iter))
        print("iteration", solver.iter, "loss", float(solver.net.blobs["loss"].data), flush=True)
    solver.snapshot()
    prefix = "%s_iter_%d" % (parameter.snapshot_prefix, parameter.max_iter)

    net = solver.test_nets[0]
    net.share_with(solver.net)
    accuracy = loss = 0.0
    for _ in range(parameter.test_iter[0]):
        net.forward()
        accuracy += float(net.blobs["accuracy"].data)
        loss += float(net.blobs["loss"].data)
    accuracy /= parameter.test_iter[0]
    loss /= parameter.test_iter[0]
    print("test accuracy", accuracy, "loss", loss)

    hdf5 = caffe.SGDSolver("solver_HDF5.prototxt")
    hdf5.restore(prefix + ".solverstate")
    hdf5.snapshot()
    for extension in (".caffemodel", ".solverstate", ".caffemodel.h5", ".solverstate.h5"):
        shutil.copy(prefix + extension, os.path.join(out, "fashion" + extension))

    deploy = caffe.Net(os.path.join(out, "deploy.prototxt"), caffe.TEST, weights=os.path.join(out, "fashion.caffemodel"))
    deploy.blobs["data"].data[...] = (split["t10k"][0][0].astype(np.float32) - mean) * np.float32(SCALE)
    deploy.forward()
    report = {
        "program": "Caffe 1.0 (PyPI kendryte-caffe 1.0.0.20210829), CPU",
        "iterations": parameter.max_iter,
        "test_images": 10000,
        "test_accuracy": round(accuracy, 4),
        "test_loss": round(loss, 4),
        "first_test_image": {
            "label": int(split["t10k"][1][0]),
            "fc5": [float(v) for v in deploy.blobs["fc5"].data.ravel()],
            "prob": [float(v) for v in deploy.blobs["prob"].data.ravel()],
        },
    }
    with open(os.path.join(out, "fashion.json"), "w") as stream:
        json.dump(report, stream, indent=1)
        stream.write("\n")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
