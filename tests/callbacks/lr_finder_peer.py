# SPDX-License-Identifier: Apache-2.0
"""The range test of Smith (2017) by hand, with Lightning's running mean, on recorded weights and batches."""

import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file

sys.path.append(str(pathlib.Path(__file__).parents[1] / "optim"))
import without_compiler  # noqa: E402, F401


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module("in", torch.nn.Linear(4, 8))
        self.norm = torch.nn.BatchNorm1d(8)
        self.out = torch.nn.Linear(8, 3)

    def forward(self, x):
        return self.out(torch.relu(self.norm(getattr(self, "in")(x))))


def main(folder):
    start = load_file(f"{folder}/start.safetensors")
    inputs, targets = start.pop("inputs"), start.pop("targets")
    lowest, highest, steps, beta, batch = (float(x) for x in start.pop("sweep"))
    steps, batch = int(steps), int(batch)
    net = Small()
    net.load_state_dict(start)
    optimizer = torch.optim.SGD(net.parameters(), lr=lowest, momentum=0.9, fused=True)
    losses, smoothed, mean = [], [], 0.0
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lowest * (highest / lowest) ** (step / (steps - 1))
        rows = slice(step * batch, (step + 1) * batch)
        loss = torch.nn.functional.cross_entropy(net(inputs[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        mean = beta * mean + (1 - beta) * losses[-1]
        smoothed.append(mean / (1 - beta ** (step + 1)))
    as_tensor = lambda values: torch.tensor(values, dtype=torch.float64)
    save_file({"losses": as_tensor(losses), "smoothed": as_tensor(smoothed)}, f"{folder}/curve.safetensors")


main(sys.argv[1])
