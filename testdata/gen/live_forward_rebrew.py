"""Runs a net in `rebrew run` on the inputs that real Caffe had, and compares every blob.

Needs: CPython 3.8 or later with numpy.
Run:   python3 live_forward_rebrew.py REBREW DEPLOY.prototxt WEIGHTS FORWARD.npz OURS.npz

FORWARD.npz is what live_forward_caffe.py wrote. Where it is not there, because real Caffe does not have the net's
layers, it is made: seeded inputs of the shapes that `rebrew inspect` tells, and the layers, but no blob to compare.
OURS.npz is what rebrew writes. A blob of Caffe's that is not in it is a difference, unless it comes from a Split layer,
which Caffe inserts by itself. Exit 0: close. 1: different. 2: rebrew cannot run it.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from forward_arrays import Recorded, Tally


def make(rebrew, deploy, weights, forward):
    done = subprocess.run([rebrew, "inspect", weights, "--definition", deploy, "--json"], stdout=subprocess.PIPE, check=True)
    picture = json.loads(done.stdout)
    shapes = {}
    layers = []
    for layer in picture["layers"]:
        shapes.update(zip(layer["tops"], layer["outputs"] or []))
        layers.append({"name": layer["name"], "type": layer["type"], "bottom": layer["bottoms"], "top": layer["tops"]})
    random = np.random.RandomState(1)
    arrays = {"\tdefinition": np.array(json.dumps(layers))}
    for name in picture["inputs"]:
        if name not in shapes:
            raise ValueError("the shape of input `%s` is not known" % name)
        arrays["%s\tinput" % name] = random.standard_normal(shapes[name]).astype(np.float32)
    np.savez(forward, **arrays)


def run(rebrew, deploy, weights, inputs, ours):
    with tempfile.TemporaryDirectory(prefix="live-forward-") as folder:
        command = [rebrew, "run", deploy, "--weights", weights, "-o", ours, "--all-blobs", "--force", "-q"]
        for i, (name, values) in enumerate(inputs.items()):
            path = os.path.join(folder, "%d.npy" % i)
            np.save(path, values.astype(np.float32))
            command += ["--input", "%s=%s" % (name, path)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        reason = said[0] if said else "exit %d" % done.returncode
        for path in (deploy, weights):
            reason = reason.replace(path, os.path.basename(path))
        print("rebrew cannot run it: " + reason, file=sys.stderr)
    return done.returncode == 0


def main():
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    rebrew, deploy, weights, forward, ours = sys.argv[1:]
    if not os.path.exists(forward):
        try:
            make(rebrew, deploy, weights, forward)
        except (ValueError, KeyError, subprocess.CalledProcessError) as error:
            print("cannot make inputs: %s" % error, file=sys.stderr)
            return 2
    recorded = Recorded(forward)
    if not run(rebrew, deploy, weights, recorded.inputs, ours):
        return 2
    found = np.load(ours)
    inserted = {top for layer in recorded.layers if layer["type"] == "Split" for top in layer["top"]}
    tally = Tally()
    for name, expected in recorded.blobs.items():
        if name in found.files:
            tally.add(name, found[name], expected, recorded.tolerance(name))
        elif name not in inserted:
            print("DIFFERENT: `%s` is not in what rebrew wrote" % name)
            tally.wrong += 1
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
