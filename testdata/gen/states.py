"""A tiny net trained for three steps by each of Caffe's six solvers, and every file each snapshot leaves: testdata/states/.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829 (Linux x86-64), protobuf 3.20.3, h5py, numpy < 1.24.
Run:   python3.8 states.py [OUT_FOLDER]        (default: ../states next to this script)

Writes net.prototxt and, for TYPE in sgd, nesterov, adagrad, rmsprop, adadelta, adam: TYPE.prototxt (the solver),
TYPE_iter_3.caffemodel, TYPE_iter_3.solverstate, the same with .h5, and states.json: what pycaffe and protobuf read back from
the binary state, with the history's values. The net has a frozen layer (lr_mult 0), whose history is stored as well.
"""
import json
import os
import shutil
import sys

import real_caffe
from real_caffe import PROTO, caffe

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "states"))

NET = '''name: "states"
layer {
  name: "data"
  type: "DummyData"
  top: "data"
  top: "target"
  dummy_data_param {
    shape { dim: 2 dim: 1 dim: 4 dim: 4 }
    shape { dim: 2 dim: 3 }
    data_filler { type: "gaussian" }
    data_filler { type: "gaussian" }
  }
}
layer {
  name: "conv"
  type: "Convolution"
  bottom: "data"
  top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } }
}
layer {
  name: "frozen"
  type: "InnerProduct"
  bottom: "conv"
  top: "frozen"
  param { lr_mult: 0 }
  param { lr_mult: 0 }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } }
}
layer {
  name: "head"
  type: "InnerProduct"
  bottom: "frozen"
  top: "head"
  inner_product_param { num_output: 3 bias_term: false weight_filler { type: "xavier" } }
}
layer { name: "loss" type: "EuclideanLoss" bottom: "head" bottom: "target" top: "loss" }
'''

SOLVERS = {
    "SGD": [("momentum", "0.9")],
    "Nesterov": [("momentum", "0.9")],
    "AdaGrad": [],
    "RMSProp": [("rms_decay", "0.98")],
    "AdaDelta": [("momentum", "0.95"), ("delta", "1e-6")],
    "Adam": [("momentum", "0.9"), ("momentum2", "0.999")],
}


def main():
    if os.path.isdir(OUT):
        shutil.rmtree(OUT)
    os.makedirs(OUT)
    os.chdir(OUT)
    with open("net.prototxt", "w") as stream:
        stream.write(NET)
    report = {}
    for kind, terms in SOLVERS.items():
        name = kind.lower()
        text = 'net: "net.prototxt"\ntype: "%s"\nbase_lr: 0.01\nlr_policy: "multistep"\ngamma: 0.5\nstepvalue: 1\nstepvalue: 2\nmax_iter: 3\nsnapshot_prefix: "%s"\nrandom_seed: 7\n' % (kind, name)
        text += "".join("%s: %s\n" % term for term in terms)
        with open(name + ".prototxt", "w") as stream:
            stream.write(text)

        def call():
            solver = caffe.get_solver(name + ".prototxt")
            solver.step(3)
            solver.snapshot()
            with open(name + ".h5.prototxt", "w") as stream:
                stream.write(text + "snapshot_format: HDF5\n")
            again = caffe.get_solver(name + ".h5.prototxt")
            again.restore("%s_iter_3.solverstate" % name)
            again.snapshot()
            os.unlink(name + ".h5.prototxt")
            return b""

        ok, _, log = real_caffe.isolated(call)
        assert ok, log
        state = PROTO.SolverState()
        with open("%s_iter_3.solverstate" % name, "rb") as stream:
            state.ParseFromString(stream.read())
        report[name] = {
            "iter": state.iter,
            "learned_net": state.learned_net,
            "current_step": state.current_step,
            "history": [{"shape": list(h.shape.dim), "data": list(h.data)} for h in state.history],
        }
        print("%-9s history %2d" % (name, len(state.history)), {f: os.path.getsize(f) for f in sorted(os.listdir(".")) if f.startswith(name + "_")})
    with open("states.json", "w") as stream:
        json.dump(report, stream, separators=(",", ":"))
        stream.write("\n")


if __name__ == "__main__":
    main()
