#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the rules that every source of the project keeps.

A room of athanor/ includes only itself and the rooms above it in the list; only the roof includes the roof; each file
names its licence in its first lines; no source is longer than 600 lines.
"""

import argparse
import os
import re
import sys

ROOMS = ["core", "data", "metrics", "optim", "checkpoint", "train", "callbacks", "track", "dist", "nn"]
LONGEST = 600
LICENSED = (".hpp", ".cpp", ".h", ".cc", ".py", ".sh", ".cmake", ".cmake.in", "CMakeLists.txt", "Makefile")
LIMITED = (".hpp", ".cpp", ".h", ".cc", ".py", ".sh", ".cmake")
SKIPPED = re.compile(r"^(build.*|\..*|__pycache__|runs)$")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]athanor/([^">]+)[">]')


def sources(root):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not SKIPPED.match(name))
        for name in sorted(files):
            yield os.path.relpath(os.path.join(folder, name), root)


def room_of(path):
    """The room that a path below athanor/ belongs to: an index into ROOMS, or len(ROOMS) for the roof."""
    parts = path.split("/")
    if len(parts) == 1:
        return len(ROOMS)
    return ROOMS.index(parts[0]) if parts[0] in ROOMS else None


def check(root):
    problems = []
    for path in sources(root):
        if not path.endswith(LICENSED):
            continue
        with open(os.path.join(root, path), encoding="utf-8") as file:
            lines = file.read().splitlines()
        if not any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[:3]):
            problems.append(f"{path}: the first lines do not say 'SPDX-License-Identifier: Apache-2.0'")
        if path.endswith(LIMITED) and len(lines) > LONGEST:
            problems.append(f"{path}: {len(lines)} lines, more than {LONGEST}: split it")
        if not path.startswith("athanor/"):
            continue
        here = room_of(path.removeprefix("athanor/"))
        if here is None:
            problems.append(f"{path}: not a room; the rooms are {', '.join(ROOMS)}")
            continue
        for number, line in enumerate(lines, 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            there = room_of(match.group(1))
            if there is None or there > here:
                problems.append(f"{path}:{number}: {path.split('/')[1]} may not include athanor/{match.group(1)}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    problems = check(parser.parse_args().root)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
