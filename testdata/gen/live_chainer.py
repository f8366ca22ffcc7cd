"""What real Chainer's CaffeFunction makes of a .caffemodel, saved by save_npz and save_hdf5.

Needs: CPython 3.8 with chainer 7.8.1, setuptools < 60, numpy < 1.24, protobuf 3.20.3, h5py.
Run:   PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python python3.8 live_chainer.py FILE.caffemodel OUT.npz OUT.h5

Layers that CaffeFunction skips are named on stderr. Exit 0, or 2 with Chainer's message when it cannot load the file.
"""
import os
import sys
import warnings

os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

import chainer  # noqa: E402, F401
from chainer import serializers  # noqa: E402
from chainer.links.caffe import CaffeFunction  # noqa: E402


def load(path):
    """(CaffeFunction, the layers it skipped)"""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = CaffeFunction(path)
    return model, [str(w.message) for w in caught if "Skip the layer" in str(w.message)]


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        model, skipped = load(sys.argv[1])
    except Exception as error:  # whatever Chainer raises is its answer
        print("real Chainer cannot load %s: %s: %s" % (sys.argv[1], type(error).__name__, error), file=sys.stderr)
        sys.exit(2)
    for line in skipped:
        print(line, file=sys.stderr)
    serializers.save_npz(sys.argv[2], model, compression=False)
    serializers.save_hdf5(sys.argv[3], model)
    print("%s, %s: %d parameters" % (sys.argv[2], sys.argv[3], sum(1 for _ in model.params())))


if __name__ == "__main__":
    main()
