#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills a training run at random moments, starts it again until it ends, and compares it with one that was left alone.

Weights, optimizer, averages, history and logged values (scalars.csv and events.jsonl) must be equal bit for bit, wall times
apart; no sample of an epoch may be seen twice or missed. Every other kill waits until a checkpoint is being written, one in
ten comes before training begins. After each kill the newest checkpoints are looked at: none may be half written. Kills are by
SIGKILL; some requests by SIGTERM lie between them and are not counted.
"""

import argparse
import concurrent.futures
import csv
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

CONFIGURATIONS = ["OneCycle in bf16", "plateau and early stopping", "two optimizers"]
SAMPLES = 84


def tensors(path):
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    return {
        name: (entry["dtype"], entry["shape"], data[8 + length + entry["data_offsets"][0] : 8 + length + entry["data_offsets"][1]])
        for name, entry in header.items()
        if "seconds" not in name
    }


def without_times(tree):
    if isinstance(tree, dict):
        return {name: without_times(entry) for name, entry in tree.items() if name != "seconds"}
    return [without_times(entry) for entry in tree] if isinstance(tree, list) else tree


def differences(left, right):
    """What differs in two checkpoints, wall times apart."""
    found = []
    for name in ("weights", "optimizer", "state"):
        a, b = (tensors(os.path.join(folder, name + ".safetensors")) for folder in (left, right))
        found += [f"{name}: {key}" for key in a.keys() | b.keys() if a.get(key) != b.get(key)]
    a, b = (without_times(json.load(open(os.path.join(folder, "state.json")))) for folder in (left, right))
    found += [f"state.json: {key}" for key in a.keys() | b.keys() if a.get(key) != b.get(key)]
    return found


def history(run):
    """The rows of history.csv without their times."""
    with open(os.path.join(run, "history.csv"), encoding="utf-8") as file:
        rows = [line.rstrip("\n").split(",") for line in file]
    place = rows[0].index("seconds")
    return [row[:place] + row[place + 1 :] for row in rows]


def logged(run):
    """What the trackers wrote of steps and epochs, without times: a list of points from each file."""
    with open(os.path.join(run, "scalars.csv"), encoding="utf-8", newline="") as file:
        scalars = [tuple(row[1:]) for row in csv.reader(file)]
    with open(os.path.join(run, "events.jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    kept = [without_times(line) for line in lines if line["event"] in ("step", "epoch")]
    return {"scalars.csv": scalars, "events.jsonl": [{name: value for name, value in line.items() if name != "time"} for line in kept]}


def log_differences(left, right):
    """The first point of each file that is lost, doubled or another."""
    found = []
    ours, theirs = logged(left), logged(right)
    for name in ours:
        pairs = zip(ours[name] + [None], theirs[name] + [None])
        place = next((i for i, (one, other) in enumerate(pairs) if one != other), None)
        if len(ours[name]) != len(theirs[name]) or place is not None:
            place = min(len(ours[name]), len(theirs[name])) if place is None else place
            found.append(f"{name}: point {place} of {len(ours[name])} ({len(theirs[name])} in the killed run): "
                         f"{(ours[name] + [None])[place]} became {(theirs[name] + [None])[place]}")
    return found


def seen_wrongly(final, epochs_of_history):
    """Epochs in which a sample came twice or not at all."""
    with open(os.path.join(final, "state.json"), encoding="utf-8") as file:
        words = json.load(file)["callback0"]["seen"].split()
    epochs = {epoch: [] for epoch in range(1, epochs_of_history + 1)}
    for word in words:
        epoch, index = word.split(":")
        epochs.setdefault(int(epoch), []).append(int(index))
    return [epoch for epoch, indices in epochs.items() if sorted(indices) != list(range(SAMPLES)) or epoch > epochs_of_history]


def epochs_of(run):
    return int(float(history(run)[-1][0]))


def damaged(run):
    """Checkpoints under their final name that do not fit their manifest."""
    found = []
    for kind in ("checkpoints", "best"):
        folder = os.path.join(run, kind)
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if name.startswith("."):
                continue
            path = os.path.join(folder, name)
            try:
                with open(os.path.join(path, "manifest.json"), encoding="utf-8") as file:
                    files = json.load(file)["files"]
                for entry, expected in files.items():
                    with open(os.path.join(path, entry), "rb") as file:
                        data = file.read()
                    if len(data) != expected["bytes"] or f"{zlib.crc32(data):08x}" != expected["crc32"]:
                        found.append(os.path.join(path, entry))
            except (OSError, ValueError, KeyError) as error:
                found.append(f"{path}: {error}")
    return found


def saving(run):
    for kind in ("checkpoints", "best"):
        try:
            if any(name.startswith(".athanor-") for name in os.listdir(os.path.join(run, kind))):
                return True
        except OSError:
            pass
    return False


def start(program, configuration, run, pause):
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    return subprocess.Popen([program, str(configuration), run, str(pause)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=environment)


def kill_at_random(process, run, generator, seconds, how):
    """Whether it was killed, and whether within a save; it may end before."""
    aimed = generator.random() < 0.5
    if generator.random() < 0.9:
        process.stdout.readline()  # it says when it trains
    moment = time.monotonic() + generator.random() * seconds
    while time.monotonic() < moment and process.poll() is None:
        time.sleep(0.0005)
    while aimed and not saving(run) and process.poll() is None:
        time.sleep(0.0002)
    if process.poll() is not None:
        return False, False
    process.send_signal(how)
    process.wait()
    return True, aimed


class Counts:
    def __init__(self):
        self.kills = self.runs = self.saves = self.requests = 0

    def add(self, other):
        for name, count in vars(other).items():
            setattr(self, name, getattr(self, name) + count)


def undisturbed(program, configuration, folder, pause):
    """The run that the others are compared with, and how long it trains."""
    run = os.path.join(folder, f"alone-{configuration}")
    process = start(program, configuration, run, pause)
    process.stdout.readline()
    begin = time.monotonic()
    _, errors = process.communicate()
    seconds = time.monotonic() - begin
    name = CONFIGURATIONS[configuration]
    if process.returncode != 0:
        sys.exit(f"{name}: the undisturbed run failed: {errors}")
    if wrong := seen_wrongly(os.path.join(run, "final"), epochs_of(run)):
        sys.exit(f"{name}: undisturbed, samples twice or missed in epochs {wrong}")
    return run, seconds


def killed_run(program, configuration, run, alone, seconds, pause, generator, most_kills, counts):
    """Kills one run up to so many times, until it ends. What is wrong with it."""
    name, problems, killed, requests = CONFIGURATIONS[configuration], [], 0, 0
    while True:
        process = start(program, configuration, run, pause)
        if killed < most_kills:
            how = signal.SIGTERM if requests < 2 and generator.random() < 0.15 else signal.SIGKILL
            hit, aimed = kill_at_random(process, run, generator, seconds / most_kills, how)
            if hit:
                errors = process.communicate()[1]
                killed += how == signal.SIGKILL
                requests += how == signal.SIGTERM
                counts.saves += aimed and how == signal.SIGKILL
                # Outside of fit a SIGTERM ends the process as it would any other.
                expected = (128 + signal.SIGTERM, -signal.SIGTERM, 0) if how == signal.SIGTERM else (-signal.SIGKILL, 0)
                if process.returncode not in expected:
                    problems.append(f"{name}: exit status {process.returncode}: {errors}")
                    break
                problems += [f"{name}: half written: {each}" for each in damaged(run)]
                if process.returncode != 0:
                    continue
        _, errors = process.communicate()
        if process.returncode != 0:
            problems.append(f"{name}: started again it fails: {errors}")
        break
    counts.kills, counts.requests, counts.runs = counts.kills + killed, counts.requests + requests, counts.runs + 1
    if problems:
        return problems
    left, right = os.path.join(alone, "final"), os.path.join(run, "final")
    problems += [f"{each} differs" for each in differences(left, right)] + log_differences(alone, run)
    problems += [f"samples twice or missed in epoch {each}" for each in seen_wrongly(right, epochs_of(run))]
    if history(alone) != history(run):
        problems.append("history.csv differs")
    return [f"{name}, killed {killed} times: {each}" for each in problems]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--pause", type=int, default=5, help="milliseconds that each step is made longer")
    parser.add_argument("--jobs", type=int, default=1, help="so many runs at once")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    begin, total, problems = time.monotonic(), Counts(), []
    with tempfile.TemporaryDirectory() as folder:
        alone = [undisturbed(args.program, configuration, folder, args.pause) for configuration in range(len(CONFIGURATIONS))]
        early = epochs_of(alone[1][0])
        if early >= 20:
            sys.exit("the run with early stopping did not stop early")

        def attempt(number, most_kills):
            """Run `number`, of its own generator, so that a seed means the same whatever runs beside it."""
            configuration, counts = number % len(CONFIGURATIONS), Counts()
            run = os.path.join(folder, f"killed-{number}")
            found = killed_run(args.program, configuration, run, *alone[configuration], args.pause,
                               random.Random(args.seed * 1000003 + number), most_kills, counts)
            shutil.rmtree(run, ignore_errors=True)
            return found, counts

        # Several kills a run, so that they take the time, not whole runs; each has work to lose. Few are spread over all.
        per_run = max(1, min(6, args.kills // len(CONFIGURATIONS)))
        number = 0
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            while total.kills < args.kills and not problems:
                missing = args.kills - total.kills
                batch = [pool.submit(attempt, number + i, max(1, min(per_run, missing - per_run * i)))
                         for i in range(min(args.jobs, -(-missing // per_run)))]
                number += len(batch)
                for each in batch:
                    found, counts = each.result()
                    problems += found
                    total.add(counts)
                if sys.stdout.isatty():
                    print(f"\r{total.kills} kills", end="", flush=True)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{total.kills} kills in {total.runs} runs, {total.saves} of them while a checkpoint was written; "
          f"{total.requests} requests by SIGTERM; {time.monotonic() - begin:.0f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
