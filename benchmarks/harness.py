# SPDX-License-Identifier: Apache-2.0
"""Compare programs by the ratio of what they measure, and keep what came out.

Times on a shared machine drift; ratios of neighbours drift less. So the sides of a comparison run in turn, each in a process of
its own, and a ratio is always taken within one round. The order turns round by round, so that no side is always the one after
the pause. What counts is the median of the ratios; where their quartiles lie further apart than the median lies from the bar,
the answer is not yet an answer, which is said, and more rounds are run.

Every entry is {name, value, unit, bar, ok}; a bar of None means that the entry is told and not judged.
"""

from __future__ import annotations

import json
import os
import pty
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


class BenchmarkError(RuntimeError):
    """A side could not be run or did not answer as agreed."""


@dataclass(frozen=True)
class Outcome:
    """One run of one process."""

    seconds: float  # from start to exit, seen from outside
    output: str
    report: dict  # the JSON object on the last line, empty when there is none


@dataclass(frozen=True)
class Side:
    """One program of a comparison. `value` picks what is compared from its outcome."""

    name: str
    command: Sequence[str]
    value: Callable[[Outcome], float] = lambda outcome: float(outcome.report["total_seconds"])
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bar:
    """The ratio of the side `ours` to the side `theirs` must be at most `at_most`. Without a limit it is told, not judged."""

    theirs: str
    at_most: float | None
    name: str


@dataclass(frozen=True)
class Rounds:
    """A first set of rounds, and how many there may be when that does not decide."""

    first: int = 5
    most: int = 15


def run_process(command: Sequence[str], *, environment: dict[str, str] | None = None, limit_seconds: float = 900) -> Outcome:
    """Runs a process to its end, in an empty folder that is removed afterwards. It believes to be on a terminal of 100 columns,
    so that its progress bar, if it has one, is drawn and paid for."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        return _run_in(directory, command, environment, limit_seconds)


def _run_in(directory: str, command: Sequence[str], environment: dict[str, str] | None, limit_seconds: float) -> Outcome:
    variables = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40", **(environment or {})}
    master, slave = pty.openpty()
    chunks: list[bytes] = []
    start = time.perf_counter()
    try:
        process = subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env=variables,
                                   cwd=directory)
    except OSError as error:
        os.close(master)
        os.close(slave)
        raise BenchmarkError(f"can't start {command[0]}: {error.strerror}") from error
    os.close(slave)
    try:
        while True:
            left = limit_seconds - (time.perf_counter() - start)
            if left <= 0:
                raise BenchmarkError(f"not done after {limit_seconds:.0f} s: {' '.join(command)}")
            if not select.select([master], [], [], min(left, 1.0))[0]:
                continue
            try:
                chunk = os.read(master, 1 << 16)
            except OSError:  # a terminal whose last writer has gone
                break
            if not chunk:
                break
            chunks.append(chunk)
        process.wait(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)
    seconds = time.perf_counter() - start
    output = b"".join(chunks).decode(errors="replace").replace("\r\n", "\n")
    if process.returncode != 0:
        tail = "\n".join(output.splitlines()[-15:])
        raise BenchmarkError(f"exit code {process.returncode}: {' '.join(command)}\n{tail}")
    return Outcome(seconds, output, last_report(output))


def last_report(output: str) -> dict:
    """The JSON object on the last line that holds one. A bar that was being drawn may stand before it on the same line."""
    for line in reversed(output.splitlines()):
        begin = line.find('{"')
        if begin >= 0 and line.rstrip().endswith("}"):
            try:
                return json.loads(line[begin:])
            except json.JSONDecodeError:
                continue
    return {}


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


@dataclass
class Comparison:
    """What was measured: per side one value a round."""

    values: dict[str, list[float]]
    outcomes: dict[str, Outcome]  # the last of each side

    def ratios(self, ours: str, theirs: str) -> list[float]:
        return [a / b for a, b in zip(self.values[ours], self.values[theirs], strict=True)]


def undecided(ratios: Sequence[float], at_most: float | None) -> bool:
    if at_most is None:
        return False
    low, middle, high = quartiles(ratios)
    return high - low > abs(middle - at_most)


def compare(title: str, sides: Sequence[Side], bars: Sequence[Bar], rounds: Rounds, *, say: Callable[[str], None] = print) -> Comparison:
    """Runs the sides in turn. The first side is ours."""
    ours = sides[0].name
    comparison = Comparison({side.name: [] for side in sides}, {})
    planned = rounds.first
    done = 0
    while done < planned:
        turn = done % len(sides)
        for side in [*sides[turn:], *sides[:turn]]:
            outcome = run_process(side.command, environment=side.environment)
            try:
                value = side.value(outcome)
            except (KeyError, TypeError, ValueError) as error:
                tail = "\n".join(outcome.output.splitlines()[-5:])
                raise BenchmarkError(f"{title}: the last line of {side.name} does not hold {error}:\n{tail}") from error
            comparison.values[side.name].append(value)
            comparison.outcomes[side.name] = outcome
        done += 1
        if done == planned and planned < rounds.most:
            open_bars = [bar for bar in bars if undecided(comparison.ratios(ours, bar.theirs), bar.at_most)]
            if open_bars:
                planned = min(rounds.most, planned + max(2, rounds.first // 2))
                names = ", ".join(f"{ours}/{bar.theirs}" for bar in open_bars)
                say(f"  {title}: after {done} rounds the spread of {names} is wider than the distance to the bar; measuring again")
    return comparison


@dataclass
class Ledger:
    """The entries of a whole run, and the table that tells them."""

    entries: list[dict] = field(default_factory=list)
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str, bar: float | None = None, ok: bool | None = None, *, spread: str = "") -> None:
        """Without `ok` the value is judged as "at most the bar"."""
        passed = (bar is None or value <= bar) if ok is None else ok
        self.entries.append({"name": name, "value": round(value, 6), "unit": unit, "bar": bar, "ok": passed})
        verdict = "-" if bar is None else "ok" if passed else "MISSED"
        self.rows.append((name, f"{value:.4g}", unit, spread, "-" if bar is None else f"{bar:g}", verdict))

    def add_comparison(self, comparison: Comparison, ours: str, bars: Sequence[Bar]) -> None:
        for bar in bars:
            ratios = comparison.ratios(ours, bar.theirs)
            low, middle, high = quartiles(ratios)
            spread = f"{low:.3f} .. {high:.3f}, {len(ratios)} rounds"
            if undecided(ratios, bar.at_most):
                spread += ", wider than the distance to the bar"
            self.add(bar.name, middle, "ratio", bar.at_most, spread=spread)

    def merge(self, entries: Sequence[dict]) -> None:
        """Entries that another script has measured and judged."""
        for entry in entries:
            self.add(str(entry["name"]), float(entry["value"]), str(entry["unit"]), entry.get("bar"), bool(entry["ok"]))

    def print_table(self) -> None:
        table = [("name", "value", "unit", "quartiles", "bar", ""), *self.rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
        for row in table:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(json.dumps(self.entries, indent=1) + "\n")
        temporary.replace(path)

    @property
    def missed(self) -> list[str]:
        return [entry["name"] for entry in self.entries if not entry["ok"]]


def find_program(build_folder: Path, name: str) -> str:
    for folder in (build_folder, build_folder / "benchmarks", build_folder / "bin"):
        if os.access(folder / name, os.X_OK) and (folder / name).is_file():
            return str(folder / name)
    raise BenchmarkError(f"no program {name} in {build_folder}, nor in its folders benchmarks and bin: build the benchmarks first")


def warn_when_busy() -> None:
    """Another process on the machine makes two threads slower than one; the ratios then say little."""
    if sys.platform == "linux" and (load := os.getloadavg()[0]) > 0.5:
        print(f"note: the machine is not quiet (load {load:.1f}), spreads will be wide")
