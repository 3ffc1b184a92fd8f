# SPDX-License-Identifier: Apache-2.0
"""The Python side of prediction_writer_test.cpp: reads a file with the safetensors package or with numpy.

    prediction_writer_peer.py FILE

prints a line for each tensor or column, sorted by name: name, dtype, shape, and the sum of number times place (from 1).
"""

import sys

import numpy as np


def main(path):
    if path.endswith(".csv"):
        with open(path, encoding="utf-8") as file:
            names = file.readline().rstrip("\n").split(",")
        table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
        tensors = {name: table[:, i] for i, name in enumerate(names)}
    else:
        from safetensors.numpy import load_file

        tensors = load_file(path)
    for name in sorted(tensors):
        tensor = tensors[name]
        weighted = (tensor.astype(np.float64).ravel() * np.arange(1, tensor.size + 1)).sum()
        print(name, tensor.dtype, "x".join(map(str, tensor.shape)), repr(float(weighted)))


if __name__ == "__main__":
    main(sys.argv[1])
