# SPDX-License-Identifier: Apache-2.0
"""The Python side of safetensors_python_test.cpp: writes, checks and judges files with the real safetensors package.

    safetensors_peer.py write FOLDER    writes torch.safetensors and numpy.safetensors
    safetensors_peer.py check FOLDER    compares files of these names with what it would have written
    safetensors_peer.py judge FOLDER    prints the names of the files that the package accepts
"""

import pathlib
import sys

import numpy
import safetensors

METADATA = {"written by": "safetensors_test é"}
SHAPES = {"": (3, 5), ".scalar": (), ".empty": (0, 4), ".é \"quoted\"\n": (2, 1, 2)}
NUMPY_TYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64",
               "bool", "complex64"]
TORCH_TYPES = NUMPY_TYPES + ["bfloat16", "float8_e4m3fn", "float8_e5m2"]


def values(type_name, shape):
    """Element i is (i % 7) / 2, in bool i % 2, in complex i % 7 - i * 1j; an integer is cut."""
    import torch

    numbers = torch.arange(int(numpy.prod(shape)), dtype=torch.float32).reshape(shape)
    if type_name == "bool":
        return numbers.remainder(2).to(torch.bool)
    if type_name == "complex64":
        return torch.complex(numbers.remainder(7), -numbers)
    return (numbers.remainder(7) / 2).to(getattr(torch, type_name))


def tensors(kind):
    types = TORCH_TYPES if kind == "torch" else NUMPY_TYPES
    made = {name + suffix: values(name, shape) for name in types for suffix, shape in SHAPES.items()}
    return made if kind == "torch" else {name: value.numpy() for name, value in made.items()}


def write(folder):
    import safetensors.numpy
    import safetensors.torch

    safetensors.torch.save_file(tensors("torch"), folder / "torch.safetensors", metadata=METADATA)
    safetensors.numpy.save_file(tensors("numpy"), folder / "numpy.safetensors", metadata=METADATA)


def check(folder):
    import torch

    for kind, framework in (("torch", "pt"), ("numpy", "np")):
        with safetensors.safe_open(folder / f"{kind}.safetensors", framework=framework) as file:
            assert file.metadata() == METADATA, file.metadata()
            expected = tensors(kind)
            assert set(file.keys()) == set(expected), set(file.keys()) ^ set(expected)
            for name, want in expected.items():
                got = file.get_tensor(name)
                assert got.dtype == want.dtype and got.shape == want.shape, (kind, name, got.dtype, got.shape)
                if kind == "torch":
                    got, want = (each.reshape(-1).view(torch.uint8).numpy() for each in (got, want))
                assert numpy.array_equal(got, want), (kind, name)


def judge(folder):
    for path in sorted(folder.iterdir()):
        try:
            with safetensors.safe_open(path, framework="np"):
                print(path.name)
        except safetensors.SafetensorError:
            pass


if __name__ == "__main__":
    {"write": write, "check": check, "judge": judge}[sys.argv[1]](pathlib.Path(sys.argv[2]))
