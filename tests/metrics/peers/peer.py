# SPDX-License-Identifier: Apache-2.0
"""What the scripts of this folder share: imports that cost little, and the way in and out.

A script is started once by a test: with a seed it writes problems to its standard output, and the versions of the packages
to standard error. It ends with 77 when a package is not there.
"""

import importlib
import importlib.metadata
import importlib.util
import json
import logging
import sys
import types

NOT_THERE = 77


def part(name):
    """The module `name`, without what the packages above it import of their own: for torchmetrics and nltk that takes seconds.

    A package that can't do without is imported whole.
    """
    before = set(sys.modules)
    try:
        above = ""
        for piece in name.split(".")[:-1]:
            above = f"{above}.{piece}" if above else piece
            if above in sys.modules:
                continue
            found = importlib.util.find_spec(above)
            if found is None:
                raise ModuleNotFoundError(f"no module {above}")
            stand_in = types.ModuleType(above)
            stand_in.__path__ = list(found.submodule_search_locations)
            stand_in.__spec__ = found
            stand_in._logger = logging.getLogger(above)  # asked for by parts of torchmetrics
            sys.modules[above] = stand_in
        return importlib.import_module(name)
    except ImportError:
        top = name.split(".")[0]
        for module in set(sys.modules) - before:
            if module.split(".")[0] == top:
                del sys.modules[module]
        return importlib.import_module(name)


def main(packages, problems):
    """`problems(seed, few)` imports what it needs; `packages` are told with their versions."""
    record = sys.argv[1] == "--record"
    try:
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
        made = problems(1 if record else int(sys.argv[1]), record)
    except ImportError as error:
        print(f"{error}: only the recorded references count", file=sys.stderr)
        sys.exit(NOT_THERE)
    if not record:
        print(versions, file=sys.stderr)
        json.dump(made, sys.stdout)
        return
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(each, separators=(",", ":")) for each in made) + "\n]\n")
