#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy over the sources of the library, the examples and the benchmarks.

The compile commands of GCC name its precompiled headers, which clang cannot read: they are taken out first. What had no finding
is not checked again while its text, with all that it includes, stays the same.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
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


def digest_of(command):
    """What clang-tidy sees of a source: its text after the preprocessor, and the checks."""
    words = shlex.split(command["command"])
    if "-o" in words:
        at = words.index("-o")
        del words[at:at + 2]
    text = subprocess.run(["clang++", *(word for word in words[1:] if word != "-c"), "-E", "-P", "-Wno-everything"],
                          cwd=command["directory"], capture_output=True, check=False)
    digest = hashlib.sha256(text.stdout)
    with open(os.path.join(ROOT, ".clang-tidy"), "rb") as file:
        digest.update(file.read())
    with open(command["file"], "rb") as file:  # for comments that switch a check off
        digest.update(file.read())
    return digest.hexdigest() if text.returncode == 0 else ""


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

        clean = os.path.join(args.build_dir, "tidy")
        os.makedirs(clean, exist_ok=True)

        def tidy(command):
            digest = digest_of(command)
            if digest and os.path.exists(os.path.join(clean, digest)):
                return None
            result = subprocess.run(
                ["clang-tidy", "-p", database, f"--config-file={ROOT}/.clang-tidy",
                 "--checks=-bugprone-suspicious-include", "--quiet", command["file"]],
                capture_output=True, text=True, check=False
            )
            if result.returncode == 0 and digest:
                open(os.path.join(clean, digest), "w").close()
            return result

        failed = 0
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for number, result in enumerate(pool.map(tidy, checked), 1):
                if sys.stdout.isatty():
                    print(f"\r{number} of {len(checked)}", end="\n" if number == len(checked) else "", flush=True)
                if result and result.returncode:
                    failed += 1
                    print(result.stdout, end="", flush=True)
                    if "error:" not in result.stdout:
                        print(result.stderr, end="", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
