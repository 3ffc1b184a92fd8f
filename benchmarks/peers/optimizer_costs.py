# SPDX-License-Identifier: Apache-2.0
"""The Python side of optimizer_costs.cpp: the same tensors and options by torch.optim.

    optimizer_costs.py --threads N --steps N

The last line is a JSON object: for each class the seconds of a step by the name of the variant (default, foreach, fused).
"""

import argparse
import json
import statistics
import time

import torch

TENSORS, SIDE = 160, 395


def parameters(count=TENSORS):
    made = [torch.randn(SIDE, SIDE, requires_grad=True) for _ in range(count)]
    for tensor in made:
        tensor.grad = torch.randn(SIDE, SIDE) * 1e-2
    return made


def seconds_of(steps, step):
    step()
    step()
    seconds = []
    for _ in range(steps):
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def variants(kind, steps, count=TENSORS, **options):
    found = {}
    for name, variant in (("default", {}), ("foreach", {"foreach": True}), ("fused", {"fused": True})):
        try:
            optimizer = kind(parameters(count), **options, **variant)
        except TypeError:  # there is no such variant
            continue
        found[name] = seconds_of(steps, optimizer.step)
    return found


def sparse(steps):
    weight = torch.randn(100000, 128, requires_grad=True)
    optimizer = torch.optim.SparseAdam([weight])
    rows, values = torch.randint(100000, (1, 16384)), torch.randn(16384, 128)

    def step():
        weight.grad = torch.sparse_coo_tensor(rows, values, weight.shape)
        optimizer.step()

    return {"default": seconds_of(steps, step)}


def lbfgs(steps):
    made = parameters()
    optimizer = torch.optim.LBFGS(made, lr=0.1, max_iter=3, tolerance_grad=0, tolerance_change=0, history_size=6)
    slopes = [torch.rand_like(tensor) + 0.5 for tensor in made]
    evaluating = 0.0

    @torch.no_grad()
    def evaluate():
        nonlocal evaluating
        begin = time.perf_counter()
        for tensor, slope in zip(made, slopes, strict=True):
            torch.mul(tensor, slope, out=tensor.grad)
        evaluating += time.perf_counter() - begin
        return torch.ones(())

    for _ in range(3):
        optimizer.step(evaluate)
    seconds = []
    for _ in range(steps):
        evaluating = 0.0
        begin = time.perf_counter()
        optimizer.step(evaluate)
        seconds.append(time.perf_counter() - begin - evaluating)
    return {"default": statistics.median(seconds)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.sparse.check_sparse_tensor_invariants.disable()
    optim, steps = torch.optim, arguments.steps
    report = {"SGD": variants(optim.SGD, steps, momentum=0.9)}
    for name in ("Adam", "AdamW", "Adagrad", "NAdam", "RAdam", "Adamax", "Adadelta", "RMSprop", "Rprop", "ASGD", "Adafactor"):
        report[name] = variants(getattr(optim, name), steps)
    report["Muon"] = variants(optim.Muon, 1, count=8)
    report["SparseAdam"] = sparse(steps)
    report["LBFGS"] = lbfgs(min(steps, 3))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
