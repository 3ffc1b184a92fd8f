# SPDX-License-Identifier: Apache-2.0
"""The Python side of python_optimizer_test.cpp: optimizers of the real torch.optim, stopped halfway and gone on with.

    python_optimizer_peer.py write FOLDER    trains 100 steps; NAME.half.pt after 50, NAME.full.pt at the end
    python_optimizer_peer.py check FOLDER    goes on from NAME.ours.pt, which the test wrote after 50 steps

A file is {"parameters": [...], "optimizer": optimizer.state_dict()}. tests/checkpoint/recorded/optimizer holds what
`write` gave once, for machines whose Python has no torch.
"""

import pathlib
import sys

import torch

sys.path.append(str(pathlib.Path(__file__).parents[1] / "optim"))
import without_compiler  # noqa: E402, F401

STEPS = 100
HALF = 50
SHAPES = [(5, 7), (11,), ()]

# Name: class, options, options of the second group, the last parameter has no gradient in the first half.
CASES = {
    "adam": (torch.optim.Adam, dict(lr=0.05, betas=(0.8, 0.95), weight_decay=0.1), {}, False),
    "adam_amsgrad_late": (torch.optim.Adam, dict(lr=0.05, amsgrad=True, maximize=True), dict(lr=0.01), True),
    "adamw_groups": (torch.optim.AdamW, dict(lr=0.05), dict(weight_decay=0, eps=1e-4, betas=(0.5, 0.9)), False),
    "sgd": (torch.optim.SGD, dict(lr=0.1, weight_decay=0.01), {}, False),
    "sgd_momentum": (torch.optim.SGD, dict(lr=0.05, momentum=0.9), dict(momentum=0.5, lr=0.02), False),
    "sgd_dampening": (torch.optim.SGD, dict(lr=0.1, momentum=0.8, dampening=0.5), {}, False),
    "sgd_nesterov": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1), {}, False),
}


def start(shape):
    count = torch.Size(shape).numel()
    return ((torch.arange(count) * 37 % 19 - 9).to(torch.float32) / 8).reshape(shape).requires_grad_()


def make(name, implementation):
    kind, options, second, _ = CASES[name]
    parameters = [start(shape) for shape in SHAPES]
    return parameters, kind([{"params": parameters[:1]}, {"params": parameters[1:], **second}], **options, **implementation)


def train(name, parameters, optimizer, first, last):
    late = CASES[name][3]
    for step in range(first, last):
        for i, parameter in enumerate(parameters):
            if late and i == 2 and step < HALF:
                continue
            parameter.grad = parameter.detach() * (i + 1) / 2 + ((step * 7 + i * 3) % 11 - 5) / 8
        optimizer.step()


def content(parameters, optimizer):
    return {"parameters": [parameter.detach() for parameter in parameters], "optimizer": optimizer.state_dict()}


def write(folder):
    for name in CASES:
        parameters, optimizer = make(name, dict(fused=True))
        train(name, parameters, optimizer, 0, HALF)
        torch.save(content(parameters, optimizer), folder / f"{name}.half.pt")
        train(name, parameters, optimizer, HALF, STEPS)
        torch.save(content(parameters, optimizer), folder / f"{name}.full.pt")


def go_on(name, folder, implementation):
    saved = torch.load(folder / f"{name}.ours.pt", weights_only=True)
    parameters, optimizer = make(name, implementation)
    with torch.no_grad():
        for parameter, value in zip(parameters, saved["parameters"], strict=True):
            parameter.copy_(value)
    optimizer.load_state_dict(saved["optimizer"])
    # What is saved replaces a group as a whole, and ours does not say how Python is to compute.
    for group in optimizer.param_groups:
        group.update(implementation)
    train(name, parameters, optimizer, HALF, STEPS)
    return parameters, optimizer


def check(folder):
    for name in CASES:
        full = torch.load(folder / f"{name}.full.pt", weights_only=True)
        parameters, optimizer = go_on(name, folder, dict(fused=True))
        for got, want in zip(parameters, full["parameters"], strict=True):
            assert torch.equal(got.detach(), want), (name, (got - want).abs().max())
        state = optimizer.state_dict()
        for got, want in zip(state["param_groups"], full["optimizer"]["param_groups"], strict=True):
            for option, value in want.items():
                assert option in ("foreach", "fused") or got[option] == (list(value) if option == "betas" else value), (name, option, got[option], value)
        assert state["state"].keys() == full["optimizer"]["state"].keys(), name
        # Another implementation rounds in another order: half a unit in the last place of numbers up to 2 in each step,
        # mostly forgotten again, because the problems are contractions (or grow with the unit).
        parameters, _ = go_on(name, folder, dict(foreach=False, fused=False))
        for got, want in zip(parameters, full["parameters"], strict=True):
            units = (got.detach() - want).abs() / (torch.finfo(torch.float32).eps * want.abs().clamp_min(1))
            assert units.max() <= 8, (name, units.max())


if __name__ == "__main__":
    torch.set_num_threads(1)  # the tensors are small
    {"write": write, "check": check}[sys.argv[1]](pathlib.Path(sys.argv[2]))
