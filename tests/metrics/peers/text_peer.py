# SPDX-License-Identifier: Apache-2.0
"""Random problems of text, tags and ranking from a seed, with what Python's packages make of them, as JSON.

    text_peer.py SEED texts              all problems of a seed, on the standard output; or spans, or ranking
    text_peer.py --record FILE texts     a few of seed 1, as references for a computer without these packages

texts: sacrebleu, rouge-score, nltk, torchmetrics. spans: seqeval. ranking: scikit-learn, torchmetrics.
"""

import importlib
import random
import sys
import warnings

import peer

warnings.filterwarnings("ignore")

PACKAGES = {"texts": ("sacrebleu", "rouge-score", "nltk", "torchmetrics"), "spans": ("seqeval",),
            "ranking": ("scikit-learn", "torchmetrics")}


def problems(seed, few):
    return importlib.import_module(sys.argv[-1]).problems(random.Random(seed), few)


if __name__ == "__main__":
    peer.main(PACKAGES[sys.argv[-1]], problems)
