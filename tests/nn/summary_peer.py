# SPDX-License-Identifier: Apache-2.0
"""The Python side of summary_python_test.cpp: what torchinfo says about the nets of summary_nets.hpp.

    summary_peer.py FOLDER    writes FOLDER/summary.json
    summary_peer.py --record  writes summary_reference.json beside this script

For each net: parameters, trainable, frozen, multiply_adds (torchinfo's totals), shapes (path of each module that ran to
the shape of its first result) and corrections: what torchinfo's multiply-adds lack, negative where they are too many, by
reason. The corrections are computed from what the modules were given, not by torchinfo. Ends with status 3 when torchinfo
is missing.
"""

import json
import pathlib
import sys

import torch
from torch import nn

try:
    import torchinfo
except ImportError:
    sys.exit(3)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Block(16, 16, 1), Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(self.avgpool(self.layer2(self.layer1(x))).flatten(1))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(12, 20, num_layers=2, bidirectional=True)
        self.head = nn.Linear(40, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][-1])


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.gru = nn.GRU(8, 16, batch_first=True)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.dropout(self.gru(self.embedding(x))[0].mean(1)))


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(20, 20)
        self.second = self.first
        self.relu = nn.ReLU()
        self.head = nn.Linear(20, 5)

    def forward(self, x):
        for _ in range(2):
            x = self.relu(self.second(self.relu(self.first(x))))
        return self.head(x)


class Own(nn.Module):
    """Holds parameters itself, beside those of its children."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(16))
        self.shift = nn.Parameter(torch.zeros(3, 16), requires_grad=False)
        self.body = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 16))

    def forward(self, x):
        return self.body(x * self.scale) + self.shift[0]


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.transformer = nn.Transformer(16, 2, 1, 2, 24)
        self.head = nn.Linear(16, 7)

    def forward(self, source, target):
        return self.head(self.transformer(source, target))


def frozen():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))
    for parameter in net[0].parameters():
        parameter.requires_grad_(False)
    net[4].bias.requires_grad_(False)
    return net


def nets():
    yield "mlp", nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)), [torch.zeros(32, 784)]
    yield "lenet", nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 10)), [torch.zeros(2, 1, 28, 28)]
    yield "vgg", nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.1)),
        nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.LeakyReLU(), nn.AvgPool2d(2), nn.Identity()),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10), nn.LogSoftmax(1)), [torch.zeros(4, 3, 16, 16)]
    yield "resnet", ResNet(), [torch.zeros(2, 3, 64, 64)]
    yield "lstm", Lstm(), [torch.zeros(7, 3, 12)]
    yield "text", Text(), [torch.zeros(5, 9, dtype=torch.long)]
    yield "encoder", nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32), 2, enable_nested_tensor=False), [
        torch.zeros(6, 3, 16)]
    yield "transformer", Transformer(), [torch.zeros(5, 2, 16), torch.zeros(4, 2, 16)]
    yield "shared", Shared(), [torch.zeros(3, 20)]
    yield "frozen", frozen(), [torch.zeros(2, 3, 8, 8)]
    yield "own", Own(), [torch.zeros(4, 16)]
    yield "separable", nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4), nn.PReLU(), nn.Conv2d(4, 12, 1), nn.GroupNorm(3, 12),
        nn.GELU(), nn.Flatten(2), nn.Conv1d(12, 6, 3, stride=2), nn.AdaptiveMaxPool1d(1), nn.Flatten(),
        nn.LayerNorm(6)), [torch.zeros(2, 4, 9, 9)]
    yield "decoder", nn.Sequential(
        nn.Linear(10, 32), nn.ReLU(), nn.Unflatten(1, (8, 2, 2)), nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.ReLU(),
        nn.Upsample(scale_factor=2), nn.ConstantPad2d(1, 0), nn.Conv2d(4, 1, 3), nn.Sigmoid()), [torch.zeros(3, 10)]


def product(numbers):
    return int(torch.tensor(list(numbers), dtype=torch.long).prod())


def corrections_of(net, inputs, mode):
    """What torchinfo's own formula leaves out or has too much, from the tensors that each module was given."""
    found = {}

    def add(reason, count):
        if count != 0:
            found[reason] = found.get(reason, 0) + int(count)

    def look(module, given, result):
        if isinstance(module, nn.MultiheadAttention):
            query, key = given[0], given[1]
            length, samples, size = query.shape
            other = key.shape[0]
            add("projections of attention", samples * (length + 2 * other) * (size * size + size))
            add("projections of attention", samples * length * (size * size + size))
            add("products of attention", 2 * samples * length * other * size)
        elif isinstance(module, nn.Linear) and result.dim() > 2:
            parameters = sum(p.numel() for p in module.parameters())
            add("positions of sequences", parameters * (product(result.shape[:-1]) - result.shape[0]))
        elif isinstance(module, nn.Embedding):
            add("embeddings", -result.shape[0] * module.weight.numel())
        elif isinstance(module, nn.ConvTranspose2d):
            weights, positions = module.weight.numel(), given[0].shape[0] * product(given[0].shape[2:])
            add("transposed convolutions", weights * (positions - result.shape[0] * product(result.shape[2:])))

    handles = [module.register_forward_hook(look) for module in net.modules()]
    net.train(mode == "train")
    with torch.no_grad():
        net(*inputs)
    for handle in handles:
        handle.remove()
    return found


def path_of(layer):
    names = []
    while layer.parent_info is not None:
        names.insert(0, layer.var_name)
        layer = layer.parent_info
    return ".".join(names)


def describe(net, inputs, name):
    # In eval mode a transformer of Python takes a fused path past its own layers.
    mode = "train" if name in ("encoder", "transformer") else "eval"
    result = torchinfo.summary(net, input_data=inputs, verbose=0, mode=mode, depth=20)
    shapes = {}
    for layer in result.summary_list:
        if layer.executed and layer.output_size:
            shapes.setdefault(path_of(layer), list(layer.output_size))
    return {
        "parameters": result.total_params,
        "trainable": result.trainable_params,
        "frozen": result.total_params - result.trainable_params,
        "multiply_adds": result.total_mult_adds,
        "activation_bytes": result.total_output_bytes,
        "corrections": corrections_of(net, inputs, mode),
        "shapes": shapes,
    }


def main(argument):
    here = pathlib.Path(__file__).resolve().parent
    target = here / "summary_reference.json" if argument == "--record" else pathlib.Path(argument) / "summary.json"
    everything = {name: describe(net, inputs, name) for name, net, inputs in nets()}
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in everything.items()]
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
