#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The perceptron as a whole process, start to exit: Athanor beside the Python trainers on the same torch.

A virtual environment of their own is made in build/peers when it is not there. All run on the processor, with as many threads
as torch takes by default.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from harness import Bar, BenchmarkError, Ledger, Rounds, Side, compare, find_program, quartiles, warn_when_busy  # noqa: E402

TORCH = "torch==2.13.0"
PACKAGES = ["torchkeras", "ipython", "lightning", "deepepochs"]  # torchkeras imports IPython without asking for it
OURS = "athanor"
TRAINERS = ["torchkeras", "lightning", "deepepochs"]
TIMES_FASTER = {"torchkeras": 5.0, "lightning": 7.0}
TIMES_FASTER_THAN_FASTEST = 3.5


def make_environment(folder: Path) -> Path:
    """The Python of the environment. torch goes first and alone, so that no other package chooses its version."""
    python = folder / "bin" / "python"
    done = folder / "complete"
    if done.exists():
        return python
    print(f"making {folder}: {TORCH}, {', '.join(PACKAGES)}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, TORCH, "numpy"], check=True)
    subprocess.run([*pip, TORCH, *PACKAGES], check=True)
    done.touch()
    return python


def versions(python: Path) -> dict[str, str]:
    code = ("import json, importlib.metadata as m, platform; names = ['torch', 'torchkeras', 'lightning', 'deepepochs', "
            "'accelerate', 'torchmetrics', 'numpy']; print(json.dumps({'python': platform.python_version()} | "
            "{d.metadata['Name'].lower(): d.version for d in m.distributions() if d.metadata['Name'].lower() in names}))")
    return json.loads(subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-dir", type=Path, default=ROOT / "build" / "release", help="where athanor_loop was built")
    parser.add_argument("--environment", type=Path, default=ROOT / "build" / "peers", help="virtual environment of the Python sides")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench-peers.json")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the first set (default 3)")
    parser.add_argument("--most-rounds", type=int, default=7, help="rounds at most (default 7)")
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.epochs < 1:
        parser.error("--rounds and --epochs start at 1")

    try:
        python = make_environment(arguments.environment.resolve())
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"can't make the environment of the Python sides: {error}", file=sys.stderr)
        return 2
    used = versions(python)
    print("versions: " + ", ".join(f"{name} {version}" for name, version in used.items()))
    warn_when_busy()

    def whole_process(outcome):
        outcome.report["val_acc"]  # a side that does not say what it reached has not finished  # noqa: B018
        return outcome.seconds

    def peer(name: str, script: str) -> Side:
        return Side(name, [str(python), str(HERE / script), "--epochs", str(arguments.epochs)], whole_process)

    ledger = Ledger()
    try:
        program = find_program(arguments.build_dir.resolve(), "athanor_loop")
        sides = [
            Side(OURS, [program, "--model", "mlp", "--batch", "32", "--epochs", str(arguments.epochs)], whole_process),
            *(peer(name, f"{name}_mlp.py") for name in TRAINERS),
            peer("plain PyTorch", "plain_pytorch_mlp.py"),
        ]
        bars = [Bar(name, 1 / TIMES_FASTER.get(name, TIMES_FASTER_THAN_FASTEST), name) for name in TRAINERS]
        comparison = compare("peers", sides, bars, Rounds(arguments.rounds, max(arguments.rounds, arguments.most_rounds)))
    except BenchmarkError as error:
        print(f"benchmark failed: {error}", file=sys.stderr)
        return 2

    accuracies = {name: outcome.report["val_acc"] for name, outcome in comparison.outcomes.items()}
    print("best validation accuracy: " + ", ".join(f"{name} {value:.4f}" for name, value in accuracies.items()))
    if max(accuracies.values()) - min(accuracies.values()) > 0.03:
        print("benchmark failed: the sides do not learn the same", file=sys.stderr)
        return 2

    def times_faster(label: str, theirs: str, bar: float | None) -> None:
        low, middle, high = quartiles([1 / ratio for ratio in comparison.ratios(OURS, theirs)])
        spread = f"{low:.2f} .. {high:.2f}, {len(comparison.values[OURS])} rounds"
        ledger.add(label, middle, "times faster", bar, bar is None or middle >= bar, spread=spread)

    for side in sides:
        low, middle, high = quartiles(comparison.values[side.name])
        ledger.add(f"peers {side.name}", middle, "s", spread=f"{low:.2f} .. {high:.2f}")
    fastest = min(TRAINERS, key=lambda name: quartiles(comparison.values[name])[1])
    times_faster(f"peers athanor than the fastest of them ({fastest})", fastest, TIMES_FASTER_THAN_FASTEST)
    for name in TRAINERS:
        times_faster(f"peers athanor than {name}", name, TIMES_FASTER.get(name))
    times_faster("peers athanor than plain PyTorch", "plain PyTorch", None)

    print()
    ledger.print_table()
    ledger.write(arguments.out)
    arguments.out.with_name(arguments.out.stem + "-versions.json").write_text(json.dumps(used, indent=1) + "\n")
    return 1 if ledger.missed else 0


if __name__ == "__main__":
    sys.exit(main())
