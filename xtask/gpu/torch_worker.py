"""PyTorch's side of a GPU's benchmarks: reads a JSON list of questions, prints `{"name": …, "seconds": […]}`.

`torch_worker.py DEVICE < questions`. Times are medians of samples of at least 20 ms; the device has done all when the clock is
read. Products are cuBLAS's, convolutions cuDNN's, each by the algorithm that is fastest for the shape.
"""
import json
import sys
import time

try:
    import torch
except ImportError:
    sys.exit("python3 has no torch")

SAMPLES = 7
SAMPLE = 0.02


def main():
    device = torch.device(sys.argv[1])
    questions = json.load(sys.stdin)
    name = "PyTorch " + torch.__version__
    if device.type == "cuda":
        if not torch.cuda.is_available():
            sys.exit("torch %s cannot use the GPU" % torch.__version__)
        name += ", CUDA %s, cuDNN %s" % (torch.version.cuda, torch.backends.cudnn.version())
    torch.backends.cudnn.benchmark = True
    seconds = []
    for question in questions:
        torch.backends.cuda.matmul.allow_tf32 = question["tf32"]
        torch.backends.cudnn.allow_tf32 = question["tf32"]
        try:
            work = {"gemm": gemm, "convolution": convolution, "step": step}[question["kind"]](question, device)
            seconds.append(measure(work, device))
        except RuntimeError as error:
            print("%s: %s" % (question, error), file=sys.stderr)
            seconds.append(None)
        work = None
        if device.type == "cuda":
            torch.cuda.empty_cache()
    json.dump({"name": name, "seconds": seconds}, sys.stdout)


def measure(work, device):
    def run(count):
        start = time.perf_counter()
        for _ in range(count):
            work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    for _ in range(3):
        run(1)
    count = max(1, int(SAMPLE / max(run(1), 1e-7)) + 1)
    return sorted(run(count) / count for _ in range(SAMPLES))[SAMPLES // 2]


def gemm(question, device):
    m, n, k = question["m"], question["n"], question["k"]
    a = torch.rand(m, k, device=device) - 0.5
    b = torch.rand(n, k, device=device).t() - 0.5 if question["transpose_b"] else torch.rand(k, n, device=device) - 0.5
    c = torch.empty(m, n, device=device)
    return lambda: torch.mm(a, b, out=c)


def convolution(question, device):
    inputs, outputs = question["channels"]
    size, kernel, groups = question["size"], question["kernel"], question["groups"]
    stride, pad = [question["stride"]] * 2, [question["pad"]] * 2
    x = torch.rand(question["batch"], inputs, size, size, device=device) - 0.5
    weights = torch.rand(outputs, inputs // groups, kernel, kernel, device=device) - 0.5
    if question["pass"] == "forward":
        return lambda: torch.nn.functional.conv2d(x, weights, None, stride, pad, 1, groups)
    dy = torch.rand_like(torch.nn.functional.conv2d(x, weights, None, stride, pad, 1, groups)) - 0.5
    wanted = [question["pass"] == "data", question["pass"] == "filter", False]
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(dy, x, weights, None, stride, pad, [1, 1], False, [0, 0], groups, wanted)


def step(question, device):
    torch.manual_seed(0)
    net = (small() if question["smoke"] else alexnet()).to(device).train()
    for name, layer in net.named_children():
        if name in question["frozen"]:
            layer.requires_grad_(False)
    learning = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=1e-4, momentum=0.9)
    size, classes = (19, 10) if question["smoke"] else (227, 1000)
    images = torch.rand(question["batch"], 3, size, size)
    labels = torch.arange(question["batch"]) % classes
    if device.type == "cuda":
        images, labels = images.pin_memory(), labels.pin_memory()

    def work():
        optimizer.zero_grad(set_to_none=True)
        scores = net(images.to(device, non_blocking=True))
        loss = torch.nn.functional.cross_entropy(scores, labels.to(device, non_blocking=True))
        loss.backward()
        optimizer.step()
        # As ours, which looks whether the loss is a number still.
        loss.item()

    return work


def alexnet():
    from collections import OrderedDict

    nn = torch.nn
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 96, 11, stride=4),
            relu1=nn.ReLU(True),
            norm1=nn.LocalResponseNorm(5, 1e-4, 0.75),
            pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
            conv2=nn.Conv2d(96, 256, 5, padding=2, groups=2),
            relu2=nn.ReLU(True),
            norm2=nn.LocalResponseNorm(5, 1e-4, 0.75),
            pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
            conv3=nn.Conv2d(256, 384, 3, padding=1),
            relu3=nn.ReLU(True),
            conv4=nn.Conv2d(384, 384, 3, padding=1, groups=2),
            relu4=nn.ReLU(True),
            conv5=nn.Conv2d(384, 256, 3, padding=1, groups=2),
            relu5=nn.ReLU(True),
            pool5=nn.MaxPool2d(3, 2, ceil_mode=True),
            flat=nn.Flatten(),
            fc6=nn.Linear(9216, 4096),
            relu6=nn.ReLU(True),
            drop6=nn.Dropout(0.5),
            fc7=nn.Linear(4096, 4096),
            relu7=nn.ReLU(True),
            drop7=nn.Dropout(0.5),
            fc8=nn.Linear(4096, 1000),
        )
    )


def small():
    from collections import OrderedDict

    nn = torch.nn
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 4, 5, stride=2),
            relu1=nn.ReLU(True),
            pool1=nn.MaxPool2d(2, 2, ceil_mode=True),
            conv2=nn.Conv2d(4, 4, 3),
            relu2=nn.ReLU(True),
            flat=nn.Flatten(),
            fc8=nn.Linear(16, 10),
        )
    )


if __name__ == "__main__":
    main()
