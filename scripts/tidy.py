#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy over the sources of the library, the examples and the benchmarks.

The compile commands of GCC name its precompiled headers, which clang cannot read: they are taken out first.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PRECOMPILED = re.compile(r"\s-include\s+\S*cmake_pch\S*|\s-Winvalid-pch|\s-fpch-preprocess")
FOLDERS = ("athanor", "examples", "benchmarks", "apps")


GROUP = 12


def groups_of(commands, folder):
    """Sources of one room together, because most of the time goes into LibTorch's headers; programs stay alone."""
    rooms, alone = {}, []
    for command in commands:
        room = os.path.dirname(os.path.relpath(command["file"], ROOT))
        if room.split(os.sep)[0] == "athanor":
            rooms.setdefault(room, []).append(command)
        else:
            alone.append(command)
    for room, members in rooms.items():
        members.sort(key=lambda command: command["file"])
        for first in range(0, len(members), GROUP):
            group = members[first:first + GROUP]
            name = os.path.join(folder, f"{room.replace(os.sep, '_')}_{first}.cpp")
            with open(name, "w", encoding="utf-8") as file:
                file.writelines(f'#include "{command["file"]}"\n' for command in group)
            text = group[0]["command"].replace(group[0]["file"], name)
            alone.append({"directory": group[0]["directory"], "command": text, "file": name})
    return alone


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-dir", default="build/release")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("files", nargs="*", help="only these sources")
    args = parser.parse_args()

    with open(os.path.join(args.build_dir, "compile_commands.json"), encoding="utf-8") as file:
        commands = json.load(file)
    wanted = {os.path.abspath(name) for name in args.files}
    kept = {}
    for command in commands:
        name = os.path.abspath(command["file"])
        folder = os.path.relpath(name, ROOT).split(os.sep)[0]
        if name in wanted or (not wanted and folder in FOLDERS):
            command["command"] = PRECOMPILED.sub("", command["command"])
            kept[name] = command

    with tempfile.TemporaryDirectory() as database:
        checked = list(kept.values()) if wanted else groups_of(list(kept.values()), database)
        with open(os.path.join(database, "compile_commands.json"), "w", encoding="utf-8") as file:
            json.dump(checked, file)

        def tidy(name):
            return subprocess.run(
                ["clang-tidy", "-p", database, f"--config-file={ROOT}/.clang-tidy",
                 "--checks=-bugprone-suspicious-include", "--quiet", name],
                capture_output=True, text=True, check=False
            )

        failed = 0
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for result in pool.map(tidy, [command["file"] for command in checked]):
                if result.returncode:
                    failed += 1
                    print(result.stdout, end="")
                    if "error:" not in result.stdout:
                        print(result.stderr, end="", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
