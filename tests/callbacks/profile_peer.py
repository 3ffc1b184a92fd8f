# SPDX-License-Identifier: Apache-2.0
"""Reads the trace of a profile as a tool would, and adds it up on its own.

    profile_peer.py TRACE

Prints `step COUNT NANOSECONDS` and `phase NAME COUNT NANOSECONDS`, `top NANOSECONDS` for the operators that no other
one called, and for each operator `operator NAME CALLS SELF TOTAL`, blanks in names as underscores. Says what is wrong
and ends with 1 when spans of a thread overlap without one holding the other, or when a phase lies in no step.
Needs nothing but Python.
"""

import collections
import json
import sys
from fractions import Fraction


def nanoseconds(event, key):
    """The trace has microseconds with three decimals: exact as fractions."""
    value = Fraction(event[key]) * 1000
    assert value.denominator == 1 and value >= 0
    return int(value)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        trace = json.load(file, parse_float=str)
    threads = collections.defaultdict(list)
    for event in trace["traceEvents"]:
        assert event["ph"] in "MX", event
        if event["ph"] == "X":
            begin = nanoseconds(event, "ts")
            threads[event["pid"], event["tid"]].append((begin, begin + nanoseconds(event, "dur"), event))
    counts, times = collections.Counter(), collections.Counter()
    calls, own, total = collections.Counter(), collections.Counter(), collections.Counter()
    top = 0
    for spans in threads.values():
        spans.sort(key=lambda span: (span[0], -span[1]))
        stack = []
        for begin, end, event in spans:
            while stack and stack[-1][1] <= begin:
                stack.pop()
            if stack and stack[-1][1] < end:
                sys.exit(f"{event['name']} ends after {stack[-1][2]['name']}, in which it began")
            kind, name = event["cat"], event["name"].replace(" ", "_")
            within = [each[2]["cat"] for each in stack]
            if kind == "phase" and name != "data" and "step" not in within:
                sys.exit(f"{name} lies in no step")
            if kind in ("step", "phase"):
                key = "step" if kind == "step" else "phase " + name
                counts[key] += 1
                times[key] += end - begin
            if kind in ("operator", "backward"):
                calls[name] += 1
                own[name] += end - begin
                outer = [each[2]["name"].replace(" ", "_") for each in stack if each[2]["cat"] in ("operator", "backward")]
                if outer:
                    own[outer[-1]] -= end - begin
                else:
                    top += end - begin
                if name not in outer:
                    total[name] += end - begin
                if name == "aten::addmm":
                    phases = [each[2]["name"] for each in stack if each[2]["cat"] == "phase"]
                    counts["addmm in " + (phases[-1] if phases else "no phase")] += 1
            stack.append((begin, end, event))
    for key, count in sorted(counts.items()):
        print(key, count, times[key])
    print("top", top)
    for name in sorted(calls):
        print("operator", name, calls[name], own[name], total[name])


if __name__ == "__main__":
    main()
