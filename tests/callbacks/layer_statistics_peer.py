# SPDX-License-Identifier: Apache-2.0
"""The Python side of tensor_statistics_test.cpp: statistics of tensors by numpy, in float64.

    layer_statistics_peer.py FOLDER

writes for each case CASE.numbers, little-endian float32, and statistics.json: count, non_finite, mean,
standard_deviation, minimum, maximum, norm, zeros, and histogram, a list of [low, high, count] without empty bins.
"""

import json
import pathlib
import sys

import numpy as np


def cases():
    random = np.random.default_rng(7)
    yield "normal", random.normal(0, 0.05, 100_003)
    yield "uniform", random.uniform(-0.036, 0.036, 784 * 128)
    yield "tiny", random.normal(0, 1e-9, 5000)
    yield "shifted", random.normal(100, 0.01, 70_001)
    relu = np.maximum(random.normal(-0.5, 1, 40_000), 0)
    yield "relu", relu
    yield "few", np.array([0.0, -0.0, 1.0, -2.5, 1e-20, 3e30, -7.0])
    wrong = random.normal(0, 2, 3001)
    wrong[[3, 700, 2999]] = np.nan, np.inf, -np.inf
    yield "non_finite", wrong
    yield "one", np.array([-3.0])
    yield "all_wrong", np.array([np.nan, np.inf])


def edges():
    """Eight bins for each doubling, from 2^-40 on, to both sides."""
    up = [2.0**exponent * (1 + eighth / 8) for exponent in range(-40, 128) for eighth in range(8)]
    return up


def histogram(numbers):
    up = np.array(edges())
    bins = []
    above = numbers[numbers >= up[0]]
    below = -numbers[numbers <= -up[0]]
    # Bins are [low, high) above zero and (low, high] below.
    tops = np.append(up[1:], np.inf)
    count_below = np.bincount(np.searchsorted(up, below, side="right") - 1, minlength=len(up))
    count_above = np.bincount(np.searchsorted(up, above, side="right") - 1, minlength=len(up))
    bins += [[-tops[i], -up[i], int(count_below[i])] for i in reversed(range(len(up))) if count_below[i]]
    middle = int((np.abs(numbers) < up[0]).sum())
    if middle:
        bins.append([-up[0], up[0], middle])
    bins += [[up[i], tops[i], int(count_above[i])] for i in range(len(up)) if count_above[i]]
    return bins


def statistics(raw):
    numbers = raw[np.isfinite(raw)].astype(np.float64)
    found = {"count": len(raw), "non_finite": int(len(raw) - len(numbers)), "histogram": histogram(numbers)}
    some = len(numbers) > 0
    found["mean"] = numbers.mean() if some else 0.0
    found["standard_deviation"] = numbers.std() if some else 0.0
    found["minimum"] = numbers.min() if some else 0.0
    found["maximum"] = numbers.max() if some else 0.0
    found["norm"] = float(np.linalg.norm(numbers)) if some else 0.0
    found["zeros"] = float((numbers == 0).sum() / len(raw))
    return found


def main(folder):
    result = {}
    for name, numbers in cases():
        single = numbers.astype("<f4")
        (folder / f"{name}.numbers").write_bytes(single.tobytes())
        result[name] = statistics(single)
    (folder / "statistics.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
