#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes athanor/metrics/unicode_tables.cpp: what Python's str and the regex module know of each character.

    python scripts/unicode_tables.py > athanor/metrics/unicode_tables.cpp

Lower case and what belongs to a word come from Python's own str, categories from the regex module, as in sacreBLEU.
"""

import unicodedata

import regex

# The order of the bits is that of athanor/metrics/unicode_tables.hpp.
PROPERTIES = (lambda c: regex.match(r"\p{N}", c), lambda c: regex.match(r"\p{P}", c), lambda c: regex.match(r"\p{S}", c),
              lambda c: regex.match(r"\p{Cased}", c), lambda c: regex.match(r"\p{Case_Ignorable}", c), str.isalnum)
CHARACTERS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def property_ranges():
    ranges = []
    for code in CHARACTERS:
        bits = sum(1 << i for i, has in enumerate(PROPERTIES) if has(chr(code)))
        if ranges and ranges[-1][1] == code - 1 and ranges[-1][2] == bits:
            ranges[-1][1] = code
        elif bits:
            ranges.append([code, code, bits])
    return ranges


def lower_ranges():
    """Runs of characters, one or two apart, that move by the same distance. The one that becomes two is left out."""
    ranges = []
    for code in CHARACTERS:
        lower = chr(code).lower()
        if len(lower) != 1 or ord(lower) == code:
            continue
        delta = ord(lower) - code
        last = ranges[-1] if ranges else None
        step = code - last[1] if last else 0
        if last and last[2] == delta and step <= 2 and last[3] in (0, step):
            last[1], last[3] = code, step
        else:
            ranges.append([code, code, delta, 0])
    return [(first, last, delta, step or 1) for first, last, delta, step in ranges]


def lines(rows):
    text = ""
    for row in rows:
        item = "{" + ", ".join(row) + "}, "
        if len(text) + len(item) > 119:
            yield text.rstrip()
            text = ""
        text += ("    " if not text else "") + item
    yield text.rstrip()


def main():
    print(f"""// SPDX-License-Identifier: Apache-2.0
// What Python's str and the regex module know of each character: written by scripts/unicode_tables.py, Unicode
// {unicodedata.unidata_version} (str), regex {regex.__version__}.
#include "athanor/metrics/unicode_tables.hpp"

namespace athanor::metrics::detail {{
namespace {{

// clang-format off
constexpr PropertyRange properties[] = {{""")
    print("\n".join(lines((f"0x{first:X}", f"0x{last:X}", str(bits)) for first, last, bits in property_ranges())))
    print("};\n\nconstexpr LowerRange lowers[] = {")
    print("\n".join(lines((f"0x{first:X}", f"0x{last:X}", str(delta), str(step))
                          for first, last, delta, step in lower_ranges())))
    print("""};
// clang-format on

}  // namespace

std::span<const PropertyRange> property_ranges() noexcept { return properties; }
std::span<const LowerRange> lower_ranges() noexcept { return lowers; }

}  // namespace athanor::metrics::detail""")


if __name__ == "__main__":
    main()
