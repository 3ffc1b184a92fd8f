# SPDX-License-Identifier: Apache-2.0
"""The Python side of schedule_python_test.cpp: learning rates of the real torch.optim.lr_scheduler over 1,000 updates.

    schedule_peer.py FOLDER

writes, for each case, CASE: the rates of both groups that each update runs with, as little-endian float64.
"""

import pathlib
import sys
import warnings

import torch
from torch.optim import lr_scheduler as schedulers

STEPS = 1000
STEPS_PER_EPOCH = 40

CASES = {
    "lambda": (lambda o: schedulers.LambdaLR(o, lambda u: 1 / (1 + 0.01 * u)), 1),
    "lambda_epochs": (lambda o: schedulers.LambdaLR(o, lambda e: 0.9**e), STEPS_PER_EPOCH),
    "warmup": (lambda o: schedulers.LinearLR(o, start_factor=0.1, total_iters=300), 1),
    "cosine": (lambda o: schedulers.CosineAnnealingLR(o, T_max=STEPS), 1),
    "cosine_epochs": (lambda o: schedulers.CosineAnnealingLR(o, T_max=25), STEPS_PER_EPOCH),
    "step": (lambda o: schedulers.StepLR(o, step_size=130, gamma=0.5), 1),
    "step_epochs": (lambda o: schedulers.StepLR(o, step_size=7, gamma=0.1), STEPS_PER_EPOCH),
    "sequence": (lambda o: schedulers.SequentialLR(o, [
        schedulers.LinearLR(o, start_factor=0.25, total_iters=100),
        schedulers.StepLR(o, step_size=150, gamma=0.5),
        schedulers.CosineAnnealingLR(o, T_max=400),
    ], milestones=[100, 600]), 1),
}


def main(folder):
    warnings.simplefilter("ignore")  # SequentialLR calls its parts in a way that torch itself warns of
    torch.set_num_threads(1)
    for name, (make, every) in CASES.items():
        tensors = [torch.zeros(1, requires_grad=True) for _ in range(2)]
        optimizer = torch.optim.SGD([{"params": [tensors[0]]}, {"params": [tensors[1]], "lr": 0.003}], lr=0.1)
        scheduler = make(optimizer)
        rates = []
        for step in range(STEPS):
            rates += [group["lr"] for group in optimizer.param_groups]
            optimizer.step()
            if (step + 1) % every == 0:
                scheduler.step()
        (folder / name).write_bytes(torch.tensor(rates, dtype=torch.float64).numpy().astype("<f8").tobytes())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
