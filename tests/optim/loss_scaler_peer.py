# SPDX-License-Identifier: Apache-2.0
"""The Python side of loss_scaler_test.cpp: 200 passes of the real torch.amp.GradScaler with random infinities.

    loss_scaler_peer.py FOLDER

writes, for each case, CASE: three little-endian float64 for each pass: whether an infinity was found, the scale after
the pass, and how many good passes the scaler has counted.
"""

import pathlib
import random
import sys

import torch
import without_compiler  # noqa: F401

STEPS = 200

# Name: options, share of the passes with an infinity.
CASES = {
    "often": (dict(init_scale=1024.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=5), 0.15),
    "odd_factors": (dict(init_scale=3.0, growth_factor=1.3, backoff_factor=0.7, growth_interval=3), 0.1),
    "to_the_top": (dict(init_scale=2.0**120, growth_factor=2.0, backoff_factor=0.5, growth_interval=2), 0.02),
    "defaults": ({}, 0.3),
}


def main(folder):
    torch.set_num_threads(1)
    for name, (options, share) in CASES.items():
        draw = random.Random(name)
        scaler = torch.amp.GradScaler("cpu", **options)
        parameter = torch.zeros(3, requires_grad=True)
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        trace = []
        for _ in range(STEPS):
            found = draw.random() < share
            scaler.scale(parameter.sum() * 0)
            parameter.grad = torch.full((3,), float("inf") if found else 0.0)
            scaler.step(optimizer)
            scaler.update()
            trace += [float(found), scaler.get_scale(), float(scaler._get_growth_tracker())]
        (folder / name).write_bytes(torch.tensor(trace, dtype=torch.float64).numpy().astype("<f8").tobytes())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
