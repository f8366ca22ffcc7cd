"""The frameworks that `cargo xtask bench forward` times: a pass is one batch through a net.

`load` is told a definition, weights, the input's shape and a file of its values, and returns the result.
"""
import numpy as np


class Caffe:
    def __init__(self, threads):
        import caffe

        caffe.set_mode_cpu()
        self.caffe = caffe

    def load(self, definition, weights, shape, source):
        values = read(source, shape)
        self.net = None
        self.net = self.caffe.Net(definition, self.caffe.TEST, weights=weights)
        self.input = self.net.blobs[self.net.inputs[0]]
        self.input.reshape(*values.shape)
        self.net.reshape()
        self.output, self.values = self.net.outputs[-1], values
        return self.run()

    def run(self):
        self.input.data[...] = self.values
        return self.net.forward()[self.output]


class OpenCv:
    def __init__(self, threads):
        import cv2

        cv2.setNumThreads(threads)
        self.cv2 = cv2

    def load(self, definition, weights, shape, source):
        values = read(source, shape)
        self.net = self.cv2.dnn.readNetFromCaffe(definition, weights)
        self.net.setPreferableBackend(self.cv2.dnn.DNN_BACKEND_OPENCV)
        self.values = values
        return self.run()

    def run(self):
        self.net.setInput(self.values)
        return self.net.forward()


class OnnxRuntime:
    def __init__(self, threads):
        import onnxruntime

        self.onnxruntime, self.threads = onnxruntime, threads

    def load(self, definition, weights, shape, source):
        values = read(source, shape)
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        self.session = self.onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        self.feed = {self.session.get_inputs()[0].name: values}
        self.outputs = [self.session.get_outputs()[-1].name]
        return self.run()

    def run(self):
        return self.session.run(self.outputs, self.feed)[0]


class PyTorch(Modules):
    """Eager; the definition is the module's name here, and the weights are an .npz."""

    def load(self, definition, weights, shape, source):
        self.open(weights)
        self.module = getattr(self, definition)().eval()
        self.arrays = None
        self.values = self.torch.from_numpy(read(source, shape))
        return self.run()

    def run(self):
        with self.torch.inference_mode():
            return self.module(self.values).numpy()

    def alexnet(self):
        return self.torch.nn.Sequential(*super().alexnet().values(), self.torch.nn.Softmax(1))

    def nsfw(self):
        return self.torch.nn.Sequential(*super().nsfw(), self.torch.nn.Softmax(1))


FRAMEWORKS = {"caffe": Caffe, "opencv": OpenCv, "pytorch": PyTorch, "onnxruntime": OnnxRuntime}
