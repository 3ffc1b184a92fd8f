#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes fuzzers/corpus, the inputs that the fuzzers begin with, out of tests/checkpoint/recorded and of what is made here.

    fuzzers/make_corpus.py        (any Python 3)

Whole .pt files are not copied: the fuzzer reads them where they lie.
"""

import json
import pathlib
import struct
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent
RECORDED = ROOT.parent / "tests" / "checkpoint" / "recorded"

SAFETENSORS = [
    {},
    {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "b": {"dtype": "BOOL", "shape": [], "data_offsets": [24, 25]},
     "__metadata__": {"format": "pt"}},
    {"a\u00e9\n": {"dtype": "BF16", "shape": [0, 9223372036854775807], "data_offsets": [0, 0]}},
    {"a": {"dtype": "F64", "shape": [9223372036854775807], "data_offsets": [0, 18446744073709551615]}},
    {"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}, "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}},
]
OTHER_JSON = [
    '{"metadata": {"total_size": 8, "x": [1, {"y": null}]}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "f"}}',
    '{"weight_map": {"a": "../f"}}',
    '{"epochs": 5, "trainer": {"clip": {"norm": 1.5e-3}, "run": null}, "list": [true, false, -7, "\\u00e9\\ud83d\\ude00"]}',
    "[[[[[[[[", '{"a":' * 40, "\ufeff{}", '"\\ud800"', "1e999", "-0",
]
IDX = [(0x08, [2, 3]), (0x0D, [1]), (0x0E, [1, 1, 1]), (0x0B, [0, 4]), (0x09, [0xFFFFFFFF, 0xFFFFFFFF])]
WIDTH = {0x08: 1, 0x09: 1, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}


def put(kind, name, content):
    folder = ROOT / "corpus" / kind
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def main():
    for number, header in enumerate(SAFETENSORS):
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        put("safetensors", str(number), struct.pack("<Q", len(text)) + text + bytes(min(max(ends, default=0), 64)))
        put("json", f"safetensors{number}", text)
    for number, text in enumerate(OTHER_JSON):
        put("json", f"other{number}", text.encode("utf-8", "surrogatepass"))
    for number, (kind, sizes) in enumerate(IDX):
        elements = 1
        for size in sizes:
            elements *= size
        head = struct.pack(f">HBB{len(sizes)}I", 0, kind, len(sizes), *sizes)
        put("idx", str(number), head + bytes(min(elements * WIDTH[kind], 64)))
    for path in sorted(RECORDED.glob("*.pt")):
        try:
            with zipfile.ZipFile(path) as archive:
                name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                put("pickle", path.stem, archive.read(name))
        except zipfile.BadZipFile:
            pass


if __name__ == "__main__":
    main()
