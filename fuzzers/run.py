#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the fuzzers from the seeds in fuzzers/corpus, and exits non-zero when one has found something.

    fuzzers/run.py --programs build/release/fuzzers                          all, ten million runs or an hour each
    fuzzers/run.py --programs build/release/fuzzers --only pickle --seconds 5

An input that broke a parser stays beside the programs, as crash-..., oom-... or timeout-...; it becomes a test. What a
long run finds worth keeping lies in corpus.new there.
"""

import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent
# Whole .pt files are recorded for the tests; they are seeds too.
MORE_SEEDS = {"torch_file": [ROOT.parent / "tests" / "checkpoint" / "recorded"]}


def fuzz(program, arguments):
    kind = program.name.removesuffix("_fuzzer")
    grown = program.parent / "corpus.new" / kind
    grown.mkdir(parents=True, exist_ok=True)
    seeds = [folder for folder in [ROOT / "corpus" / kind, *MORE_SEEDS.get(kind, [])] if folder.exists()]
    # libFuzzer counts whole seconds and stops after the first that is over.
    finished = subprocess.run(
        [program, f"-runs={arguments.runs}", f"-max_total_time={max(arguments.seconds - 1, 1)}", f"-timeout={arguments.slowest}", "-rss_limit_mb=2048",
         "-malloc_limit_mb=1024", "-max_len=65536", f"-artifact_prefix={program.parent}/", "-print_final_stats=1", grown, *seeds],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    output = finished.stdout.decode(errors="replace")
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", output)
    rate = re.search(r"stat::average_exec_per_sec:\s*(\d+)", output)
    peak = re.search(r"stat::peak_rss_mb:\s*(\d+)", output)
    told = [int(match.group(1)) if match else 0 for match in (runs, rate, peak)]
    print(f"{kind}: {told[0]:,} runs, {told[1]:,} a second, {told[2]} MB at most"
          + ("" if finished.returncode == 0 else f"; FOUND SOMETHING\n{output[-6000:]}"), flush=True)
    return finished.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="where the fuzzers were built")
    parser.add_argument("--only", default="", help="one of them")
    parser.add_argument("--runs", type=int, default=10_000_000, help="at most so many runs each (default ten million)")
    parser.add_argument("--seconds", type=int, default=3600, help="at most so long each (default an hour)")
    parser.add_argument("--slowest", type=int, default=10, help="seconds after which an input counts as endless; more on a busy machine (default 10)")
    parser.add_argument("--jobs", type=int, default=1, help="so many at once")
    arguments = parser.parse_args()
    programs = sorted(path for path in arguments.programs.resolve().glob("*_fuzzer")
                      if path.name in (f"{arguments.only}_fuzzer", path.name if not arguments.only else ""))
    if not programs:
        parser.error(f"there are no fuzzers in {arguments.programs}")
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        return 0 if all(list(pool.map(lambda program: fuzz(program, arguments), programs))) else 1


if __name__ == "__main__":
    sys.exit(main())
