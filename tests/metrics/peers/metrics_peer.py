# SPDX-License-Identifier: Apache-2.0
"""Random problems from a seed, with what scikit-learn, torchmetrics and scipy make of them, as JSON.

    metrics_peer.py SEED             all problems of a seed, on the standard output
    metrics_peer.py --record FILE    a few of seed 1, as references for a computer without these packages

A problem: `scores` and `target` flat, with their shapes and the dtype that the scores are exact in; the options that all
metrics of it share; and `values`: by "package:metric/option/…" a number, a list of numbers, or null for NaN.
"""

import math
import warnings

import numpy as np
import peer

warnings.filterwarnings("ignore")


def plain(value):
    """Numbers of JSON: NaN is null, tensors and arrays are flat lists, infinity a text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        flat = []
        for item in value:
            item = plain(item)
            flat += item if isinstance(item, list) else [item]
        return flat
    value = float(value)
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return round(value, 12) if abs(value) > 1e-3 else value


def problem(family, case, scores, target, values, dtype="float64", **options):
    scores = np.asarray(scores)
    target = np.asarray(target)
    short = [int(x) if float(x).is_integer() else float(x) for x in scores.ravel()]
    return {"family": family, "case": case, "dtype": dtype, "shape": list(scores.shape), "scores": short,
            "target_shape": list(target.shape), "target": target.ravel().tolist(), "options": options,
            "values": {name: plain(value) for name, value in values.items()}}


DTYPES = ("float64", "float32", "bfloat16")


def problems(seed, few):
    import classification
    import curves
    import regression
    import segmentation

    import sklearn
    import torch

    sklearn.set_config(skip_parameter_validation=True, assume_finite=True)
    torch.set_num_threads(1)
    random = np.random.default_rng(seed)
    return sum((family.problems(random, few) for family in (classification, curves, regression, segmentation)), [])


if __name__ == "__main__":
    peer.main(("scikit-learn", "torchmetrics", "scipy"), problems)
