# SPDX-License-Identifier: Apache-2.0
"""The Python side of trajectory_python_test.cpp: the same training, written as PyTorch users write it.

    trajectory_peer.py FOLDER

reads start.safetensors (weights of two nets, inputs, labels) and writes, for every case, NAME.safetensors: the weights
after 200 updates and `losses`, one for each update.
"""

import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file

sys.path.append(str(pathlib.Path(__file__).parents[1] / "optim"))
import without_compiler  # noqa: E402, F401

UPDATES = 200
BATCH = 12
MICRO = 4


def make_net(saved, prefix, inputs, outputs):
    net = torch.nn.Sequential(torch.nn.Linear(inputs, 16), torch.nn.Tanh(), torch.nn.Linear(16, outputs))
    net.load_state_dict({name: saved[prefix + name].clone() for name in net.state_dict()})
    return net


def batches(saved, size):
    return list(zip(saved["input"].split(size), saved["target"].split(size)))


def one_net(saved, *, micro=1, clip_norm=None, clip_value=None, autocast=None, scaler=None, l1=0.0, l2=0.0, optimizer=None):
    net = make_net(saved, "a.", 4, 3)
    optimizer = (optimizer or (lambda p: torch.optim.Adam(p, lr=0.01, fused=True)))(net.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=scaler, growth_interval=20, enabled=True) if scaler else None
    windows = batches(saved, BATCH)
    if micro > 1:
        parts = batches(saved, MICRO)
        windows = [parts[i:i + micro] for i in range(0, len(parts), micro)]
    else:
        windows = [[window] for window in windows]
    losses = []
    for window in windows[:UPDATES]:
        samples = sum(len(target) for _, target in window)
        optimizer.zero_grad()
        mean = 0.0
        for inputs, target in window:
            share = len(target) / samples
            with torch.autocast("cpu", dtype=autocast, enabled=autocast is not None):
                loss = torch.nn.functional.cross_entropy(net(inputs), target)
            scaled = loss * share
            (scaler.scale(scaled) if scaler else scaled).backward()
            mean += loss.item() * share
        if l1 or l2:
            penalty = sum(l1 * p.abs().sum() + l2 * p.pow(2).sum() for n, p in net.named_parameters() if n.endswith("weight"))
            penalty.backward()
        if scaler:
            scaler.unscale_(optimizer)
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(net.parameters(), clip_norm)
        if clip_value is not None:
            torch.nn.utils.clip_grad_value_(net.parameters(), clip_value)
        if scaler:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        losses.append(mean)
    return {"a." + n: t for n, t in net.state_dict().items()} | {"losses": torch.tensor(losses, dtype=torch.float64)}


def two_nets(saved):
    """A generator and a critic: the critic steps in every second pass, each sees its own gradients."""
    generator, critic = make_net(saved, "g.", 4, 4), make_net(saved, "c.", 4, 1)
    of_generator = torch.optim.Adam(generator.parameters(), lr=0.005, fused=True)
    of_critic = torch.optim.SGD(critic.parameters(), lr=0.02, momentum=0.9, fused=True)
    losses = []
    for step, (inputs, _) in enumerate(batches(saved, BATCH)[:UPDATES]):
        of_generator.zero_grad()
        loss = (critic(generator(inputs)) - 1).pow(2).mean()
        loss.backward(inputs=list(generator.parameters()))
        torch.nn.utils.clip_grad_norm_(generator.parameters(), 0.05)
        of_generator.step()
        losses.append(loss.item())
        if step % 2 == 0:
            of_critic.zero_grad()
            loss = (critic(inputs) - 1).pow(2).mean() + critic(generator(inputs)).pow(2).mean()
            loss.backward(inputs=list(critic.parameters()))
            of_critic.step()
    return ({"g." + n: t for n, t in generator.state_dict().items()} | {"c." + n: t for n, t in critic.state_dict().items()}
            | {"losses": torch.tensor(losses, dtype=torch.float64)})


def main(folder):
    torch.set_num_threads(1)
    saved = load_file(folder / "start.safetensors")
    cases = {
        "plain": lambda: one_net(saved),
        "accumulation": lambda: one_net(saved, micro=3),
        "clip_norm": lambda: one_net(saved, clip_norm=0.1),
        "clip_value": lambda: one_net(saved, clip_value=0.01),
        "bf16": lambda: one_net(saved, autocast=torch.bfloat16),
        "f16_scaler": lambda: one_net(saved, autocast=torch.float16, scaler=2.0**22),
        "f16_scaler_clip": lambda: one_net(saved, autocast=torch.float16, scaler=2.0**22, clip_norm=0.1),
        "penalty": lambda: one_net(saved, l1=1e-3, l2=1e-2),
        "sgd_accumulation_clip": lambda: one_net(
            saved, micro=3, clip_norm=0.5, optimizer=lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True)),
        "two_optimizers": lambda: two_nets(saved),
    }
    for name, run in cases.items():
        save_file({k: v.contiguous() for k, v in run().items()}, folder / f"{name}.safetensors")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
