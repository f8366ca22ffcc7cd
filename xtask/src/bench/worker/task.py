"""Fine-tunes open_nsfw's ResNet in PyTorch: WEIGHTS.npz DATA EPOCHS BATCH RATE SEED THREADS.

All is frozen, BatchNorm included, but the last block's convolutions and a new head. Rates and the head's first values are those that
the definition and Caffe's xavier filler give it: ten times the rate, and biases twice as fast as weights. DATA has
train.npz and val.npz. The images are in memory before the time begins that is taken; validation is part of it. The last line is JSON:
the accuracy after each epoch, and the seconds.
"""
import json
import sys
import time


def main(weights, data, epochs, batch, rate, seed, threads):
    modules = Modules(threads)
    modules.open(weights)
    torch, nn = modules.torch, modules.torch.nn
    torch.manual_seed(seed)
    (images, labels), (val_images, val_labels) = (load(torch, "%s/%s.npz" % (data, part)) for part in ["train", "val"])
    *trunk, last, pool, flat, _ = modules.nsfw()
    head = nn.Linear(1024, int(labels.max()) + 1)
    nn.init.uniform_(head.weight, -(3 / 1024) ** 0.5, (3 / 1024) ** 0.5)
    nn.init.uniform_(head.bias, -(3**0.5), 3**0.5)
    trunk, top = nn.Sequential(*trunk).eval(), nn.Sequential(last, pool, flat, head).eval()
    for parameter in [*trunk.parameters(), *last.parameters()]:
        parameter.requires_grad_(False)
    groups = [{"params": [head.weight], "lr": 10 * rate}, {"params": [head.bias], "lr": 20 * rate}]
    for module in last.modules():
        if isinstance(module, nn.Conv2d):
            groups += [{"params": [module.weight], "lr": rate}, {"params": [module.bias], "lr": 2 * rate}]
            module.requires_grad_(True)
    optimizer = torch.optim.Adam(groups, lr=rate)

    def outputs(images):
        with torch.no_grad():
            features = trunk(images)
        return top(features)

    start, accuracies = time.perf_counter(), []
    for _ in range(epochs):
        for chosen in torch.randperm(len(labels)).split(batch):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(outputs(images[chosen]), labels[chosen]).backward()
            optimizer.step()
        with torch.no_grad():
            pairs = zip(val_images.split(batch), val_labels.split(batch))
            right = sum((outputs(x).argmax(1) == y).sum().item() for x, y in pairs)
        accuracies.append(right / len(val_labels))
    print(json.dumps({"accuracy": accuracies, "seconds": time.perf_counter() - start}))


def load(torch, path):
    with np.load(path) as arrays:
        mean = torch.tensor([104.0, 117.0, 123.0])[:, None, None]
        return torch.from_numpy(arrays["images"]).float() - mean, torch.from_numpy(arrays["labels"]).long()


kinds = [str, str, int, int, float, int, int]
main(*(kind(word) for kind, word in zip(kinds, sys.argv[1:])))
