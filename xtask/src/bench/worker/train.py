"""The frameworks that `cargo xtask bench train` times: a pass is one step of Adam on one batch.

`load` is told a definition, weights, the input's shape, files of images and of labels, the frozen layers and the dropout
ratio, and returns the losses of the first steps.
"""
import numpy as np

RATE = 1e-5
STEPS = 2


class Caffe:
    """Frozen layers have `lr_mult: 0` in the definition, which also has the dropout ratio."""

    def __init__(self, threads):
        import caffe

        caffe.set_mode_cpu()
        self.caffe = caffe

    def load(self, definition, weights, shape, images, labels, frozen, dropout):
        self.solver = None
        solver = definition + ".solver"
        with open(solver, "w") as file:
            file.write('net: "%s" type: "Adam" momentum: 0.9 momentum2: 0.999 delta: 1e-8 ' % definition)
            file.write('base_lr: %g lr_policy: "fixed" display: 0 solver_mode: CPU' % RATE)
        self.solver = self.caffe.AdamSolver(solver)
        self.solver.net.copy_from(weights)
        self.images, self.labels = read(images, shape), np.fromfile(labels, np.float32)
        return [self.run() for _ in range(STEPS)]

    def run(self):
        blobs = self.solver.net.blobs
        blobs["data"].data[...] = self.images
        blobs["label"].data[...] = self.labels
        self.solver.step(1)
        return float(blobs["loss"].data)


class Chainer:
    """A chain as it is written by hand; a hook sets the gradients of frozen layers to zero."""

    def __init__(self, threads):
        import chainer

        self.chainer = chainer

    def load(self, definition, weights, shape, images, labels, frozen, dropout):
        self.chain, self.optimizer = None, None
        self.dropout = float(dropout)
        links = self.chainer.links
        self.chain = self.chainer.Chain(
            conv1=links.Convolution2D(3, 96, 11, stride=4),
            conv2=links.Convolution2D(96, 256, 5, pad=2, groups=2),
            conv3=links.Convolution2D(256, 384, 3, pad=1),
            conv4=links.Convolution2D(384, 384, 3, pad=1, groups=2),
            conv5=links.Convolution2D(384, 256, 3, pad=1, groups=2),
            fc6=links.Linear(9216, 4096),
            fc7=links.Linear(4096, 4096),
            fc8=links.Linear(4096, 10),
        )
        self.chainer.serializers.load_npz(weights, self.chain)
        self.optimizer = self.chainer.optimizers.Adam(alpha=RATE).setup(self.chain)
        self.freeze([self.chain[name] for name in frozen.split(",") if name])
        self.images = read(images, shape)
        self.labels = np.fromfile(labels, np.float32).astype(np.int32)
        return [self.run() for _ in range(STEPS)]

    def freeze(self, frozen):
        def zero_gradients(optimizer):
            for link in frozen:
                for param in link.params():
                    param.grad[...] = 0

        if frozen:
            self.optimizer.add_hook(zero_gradients)

    def run(self):
        self.chain.cleargrads()
        loss = self.chainer.functions.softmax_cross_entropy(self.scores(), self.labels)
        loss.backward()
        self.optimizer.update()
        return float(loss.array)

    def scores(self):
        functions, chain = self.chainer.functions, self.chain

        def normed(x):
            x = functions.local_response_normalization(functions.relu(x), 5, 1, 1e-4 / 5, 0.75)
            return functions.max_pooling_2d(x, 3, 2)

        def dropped(x):
            return functions.dropout(functions.relu(x), self.dropout)

        x = normed(chain.conv2(normed(chain.conv1(self.images))))
        x = functions.relu(chain.conv4(functions.relu(chain.conv3(x))))
        x = functions.max_pooling_2d(functions.relu(chain.conv5(x)), 3, 2)
        return chain.fc8(dropped(chain.fc7(dropped(chain.fc6(x)))))


class ChainerDisabled(Chainer):
    """`disable_update`: gradients are computed, and not applied."""

    def freeze(self, frozen):
        for link in frozen:
            link.disable_update()


class PyTorch(Modules):
    """Eager; frozen layers have `requires_grad` off, and the optimizer has the others' parameters only."""

    fused = False

    def load(self, definition, weights, shape, images, labels, frozen, dropout):
        self.module, self.optimizer = None, None
        self.open(weights)
        layers = self.alexnet(float(dropout))
        self.arrays = None
        self.module = self.torch.nn.Sequential(*layers.values()).train()
        for name in frozen.split(","):
            if name:
                layers[name].requires_grad_(False)
        learning = [param for param in self.module.parameters() if param.requires_grad]
        self.optimizer = self.torch.optim.Adam(learning, lr=RATE, fused=self.fused)
        self.images = self.torch.from_numpy(read(images, shape))
        self.labels = self.torch.from_numpy(np.fromfile(labels, np.float32).astype(np.int64))
        return [self.run() for _ in range(STEPS)]

    def run(self):
        self.optimizer.zero_grad()
        loss = self.torch.nn.functional.cross_entropy(self.module(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


class PyTorchFused(PyTorch):
    fused = True


FRAMEWORKS = {
    "caffe": Caffe,
    "chainer": Chainer,
    "chainer-disabled": ChainerDisabled,
    "pytorch": PyTorch,
    "pytorch-fused": PyTorchFused,
}
