"""PyTorch's modules as they are written by hand, filled from an .npz with Chainer's names."""
import numpy as np


class Modules:
    def __init__(self, threads):
        import torch

        torch.set_num_threads(threads)
        self.torch = torch

    def open(self, weights):
        with np.load(weights) as arrays:
            self.arrays = {key: arrays[key] for key in arrays.files}

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

    def alexnet(self, dropout=0.5):
        """Its layers, up to fc8."""
        nn = self.torch.nn

        def relu():
            return nn.ReLU(inplace=True)

        def norm():
            return nn.LocalResponseNorm(5, 1e-4, 0.75)

        def pool():
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        def drop():
            return nn.Dropout(dropout)

        layers = {"conv1": self.convolution("conv1", 4), "relu1": relu(), "norm1": norm(), "pool1": pool()}
        layers.update(conv2=self.convolution("conv2", 1, 2, 2), relu2=relu(), norm2=norm(), pool2=pool())
        layers.update(conv3=self.convolution("conv3", 1, 1), relu3=relu())
        layers.update(conv4=self.convolution("conv4", 1, 1, 2), relu4=relu())
        layers.update(conv5=self.convolution("conv5", 1, 1, 2), relu5=relu(), pool5=pool(), flat=nn.Flatten())
        layers.update(fc6=self.linear("fc6"), relu6=relu(), drop6=drop())
        layers.update(fc7=self.linear("fc7"), relu7=relu(), drop7=drop(), fc8=self.linear("fc8"))
        return layers

    def nsfw(self):
        """The layers of open_nsfw's ResNet-50 with half the channels, a block at a time, up to fc_nsfw."""
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
        return [*layers, nn.AvgPool2d(7, 1), nn.Flatten(), self.linear("fc_nsfw")]
