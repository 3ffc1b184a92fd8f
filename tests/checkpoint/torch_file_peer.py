# SPDX-License-Identifier: Apache-2.0
"""The Python side of torch_file_python_test.cpp: writes and checks files with the real torch.save and torch.load.

    torch_file_peer.py write FOLDER    writes the files that the test reads
    torch_file_peer.py check FOLDER    opens what the test wrote, by torch.load(weights_only=True), and compares

tests/checkpoint/recorded holds what `write` gave once, for machines whose Python has no torch.
"""

import collections
import os
import pathlib
import sys

import torch

sys.path.append(str(pathlib.Path(__file__).parents[1] / "optim"))
import without_compiler  # noqa: E402, F401

# Computes where each storage lies and throws when that is not where it is.
os.environ["TORCH_SERIALIZATION_DEBUG"] = "1"

DTYPES = sorted(map(str, [*torch.storage._new_dtypes(), *(
    dtype for dtype, storage in torch.storage._dtype_to_storage_type_map().items() if not storage.startswith("Q"))]))


def dtype_tensors():
    """48 bytes that count up, seen as every type; in bool 0 and 1 in turn."""
    numbers = torch.arange(48, dtype=torch.uint8)
    tensors = {}
    for name in DTYPES:
        dtype = getattr(torch, name.removeprefix("torch."))
        tensors[name] = numbers.remainder(2).to(torch.bool) if dtype is torch.bool else numbers.clone().view(dtype)
    return tensors


def net():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten(), torch.nn.Linear(8, 3))


def layouts():
    """Tensors whose strides, offsets and storages are to be kept: (name, tensor), the base is arange(24)."""
    base = torch.arange(24, dtype=torch.float32)
    numbers = base.reshape(4, 6)
    complex_numbers = lambda: torch.complex(torch.arange(3.0), torch.arange(3.0) + 5)  # noqa: E731
    return {
        "base": base,
        "transposed": numbers.t(),
        "columns": numbers[:, 1:6:2],
        "last": base[20:],
        "expanded": torch.full((1, 3), 7.0).expand(4, 3),
        "channels_last": torch.arange(120, dtype=torch.float32).reshape(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "empty": torch.empty(0, 3),
        "empty part": base[5:5],
        "scalar": torch.tensor(2.5),
        "conjugate": complex_numbers().conj(),
        "negative": complex_numbers().conj().imag,
        "parameter": torch.nn.Parameter(torch.arange(4.0)),
        "parameter with an attribute": attributed(torch.nn.Parameter(torch.arange(2.0))),
        "tensor with an attribute": attributed(torch.arange(2.0)),
        "buffer": torch.nn.Buffer(torch.arange(2.0)),
    }


def attributed(tensor):
    tensor.note = "not kept"
    return tensor


def values():
    return {
        "none": None,
        "true": True,
        "false": False,
        "integers": [0, 1, 255, 256, 65535, 65536, -1, -(2**31), 2**31, 2**63 - 1, -(2**63)],
        "beyond 63 bits": 2**64 - 1,
        "reals": [0.0, -0.0, 1.5, 1e-300, float("inf"), float("-inf"), float("nan")],
        "texts": ["", "plain", "é ∀ 🜂", "line\nbreak", "x" * 300],
        "tuple": (1, (2, ()), [3]),
        "set": {4},
        "frozen set": frozenset([5]),
        "ordered": collections.OrderedDict([("z", 1), ("a", collections.OrderedDict())]),
        "counter": collections.Counter("aab"),
        "whole numbers as keys": {0: "zero", 7: "seven", -1: "minus one"},
        "bytes": b"\x00\x7f\x80\xff",
        "no bytes": b"",
        "byte array": bytearray(b"abc"),
        "complex": complex(1.5, -2),
        "size": torch.Size([2, 3]),
        "dtype": torch.float32,
        "device": torch.device("cuda", 1),
        "cpu": torch.device("cpu"),
        "layout": torch.strided,
        "untyped storage": torch.arange(3, dtype=torch.uint8).untyped_storage(),
    }


def checkpoint():
    """As a training loop of Python keeps it."""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.arange(32.0).reshape(2, 1, 4, 4)).square().mean().backward()
        optimizer.step()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "epoch": 3,
        "best": 0.25,
        "rng": torch.get_rng_state(),
        "history": [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}],
    }


def numpy_values():
    import numpy

    return {
        "array": numpy.arange(6, dtype=numpy.float64).reshape(2, 3),
        "columns first": numpy.asfortranarray(numpy.arange(6, dtype=numpy.int16).reshape(2, 3)),
        "boolean array": numpy.array([True, False]),
        "no elements": numpy.zeros((0, 2), dtype=numpy.float32),
        "float64": numpy.float64(0.1),
        "float32": numpy.float32(0.5),
        "float16": numpy.float16(1.5),
        "int64": numpy.int64(-3),
        "uint8": numpy.uint8(200),
        "bool": numpy.bool_(True),
    }


class Foreign:
    pass


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def write(folder):
    torch.save(dtype_tensors(), folder / "dtypes.pt")
    torch.save(dtype_tensors(), folder / "dtypes_legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(layouts(), folder / "layouts.pt")
    torch.save(layouts(), folder / "layouts_legacy.pt", _use_new_zipfile_serialization=False)
    for protocol in (2, 3, 4, 5):
        torch.save(values(), folder / f"values_protocol{protocol}.pt", pickle_protocol=protocol)
    torch.save(values(), folder / "values_legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(checkpoint(), folder / "checkpoint.pt")
    tied = torch.arange(6.0)
    torch.save({"first": tied, "second": tied, "view": tied[2:4]}, folder / "tied.pt")
    torch.save(torch.arange(3), folder / "lone_tensor.pt")
    torch.serialization.set_crc32_options(False)
    torch.save({"w": torch.arange(3)}, folder / "without_checksums.pt")
    torch.serialization.set_crc32_options(True)

    torch.save({"a": {"b": torch.eye(2).to_sparse()}}, folder / "refused_sparse.pt")
    torch.save({"a": [torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)]}, folder / "refused_quantized.pt")
    torch.save({"a": torch.ones(2, device="meta")}, folder / "refused_meta.pt")
    torch.save(net(), folder / "refused_module.pt")
    torch.save({"ok": torch.ones(1), "bad": Foreign()}, folder / "refused_class.pt")
    torch.save({"ok": torch.ones(1), "bad": Evil(folder / "executed")}, folder / "refused_system.pt")
    torch.save({"ok": torch.ones(1), "bad": Evil(folder / "executed")}, folder / "refused_system_legacy.pt",
               _use_new_zipfile_serialization=False)
    torch.save({"same": 1, 1: "a", "1": "b"}, folder / "refused_keys.pt")
    torch.save({(1, 2): 3}, folder / "refused_tuple_key.pt")
    deep = []
    for _ in range(900):
        deep = [deep]
    sys.setrecursionlimit(10000)
    torch.save(deep, folder / "refused_deep.pt")
    loop = []
    loop.append(loop)
    torch.save(loop, folder / "refused_loop.pt")
    many = [1] * 10
    for _ in range(12):
        many = [many] * 10
    torch.save(many, folder / "refused_many.pt")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), folder / "refused_script.pt")
    try:
        import numpy  # noqa: F401
    except ImportError:
        return
    for protocol in (2, 5):
        torch.save(numpy_values(), folder / f"numpy_protocol{protocol}.pt", pickle_protocol=protocol)


def bits(tensor):
    return tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).tolist()


def same(got, want, path):
    if isinstance(want, torch.Tensor):
        assert isinstance(got, torch.Tensor), path
        assert got.dtype == want.dtype and got.shape == want.shape, (path, got.dtype, got.shape)
        assert got.requires_grad == want.requires_grad, path
        assert bits(got) == bits(want), path
    elif isinstance(want, dict):
        assert type(got) is dict and list(got) == [str(key) for key in want], (path, list(got))
        for key in want:
            same(got[str(key)], want[key], f"{path}.{key}")
    elif isinstance(want, (list, tuple, set, frozenset)):
        assert type(got) is list and len(got) == len(want), path
        for i, (a, b) in enumerate(zip(got, want)):
            same(a, b, f"{path}.{i}")
    else:
        assert type(got) is type(want) and repr(got) == repr(want), (path, got, want)


def check(folder):
    load = lambda name: torch.load(folder / name, weights_only=True)  # noqa: E731
    same(load("ours_dtypes.pt"), dtype_tensors(), "dtypes")
    for mapped in (False, True):
        got = torch.load(folder / "ours_layouts.pt", weights_only=True, mmap=mapped)
        wanted = layouts()
        assert list(got) == list(wanted)
        for name, want in wanted.items():
            if not isinstance(want, torch.nn.Parameter):
                want = want.requires_grad_(False) if want.is_leaf else want
            assert got[name].stride() == want.stride(), name
            same(got[name], want, name)
            assert got[name].is_conj() == want.is_conj() and got[name].is_neg() == want.is_neg(), name
        shared = {name for name in got if got[name].untyped_storage().data_ptr() == got["base"].untyped_storage().data_ptr()}
        assert shared == {"base", "transposed", "columns", "last", "empty part"}, shared

    wanted = values()
    for name in ("beyond 63 bits", "dtype", "device", "cpu", "layout"):
        wanted[name] = str(wanted[name])
    for name in ("bytes", "no bytes", "byte array"):
        wanted[name] = torch.tensor(list(wanted[name]), dtype=torch.uint8)
    wanted["complex"] = torch.tensor(wanted["complex"], dtype=torch.complex128)
    wanted["untyped storage"] = torch.arange(3, dtype=torch.uint8)
    same(load("ours_values.pt"), wanted, "values")

    got, wanted = load("ours_checkpoint.pt"), checkpoint()
    assert list(got["optimizer"]["state"]) == list(wanted["optimizer"]["state"]), "whole numbers as keys"
    model = net()
    model.load_state_dict(got["model"])
    optimizer = torch.optim.AdamW(model.parameters())
    optimizer.load_state_dict(got["optimizer"])
    for state, want in zip(optimizer.state.values(), wanted["optimizer"]["state"].values()):
        assert all(torch.equal(state[name], want[name]) for name in want)
    got["optimizer"]["state"] = {str(key): value for key, value in got["optimizer"]["state"].items()}
    same(got, wanted, "checkpoint")

    got = load("ours_shared.pt")
    assert got["bytes"].untyped_storage().data_ptr() == got["floats"].untyped_storage().data_ptr()
    assert got["floats"].tolist() == [1.0, 2.0, 3.0, 4.0] and got["bytes"].dtype == torch.uint8
    part = got["part of a large one"]
    assert part.tolist() == [1000.0, 1001.0] and part.untyped_storage().nbytes() <= 32, part.untyped_storage().nbytes()
    assert got["first"].untyped_storage().data_ptr() == got["second"].untyped_storage().data_ptr()


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](pathlib.Path(sys.argv[2]))
