# SPDX-License-Identifier: Apache-2.0
"""Random problems of text, tags and ranking from a seed, with what Python's packages make of them, as JSON.

    text_peer.py SEED texts              all problems of a seed, on the standard output; or spans, or ranking
    text_peer.py --record FILE texts     a few of seed 1, as references for a computer without these packages

texts: sacrebleu, rouge-score, nltk, torchmetrics. spans: seqeval. ranking: scikit-learn, torchmetrics.
"""

import importlib
import json
import random
import sys
import warnings

warnings.filterwarnings("ignore")


def main():
    family = importlib.import_module(sys.argv[-1])
    record = sys.argv[1] == "--record"
    problems = family.problems(random.Random(1 if record else int(sys.argv[1])), few=record)
    if not record:
        json.dump(problems, sys.stdout)
        return
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(each, separators=(",", ":")) for each in problems) + "\n]\n")


if __name__ == "__main__":
    main()
