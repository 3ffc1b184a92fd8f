# SPDX-License-Identifier: Apache-2.0
"""Reads points.bin as athanor/track/points_format.hpp describes it, with nothing of the library; prints what it holds."""

import json
import struct
import sys


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def main():
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    names, place = [], 0
    while place < len(data):
        (length,) = struct.unpack_from("<I", data, place)
        kind = data[place + 4]
        content = data[place + 5 : place + 5 + length]
        (checksum,) = struct.unpack_from("<I", data, place + 5 + length)
        assert checksum == crc32c(data[place + 4 : place + 5 + length]), place
        place += 9 + length
        if kind == 1:
            event = json.loads(content)
            if event["event"] == "run_begin":
                names = []
            if event["event"] == "epoch":
                print("epoch", event["epoch"], event["step"], *(f"{name}={float(value)!r}" for name, value in event["values"]))
        elif kind == 2:
            names.append(content.decode())
        elif kind == 3:
            _, step, samples = struct.unpack_from("<dqq", content)
            values = [struct.unpack_from("<Id", content, at) for at in range(24, len(content), 12)]
            shown = [f"{names[name]}={value!r}" for name, value in values if names[name] != "memory_mb"]
            print("step", step, samples, *shown)
        elif kind == 4:
            (header,) = struct.unpack_from("<I", content)
            print("picture", json.loads(content[4 : 4 + header])["name"], content[5 + header : 8 + header].decode())


main()
