# SPDX-License-Identifier: Apache-2.0
"""The Python side of schedule_python_test.cpp: random schedules out of torch.optim.lr_scheduler over 1,000 updates.

    schedule_peer.py FOLDER SEED [CASES]      writes FOLDER/cases.json and FOLDER/rates, CASES of each kind
    schedule_peer.py --record FILE            writes the file that lies beside this script as schedule_reference.json

A case is the kind of schedule and its parameters; `every` updates are a step of the scheduler. Its rates are three
numbers for each update, what that update runs with: the learning rates of both groups and the momentum of the first.
In `rates` they are little-endian float64, in the recorded file those of the updates in `POINTS`. Exit code 77: torch is
not there.
"""

import json
import math
import pathlib
import random
import sys
import warnings

try:
    import torch
    from torch.optim import lr_scheduler as schedulers
except ImportError:
    sys.exit(77)
import without_compiler  # noqa: E402, F401

STEPS = 1000
STEPS_PER_EPOCH = 40
POINTS = [0, 1, 2, 3, 8, 21, 39, 40, 80, 120, 200, 333, 500, 610, 760, 880, 960, 999]


def warmup_factor(p, t):
    """The warm-ups of phww by their formulas, in factors of the base rate."""
    if t >= p["total"]:
        return 1.0
    share = t / p["total"]
    if p["shape"] == "linear":
        return p["start"] + (1 - p["start"]) * share
    if p["shape"] == "exponential":
        return p["start"] * (1 / p["start"]) ** share
    return p["start"]


def inverse_square_root_factor(p, t):
    """transformers.get_inverse_sqrt_schedule without a time scale of its own."""
    return t / p["warmup"] if t < p["warmup"] else 1 / math.sqrt(t / p["warmup"])


def linear_then_cosine_factor(p, t):
    """transformers.get_cosine_schedule_with_warmup, with the least rate of get_cosine_with_min_lr_schedule_with_warmup."""
    if t < p["warmup"]:
        return t / p["warmup"]
    progress = min((t - p["warmup"]) / (p["total"] - p["warmup"]), 1.0)
    return 0.5 * (1 + math.cos(math.pi * progress)) * (1 - p["least"]) + p["least"]


def warmup_stable_decay_factor(p, t):
    """transformers.get_wsd_schedule: linear warm-up, stable, and the decays linear, cosine and 1-sqrt."""
    if t < p["warmup"]:
        return t / p["warmup"]
    if t < p["total"] - p["decay"]:
        return 1.0
    progress = min((t - (p["total"] - p["decay"])) / p["decay"], 1.0)
    left = {"linear": 1 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
            "1-sqrt": 1 - math.sqrt(progress)}[p["shape"]]
    return left * (1 - p["least"]) + p["least"]


def value_of(p, k):
    """What a plateau watches after k updates: a fall with steps, so that values are often equal."""
    if p["nan_every"] and k % p["nan_every"] == p["nan_every"] - 1:
        return math.nan
    value = math.floor(p["levels"] / (1 + k / p["decay"]) + k * p["mult"] % 7) / 4 + p["offset"]
    return 100 - value if p["mode"] == "max" else value  # torch's relative threshold takes positive values only


def by_lambda(function):
    return lambda o, p: schedulers.LambdaLR(o, lambda t: function(p, t))


def momentum_options(p):
    if p["momentum"] is None:
        return {"cycle_momentum": False}
    return {"cycle_momentum": True, "base_momentum": p["momentum"][0], "max_momentum": p["momentum"][1]}


def make_cyclic(o, p):
    bases = [group["lr"] for group in o.param_groups]
    return schedulers.CyclicLR(o, bases, [base * p["top"] for base in bases], step_size_up=p["up"],
                               step_size_down=p["down"], mode=p["height"], gamma=p["gamma"], **momentum_options(p))


def make_one_cycle(o, p):
    return schedulers.OneCycleLR(o, [group["lr"] for group in o.param_groups], total_steps=p["total"],
                                 pct_start=p["rise"], anneal_strategy=p["anneal"], div_factor=p["start"],
                                 final_div_factor=p["end"], three_phase=p["three"], **momentum_options(p))


def make_plateau(o, p):
    return schedulers.ReduceLROnPlateau(o, p["mode"], p["factor"], p["patience"], p["min_change"],
                                        "rel" if p["relative"] else "abs", p["cooldown"],
                                        [group["lr"] * p["least"] for group in o.param_groups], eps=0)


def make_sequential(o, p):
    return schedulers.SequentialLR(o, [
        schedulers.LinearLR(o, start_factor=p["start"], total_iters=p["warmup"]),
        schedulers.StepLR(o, step_size=p["size"], gamma=p["gamma"]),
        schedulers.ExponentialLR(o, gamma=p["decay"]),
    ], milestones=[p["warmup"], p["warmup"] + p["stay"]])


def make_chained(o, p):
    return schedulers.ChainedScheduler([
        schedulers.ConstantLR(o, factor=p["factor"], total_iters=p["total"]),
        schedulers.ExponentialLR(o, gamma=p["decay"]),
        schedulers.MultiStepLR(o, milestones=p["milestones"], gamma=p["gamma"]),
    ])


def make_multiplicative(o, p):
    return schedulers.MultiplicativeLR(o, lambda t: 1 + p["a"] * math.cos(t))


def draw_momentum(r):
    return r.choice([None, [0.8, 0.9], [0.85, 0.95], [0.5, 0.5], [0.0, 0.99]])


# For each kind: how torch makes it, and how its parameters are drawn for a run of n steps of the scheduler.
KINDS = {
    "lambda": (by_lambda(lambda p, t: 1 / (1 + p["a"] * t)), lambda r, n: {"a": r.choice([0.0, 1.0, r.uniform(0, 0.1)])}),
    "by_group": (
        lambda o, p: schedulers.LambdaLR(o, [lambda t: p["a"] ** t, lambda t: 1 / (1 + p["b"] * t)]),
        lambda r, n: {"a": r.uniform(0.9, 1), "b": r.uniform(0, 0.1)}),
    "multiplicative": (make_multiplicative, lambda r, n: {"a": r.choice([0.0, 0.9, r.uniform(0, 0.05)])}),
    "step": (lambda o, p: schedulers.StepLR(o, p["size"], p["gamma"]),
             lambda r, n: {"size": r.choice([1, n, 3 * n, r.randint(1, n)]), "gamma": r.choice([0.1, 1.0, r.random()])}),
    "multi_step": (lambda o, p: schedulers.MultiStepLR(o, p["milestones"], p["gamma"]),
                   lambda r, n: {"milestones": sorted(r.choice([1, n // 3, 2 * n, r.randint(1, n)])
                                                      for _ in range(r.randint(1, 5))), "gamma": r.uniform(0.1, 1)}),
    "constant": (lambda o, p: schedulers.ConstantLR(o, p["factor"], p["total"]),
                 lambda r, n: {"factor": r.choice([1.0, r.uniform(0.01, 1)]), "total": r.choice([1, 2 * n, r.randint(1, n)])}),
    "linear": (lambda o, p: schedulers.LinearLR(o, p["start"], p["end"], p["total"]),
               lambda r, n: {"start": r.choice([1.0, r.uniform(0.01, 1)]), "end": r.choice([0.0, 1.0, r.random()]),
                             "total": r.choice([1, n, 2 * n, r.randint(2, n)])}),
    "exponential": (lambda o, p: schedulers.ExponentialLR(o, p["gamma"]),
                    lambda r, n: {"gamma": r.choice([1.0, 0.5, r.uniform(0.98, 1)])}),
    "cosine": (lambda o, p: schedulers.CosineAnnealingLR(o, p["total"], eta_min=p["least"] * o.param_groups[0]["lr"]),
               lambda r, n: {"total": r.choice([n, n + 1, r.randint(n, 3 * n)]), "least": r.choice([0.0, r.random()])}),
    "restarts": (
        lambda o, p: schedulers.CosineAnnealingWarmRestarts(o, p["first"], p["mult"], p["least"] * o.param_groups[0]["lr"]),
        lambda r, n: {"first": r.choice([1, n, r.randint(2, n)]), "mult": r.choice([1, 2, 3]),
                      "least": r.choice([0.0, r.random()])}),
    "polynomial": (lambda o, p: schedulers.PolynomialLR(o, p["total"], p["power"]),
                   lambda r, n: {"total": r.choice([1, n, 2 * n, r.randint(2, n)]), "power": r.choice([1.0, 2.0, r.uniform(0.3, 3)])}),
    "cyclic": (make_cyclic,
               lambda r, n: {"up": r.choice([1, n, r.randint(2, n)]), "down": r.choice([None, 1, r.randint(2, n)]),
                             "top": r.choice([1.0, 10.0, r.uniform(1, 100)]),
                             "height": r.choice(["triangular", "triangular2", "exp_range"]),
                             "gamma": r.uniform(0.99, 1), "momentum": draw_momentum(r)}),
    "one_cycle": (make_one_cycle,
                  lambda r, n: {"total": r.choice([n, n + 1, 2 * n]), "rise": r.choice([0.3, 0.25, r.uniform(0.1, 0.45)]),
                                "anneal": r.choice(["cos", "linear"]), "start": r.uniform(1, 30),
                                "end": r.choice([1e4, r.uniform(1, 100)]), "three": r.random() < 0.5,
                                "momentum": draw_momentum(r)}),
    "plateau": (make_plateau,
                lambda r, n: {"mode": r.choice(["min", "max"]), "factor": r.choice([0.1, 0.0, r.random()]),
                              "patience": r.choice([0, 1, r.randint(2, 30)]), "min_change": r.choice([0.0, 1e-4, 0.1]),
                              "relative": r.random() < 0.5, "cooldown": r.choice([0, 1, 20]),
                              "least": r.choice([0.0, r.random()]), "levels": r.randint(1, 60),
                              "decay": r.uniform(1, 300), "mult": r.randint(0, 6), "nan_every": r.choice([0, 0, 5]),
                              "offset": r.choice([0.25, 10.0])}),
    "sequential": (make_sequential,
                   lambda r, n: {"start": r.uniform(0.01, 1), "warmup": r.choice([1, r.randint(2, n)]),
                                 "size": r.randint(1, n), "gamma": r.uniform(0.2, 1),
                                 "stay": r.choice([1, r.randint(2, n)]), "decay": r.uniform(0.98, 1)}),
    "chained": (make_chained,
                lambda r, n: {"factor": r.uniform(0.05, 1), "total": r.randint(1, n), "decay": r.uniform(0.99, 1),
                              "milestones": [r.randint(1, n), r.randint(1, n)], "gamma": r.uniform(0.2, 1)}),
    "warmup": (by_lambda(warmup_factor),
               lambda r, n: {"shape": r.choice(["linear", "exponential", "constant"]), "start": r.choice([1.0, 1e-6, r.random()]),
                             "total": r.choice([1, n, 2 * n, r.randint(2, n)])}),
    "inverse_square_root": (by_lambda(inverse_square_root_factor), lambda r, n: {"warmup": r.choice([1, 2 * n, r.randint(2, n)])}),
    "linear_then_cosine": (by_lambda(linear_then_cosine_factor),
                           lambda r, n: {"warmup": r.choice([1, r.randint(1, n - 1)]), "total": n,
                                         "least": r.choice([0.0, 0.1, r.random()])}),
    "warmup_stable_decay": (
        by_lambda(warmup_stable_decay_factor),
        lambda r, n: {"warmup": r.randint(1, n // 2), "decay": r.randint(1, n // 2), "total": n,
                      "least": r.choice([0.0, r.random()]), "shape": r.choice(["linear", "cosine", "1-sqrt"])}),
}
BY_STEPS = ("plateau", "one_cycle")  # torch's phases end with the last step of the scheduler, ours with the last epoch


def rates_of(kind, case):
    make, _ = KINDS[kind]
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in case["lrs"]]
    if case["optimizer"] == "adam":
        optimizer = torch.optim.Adam(groups)
    else:
        optimizer = torch.optim.SGD(groups, momentum=0.9)
    scheduler = make(optimizer, case)
    rates = []
    for update in range(STEPS):
        first = optimizer.param_groups[0]
        momentum = first["betas"][0] if case["optimizer"] == "adam" else first["momentum"]
        rates.append((first["lr"], optimizer.param_groups[-1]["lr"], momentum))
        if (update + 1) % case["every"] == 0 and update + 1 < STEPS:
            if kind == "plateau":
                scheduler.step(value_of(case, update))
            else:
                scheduler.step()
    return rates


def make_cases(seed, count):
    for kind, (_, draw) in KINDS.items():
        r = random.Random(f"{seed} {kind}")
        for number in range(count):
            every = STEPS_PER_EPOCH if number % 6 > 0 and kind not in BY_STEPS else 1
            lr = r.choice([0.1, 1e-4, r.uniform(0, 2)])
            second = lr if kind in ("cosine", "restarts") else r.choice([0.003, r.uniform(0, 1)])
            yield {"kind": kind, "every": every, "lrs": [lr, second], "optimizer": r.choice(["sgd", "adam"]),
                   **draw(r, STEPS // every)}


def main():
    warnings.simplefilter("ignore")  # SequentialLR calls its parts in a way that torch itself warns of
    torch.set_num_threads(1)
    if sys.argv[1] == "--record":
        cases = []
        for case in make_cases("recorded", 3):
            rates = rates_of(case["kind"], case)
            cases.append({**case, "rates": [rates[point] for point in POINTS]})
        text = ",\n".join(json.dumps(case) for case in cases)
        recorded = f'{{"torch": "{torch.__version__}",\n"points": {POINTS},\n"cases": [\n{text}\n]}}\n'
        pathlib.Path(sys.argv[2]).write_text(recorded, encoding="utf-8")
        return
    folder = pathlib.Path(sys.argv[1])
    cases, rates = [], []
    for case in make_cases(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 30):
        cases.append(case)
        rates.append(torch.tensor(rates_of(case["kind"], case), dtype=torch.float64))
    (folder / "cases.json").write_text(json.dumps({"torch": torch.__version__, "cases": cases}), encoding="utf-8")
    (folder / "rates").write_bytes(torch.stack(rates).numpy().astype("<f8").tobytes())


if __name__ == "__main__":
    main()
