# SPDX-License-Identifier: Apache-2.0
"""The Python side of clip_python_test.cpp: gradients clipped by the real torch.nn.utils.

    clip_peer.py FOLDER

writes, as little-endian float64, for each dtype DTYPE.gradients, all gradients one after the other; and for each case
DTYPE.CASE.clipped, the same clipped, and DTYPE.CASE.norm, the norm before.
"""

import math
import pathlib
import sys

import torch

SHAPES = [(300, 70), (11,), (), (3, 5, 4, 4)]
DTYPES = [torch.float32, torch.float64, torch.bfloat16]

# Name: largest norm, type of norm.
NORMS = {
    "two": (0.5, 2.0),
    "two_not_reached": (1e6, 2.0),
    "zero": (0.0, 2.0),
    "one": (3.0, 1.0),
    "infinity": (0.25, math.inf),
}
VALUES = {"value": 0.375}


def write(path, tensors):
    path.write_bytes(torch.cat([tensor.flatten().to(torch.float64) for tensor in tensors]).numpy().astype("<f8").tobytes())


def parameters_with(gradients):
    parameters = [torch.zeros_like(gradient).requires_grad_() for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients):
        parameter.grad = gradient.clone()
    return parameters + [torch.zeros(3, requires_grad=True)]  # the last has no gradient


def main(folder):
    torch.manual_seed(1)
    for dtype in DTYPES:
        kind = str(dtype).removeprefix("torch.")
        gradients = [torch.randn(shape, dtype=torch.float64).to(dtype) for shape in SHAPES]
        write(folder / f"{kind}.gradients", gradients)
        for name, (largest, norm_type) in NORMS.items():
            parameters = parameters_with(gradients)
            norm = torch.nn.utils.clip_grad_norm_(parameters, largest, norm_type)
            write(folder / f"{kind}.{name}.norm", [norm])
            write(folder / f"{kind}.{name}.clipped", [p.grad for p in parameters[:-1]])
        for name, largest in VALUES.items():
            parameters = parameters_with(gradients)
            torch.nn.utils.clip_grad_value_(parameters, largest)
            write(folder / f"{kind}.{name}.clipped", [p.grad for p in parameters[:-1]])


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
