"""What live_forward_caffe.py wrote, and how close two arrays of a forward pass are. Imported by the scripts beside it."""
import json

import numpy as np

# Largest difference over the largest value. Rounding adds up along a net, so deep blobs may differ more.
TOLERANCE = 1e-5
DEEP_TOLERANCE = 1e-4
DEEP = 50


class Recorded:
    """FORWARD.npz: inputs, layers, and each blob as the net leaves it."""

    def __init__(self, path):
        arrays = np.load(path)
        self.layers = json.loads(str(arrays["\tdefinition"]))
        self.inputs = {key[: -len("\tinput")]: arrays[key] for key in arrays.files if key.endswith("\tinput")}
        self.blobs, self.depth = {}, {name: 0 for name in self.inputs}
        for layer in self.layers:
            depth = 1 + max([self.depth.get(name, 0) for name in layer["bottom"]], default=-1)
            for i, top in enumerate(layer["top"]):
                self.depth[top] = depth
                key = "%s\ttop\t%d" % (layer["name"], i)
                if key in arrays.files:
                    self.blobs[top] = arrays[key]

    def outputs(self):
        """Blobs that no layer reads, in the net's order."""
        read = {name for layer in self.layers for name in layer["bottom"] if name not in layer["top"]}
        made = {top: None for layer in self.layers for top in layer["top"]}
        return [name for name in made if name not in read and name not in self.inputs]

    def tolerance(self, name):
        return DEEP_TOLERANCE if self.depth.get(name, 0) > DEEP else TOLERANCE


def difference(found, expected):
    """The largest difference over the largest value; or, in words, why there is none."""
    if found.shape != expected.shape:
        return "shape %s instead of %s" % (found.shape, expected.shape)
    odd = ~np.isfinite(expected)
    if not np.array_equal(found[odd], expected[odd], equal_nan=True) or not np.isfinite(found[~odd]).all():
        return "NaN or infinity in other places"
    if odd.all():
        return 0.0
    largest = np.abs(expected[~odd].astype(np.float64)).max()
    return np.abs(found[~odd].astype(np.float64) - expected[~odd]).max() / max(largest, 1e-6)


class Tally:
    """Compares arrays one by one and sums up in a last line, "N blobs, worst X"."""

    def __init__(self):
        self.count, self.worst, self.wrong = 0, 0.0, 0

    def add(self, name, found, expected, tolerance):
        self.count += 1
        what = difference(np.asarray(found), np.asarray(expected))
        if isinstance(what, str) or not what <= tolerance:
            print("DIFFERENT: `%s`: %s" % (name, what if isinstance(what, str) else "%.2g of at most %g" % (what, tolerance)))
            self.wrong += 1
        else:
            self.worst = max(self.worst, what)

    def close(self):
        print("%d blobs, worst %.2g" % (self.count, self.worst))
        return 1 if self.wrong else 0
