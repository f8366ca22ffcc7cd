"""Runs a net in OpenCV's dnn module and compares its outputs with those of `rebrew run`.

Needs: CPython 3.9 or later with opencv-python-headless 4.12 and numpy.
Run:   python3 live_forward_opencv.py DEPLOY.prototxt FILE.caffemodel FORWARD.npz OURS.npz

FORWARD.npz and OURS.npz are what live_forward_rebrew.py read and wrote. Fused layers and Winograd are switched off: they
are OpenCV's speed, not its meaning. The rows of zeros that it puts after the last detection do not count. A net that meets one of OpenCV's own faults (FAULTS) is reported by the fault's name
and is no difference. Exit 0: close, or a known fault. 1: different. 2: OpenCV cannot load it.
"""
import sys

import cv2
import numpy as np

from forward_arrays import Recorded, Tally


def param(layer, kind):
    return layer.get("%s_param" % kind, {})


# What OpenCV 4.12 does otherwise than Caffe: (name, whether a layer meets it).
FAULTS = [
    ("LRN's k is taken for 1", lambda l: l["type"] == "LRN" and param(l, "lrn").get("k", 1) != 1),
    ("InnerProduct's transpose is ignored", lambda l: param(l, "inner_product").get("transpose", False)),
    ("round_mode is not in its definition of Pooling", lambda l: "round_mode" in param(l, "pooling")),
    ("it has no Bias layer", lambda l: l["type"] == "Bias"),
    ("Scale from an axis counted from the end fails", lambda l: param(l, "scale").get("axis", 1) < 0),
    ("Scale over all axes fails", lambda l: param(l, "scale").get("num_axes", 1) == -1),
]


def faults(recorded):
    found = [name for name, meets in FAULTS if any(meets(layer) for layer in recorded.layers)]
    read = {name for layer in recorded.layers for name in layer["bottom"]}
    if any(layer["type"] == "Slice" and set(layer["top"]) - read for layer in recorded.layers):
        found.append("Slice with an output that nobody reads fails")
    return found


def detections(values):
    """The rows up to the last that is not all zeros: OpenCV fills up to keep_top_k rows."""
    used = np.flatnonzero(values.any(axis=(0, 1, 3)))
    return values[:, :, : used[-1] + 1 if used.size else 1]


def run(deploy, weights, recorded, names):
    """The outputs by blob name; OpenCV asks for them by the name of the layer that makes them last."""
    net = cv2.dnn.readNetFromCaffe(deploy, weights)
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.enableFusion(False)
    net.enableWinograd(False)
    for name, values in recorded.inputs.items():
        net.setInput(values.astype(np.float32), name)
    makers = {}
    for layer in recorded.layers:
        for i, top in enumerate(layer["top"]):
            makers[top] = layer["name"] if i == 0 else "%s.%d" % (layer["name"], i)
    return dict(zip(names, net.forward([makers[name] for name in names])))


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    deploy, weights, forward, ours = sys.argv[1:]
    recorded, ours = Recorded(forward), np.load(ours)
    known = faults(recorded)
    names = [name for name in recorded.outputs() if name in ours.files]
    if not names:
        print("no output to compare", file=sys.stderr)
        return 2
    cv2.setLogLevel(0)
    try:
        found = run(deploy, weights, recorded, names)
    except cv2.error as error:
        reason = (error.err or str(error)).strip().splitlines()[-1]
        print("known: %s" % "; ".join(known) if known else "cannot: %s" % reason, file=sys.stdout if known else sys.stderr)
        return 0 if known else 2
    if known:
        print("known: %s" % "; ".join(known))
        return 0
    tally = Tally()
    for layer in recorded.layers:
        if layer["type"] == "DetectionOutput" and layer["top"][0] in found:
            found[layer["top"][0]] = detections(found[layer["top"][0]])
    for name in names:
        tally.add(name, found[name], ours[name], recorded.tolerance(name))
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
