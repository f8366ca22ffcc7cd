"""Fifty steps of each of Chainer's optimizers on gradients that were fed to it: testdata/trajectories/chainer.npz.

Needs: CPython 3.8 with chainer 7.8.1, setuptools < 60, numpy < 1.24.
Run:   python3.8 trajectories_chainer.py [OUT_FOLDER]        (default: ../trajectories next to this script)

A chain with the parameters /a/W, /a/b and /b/W, whose gradients are set by hand before each `update()`. Each case starts from
the same values.

    index                   JSON: {params: [{name, shape}], steps, cases: [{name, optimizer, options, hooks, rule_hooks, rates}]};
                            a hook is [name, options]; `rule_hooks` are those of single parameters, by name; `rates` says
                            after which step the learning rate is multiplied by what
    start, gradients        the values before, and one row of gradients a step, all parameters after one another
    <case>/values           after each of `steps`
    <case>/state/<key>      what save_npz writes of the optimizer after the last
"""
import json
import os
import sys
import warnings

os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
os.environ["CHAINER_WARN_VERSION_MISMATCH"] = "0"
warnings.simplefilter("ignore")

import chainer  # noqa: E402
import numpy as np  # noqa: E402
from chainer import optimizer_hooks, optimizers, serializers  # noqa: E402

from npz import save_npz  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "trajectories"))
STEPS = [1, 2, 3, 5, 10, 20, 50]
PARAMS = [("a/W", (4, 5)), ("a/b", (4,)), ("b/W", (3, 4))]

OPTIMIZERS = {
    "SGD": [{}],
    "MomentumSGD": [{}, {"lr": 0.05, "momentum": 0.5}],
    "CorrectedMomentumSGD": [{}, {"lr": 0.05, "momentum": 0.5}],
    "NesterovAG": [{}, {"lr": 0.002, "momentum": 0.5}],
    "AdaGrad": [{}, {"lr": 0.1, "eps": 0.1}],
    "AdaDelta": [{}, {"rho": 0.9, "eps": 1e-3}],
    "RMSprop": [{}, {"lr": 0.001, "alpha": 0.9, "eps": 1e-3, "eps_inside_sqrt": True}],
    "RMSpropGraves": [{}, {"lr": 0.01, "alpha": 0.9, "momentum": 0.5, "eps": 1e-2}],
    "SMORMS3": [{}, {"lr": 0.1}],
    "Adam": [
        {},
        {"alpha": 0.01, "beta1": 0.8, "beta2": 0.95, "eps": 1e-3},
        {"alpha": 0.01, "eta": 0.5, "weight_decay_rate": 0.01},
        {"alpha": 0.01, "amsgrad": True, "beta2": 0.9},
        {"alpha": 0.01, "adabound": True},
        {"alpha": 0.01, "adabound": True, "amsgrad": True, "final_lr": 0.02, "gamma": 0.05, "weight_decay_rate": 0.01},
    ],
    "AdamW": [{"weight_decay_rate": 0.01}],
    "AMSGrad": [{}],
    "AdaBound": [{}],
    "AMSBound": [{}],
    "MSVAG": [{"lr": 0.01}, {"lr": 0.005, "beta": 0.8, "eta": 0.5, "weight_decay_rate": 0.01}],
}
DECAY = ["WeightDecay", {"rate": 0.05}]
LASSO = ["Lasso", {"rate": 0.05}]
CLIP = ["GradientClipping", {"threshold": 1.5}]
HARD = ["GradientHardClipping", {"lower_bound": -0.4, "upper_bound": 0.3}]
LARS = ["GradientLARS", {"threshold": 0.01, "weight_decay": 0.001}]
HOOKS = {
    "decay": [DECAY],
    "lasso": [LASSO],
    "clip": [CLIP],
    "clip_never": [["GradientClipping", {"threshold": 1e4}]],
    "hard": [HARD],
    "lars": [LARS],
    "decay_clip": [DECAY, CLIP],
    "clip_decay": [CLIP, DECAY],
    "lasso_hard": [LASSO, HARD],
    "hard_lasso": [HARD, LASSO],
    "lars_clip": [LARS, CLIP],
    "clip_lars": [CLIP, LARS],
    "everything": [HARD, DECAY, CLIP, LASSO, LARS],
}


def cases():
    for kind, all_options in OPTIMIZERS.items():
        for i, options in enumerate(all_options):
            yield {"name": "%s_%d" % (kind, i), "optimizer": kind, "options": options}
        yield {"name": kind + "_decay_clip", "optimizer": kind, "options": all_options[-1], "hooks": [DECAY, CLIP]}
        yield {"name": kind + "_clip_decay", "optimizer": kind, "options": all_options[-1], "hooks": [CLIP, DECAY]}
        if kind != "AdaDelta":
            yield {"name": kind + "_rates", "optimizer": kind, "options": all_options[-1], "rates": {"10": 0.5, "30": 0.1}}
    for name, hooks in HOOKS.items():
        yield {"name": "hooks_" + name, "optimizer": "MomentumSGD", "options": {}, "hooks": hooks}
    rules = {"a/W": [DECAY, HARD], "b/W": [LARS]}
    yield {"name": "rule_hooks", "optimizer": "MomentumSGD", "options": {}, "hooks": [CLIP], "rule_hooks": rules}
    yield {"name": "rule_hooks_only", "optimizer": "Adam", "options": {"alpha": 0.01}, "rule_hooks": rules}


def make_hook(hook):
    return getattr(optimizer_hooks, hook[0])(**hook[1])


def main():
    random = np.random.RandomState(5)
    sizes = [int(np.prod(shape)) for _, shape in PARAMS]
    ends = np.cumsum(sizes)
    total = int(ends[-1])
    start = random.standard_normal(total).astype(np.float32)
    start[20:24] *= 1e-3  # a norm below the threshold of GradientLARS
    gradients = random.standard_normal((50, total)).astype(np.float32)
    gradients += random.standard_normal(total).astype(np.float32)  # a direction, so that values go somewhere
    gradients *= np.exp(random.uniform(-3, 1, (50, 1))).astype(np.float32)
    gradients[:, 7] = 0
    gradients[5:9, 2] = 0

    index = {"params": [{"name": name, "shape": shape} for name, shape in PARAMS], "steps": STEPS, "cases": []}
    arrays = {"start": start, "gradients": gradients}
    for case in cases():
        chain = chainer.Chain()
        params = []
        for (name, shape), end, size in zip(PARAMS, ends, sizes):
            link, leaf = name.split("/")
            if not hasattr(chain, link):
                chain.add_link(link, chainer.Link())
            child = getattr(chain, link)
            child.add_param(leaf, shape)
            param = getattr(child, leaf)
            param.array[...] = start[end - size:end].reshape(shape)
            params.append(param)
        optimizer = getattr(optimizers, case["optimizer"])(**case["options"]).setup(chain)
        for i, hook in enumerate(case.get("hooks", [])):
            optimizer.add_hook(make_hook(hook), str(i))
        for (name, _), param in zip(PARAMS, params):
            for i, hook in enumerate(case.get("rule_hooks", {}).get(name, [])):
                param.update_rule.add_hook(make_hook(hook), str(i))
        values = []
        for step in range(1, 51):
            for param, end, size in zip(params, ends, sizes):
                param.grad = gradients[step - 1, end - size:end].reshape(param.shape).copy()
            optimizer.update()
            factor = case.get("rates", {}).get(str(step))
            if factor is not None:
                rate = "alpha" if hasattr(optimizer, "alpha") and "A" == case["optimizer"][0] else "lr"
                setattr(optimizer, rate, getattr(optimizer, rate) * factor)
            if step in STEPS:
                values.append(np.concatenate([param.array.ravel() for param in params]))
        optimizer.new_epoch()
        state = serializers.DictionarySerializer()
        state.save(optimizer)
        values = np.stack(values)
        assert np.isfinite(values).all(), case["name"]
        arrays[case["name"] + "/values"] = values
        if "_0" in case["name"] or "Adam_" in case["name"]:
            for key in sorted(state.target):
                arrays["%s/state/%s" % (case["name"], key)] = state.target[key]
        index["cases"].append(case)
        print("%-28s moved %8.4f" % (case["name"], np.abs(values[-1] - start).max()))
    os.makedirs(OUT, exist_ok=True)
    text = np.frombuffer(json.dumps(index, separators=(",", ":")).encode(), np.uint8)
    save_npz(os.path.join(OUT, "chainer.npz"), dict({"index": text}, **arrays))


if __name__ == "__main__":
    main()
