#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what compiling costs and compares it with the bars of the project.

Three includes are compiled in turn without a precompiled header, several rounds, and the medians are compared. Then the
longest test file of each tier is compiled, linked and its tests run. With --clean, what `make test` does after its
installing is done from nothing: configure, build without ccache, every test.

The bars were set on a machine where <torch/torch.h> alone costs 18 s. Each measured time is therefore given as it would be there:
in units of what <torch/torch.h> costs in the same minute, times 18 s. Prints, and writes to --out, a JSON list of entries with
name, value, unit, bar and ok. Exits with 1 when a bar is missed.
"""

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

TORCH_SECONDS = 18.0
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INCLUDES = {
    "torch": "#include <torch/torch.h>\n",
    "both": "#include <torch/torch.h>\n#include <athanor/athanor.hpp>\n",
    "athanor": "#include <athanor/athanor.hpp>\n",
}


def commands(build):
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        return json.load(file)


def compiler_and_flags(build):
    """The compiler of the build, without a launcher, and the flags that decide what an include costs."""
    command = next(c for c in commands(build) if os.path.relpath(c["file"], ROOT).startswith("examples" + os.sep))
    with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as file:
        compiler = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", file.read(), re.MULTILINE).group(1)
    words = shlex.split(command["command"])
    flags = []
    for index, word in enumerate(words):
        if word == "-isystem":
            flags += [word, words[index + 1]]
        elif word.startswith(("-I", "-D", "-O", "-std=", "-fPIC")):
            flags.append(word)
    return compiler, flags


def include_costs(build, rounds, names=tuple(INCLUDES)):
    compiler, flags = compiler_and_flags(build)
    seconds = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            with open(os.path.join(folder, name + ".cpp"), "w", encoding="utf-8") as file:
                file.write(INCLUDES[name])
        for _ in range(rounds):
            for name in names:
                command = [compiler, *flags, "-c", os.path.join(folder, name + ".cpp"), "-o", os.path.join(folder, "out.o")]
                start = time.monotonic()
                subprocess.run(command, check=True)
                seconds[name].append(time.monotonic() - start)
    return seconds


def suites(path):
    with open(path, encoding="utf-8") as file:
        return sorted(set(re.findall(r"^(?:TYPED_)?TEST(?:_[FP])?\(\s*(\w+)", file.read(), re.MULTILINE)))


def changed_test(build, tier):
    """Seconds from a changed test file to the result of its tests, for the longest test file of this tier, as in a tree that
    is configured with -DATHANOR_UNITY=OFF: the file is compiled alone with its headers precompiled, the program is linked, the
    tests of the file run."""
    target = f"athanor_tests_{tier}"
    program = os.path.join(build, "tests", target)
    subprocess.run(["cmake", "--build", build, "-j2", "--target", target], check=True, stdout=subprocess.DEVNULL)
    compiled = [c for c in commands(build) if f"{target}.dir" in c["command"] and not c["file"].endswith(".hxx.cxx")]
    files, headers = [], []
    for command in compiled:
        if command["file"].endswith("_test.cpp"):
            files.append(command["file"])
            continue
        with open(command["file"], encoding="utf-8") as file:
            text = file.read()
        files += re.findall(r'#include "(.*_test\.cpp)"', text)
        headers = re.findall(r"^#include <.*>$", text, re.MULTILINE)
    path = max((name for name in files if suites(name)), key=os.path.getsize)
    words = shlex.split(compiled[0]["command"])
    if "ccache" in " ".join(words):  # a change is what no compiler cache has seen
        words = words[next(i for i, word in enumerate(words) if word.endswith(("c++", "g++", "clang++"))) :]
    source, output = words.index("-c") + 1, words.index("-o") + 1
    with tempfile.TemporaryDirectory() as folder:
        if headers:
            precompiled = os.path.join(folder, "headers.hxx")
            with open(precompiled, "w", encoding="utf-8") as file:
                file.write("\n".join(dict.fromkeys(headers)) + "\n")
            words[source], words[output] = precompiled, precompiled + ".gch"
            subprocess.run(words, check=True, cwd=compiled[0]["directory"])
            words += ["-include", precompiled]
        words[source], words[output] = path, os.path.join(folder, "test.o")
        start = time.monotonic()
        subprocess.run(words, check=True, cwd=compiled[0]["directory"])
        os.remove(program)  # so that it is linked again; a touched object would be compiled again, with the whole piece around it
        subprocess.run(["cmake", "--build", build, "-j2", "--target", target], check=True, stdout=subprocess.DEVNULL)
        tests = ":".join(f"{suite}.*:*/{suite}.*:{suite}/*" for suite in suites(path))
        subprocess.run([program, f"--gtest_filter={tests}"], check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - start


def clean_test(build):
    """Seconds of configuring, building and testing in a new build folder, and that all tests pass."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(build))) as folder, open(os.path.join(folder, "log"), "w+b") as log:
        clean = os.path.join(folder, "release")
        start = time.monotonic()
        for command in (["cmake", "--preset", "release", "-B", clean, "-DATHANOR_USE_CCACHE=OFF"],
                        ["cmake", "--build", clean, "-j2", "--target", "tests", "examples"],
                        ["ctest", "--test-dir", clean, "--output-on-failure", "-j2"]):
            if subprocess.run(command, cwd=ROOT, check=False, stdout=log, stderr=log).returncode:
                log.seek(0)
                sys.exit(f"compile_cost.py: {shlex.join(command)} failed:\n{log.read()[-20000:].decode(errors='replace')}")
        return time.monotonic() - start


def entry(name, value, bar):
    return {"name": name, "value": round(value, 2), "unit": "s", "bar": bar, "ok": value <= bar}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clean", action="store_true", help="build and test everything from nothing, too (a quarter of an hour)")
    parser.add_argument("--out", help="write the JSON list to this file as well")
    args = parser.parse_args()

    costs = include_costs(args.build_dir, args.rounds)
    torch = statistics.median(costs["torch"])
    scale = TORCH_SECONDS / torch
    beyond = statistics.median(both - alone for both, alone in zip(costs["both"], costs["torch"]))
    entries = [
        {"name": "torch.h alone, as measured", "value": round(torch, 2), "unit": "s", "bar": None, "ok": True},
        entry("athanor.hpp beyond torch.h", beyond * scale, 1.5),
        entry("athanor.hpp alone", statistics.median(costs["athanor"]) * scale, 4.0),
    ]
    for tier in ("thin", "fat"):
        seconds = changed_test(args.build_dir, tier)
        scale = TORCH_SECONDS / include_costs(args.build_dir, 1, ["torch"])["torch"][0]
        entries.append(entry(f"changed {tier} test file to result", seconds * scale, 25.0))

    if args.clean:
        seconds = clean_test(args.build_dir)
        scale = TORCH_SECONDS / include_costs(args.build_dir, 1, ["torch"])["torch"][0]
        entries.append({"name": "clean make test, as measured", "value": round(seconds, 2), "unit": "s", "bar": None, "ok": True})
        entries.append(entry("clean make test", seconds * scale, 720.0))

    text = json.dumps(entries, indent=2)
    print(text)
    if args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    return 0 if all(e["ok"] for e in entries) else 1


if __name__ == "__main__":
    sys.exit(main())
