# SPDX-License-Identifier: Apache-2.0
"""TorchScript for tests of athanor/nn/script_module.

    script_module_peer.py make FOLDER     writes net.pt (scripted), pair.pt (two arguments, a dictionary), weights.pt
                                          (torch.save), and case.pt with an input and what the nets make of it
    script_module_peer.py check FOLDER    opens trained.pt, and writes answer.pt: its output in eval mode for the input
                                          of case.pt, the names of its tensors, and whether it was in train mode

Ends with 77 where there is no torch. tests/nn/recorded holds what `make` wrote with PyTorch 2.13.
"""

import os
import sys
import warnings

try:
    import torch
except ImportError:
    sys.exit(77)
warnings.simplefilter("ignore")


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 8)
        self.norm = torch.nn.BatchNorm1d(8)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(torch.relu(self.norm(self.linear(x))))


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()
        self.out = torch.nn.Linear(8, 3)
        self.out.bias.requires_grad_(False)

    def forward(self, x):
        return self.out(self.block(x))


class Pair(torch.nn.Module):
    def forward(self, a, b):
        return {"sum": a + b, "product": a * b}, a - b


def make(folder):
    torch.manual_seed(5)
    net = Net()
    x = torch.randn(6, 4)
    case = {"input": x, "output": net.eval()(x).detach()}
    torch.jit.script(net.train()).save(os.path.join(folder, "net.pt"))
    torch.jit.script(Pair()).save(os.path.join(folder, "pair.pt"))
    torch.save(net.state_dict(), os.path.join(folder, "weights.pt"))
    torch.save(case, os.path.join(folder, "case.pt"))


def check(folder):
    net = torch.jit.load(os.path.join(folder, "trained.pt"))
    training = net.training
    x = torch.load(os.path.join(folder, "case.pt"), weights_only=True)["input"]
    names = [name for name, _ in net.named_parameters()] + [name for name, _ in net.named_buffers()]
    answer = {"output": net.eval()(x).detach(), "names": names, "training": training}
    torch.save(answer, os.path.join(folder, "answer.pt"))


{"make": make, "check": check}[sys.argv[1]](sys.argv[2])
