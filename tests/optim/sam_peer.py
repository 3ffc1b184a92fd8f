# SPDX-License-Identifier: Apache-2.0
"""The Python side of sam_python_test.cpp: SAM and ASAM as the papers write them, around the real torch.optim.

    sam_peer.py FOLDER

writes, for every case, NAME: the loss of the first evaluation and all parameters after each of 50 steps, one after the
other, as little-endian float64.
"""

import pathlib
import sys

import torch
import without_compiler  # noqa: F401

STEPS = 50

# Name: base optimizer, its options, options of the second group, rho, eta (None: SAM, not ASAM).
CASES = {
    "sam_sgd": (torch.optim.SGD, dict(lr=0.1), {}, 0.05, None),
    "sam_momentum": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01), {}, 0.2, None),
    "sam_adamw_groups": (torch.optim.AdamW, dict(lr=0.02), dict(lr=0.005, weight_decay=0), 0.1, None),
    "asam_momentum": (torch.optim.SGD, dict(lr=0.05, momentum=0.9), {}, 0.5, 0.01),
    "asam_adam": (torch.optim.Adam, dict(lr=0.01), {}, 1.0, 0.0),
}


def start(*shape):
    count = torch.Size(shape).numel()
    return ((torch.arange(count) * 37 % 19 - 9).double() / 16).reshape(shape).requires_grad_()


def loss_of(w1, b1, w2, b2, step):
    x = torch.sin(torch.arange(24).double() * (1 + step % 5)).reshape(8, 3)
    y = (x.sum(1, keepdim=True) * 0.5 - 0.25).cos()
    return ((torch.tanh(x @ w1 + b1) @ w2 + b2 - y) ** 2).mean()


def sam_step(parameters, optimizer, evaluate, rho, eta):
    optimizer.zero_grad()
    loss = evaluate()
    loss.backward()
    with torch.no_grad():
        size = [torch.ones_like(p) if eta is None else p.abs() + eta for p in parameters]
        norm = torch.stack([(t * p.grad).norm() for t, p in zip(size, parameters)]).norm()
        before = [p.clone() for p in parameters]
        for t, p in zip(size, parameters):
            p += rho * t**2 * p.grad / (norm + 1e-12)
    optimizer.zero_grad()
    evaluate().backward()
    with torch.no_grad():
        for p, old in zip(parameters, before):
            p.copy_(old)
    optimizer.step()
    return loss.detach()


def train(kind, options, second, rho, eta):
    parameters = [start(3, 6), start(6), start(6, 1), start(1)]
    optimizer = kind([{"params": parameters[:2]}, {"params": parameters[2:], **second}], **options)
    trace = []
    for step in range(STEPS):
        trace.append(sam_step(parameters, optimizer, lambda: loss_of(*parameters, step), rho, eta).reshape(1))
        trace.extend(p.detach().clone().flatten() for p in parameters)
    return torch.cat(trace).numpy().astype("<f8").tobytes()


def main(folder):
    torch.set_num_threads(1)
    for name, case in CASES.items():
        (folder / name).write_bytes(train(*case))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
