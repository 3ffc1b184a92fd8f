# SPDX-License-Identifier: Apache-2.0
"""The Python side of optimizer_python_test.cpp: the same problems, trained by the real torch.optim.

    optimizer_peer.py FOLDER

writes, for every case, NAME.default and, where the fused implementation can run it, NAME.fused: after each of 100
steps all parameters one after the other, as little-endian float64. NAME.scaled is the same with gradients that the step
divides, and steps that it skips; there each parameter is followed by its gradient.
"""

import pathlib
import sys

import torch
import without_compiler  # noqa: F401

STEPS = 100
LATE_STEP = 10
SHAPES = [(5, 7), (11,), ()]

# Name: class, options, options of the second group, first gradient of the last parameter comes late.
CASES = {
    "adam": (torch.optim.Adam, dict(lr=0.05), {}, False),
    "adam_decay": (torch.optim.Adam, dict(lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1), {}, False),
    "adam_amsgrad": (torch.optim.Adam, dict(lr=0.05, amsgrad=True), {}, False),
    "adam_maximize": (torch.optim.Adam, dict(lr=0.01, maximize=True, weight_decay=0.5), {}, False),
    "adam_groups_late": (torch.optim.Adam, dict(lr=0.05, weight_decay=0.1),
                         dict(lr=0.01, betas=(0.5, 0.9), eps=1e-4, weight_decay=0), True),
    "adamw": (torch.optim.AdamW, dict(lr=0.05), {}, False),
    "adamw_amsgrad_maximize": (torch.optim.AdamW, dict(lr=0.01, weight_decay=0.3, amsgrad=True, maximize=True), {}, False),
    "adamw_groups_late": (torch.optim.AdamW, dict(lr=0.05), dict(weight_decay=0), True),
    "sgd": (torch.optim.SGD, dict(lr=0.1), {}, False),
    "sgd_decay_maximize": (torch.optim.SGD, dict(lr=0.01, weight_decay=1.5, maximize=True), {}, False),
    "sgd_momentum": (torch.optim.SGD, dict(lr=0.05, momentum=0.9), {}, False),
    "sgd_dampening": (torch.optim.SGD, dict(lr=0.1, momentum=0.8, dampening=0.5, weight_decay=0.1), {}, False),
    "sgd_nesterov": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1), {}, False),
    "sgd_groups_late": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, dampening=0.25), dict(lr=0.02, momentum=0.5), True),
    "sgd_plain_group": (torch.optim.SGD, dict(lr=0.05, momentum=0.9), dict(momentum=0, weight_decay=0.2), False),
}


def start(shape, dtype):
    count = torch.Size(shape).numel()
    return ((torch.arange(count) * 37 % 19 - 9).to(dtype) / 8).reshape(shape).requires_grad_()


def set_gradients(parameters, step, late):
    """A paraboloid for each parameter whose lowest point moves with the steps."""
    for i, parameter in enumerate(parameters):
        if late and i == 2 and step < LATE_STEP:
            continue
        shift = ((step * 7 + i * 3) % 11 - 5) / 8
        parameter.grad = parameter.detach() * (i + 1) / 2 + shift


def scale_gradients(optimizer, parameters, step):
    """As torch.amp.GradScaler tells a fused optimizer."""
    optimizer.grad_scale = torch.tensor(3.0 ** (step % 4))
    optimizer.found_inf = torch.tensor(1.0 if step % 7 == 3 else 0.0)
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad *= 3.0 ** (step % 4)


def train(kind, options, second, late, dtype, implementation, scaled=False):
    parameters = [start(shape, dtype) for shape in SHAPES]
    groups = [{"params": parameters[:1]}, {"params": parameters[1:], **second}]
    optimizer = kind(groups, **options, **implementation)
    trace = []
    for step in range(STEPS):
        set_gradients(parameters, step, late)
        if scaled:
            scale_gradients(optimizer, parameters, step)
        optimizer.step()
        for parameter in parameters:
            seen = [parameter.detach(), parameter.grad] if scaled else [parameter.detach()]
            trace.extend(tensor.clone().flatten().to(torch.float64) for tensor in seen if tensor is not None)
    return torch.cat(trace).numpy().astype("<f8").tobytes()


def main(folder):
    torch.set_num_threads(1)  # the tensors are small
    for name, (kind, options, second, late) in CASES.items():
        for dtype in (torch.float32, torch.float64):
            path = folder / f"{name}.{str(dtype).removeprefix('torch.')}"
            case = (kind, options, second, late, dtype)
            path.with_name(path.name + ".default").write_bytes(train(*case, dict(foreach=False)))
            # The fused SGD of Python takes no parameter whose first momentum comes later than that of the others.
            if not (kind is torch.optim.SGD and late):
                path.with_name(path.name + ".fused").write_bytes(train(*case, dict(fused=True)))
                path.with_name(path.name + ".scaled").write_bytes(train(*case, dict(fused=True), scaled=True))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
