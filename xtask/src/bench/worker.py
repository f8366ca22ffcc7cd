"""One framework that stays loaded and runs passes when told to: see worker.rs for the lines that it speaks.

Run: python worker.py caffe|opencv|pytorch|onnxruntime THREADS
"""
import os
import sys
import time

import numpy as np


class Caffe:
    def __init__(self, threads):
        import caffe

        caffe.set_mode_cpu()
        self.caffe = caffe

    def load(self, definition, weights, values):
        self.net = None
        self.net = self.caffe.Net(definition, self.caffe.TEST, weights=weights)
        self.input = self.net.blobs[self.net.inputs[0]]
        self.input.reshape(*values.shape)
        self.net.reshape()
        self.output, self.values = self.net.outputs[-1], values

    def run(self):
        self.input.data[...] = self.values
        return self.net.forward()[self.output]


class OpenCv:
    def __init__(self, threads):
        import cv2

        cv2.setNumThreads(threads)
        self.cv2 = cv2

    def load(self, definition, weights, values):
        self.net = self.cv2.dnn.readNetFromCaffe(definition, weights)
        self.net.setPreferableBackend(self.cv2.dnn.DNN_BACKEND_OPENCV)
        self.values = values

    def run(self):
        self.net.setInput(self.values)
        return self.net.forward()


class OnnxRuntime:
    def __init__(self, threads):
        import onnxruntime

        self.onnxruntime, self.threads = onnxruntime, threads

    def load(self, definition, weights, values):
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        self.session = self.onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        self.feed = {self.session.get_inputs()[0].name: values}
        self.outputs = [self.session.get_outputs()[-1].name]

    def run(self):
        return self.session.run(self.outputs, self.feed)[0]


class PyTorch:
    """Eager, as a module is written by hand; the definition is the module's name here, and the weights are an .npz."""

    def __init__(self, threads):
        import torch

        torch.set_num_threads(threads)
        self.torch = torch

    def load(self, definition, weights, values):
        with np.load(weights) as arrays:
            self.arrays = {key: arrays[key] for key in arrays.files}
        self.module = getattr(self, definition)().eval()
        self.arrays = None
        self.values = self.torch.from_numpy(values)

    def run(self):
        with self.torch.inference_mode():
            return self.module(self.values).numpy()

    def tensor(self, key):
        return self.torch.from_numpy(np.ascontiguousarray(self.arrays[key]))

    def fill(self, module, **keys):
        module.load_state_dict({name: self.tensor(key) for name, key in keys.items()}, strict=False)
        return module

    def convolution(self, name, stride=1, padding=0, groups=1):
        outputs, inputs, height, width = self.arrays[name + "/W"].shape
        module = self.torch.nn.Conv2d(inputs * groups, outputs, (height, width), stride, padding, groups=groups)
        return self.fill(module, weight=name + "/W", bias=name + "/b")

    def linear(self, name):
        outputs, inputs = self.arrays[name + "/W"].shape
        return self.fill(self.torch.nn.Linear(inputs, outputs), weight=name + "/W", bias=name + "/b")

    def normalized(self, name, stride=1, padding=0):
        """A convolution, and BatchNorm and Scale as the one module that PyTorch has for both."""
        norm = self.torch.nn.BatchNorm2d(len(self.arrays["bn_%s/avg_mean" % name]), eps=1e-5)
        self.fill(
            norm,
            running_mean="bn_%s/avg_mean" % name,
            running_var="bn_%s/avg_var" % name,
            weight="scale_%s/W" % name,
            bias="scale_%s/bias/b" % name,
        )
        return self.torch.nn.Sequential(self.convolution("conv_" + name, stride, padding), norm)

    def alexnet(self):
        nn = self.torch.nn

        def relu():
            return nn.ReLU(inplace=True)

        def norm():
            return nn.LocalResponseNorm(5, 1e-4, 0.75)

        def pool():
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        return nn.Sequential(
            *[self.convolution("conv1", 4), relu(), norm(), pool()],
            *[self.convolution("conv2", 1, 2, 2), relu(), norm(), pool()],
            *[self.convolution("conv3", 1, 1), relu()],
            *[self.convolution("conv4", 1, 1, 2), relu()],
            *[self.convolution("conv5", 1, 1, 2), relu(), pool(), nn.Flatten()],
            *[self.linear("fc6"), relu(), nn.Dropout(), self.linear("fc7"), relu(), nn.Dropout()],
            *[self.linear("fc8"), nn.Softmax(1)],
        )

    def nsfw(self):
        nn, own = self.torch.nn, self

        class Block(nn.Module):
            def __init__(self, name, stride):
                super().__init__()
                self.shortcut = None
                if "conv_%s_proj_shortcut/W" % name in own.arrays:
                    self.shortcut = own.normalized(name + "_proj_shortcut", stride)
                self.branch = nn.Sequential(
                    own.normalized(name + "_branch2a", stride),
                    nn.ReLU(inplace=True),
                    own.normalized(name + "_branch2b", 1, 1),
                    nn.ReLU(inplace=True),
                    own.normalized(name + "_branch2c"),
                )
                self.relu = nn.ReLU(inplace=True)

            def forward(self, x):
                shortcut = x if self.shortcut is None else self.shortcut(x)
                return self.relu(self.branch(x) + shortcut)

        layers = [self.normalized("1", 2, 3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True)]
        for stage, depth in enumerate([3, 4, 6, 3]):
            for block in range(depth):
                layers.append(Block("stage%d_block%d" % (stage, block), 2 if stage and not block else 1))
        return nn.Sequential(*layers, nn.AvgPool2d(7, 1), nn.Flatten(), self.linear("fc_nsfw"), nn.Softmax(1))


FRAMEWORKS = {"caffe": Caffe, "opencv": OpenCv, "pytorch": PyTorch, "onnxruntime": OnnxRuntime}


# Seconds, for the processors and the framework's threads are half asleep after a wait.
WARM_UP = 0.06


def passes_of(framework, seconds):
    """The mean time of as many passes as take so long."""
    start, passes = time.perf_counter(), 0
    while True:
        framework.run()
        passes += 1
        spent = time.perf_counter() - start
        if spent >= seconds:
            return spent / passes


def answer(framework, words):
    if words[0] == "load":
        definition, weights, shape, source, target = words[1:]
        values = np.fromfile(source, np.float32).reshape([int(extent) for extent in shape.split(",")])
        framework.load(definition, weights, values)
        np.ascontiguousarray(framework.run(), np.float32).tofile(target)
        return "ok"
    if words[0] == "run":
        passes_of(framework, WARM_UP)
        return repr(passes_of(framework, float(words[1])))
    raise ValueError("no such request: %s" % words[0])


def main():
    # What a framework prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    framework = FRAMEWORKS[sys.argv[1]](int(sys.argv[2]))
    for line in sys.stdin:
        try:
            text = answer(framework, line.rstrip("\n").split("\t"))
        except Exception as error:
            text = "error %s: %s" % (type(error).__name__, " ".join(str(error).split()))
        print(text, file=answers, flush=True)


if __name__ == "__main__":
    main()
