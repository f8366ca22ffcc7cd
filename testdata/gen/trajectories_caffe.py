"""Fifty steps of each of Caffe's six solvers on gradients that were fed to it: testdata/trajectories/caffe.npz.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829 (Linux x86-64), protobuf 3.20.3, numpy < 1.24.
Run:   python3.8 trajectories_caffe.py [OUT_FOLDER]        (default: ../trajectories next to this script)

The net has six parameters: `a` (rate and decay 1), `frozen` (lr_mult 0) and `b` (lr_mult 2 and .5, decay_mult .5 and 0).
Caffe computes its own gradients, and a callback puts ours in their place just before each update: the sum over `iter_size`
passes, as Caffe has it there. Each case starts from the same values.

    index                   JSON: {params: [{name, shape, lr_mult, decay_mult}], steps, cases: [{name, solver (its prototxt)}],
                            refused: [{solver, log}]}: solvers with which Caffe ends itself, and what it says
    start, gradients        the values before, and one row of gradients a step, all parameters after one another
    <case>/values           after each of `steps`
    <case>/history/<step>       of the .solverstate after steps 20 and 50, all blobs after one another
    <case>/current_step/<step>  of the same
"""
import json
import os
import shutil
import sys
import tempfile

import numpy as np

import real_caffe
from npz import save_npz
from real_caffe import PROTO, caffe

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "trajectories"))
STEPS = [1, 2, 3, 5, 10, 20, 50]
SNAPSHOTS = [20, 50]

NET = '''name: "trajectories"
layer {
  name: "data" type: "DummyData" top: "data" top: "target"
  dummy_data_param { shape { dim: 1 dim: 5 } shape { dim: 1 dim: 3 } data_filler { type: "gaussian" } data_filler { type: "gaussian" } }
}
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" inner_product_param { num_output: 4 } }
layer {
  name: "frozen" type: "InnerProduct" bottom: "a" top: "frozen" inner_product_param { num_output: 3 }
  param { lr_mult: 0 } param { lr_mult: 0 }
}
layer {
  name: "b" type: "InnerProduct" bottom: "frozen" top: "b" inner_product_param { num_output: 3 }
  param { lr_mult: 2 decay_mult: 0.5 } param { lr_mult: 0.5 decay_mult: 0 }
}
layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "target" top: "loss" }
'''
MULTIPLIERS = {"a": [(1, 1), (1, 1)], "frozen": [(0, 1), (0, 1)], "b": [(2, 0.5), (0.5, 0)]}

SOLVERS = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "",
    "RMSProp": "rms_decay: 0.98",
    "AdaDelta": "momentum: 0.95 delta: 1e-6",
    "Adam": "momentum: 0.9 momentum2: 0.999",
}
TERMS = {
    "plain": "",
    "l2": "weight_decay: 0.05",
    "l1": 'weight_decay: 0.05 regularization_type: "L1"',
    "all": "weight_decay: 0.02 clip_gradients: 3 iter_size: 4",
}
POLICIES = {
    "step": 'lr_policy: "step" gamma: 0.7 stepsize: 7',
    "exp": 'lr_policy: "exp" gamma: 0.95',
    "inv": 'lr_policy: "inv" gamma: 0.1 power: 0.75',
    "multistep": 'lr_policy: "multistep" gamma: 0.5 stepvalue: 3 stepvalue: 4 stepvalue: 4 stepvalue: 30',
    "poly": 'lr_policy: "poly" power: 1.5',
    "sigmoid": 'lr_policy: "sigmoid" gamma: 0.2 stepsize: 20',
}
OTHERS = {
    "sgd_no_momentum": 'type: "SGD" lr_policy: "fixed"',
    "sgd_clip": 'type: "SGD" momentum: 0.5 lr_policy: "fixed" clip_gradients: 1.5',
    "sgd_clip_never": 'type: "SGD" momentum: 0.5 lr_policy: "fixed" clip_gradients: 1000',
    "sgd_iter_size": 'type: "SGD" momentum: 0.5 lr_policy: "fixed" iter_size: 3',
    "rmsprop_defaults": 'type: "RMSProp" lr_policy: "fixed"',
    "adam_no_momentum": 'type: "Adam" lr_policy: "fixed"',
    "adam_delta": 'type: "Adam" momentum: 0.8 momentum2: 0.9 delta: 0.1 lr_policy: "inv" gamma: 0.05 power: 1',
    "nesterov_steps": 'type: "Nesterov" momentum: 0.95 lr_policy: "step" gamma: 0.1 stepsize: 10 weight_decay: 0.001',
}
REFUSED = [
    'type: "AdaGrad" lr_policy: "fixed" momentum: 0.9',
    'type: "RMSProp" lr_policy: "fixed" momentum: 0.9',
    'type: "RMSProp" lr_policy: "fixed" rms_decay: 1',
    'type: "RMSProp" lr_policy: "fixed" rms_decay: -0.1',
    'type: "Adagrad" lr_policy: "fixed"',
    'type: "SGD"',
    'type: "SGD" lr_policy: "plateau"',
    'type: "SGD" lr_policy: "step" gamma: 0.1',
    'type: "SGD" lr_policy: "step" gamma: -0.1 stepsize: 3',
    'type: "SGD" lr_policy: "exp" gamma: -0.1',
    'type: "SGD" lr_policy: "inv" gamma: -0.1 power: 1',
    'type: "SGD" lr_policy: "multistep" gamma: -0.1 stepvalue: 1',
    'type: "SGD" lr_policy: "sigmoid" gamma: -0.1 stepsize: 3',
    'type: "SGD" lr_policy: "sigmoid" gamma: 0.1',
    'type: "SGD" lr_policy: "fixed" weight_decay: 0.1 regularization_type: "L3"',
    'type: "SGD" lr_policy: "fixed" regularization_type: "L3"',
    'type: "SGD" lr_policy: "poly"',
    'type: "SGD" lr_policy: "multistep" gamma: 0.1',
    'type: "SGD" lr_policy: "inv"',
    'type: "Adam" lr_policy: "fixed" momentum2: 1',
    'type: "SGD" lr_policy: "fixed" iter_size: 0',
    'type: "SGD" lr_policy: "fixed" iter_size: -1',
    'type: "SGD" lr_policy: "multistep" gamma: 0.1 stepvalue: 5 stepvalue: 3',
    'type: "SGD" lr_policy: "fixed" momentum: -1',
    'type: "SGD" lr_policy: "fixed" base_lr: -1',
]


def cases():
    for kind, own in SOLVERS.items():
        for term, text in TERMS.items():
            yield "%s_%s" % (kind.lower(), term), 'type: "%s" lr_policy: "fixed" %s %s' % (kind, own, text)
    for policy, text in POLICIES.items():
        yield "policy_" + policy, 'type: "SGD" momentum: 0.9 %s' % text
    yield from OTHERS.items()


def parameters(net):
    return [blob for layer in net.params for blob in net.params[layer]]


def main():
    random = np.random.RandomState(4)
    scratch = tempfile.mkdtemp()
    os.chdir(scratch)
    with open("net.prototxt", "w") as stream:
        stream.write(NET)
    shapes = [(4, 5), (4,), (3, 4), (3,), (3, 3), (3,)]
    names = [(layer, i) for layer in ("a", "frozen", "b") for i in (0, 1)]
    sizes = [int(np.prod(shape)) for shape in shapes]
    total = sum(sizes)
    start = random.standard_normal(total).astype(np.float32)
    gradients = random.standard_normal((50, total)).astype(np.float32)
    gradients += random.standard_normal(total).astype(np.float32)  # a direction, so that values go somewhere
    gradients *= np.exp(random.uniform(-3, 1, (50, 1))).astype(np.float32)
    gradients[:, 7] = 0
    gradients[5:9, 2] = 0
    ends = np.cumsum(sizes)
    for i, (layer, _) in enumerate(names):
        if layer == "frozen":  # Caffe computes no gradient here
            gradients[:, ends[i] - sizes[i]:ends[i]] = 0

    params = []
    for (layer, i), shape in zip(names, shapes):
        lr_mult, decay_mult = MULTIPLIERS[layer][i]
        params.append({"name": "%s/%s" % (layer, "Wb"[i]), "shape": shape, "lr_mult": lr_mult, "decay_mult": decay_mult})
    index = {"params": params, "steps": STEPS, "cases": [], "refused": []}
    arrays = {"start": start, "gradients": gradients}
    for name, terms in cases():
        text = "base_lr: %s max_iter: 50 random_seed: 1 snapshot_prefix: \"s\" %s" % ("1" if "adadelta" in name else "0.02", terms)
        with open("solver.prototxt", "w") as stream:
            stream.write('net: "net.prototxt" solver_mode: CPU ' + text)

        def call():
            solver = caffe.get_solver("solver.prototxt")
            blobs = parameters(solver.net)
            assert [blob.data.shape for blob in blobs] == shapes
            for blob, end, size in zip(blobs, ends, sizes):
                blob.data[...] = start[end - size:end].reshape(blob.data.shape)

            def feed():
                for blob, end, size in zip(blobs, ends, sizes):
                    blob.diff[...] = gradients[solver.iter, end - size:end].reshape(blob.data.shape)

            solver.add_callback(lambda: None, feed)
            values = []
            for step in range(1, 51):
                solver.step(1)
                assert solver.iter == step
                if step in STEPS:
                    values.append(np.concatenate([blob.data.ravel() for blob in blobs]))
                if step in SNAPSHOTS:
                    solver.snapshot()
            return np.stack(values).astype("<f4").tobytes()

        ok, values, log = real_caffe.isolated(call)
        assert ok, log
        values = np.frombuffer(values, "<f4").reshape(len(STEPS), total)
        assert np.isfinite(values).all(), name
        arrays[name + "/values"] = values
        for step in SNAPSHOTS:
            state = PROTO.SolverState()
            with open("s_iter_%d.solverstate" % step, "rb") as stream:
                state.ParseFromString(stream.read())
            assert [tuple(h.shape.dim) for h in state.history] == shapes * (len(state.history) // 6)
            arrays["%s/history/%d" % (name, step)] = np.concatenate([np.array(h.data, np.float32) for h in state.history])
            arrays["%s/current_step/%d" % (name, step)] = np.int32(state.current_step)
        index["cases"].append({"name": name, "solver": text})
        print("%-20s moved %8.3f, current_step %d" % (name, np.abs(values[-1] - start).max(), state.current_step))
    for text in REFUSED:
        with open("solver.prototxt", "w") as stream:
            stream.write('net: "net.prototxt" solver_mode: CPU snapshot_prefix: "s" ' + ("" if "base_lr" in text else "base_lr: 0.02 ") + text)

        def refused():
            caffe.get_solver("solver.prototxt").step(2)
            return b""

        ok, _, log = real_caffe.isolated(refused)
        print(text, "taken" if ok else log)
        if not ok:
            index["refused"].append({"solver": text, "log": log})
    shutil.rmtree(scratch)
    os.makedirs(OUT, exist_ok=True)
    text = np.frombuffer(json.dumps(index, separators=(",", ":")).encode(), np.uint8)
    save_npz(os.path.join(OUT, "caffe.npz"), dict({"index": text}, **arrays))


if __name__ == "__main__":
    main()
