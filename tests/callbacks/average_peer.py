# SPDX-License-Identifier: Apache-2.0
"""Averages the weights of a recorded run as torch.optim.swa_utils does, and counts BatchNorm's statistics again."""

import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn

sys.path.append(str(pathlib.Path(__file__).parents[1] / "optim"))
import without_compiler  # noqa: E402, F401


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        # "in" is a keyword here and a good name there.
        self.add_module("in", torch.nn.Linear(4, 8))
        self.norm = torch.nn.BatchNorm1d(8)
        self.out = torch.nn.Linear(8, 3)

    def forward(self, x):
        return self.out(torch.relu(self.norm(getattr(self, "in")(x))))


def main(folder):
    run = load_file(f"{folder}/run.safetensors")
    steps = int(run["steps"])
    net = Small()
    names = list(net.state_dict())
    averages = {
        "ema": AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9)),
        "ema_buffers": AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True),
        "swa": AveragedModel(net),
    }
    out = {}
    for step in range(1, steps + 1):
        net.load_state_dict({name: run[f"{step}.{name}"] for name in names})
        for name, average in averages.items():
            if name != "swa" or step in (12, 18):  # the ends of epochs 2 and 3
                average.update_parameters(net)
    for name, average in averages.items():
        for key, tensor in average.module.state_dict().items():
            out[f"{name}.{key}"] = tensor.clone()
    update_bn(run["input"].split(4), averages["swa"])
    for key, tensor in averages["swa"].module.state_dict().items():
        out[f"refreshed.{key}"] = tensor.clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    schedule = SWALR(optimizer, swa_lr=0.05, anneal_epochs=4)
    rates = []
    for _ in range(7):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    out["rates"] = torch.tensor(rates, dtype=torch.float64)
    save_file(out, f"{folder}/averages.safetensors")


main(sys.argv[1])
