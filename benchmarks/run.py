#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures Athanor beside hand-written LibTorch and judges it by bars. What each side does is in README.md beside this file."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import Bar, BenchmarkError, Ledger, Rounds, Side, compare, find_program, quartiles, run_process, undecided, warn_when_busy

ROOT = Path(__file__).resolve().parent.parent
OURS, PLAIN, IDEAL = "athanor_loop", "plain_loop", "ideal_loop"


@dataclass(frozen=True)
class Settings:
    build_folder: Path
    rounds: int
    most_rounds: int
    thread_counts: tuple[int, ...]
    python: str | None  # an interpreter that has torch

    def program(self, name: str, *options: object) -> list[str]:
        return [find_program(self.build_folder, name), *map(str, options)]


@dataclass(frozen=True)
class Case:
    name: str
    run: Callable[[Settings, Ledger], None]


def training_case(name: str, options: list[object], threads: int, bar_plain: float, bar_ideal: float) -> Case:
    """Ours beside both hand-written loops. Each process trains for one to three seconds: long enough for the fixed costs of a
    fit (header, checkpoint, history) to be what they are in use, short enough for many rounds."""

    def run(settings: Settings, ledger: Ledger) -> None:
        sides = [Side(side, settings.program(side, *options, "--threads", threads)) for side in (OURS, PLAIN, IDEAL)]
        bars = [Bar(PLAIN, bar_plain, f"{name} athanor/plain"), Bar(IDEAL, bar_ideal, f"{name} athanor/ideal")]
        comparison = compare(name, sides, bars, Rounds(settings.rounds, settings.most_rounds))
        accuracies = {side: outcome.report["val_acc"] for side, outcome in comparison.outcomes.items()}
        if max(accuracies.values()) - min(accuracies.values()) > 0.08:  # nets that differ are no comparison
            raise BenchmarkError(f"{name}: the sides do not learn the same: {accuracies}")
        ledger.add_comparison(comparison, OURS, bars)
        for side in sides:
            report = comparison.outcomes[side.name].report
            per_step = [seconds * 1e6 / report["steps"] for seconds in comparison.values[side.name]]
            low, middle, high = quartiles(per_step)
            ledger.add(f"{name} {side.name}", middle, "us/step with validation", spread=f"{low:.0f} .. {high:.0f}")

    return Case(name, run)


def memory_case() -> Case:
    """What fit allocates must not grow with the number of steps. At batch 8 the long run takes 4500 more steps than the short
    one and validates equally much. The smallest thing that could be kept by mistake, a scalar tensor, takes over 300 bytes with
    its storage, which is 1.3 MB; pages and the heap's rounding scatter the peak by some 100 kB. 1 MiB lies between."""
    name = "memory"
    short, factor = 1500, 4

    def run(settings: Settings, ledger: Ledger) -> None:
        def peak(batches: int) -> float:
            command = settings.program(OURS, "--model", "mlp", "--batch", 8, "--epochs", 1, "--threads", 1, "--limit_batches", batches)
            return float(run_process(command).report["peak_rss_kb"])

        growths = [peak(factor * short) - peak(short) for _ in range(max(3, settings.rounds // 2))]
        low, middle, high = quartiles(growths)
        ledger.add(f"memory growth over {(factor - 1) * short} steps", middle, "KiB", 1024, spread=f"{low:.0f} .. {high:.0f}")

    return Case(name, run)


def engine_case() -> Case:
    """What the engine adds, toggled within one process. A ratio whose bar lies between its quartiles is measured again with
    twice the rounds."""
    bars = {
        "defaults over the bare loop, mlp b32": 1.03,
        "the same without the look at the gradients": 1.03,
        "accumulation of 4 over 4 passes and a step": 1.05,
        "layer statistics every 100 steps over none, mlp b32": 1.02,
        "what can be resumed, and its keys once more, over a plain run, mlp b32": 1.02,
        "clipping with a fused step over the norm alone": 1.15,
        "norm and multiply over norm and multiply by LibTorch's operators": 1.10,
        "bf16 channels last over float32, cnn b128": 1 / 1.8,
        "exponential average over _foreach_lerp_, 25 M": 1.10,
        "step and its time breakdown once more over the step, mlp b32": 1.01,
    }

    def run(settings: Settings, ledger: Ledger) -> None:
        def measure(rounds: int) -> dict[str, list[float]]:
            return run_process(settings.program("engine_costs", "--epochs", rounds)).report

        rounds = 4 * settings.rounds
        report = measure(rounds)
        if any(low <= bars[name] <= high for name, (low, _, high) in report.items()):
            print("  the spread holds a bar; once more with twice the rounds")
            report = measure(2 * rounds)
        for name, bar in bars.items():
            if name not in report:
                print(f"  {name}: this processor has no matrix instructions for bfloat16 (AMX), skipped")
                continue
            low, middle, high = report[name]
            ledger.add(name, middle, "ratio", bar, spread=f"{low:.3f} .. {high:.3f}")

    return Case("engine costs", run)


def metric_case() -> Case:
    """An update of each metric on a batch of 32; and, where the Python of the tests has them, the AUROC of 10 million scores beside
    torchmetrics and the mean average precision of boxes on 5,000 images beside pycocotools."""
    name = "metric costs"

    def detection(settings: Settings, ledger: Ledger) -> None:
        """pycocotools takes so long that one round of one evaluation each says enough."""
        title = "mean average precision of 5,000 images"
        peer = [settings.python, str(ROOT / "benchmarks" / "peers" / "metric_costs.py"), "--only", "detection", "--epochs", "1"]
        sides = [Side("ours", settings.program("metric_costs", "--only", "detection", "--threads", 1, "--epochs", 3)),
                 Side("pycocotools", peer)]
        bars = [Bar("pycocotools", 1 / 5, f"{title}, athanor/pycocotools")]
        comparison = compare(title, sides, bars, Rounds(1, 3))
        ours, theirs = (comparison.outcomes[side.name].report for side in sides)
        for value in ("map", "map_small", "mar_100"):
            if abs(ours[value] - theirs[value]) > 1e-10:
                raise BenchmarkError(f"{title}: the sides do not compute the same {value}: {ours[value]}, {theirs[value]}")
        ledger.add_comparison(comparison, "ours", bars)
        for side in sides:
            ledger.add(f"{title}, {side.name}", quartiles(comparison.values[side.name])[1], "s")

    def run(settings: Settings, ledger: Ledger) -> None:
        report = run_process(settings.program("metric_costs", "--only", "updates", "--epochs", 4 * settings.rounds)).report
        slowest = max(report, key=lambda metric: report[metric][1])
        low, middle, high = report[slowest]
        ledger.add(f"metric update b32, the slowest of {len(report)}: {slowest}", middle, "us", 5, spread=f"{low:.2f} .. {high:.2f}")
        ledger.add("metric update b32, their median", quartiles([middle for _, middle, _ in report.values()])[1], "us")

        def has(package: str) -> bool:
            command = [settings.python, "-c", f"import {package}"]
            return settings.python is not None and not subprocess.run(command, check=False, capture_output=True).returncode

        if has("pycocotools"):
            detection(settings, ledger)
        else:
            print("  no Python with pycocotools was found (--python); the mean average precision is not compared")
        if not has("torchmetrics"):
            print("  no Python with torchmetrics was found (--python); the AUROC is not compared")
            return
        for threads in settings.thread_counts:
            title = f"auroc of 10 M scores, {threads} thread{'s' if threads > 1 else ''}"
            peer = [settings.python, str(ROOT / "benchmarks" / "peers" / "metric_costs.py")]
            sides = [Side("ours", settings.program("metric_costs", "--only", "auroc", "--threads", threads, "--epochs", 3)),
                     Side("torchmetrics", [*peer, "--threads", str(threads), "--epochs", "3"])]
            bars = [Bar("torchmetrics", 1 / 3, f"{title}, athanor/torchmetrics")]
            comparison = compare(title, sides, bars, Rounds(settings.rounds, settings.most_rounds))
            values = [outcome.report["auroc"] for outcome in comparison.outcomes.values()]
            if abs(values[0] - values[1]) > 1e-5:  # torchmetrics adds up in float32
                raise BenchmarkError(f"{title}: the sides do not compute the same: {values}")
            ledger.add_comparison(comparison, "ours", bars)
            for side in sides:
                ledger.add(f"{title}, {side.name}", quartiles(comparison.values[side.name])[1], "s")

    return Case(name, run)


def optimizer_case(threads: int) -> Case:
    """Every optimizer beside the fastest variant of its namesake in Python (default, foreach, fused), in turn, and Adam, AdamW and SGD
    beside LibTorch's own in C++."""
    label = "1 thread" if threads == 1 else f"{threads} threads"
    fused = ("Adam", "AdamW", "SGD", "Adagrad")
    of_libtorch = {"Adam": 2.2, "AdamW": 2.2, "SGD with momentum": 1.25}

    def run(settings: Settings, ledger: Ledger) -> None:
        if settings.python is None:
            print("  no Python with torch was found (--python); optimizers are not compared with it")
        steps = max(5, settings.rounds)
        peer = [settings.python, str(ROOT / "benchmarks" / "peers" / "optimizer_costs.py"), "--threads", str(threads), "--steps", str(steps)]
        ratios: dict[str, list[float]] = {}
        own: dict[str, list[float]] = {}

        def measure(rounds: int) -> None:
            for _ in range(rounds):
                ours = run_process(settings.program("optimizer_costs", "--threads", threads, "--epochs", steps)).report
                for name in of_libtorch:
                    own.setdefault(name, []).append(1 / float(ours[f"LibTorch's {name} over ours"][1]))
                if settings.python is None:
                    continue
                for name, variants in run_process(peer).report.items():
                    ratios.setdefault(name, []).append(float(ours[name]) / min(variants.values()))

        def bar_of(name: str) -> float:
            return 1.05 if name in fused else 1 / 1.5

        measure(settings.rounds)
        if any(undecided(values, bar_of(name)) for name, values in ratios.items()):
            print("  some spreads are wider than the distance to the bar; measuring again")
            measure(settings.most_rounds - settings.rounds)
        for name, values in ratios.items():
            low, middle, high = quartiles(values)
            ledger.add(f"{name} over Python's fastest, 25 M, {label}", middle, "ratio", bar_of(name), spread=f"{low:.3f} .. {high:.3f}")
        for name, values in own.items():
            low, middle, high = quartiles(values)
            ledger.add(f"{name} over LibTorch's own, 25 M, {label}", middle, "ratio", 1 / of_libtorch[name], spread=f"{low:.3f} .. {high:.3f}")

    return Case(f"optimizers {label}", run)


def checkpoint_case() -> Case:
    """What a checkpoint costs the run, each time in a process of its own."""
    bars = {
        "stall_over_copy": ("training stands still for a save of 100 MB, over one copy of it", "ratio", 1.5),
        "place_ms": ("finding the place within an epoch of 10 M samples", "ms", 50),
    }

    def run(settings: Settings, ledger: Ledger) -> None:
        reports = [run_process(settings.program("checkpoint_costs")).report for _ in range(settings.rounds)]
        for key, (name, unit, bar) in bars.items():
            low, middle, high = quartiles([report[key] for report in reports])
            ledger.add(name, middle, unit, bar, spread=f"{low:.3f} .. {high:.3f}")

    return Case("checkpoint costs", run)


def tracking_case() -> Case:
    """Answers of the live page over a million points, scalars into files, and a step with everything shown and written against nothing."""
    bars = {
        "live page, a curve of a million points": ("ms", 300),
        "live page, the same over epochs, smoothed": ("ms", 300),
        "live page, its middle tenth": ("ms", 300),
        "live page, reading a run of a million steps": ("ms", None),
        "100,000 scalars into TensorBoard's files": ("ms", 1000),
        "a step with everything shown over one with nothing": ("ratio", 1.03),
    }

    def run(settings: Settings, ledger: Ledger) -> None:
        report = run_process(settings.program("tracking_costs", "--epochs", 8 * settings.rounds)).report
        for name, (unit, bar) in bars.items():
            low, middle, high = report[name]
            ledger.add(name, middle, unit, bar, spread=f"{low:.3f} .. {high:.3f}")

    return Case("tracking costs", run)


def weights_file_case() -> Case:
    """What a gigabyte of weights costs, measured within one process in a folder of its own."""
    bars = {
        "opening and mapping 1 GB of safetensors": ("ms", 5),
        "reading and verifying 1 GB into a net over hashing and copying it": ("ratio", 1.2),
        "writing 1 GB of safetensors over a plain write and fsync": ("ratio", 1.1),
        "writing 1 GB of .pt over hashing, a plain write and fsync": ("ratio", None),
    }

    def run(settings: Settings, ledger: Ledger) -> None:
        report = run_process(settings.program("weights_file_costs", "--epochs", 4 * settings.rounds)).report
        for name, (unit, bar) in bars.items():
            low, middle, high = report[name]
            ledger.add(name, middle, unit, bar, spread=f"{low:.3f} .. {high:.3f}")

    return Case("weights file costs", run)


def cases(settings: Settings) -> list[Case]:
    found = []
    for threads in settings.thread_counts:
        label = "1 thread" if threads == 1 else f"{threads} threads"
        found += [
            training_case(f"mlp b32 {label}", ["--model", "mlp", "--batch", 32, "--epochs", 2], threads, 0.80, 1.05),
            training_case(f"mlp b128 {label}", ["--model", "mlp", "--batch", 128, "--epochs", 3], threads, 0.92, 1.05),
            training_case(f"cnn b128 {label}", ["--model", "cnn", "--batch", 128, "--limit_batches", 24], threads, 0.80, 1.05),
        ]
    optimizers = [optimizer_case(threads) for threads in settings.thread_counts]
    return [*found, engine_case(), *optimizers, metric_case(), checkpoint_case(), weights_file_case(), tracking_case(), memory_case()]


def compile_cost(ledger: Ledger, build_folder: Path) -> None:
    script = ROOT / "scripts" / "compile_cost.py"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "compile.json"
        command = [sys.executable, str(script), "--clean", "--build-dir", str(build_folder), "--out", str(out)]
        finished = subprocess.run(command, cwd=ROOT, check=False)
        if not out.exists():
            raise BenchmarkError(f"scripts/compile_cost.py wrote nothing (exit code {finished.returncode})")
        ledger.merge(json.loads(out.read_text()))


def has_torch(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-dir", type=Path, default=ROOT / "build" / "release", help="where the programs were built")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json")
    parser.add_argument("--only", default="", metavar="REGEX", help="cases whose name holds this")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the first set (default 5)")
    parser.add_argument("--most-rounds", type=int, default=11, help="rounds at most, where the first set does not decide (default 11)")
    parser.add_argument("--skip-compile", action="store_true", help="do not measure what compiling costs")
    parser.add_argument("--python", default=str(ROOT / "build" / "python" / "bin" / "python"), help="an interpreter that has the same torch, for the optimizers")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and stop")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds starts at 1")

    settings = Settings(arguments.build_dir.resolve(), arguments.rounds, max(arguments.rounds, arguments.most_rounds),
                        tuple(sorted({1, processors()})), arguments.python if has_torch(arguments.python) else None)
    chosen = [case for case in cases(settings) if re.search(arguments.only, case.name)]
    if arguments.list:
        print("\n".join(case.name for case in chosen))
        return 0
    with_compile = not arguments.skip_compile and re.search(arguments.only, "compile cost") is not None
    if not chosen and not with_compile:
        parser.error(f"no case is called like {arguments.only!r}; --list tells the names")

    warn_when_busy()
    ledger = Ledger()
    try:
        for case in chosen:
            print(f"{case.name} ...", flush=True)
            case.run(settings, ledger)
            ledger.write(arguments.out)
        if with_compile:
            print("compile cost ...", flush=True)
            compile_cost(ledger, settings.build_folder)
    except BenchmarkError as error:
        print(f"benchmark failed: {error}", file=sys.stderr)
        return 2
    ledger.write(arguments.out)
    print()
    ledger.print_table()
    if ledger.missed:
        print(f"\n{len(ledger.missed)} of {len(ledger.entries)} missed their bar: " + "; ".join(ledger.missed))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
