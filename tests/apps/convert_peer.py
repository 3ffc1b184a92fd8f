# SPDX-License-Identifier: Apache-2.0
"""Opens with the real torch and safetensors what `athanor convert` wrote, and compares bit by bit.

    convert_peer.py SOURCE CONVERTED [DTYPE]

SOURCE is a state dictionary of torch.save; CONVERTED a .pt or .safetensors file, or a folder of several with their index.
Prints the number of tensors that are equal; ends with 1 for a difference and with 77 where a package is missing.
"""

import json
import os
import sys

try:
    import torch
    from safetensors.torch import load_file
except ImportError:
    sys.exit(77)


def read(path):
    if os.path.isdir(path):
        with open(os.path.join(path, "model.safetensors.index.json"), encoding="utf-8") as file:
            index = json.load(file)["weight_map"]
        tensors = {}
        for name in sorted(set(index.values())):
            part = load_file(os.path.join(path, name))
            assert all(index[key] == name for key in part)
            tensors.update(part)
        assert tensors.keys() == index.keys()
        return tensors
    if path.endswith(".safetensors"):
        return load_file(path)
    return torch.load(path, weights_only=True)


def bits(tensor):
    # Each NaN counts as the same: torch gives it other bits in vectorised loops than for a single number.
    if tensor.is_floating_point():
        tensor = tensor.masked_fill(tensor.isnan(), 0.5)
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def main():
    source, converted = read(sys.argv[1]), read(sys.argv[2])
    dtype = getattr(torch, sys.argv[3]) if len(sys.argv) > 3 else None
    assert source.keys() == converted.keys(), (source.keys(), converted.keys())
    for name, tensor in source.items():
        expected = tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor
        got = converted[name]
        assert got.dtype == expected.dtype and got.shape == expected.shape, (name, got.dtype, got.shape)
        assert torch.equal(bits(got), bits(expected)), name
    print(len(source))


main()
