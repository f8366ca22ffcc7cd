"""What real Chainer saves: testdata/chainer/*.npz, *.h5 and index.json.

Needs: CPython 3.8 with chainer 7.8.1, setuptools < 60, numpy < 1.24, protobuf 3.20.3, h5py 3.11.0.
Run:   PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python python3.8 chainer_goldens.py [OUT_FOLDER]
       (default: ../chainer next to this script; chainer_models.py must have written the caffemodels there)

For NAME in fashion (../fashion), v1 and v2 (../generations), bn_scale, bn_zero, groups, deconvolution, slashes:
    caffefunction/NAME.npz, NAME.stored.npz, NAME.h5       CaffeFunction(NAME.caffemodel) through save_npz (deflated, and
                                                           stored: not for fashion) and save_hdf5
For hand-written nets (below), saved the same three ways:
    handmade/NAME.npz, NAME.stored.npz, NAME.h5
and handmade/snapshot.npz, .h5: a whole trainer after three steps (model, Adam's state, iterator).

index.json holds, for every file, each key's dtype, shape and the SHA-256 of its little-endian bytes, and which of the
blob encodings of ../generations/variants real Chainer reads.
"""
import glob
import hashlib
import json
import os
import sys
import warnings

if os.environ.get("PYTHONHASHSEED") != "0":  # Chainer saves in the order of a set: fix it
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable] + sys.argv)
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
os.environ["CHAINER_WARN_VERSION_MISMATCH"] = "0"

import chainer  # noqa: E402
import chainer.links as L  # noqa: E402
import h5py  # noqa: E402
import numpy as np  # noqa: E402
from chainer import serializers, training  # noqa: E402
from chainer.links.caffe import CaffeFunction  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "chainer"))
CAFFE = {
    "fashion": os.path.join(OUT, "..", "fashion", "fashion.caffemodel"),
    "v1": os.path.join(OUT, "..", "generations", "v1.caffemodel"),
    "v2": os.path.join(OUT, "..", "generations", "v2.caffemodel"),
}
for _name in ("bn_scale", "bn_zero", "groups", "deconvolution", "slashes"):
    CAFFE[_name] = os.path.join(OUT, _name + ".caffemodel")


class Groups(chainer.Chain):
    """Convolutions in groups, depthwise, transposed, without bias."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(4, 6, 3, groups=2)
            self.conv_nobias = L.Convolution2D(6, 4, (3, 2), nobias=True)
            self.depthwise = L.DepthwiseConvolution2D(4, 2, 3)
            self.deconv = L.Deconvolution2D(8, 6, 2, stride=2, groups=2)
            self.dilated = L.DilatedConvolution2D(6, 2, 3, dilate=2)


class Normalised(chainer.Chain):
    """BatchNormalization with gamma and beta, without either, and other links that hold statistics or no W."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.bn = L.BatchNormalization(4)
            self.bn_plain = L.BatchNormalization(4, use_gamma=False, use_beta=False, eps=1e-3)
            self.bn_gamma = L.BatchNormalization(4, use_beta=False)
            self.prelu = L.PReLU((4,))
            self.prelu_shared = L.PReLU()
            self.scale = L.Scale(axis=1, W_shape=(4,), bias_term=True)
            self.bias = L.Bias(axis=1, shape=(4,))
            self.embed = L.EmbedID(7, 3)
            self.fc = L.Linear(12, 5)
            self.fc_nobias = L.Linear(5, 2, nobias=True)


class Block(chainer.Chain):
    def __init__(self, channels):
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(channels, channels, 1)
            self.bn1 = L.BatchNormalization(channels)


class Nested(chainer.Chain):
    """Chains inside chains and a ChainList, whose children are numbers."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.stem = L.Convolution2D(3, 2, 3)
            self.res2 = Block(2)
            self.blocks = chainer.ChainList(Block(2), Block(3))
            self.lstm = L.LSTM(2, 3)
            self.sequence = chainer.Sequential(L.Linear(3, 4), chainer.functions.relu, L.Linear(4, 2))


class Uninitialised(chainer.Chain):
    """A link that has not seen its input: Chainer saves None, as a pickled object array or an empty dataset."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.known = L.Linear(2, 2)
            self.lazy = L.Linear(None, 3)
            self.lazy_conv = L.Convolution2D(None, 2, 3)


class Half(chainer.Chain):
    """float16 and float64 parameters."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            with chainer.using_config("dtype", np.float16):
                self.half = L.Linear(3, 2)
            with chainer.using_config("dtype", np.float64):
                self.double = L.Linear(3, 2)


def fill(model):
    """Every parameter and every statistic gets a value of its own."""
    random = np.random.RandomState(11)
    for path, parameter in sorted(model.namedparams()):
        if parameter.array is not None:
            parameter.array[...] = random.standard_normal(parameter.shape) * 0.4
    for path, link in sorted(model.namedlinks()):
        if isinstance(link, L.BatchNormalization):
            link.avg_mean[...] = random.standard_normal(link.avg_mean.shape)
            link.avg_var[...] = random.random_sample(link.avg_var.shape) + 0.5
            link.N = 17
    return model


def keys_of(path):
    """key -> [dtype, shape, SHA-256] as another program should find them."""
    found = {}

    def note(key, value):
        if isinstance(value, h5py.Empty) or value.dtype == object:
            found[key] = ["none", [], None]
            return
        array = np.asarray(value)
        digest = hashlib.sha256(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()
        found[key] = [array.dtype.str, list(array.shape), digest]

    if path.endswith(".npz"):
        with np.load(path, allow_pickle=True) as archive:
            for key in archive.files:
                note(key, archive[key])
    else:
        with h5py.File(path, "r") as file:
            file.visititems(lambda key, item: note(key, item[()]) if isinstance(item, h5py.Dataset) else None)
    return dict(sorted(found.items()))


def save(folder, name, model, index, stored=True):
    os.makedirs(os.path.join(OUT, folder), exist_ok=True)
    base = os.path.join(OUT, folder, name)
    files = [base + ".npz", base + ".h5"]
    serializers.save_npz(base + ".npz", model, compression=True)
    serializers.save_hdf5(base + ".h5", model)
    if stored:
        files.append(base + ".stored.npz")
        serializers.save_npz(files[-1], model, compression=False)
    for file in files:
        index[os.path.relpath(file, OUT)] = keys_of(file)
        print("%8d %s" % (os.path.getsize(file), os.path.relpath(file, OUT)))


def snapshot(index):
    """A trainer's own snapshot after three steps."""
    np.random.seed(5)
    random = np.random.RandomState(5)
    model = L.Classifier(fill(chainer.Sequential(L.Linear(3, 4), L.Linear(4, 2))))
    optimizer = chainer.optimizers.Adam().setup(model)
    data = [(random.standard_normal(3).astype(np.float32), np.int32(i % 2)) for i in range(6)]
    iterator = chainer.iterators.SerialIterator(data, 2, shuffle=False)
    trainer = training.Trainer(training.StandardUpdater(iterator, optimizer), (3, "iteration"), out=OUT)
    for _ in range(3):
        trainer.updater.update()
    for extension in (".npz", ".h5"):
        path = os.path.join(OUT, "handmade", "snapshot" + extension)
        # Only the updater's part: a whole trainer also stores its elapsed time, which no two runs share.
        if extension == ".npz":
            writer = serializers.DictionarySerializer()
            trainer.updater.serialize(writer["updater"])
            with open(path, "wb") as stream:
                np.savez_compressed(stream, **writer.target)
        else:
            with h5py.File(path, "w") as file:
                trainer.updater.serialize(serializers.HDF5Serializer(file)["updater"])
        index[os.path.relpath(path, OUT)] = keys_of(path)
        print("%8d %s" % (os.path.getsize(path), os.path.relpath(path, OUT)))


def variants():
    """Which blob encodings CaffeFunction reads, and whether it gets the values right."""
    verdict = {}
    folder = os.path.join(OUT, "..", "generations")
    sets = {"f32": dict(np.load(os.path.join(folder, "weights.npz"))), "f16": dict(np.load(os.path.join(folder, "weights_f16.npz")))}
    with open(os.path.join(folder, "variants.json")) as stream:
        listed = json.load(stream)
    for entry in listed:
        try:
            model = CaffeFunction(os.path.join(folder, entry["file"]))
        except Exception as error:  # any refusal is the golden
            verdict[entry["file"]] = "%s: %s" % (type(error).__name__, " ".join(str(error).split()))
            continue
        wanted = sets["f16" if entry["weights"] == "f16" else "f32"]
        got = {k + "/0": model[k].W.array for k in ("conv1", "conv2", "ip1", "ip2")}
        dense = got["conv1/0"]
        got["conv1/0"] = np.concatenate([dense[:3, :2], dense[3:, 2:]])
        same = all(got[k].shape == wanted[k].shape and np.array_equal(got[k], wanted[k]) for k in got)
        verdict[entry["file"]] = "equal" if same else "different"
    return verdict


def main():
    warnings.simplefilter("ignore")
    for stale in glob.glob(os.path.join(OUT, "*", "*.npz")) + glob.glob(os.path.join(OUT, "*", "*.h5")):
        os.unlink(stale)
    index = {}
    for name, path in CAFFE.items():
        save("caffefunction", name, CaffeFunction(path), index, stored=name != "fashion")
    np.random.seed(1)
    for name, kind in (("groups", Groups), ("normalised", Normalised), ("nested", Nested), ("half", Half), ("uninitialised", Uninitialised)):
        save("handmade", name, fill(kind()), index)
    snapshot(index)
    report = {
        "program": "Chainer %s, h5py %s, numpy %s" % (chainer.__version__, h5py.__version__, np.__version__),
        "files": index,
        "variants": variants(),
    }
    with open(os.path.join(OUT, "index.json"), "w") as stream:
        json.dump(report, stream, separators=(",", ":"))
        stream.write("\n")


if __name__ == "__main__":
    main()
