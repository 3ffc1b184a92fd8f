#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills a training run at random moments, starts it again until it ends, and compares it with one that was left alone.

Weights, optimizer, averages, history and logged values must be equal bit for bit, wall times apart; no sample of an epoch
may be seen twice or missed. Every other kill waits until a checkpoint is being written. After each kill the newest
checkpoints are looked at: none may be half written.
"""

import argparse
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

CONFIGURATIONS = ["cycle in bf16", "plateau and early stopping", "two optimizers"]


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


def seen_wrongly(final):
    """Epochs in which a sample came twice or not at all."""
    with open(os.path.join(final, "state.json"), encoding="utf-8") as file:
        words = json.load(file)["callback0"]["seen"].split()
    epochs = {}
    for word in words:
        epoch, index = word.split(":")
        epochs.setdefault(int(epoch), []).append(int(index))
    return [epoch for epoch, indices in epochs.items() if sorted(indices) != list(range(84))]


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
    return subprocess.Popen([program, str(configuration), run, str(pause)], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, env=environment)


def begun(run):
    return os.path.isdir(os.path.join(run, "checkpoints"))


def kill_at_random(process, run, generator, seconds, aimed, how):
    """True when it was killed, False when it ended before."""
    while not begun(run) and process.poll() is None:
        time.sleep(0.001)
    moment = time.monotonic() + generator.random() * seconds
    while time.monotonic() < moment and process.poll() is None:
        time.sleep(0.0005)
    while aimed and not saving(run) and process.poll() is None:
        pass
    if process.poll() is not None:
        return False
    process.send_signal(how)
    process.wait()
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--pause", type=int, default=10, help="milliseconds that each step is made longer")
    args = parser.parse_args()
    generator = random.Random(args.seed)
    print(f"seed {args.seed}")
    problems, kills, runs, saves, requested = [], 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        alone, lengths = {}, {}
        for configuration, name in enumerate(CONFIGURATIONS):
            alone[configuration] = os.path.join(folder, f"alone-{configuration}")
            process = start(args.program, configuration, alone[configuration], args.pause)
            while not begun(alone[configuration]) and process.poll() is None:
                time.sleep(0.001)
            begin = time.monotonic()
            _, errors = process.communicate()
            lengths[configuration] = time.monotonic() - begin
            if process.returncode != 0:
                sys.exit(f"{name}: the undisturbed run failed: {errors}")
            if wrong := seen_wrongly(os.path.join(alone[configuration], "final")):
                problems.append(f"{name}: undisturbed, samples twice or missed in epochs {wrong}")
        configuration = 0
        while kills < args.kills:
            run = os.path.join(folder, "killed")
            shutil.rmtree(run, ignore_errors=True)
            name, killed = CONFIGURATIONS[configuration], 0
            while True:
                process = start(args.program, configuration, run, args.pause)
                aimed = generator.random() < 0.5
                how = signal.SIGTERM if generator.random() < 0.15 else signal.SIGKILL
                # About four kills a run, so that each has work to lose.
                if killed < 4 and kills < args.kills:
                    if kill_at_random(process, run, generator, lengths[configuration] / 3, aimed, how):
                        kills, killed = kills + 1, killed + 1
                        saves += aimed
                        requested += how == signal.SIGTERM
                        errors = process.stderr.read()
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
            runs += 1
            if not problems:
                left, right = os.path.join(alone[configuration], "final"), os.path.join(run, "final")
                problems += [f"{name}, killed {killed} times: {each} differs" for each in differences(left, right)]
                problems += [f"{name}: samples twice or missed in epoch {each}" for each in seen_wrongly(right)]
                if history(alone[configuration]) != history(run):
                    problems.append(f"{name}: history.csv differs")
            if problems:
                break
            configuration = (configuration + 1) % len(CONFIGURATIONS)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{kills} kills in {runs} runs, {saves} of them while a checkpoint was written, {requested} by SIGTERM")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
