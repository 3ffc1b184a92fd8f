#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a C++ source that holds files: embed_files.py <output> <name>=<file> ...

The source defines athanor::track::page_file (athanor/track/page_files.hpp). Other names are empty.
"""

import sys

ESCAPES = {ord("\\"): "\\\\", ord('"'): '\\"', ord("\n"): "\\n", ord("\t"): "\\t", ord("?"): "\\?"}
PIECE = 120


def literal(content):
    pieces = []
    for begin in range(0, len(content), PIECE):
        text = "".join(
            ESCAPES.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in content[begin : begin + PIECE]
        )
        pieces.append(f'"{text}"')
    return "\n    ".join(pieces) or '""'


def main():
    output, *entries = sys.argv[1:]
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        "// Written by scripts/embed_files.py.",
        '#include "athanor/track/page_files.hpp"',
        "",
        "namespace athanor::track {",
        "",
        "std::string_view page_file(std::string_view name) noexcept {",
    ]
    for entry in entries:
        name, path = entry.split("=", 1)
        with open(path, "rb") as file:
            content = file.read()
        lines.append(f'  if (name == "{name}") return {{{literal(content)}, {len(content)}}};')
    lines += ["  return {};", "}", "", "}  // namespace athanor::track", ""]
    text = "\n".join(lines)
    with open(output, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
