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


STATE_JSON = [
    '{"a": {"$tensor": "state/a"}, "b": [1, 2.5, -3, null, true], "c": {"$real": "7ff8000000000000"}, "$$d": {"$bytes": "00ff"}}',
    '{"$tensor": 3}', '{"$odd": "x", "y": 1}', "[" * 70, '{"a": 1, "a": 2}', "18446744073709551615", "1e400",
]
# Height, width, and the counts of pycocotools for an empty mask, a box, a checkerboard and texts that are none.
MASKS = [(6, 4, b"h0"), (6, 4, b"75"), (5, 5, b"62`41O"), (3, 3, b"0" * 9), (255, 255, b"QQo1"), (4, 4, b"PPPPPPPPPPPPPPPP"), (2, 2, b"00\x7f")]
RUN_EVENTS = [
    {"event": "run_begin", "time": 1.5, "step": 0, "resumed": False, "device": "cpu", "seed": 7, "options": [["lr", "0.1"]], "notes": ["n"]},
    {"event": "stage", "time": 1.6, "epoch": 1, "epochs": 3, "batches": 10},
    {"event": "progress", "time": 1.7, "stage": "train", "epoch": 1, "batch": 3, "batches": 10, "seconds": 0.5},
    {"event": "epoch", "time": 2.0, "epoch": 1, "step": 10, "values": [["val_loss", 0.5]], "settings": [["lr", "NaN"]],
     "best": {"monitor": "val_loss", "epoch": 1, "value": 0.5}},
    {"event": "message", "time": 2.1, "level": "warning", "text": "w"},
    {"event": "text", "time": 2.1, "name": "t", "step": 10, "markdown": "# a"},
    {"event": "histogram", "time": 2.1, "name": "h", "step": 10, "edges": [0, 1, 2], "counts": [3, "Infinity"]},
    {"event": "times", "time": 2.1, "phases": [["data", 0.1]], "verdict": "v"},
    {"event": "run_begin", "time": 3.0, "step": 5, "last_row": 0, "resumed": True},
    {"event": "run_end", "time": 4.0, "reason": "done", "best": {"monitor": "val_loss", "epoch": 1}},
]
REQUESTS = ["runs=0,1,2&name=s:train_loss&name=e:val_loss&x=epoch&from=0&to=1e9&columns=900&smoothing=0.6", "runs=,,&columns=-1&smoothing=nan",
            "localhost:6007", "[::1]:1", "127.0.0.1"]
HISTORY = "epoch,steps,seconds,train_loss,\"a,b\"\n1,10,0.5,0.25,nan\n2,20,0.5,,inf\n"
SCALARS = "time,kind,epoch,step,samples,name,value\n1.0,step,1,9,90,\"a\n\"\"b\",1\n1.0,epoch,1,10,,val_loss,2\n1.0,step,2,11,110,x,1\n1.0,st"
LINES = '{"event":"run_begin","resumed":false,"step":0}\n{"event":"step","step":9}\n{"event":"epoch","step":10}\n{"event":"step","step":12}\n{"ev'
RUN_JSON = {"format": 1, "starts": [{"begun": "2026-11-21T23:21:42Z", "options": {"epochs": 3}, "values": {"val_loss": "down"}, "ended": "x",
                                     "finished": True, "stop_reason": "done"}]}
MANIFEST = {"format": 1, "files": {"weights.safetensors": {"bytes": 8, "crc32": "00000000"}}}


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
    for number, text in enumerate(STATE_JSON):
        put("state_json", str(number), text.encode())
    for number, (height, width, counts) in enumerate(MASKS):
        put("run_length", str(number), bytes([height, width]) + counts)
    records, raw = bytearray(b"\x01"), bytearray(b"\x00")
    contents = [(1, json.dumps(event).encode()) for event in RUN_EVENTS]
    contents.insert(2, (2, b"train_loss"))
    contents.insert(3, (3, struct.pack("<dqqId", 1.65, 5, 50, 0, 0.5)))
    contents.insert(4, (4, struct.pack("<I", 11) + b'{"name":"p"' + b"\x89PNG"))
    for kind, content in contents:
        records += struct.pack("<BH", kind, len(content)) + content
        put("page", f"record{len(records)}", b"\x01" + struct.pack("<BH", kind, len(content)) + content)
        raw += struct.pack("<IB", len(content), kind) + content + b"\0\0\0\0"
    put("page", "records", bytes(records))
    put("page", "raw", bytes(raw))
    put("page", "history", b"\x02" + HISTORY.encode() + b"\0" + json.dumps({"a": {"b": [1, None, "x"]}}).encode())
    for number, request in enumerate(REQUESTS):
        put("page", f"request{number}", b"\x03" + request.encode())
    put("run_files", "run", b"\x00" + json.dumps(RUN_JSON).encode() + b"\0" + HISTORY.encode() + b"\0" + b'{"epochs": 3}')
    put("run_files", "manifest", b"\x01" + json.dumps(MANIFEST).encode())
    put("run_files", "scalars", b"\x01" + SCALARS.encode())
    put("run_files", "lines", b"\x01" + LINES.encode())
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
