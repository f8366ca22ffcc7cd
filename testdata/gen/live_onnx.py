"""An exported .onnx against real Caffe: the checker, and ONNX Runtime on the same inputs.

Needs: CPython 3.9 or later with onnx, onnxruntime and numpy.
Run:   python3 live_onnx.py MODEL.onnx FORWARD.npz [TOLERANCE]
       python3 live_onnx.py --ours OURS.npz MODEL.onnx FORWARD.npz
       python3 live_onnx.py --layers REBREW LAYERS_FOLDER [TOLERANCE] [TYPE...]

FORWARD.npz is what live_forward_caffe.py wrote. Every value of the file that has a blob's name is compared with that
blob as the net leaves it: the largest difference over the largest value must be at most TOLERANCE (1e-5). A file with a
batch of any size is run with twice the batch as well. The second form compares the outputs with those of `rebrew run`,
OURS.npz of live_forward_rebrew.py, and nothing else. The third exports every case of forward.py's goldens with the
program REBREW and compares its outputs. Exit 0: equal. 1: different, or the checker objects. 2: cannot be loaded.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

from forward_arrays import Recorded, Tally


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def difference(found, expected):
    if found.shape != expected.shape:
        return "shape %s instead of %s" % (found.shape, expected.shape)
    nan = np.isnan(expected)
    if (nan != np.isnan(found)).any():
        return "NaN in other places"
    if not expected[~nan].size:
        return 0.0
    largest = np.abs(expected[~nan].astype(np.float64)).max()
    return np.abs(found[~nan].astype(np.float64) - expected[~nan]).max() / max(largest, 1e-6)


def compare(pairs, tolerance, say):
    """Whether all are equal; prints those that are not."""
    good, worst = True, 0.0
    for name, found, expected in pairs:
        what = difference(found, expected)
        if isinstance(what, str) or not what <= tolerance:
            print("%s: `%s`: %s" % (say, name, what))
            good = False
        else:
            worst = max(worst, what)
    return good, worst


def beside_ours(ours, path, forward):
    """ONNX Runtime's outputs beside those of `rebrew run` on the same inputs."""
    recorded, ours = Recorded(forward), np.load(ours)
    runner = session(check(path))
    names = [output.name for output in runner.get_outputs() if output.name in ours.files]
    if not names:
        print("cannot compare: no output has a blob's name", file=sys.stderr)
        return 2
    found = runner.run(names, {value.name: recorded.inputs[value.name] for value in runner.get_inputs()})
    tally = Tally()
    for name, values in zip(names, found):
        tally.add(name, values, ours[name], recorded.tolerance(name))
    return tally.close()


def check(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    return model


def whole(path, forward, tolerance):
    arrays = np.load(forward)
    layers = json.loads(str(arrays["\tdefinition"]))
    last = {}
    for layer in layers:
        for i, top in enumerate(layer["top"]):
            last[top] = arrays["%s\ttop\t%d" % (layer["name"], i)]
    try:
        model = check(path)
    except Exception as error:
        print("%s: the checker objects: %s" % (path, error))
        return 1
    outputs = [output.name for output in model.graph.output]
    inputs = {value.name: arrays["%s\tinput" % value.name] for value in model.graph.input}
    dynamic = all(value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input)
    made = [name for node in model.graph.node for name in node.output]
    inner = [name for name in made if name in last and name not in outputs]
    for name in inner:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    runner = session(model)
    names = [name for name in outputs + inner if name in last]
    missing = [name for name in outputs if name not in last]
    found = runner.run(names, inputs)
    good, worst = compare([(n, f, last[n]) for n, f in zip(names, found)], tolerance, path)
    if dynamic:
        twice = runner.run(names, {name: np.concatenate([value, value]) for name, value in inputs.items()})
        expected = [np.concatenate([last[name], last[name]]) for name in names]
        again, _ = compare(list(zip(names, twice, expected)), tolerance, path + " (twice the batch)")
        good = good and again
    print("%s: %d blobs, %sworst %.2g%s" % (path, len(names), "batch N, " if dynamic else "", worst, ", not in Caffe: %s" % missing if missing else ""))
    return 0 if good else 1


def golden(rebrew, folder, tolerance, kinds):
    work = tempfile.mkdtemp(prefix="live-onnx-")
    failed = 0
    for file in sorted(os.listdir(folder)):
        kind = file[: -len(".npz")]
        if not file.endswith(".npz") or kinds and kind not in kinds:
            continue
        arrays = np.load(os.path.join(folder, file))
        counts, worst, reasons = {"equal": 0, "different": 0, "refused": 0, "loss": 0}, 0.0, set()
        for entry in json.loads(arrays["index"].tobytes()):
            case = entry["case"]
            say = "%s %d" % (kind, case)
            prototxt, weights, out = (os.path.join(work, name) for name in ("net.prototxt", "weights.caffemodel", "net.onnx"))
            with open(prototxt, "w") as stream:
                stream.write(entry["net"])
            model_of(entry, arrays, weights)
            done = subprocess.run([rebrew, "convert", weights, "--definition", prototxt, "-o", out, "--force", "-q"], capture_output=True, text=True)
            if done.returncode and "computes nothing" in done.stderr:
                counts["loss"] += 1
                continue
            if done.returncode:
                counts["refused"] += 1
                reasons.add(done.stderr.strip().replace(work, ""))
                continue
            try:
                model = check(out)
                runner = session(model)
                names = [output.name for output in model.graph.output]
                given = {value.name: arrays["%d/in/%s" % (case, value.name)] for value in model.graph.input}
                found = dict(zip(names, runner.run(names, given)))
            except Exception as error:
                print("%s: %s\n%s" % (say, str(error)[:600], entry["net"]))
                counts["different"] += 1
                continue
            if kind.endswith("Loss"):  # the file has what a deploy net has in its place
                counts["loss"] += 1
                continue
            # A blob that rewrites an input goes by another name.
            pairs = [(n, found[n] if n in found else found[names[0]], arrays["%d/out/%s" % (case, n)]) for n in entry["out"]]
            good, largest = compare(pairs, tolerance, say)
            if not good:
                print(entry["net"])
            counts["equal" if good else "different"] += 1
            worst = max(worst, largest)
        failed += counts["different"]
        print("%-24s %s worst %.2g %s" % (kind, " ".join("%s %d" % item for item in counts.items()), worst, "; ".join(sorted(reasons))[:300]), flush=True)
    return 1 if failed else 0


def model_of(entry, arrays, path):
    """A .caffemodel of the case's parameters, hand-encoded, under the name `path`."""
    layers = {}
    for name in entry["param"]:
        layer, index = name.rsplit("/", 1)
        layers.setdefault(layer, []).append(arrays["%d/param/%s" % (entry["case"], name)])
    body = b""
    for layer, blobs in layers.items():
        content = field(1, layer.encode())
        for blob in blobs:
            dims = field(1, b"".join(varint(extent) for extent in blob.shape)) if blob.shape else b""
            content += field(7, field(5, blob.astype("<f4").tobytes()) + field(7, dims))
        body += field(100, content)
    with open(path, "wb") as stream:
        stream.write(body or field(1, b"net"))


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def main():
    arguments = sys.argv[1:]
    if len(arguments) >= 3 and arguments[0] == "--layers":
        tolerance = float(arguments[3]) if len(arguments) > 3 else 1e-5
        return golden(arguments[1], arguments[2], tolerance, arguments[4:])
    if len(arguments) == 4 and arguments[0] == "--ours":
        try:
            return beside_ours(*arguments[1:])
        except Exception as error:
            print("cannot run: %s" % error, file=sys.stderr)
            return 2
    if len(arguments) not in (2, 3):
        sys.exit(__doc__)
    try:
        return whole(arguments[0], arguments[1], float(arguments[2]) if len(arguments) > 2 else 1e-5)
    except (OSError, KeyError) as error:
        print("cannot load: %s" % error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
