# SPDX-License-Identifier: Apache-2.0
"""Problems of tagged sentences, with seqeval."""

import numpy as np
from peer import part

part("sklearn.exceptions")  # all that seqeval wants of scikit-learn
scheme_of = part("seqeval.scheme")
sequence_labeling, v1 = part("seqeval.metrics.sequence_labeling"), part("seqeval.metrics.v1")

SCHEMES = {"lenient": "OBIES", "IOB1": "IOB", "IOB2": "IOB", "IOE1": "IOE", "IOE2": "IOE", "IOBES": "IOBES", "BILOU": "BILOU"}
CASES = ("random", "one sentence", "all wrong", "all right", "begins with I", "unknown types", "outside", "awkward names")


def tag(random, letters, types):
    letter = random.choice(letters)
    if letter == "O":
        return "O"
    kind = random.choice(types)
    return f"{letter}-{kind}" if kind else letter


def turned(sentences):
    return [[each if len(each) == 1 else f"{each[2:]}-{each[0]}" for each in sentence] for sentence in sentences]


def sentences(random, scheme, case):
    letters = SCHEMES[scheme]
    types = ["PER", "LOC", "ORG"] if case != "awkward names" else ["my-type", "", "-x-", "_", "PER", "\u65e5\u672c"]
    inside = [letter for letter in letters if letter != "O"]
    predictions, targets = [], []
    for _ in range(1 if case == "one sentence" else random.randint(2, 6)):
        length = random.randint(0 if case == "random" else 1, 9)
        right = ["O"] * length if case == "outside" else [tag(random, letters, types) for _ in range(length)]
        said = list(right) if case == "all right" else [
            each if random.random() < 0.7 else tag(random, letters, types) for each in right]
        if case == "all wrong":
            said = [f"{each[0]}-WRONG" if each != "O" else "O" for each in right]
        elif case == "unknown types":
            said = [each if random.random() < 0.5 else tag(random, letters, ["NEW", "OTHER"]) for each in right]
        elif case == "begins with I":
            right[0], said[0] = "I-PER", random.choice(["I-PER", inside[0] + "-PER", "O"])
        elif case == "outside":
            said = list(right)
        predictions.append(said)
        targets.append(right)
    return predictions, targets


def values(scheme, suffix, predictions, targets):
    found = {}
    for average in ("micro", "macro", "weighted", None):
        if scheme == "lenient":
            scores = sequence_labeling.precision_recall_fscore_support(targets, predictions, average=average, suffix=suffix)
        else:
            scores = v1.precision_recall_fscore_support(targets, predictions, average=average, suffix=suffix,
                                                        scheme=getattr(scheme_of, scheme))
        found[average or "per_class"] = [np.nan_to_num(np.asarray(score)).tolist() for score in scores[:3]]
        if average is None:
            found["targets"] = np.asarray(scores[3]).tolist()
    if scheme == "lenient":
        names = {kind for side in (predictions, targets) for kind, _, _ in sequence_labeling.get_entities(side, suffix)}
    else:
        names = set(v1.unique_labels(targets, predictions, getattr(scheme_of, scheme), suffix))
    return {"types": sorted(names), **found}


def problems(random, few):
    made = []
    for suffix in (False, True):
        for scheme in SCHEMES:
            for _ in range(1 if few else 4):
                for case in CASES:
                    both = sentences(random, scheme, case)
                    predictions, targets = map(turned, both) if suffix else both
                    made.append({"scheme": scheme, "suffix": suffix, "case": case, "predictions": predictions,
                                 "targets": targets, "values": values(scheme, suffix, predictions, targets)})
    return made
