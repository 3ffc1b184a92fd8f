# SPDX-License-Identifier: Apache-2.0
"""Random classification and regression problems from a seed, with what scikit-learn makes of them, as JSON."""

import json
import sys
import warnings

import numpy as np
from sklearn import metrics

warnings.filterwarnings("ignore")


def averages(target, predicted, classes):
    values = {}
    everything = list(range(classes))
    for name in ("precision", "recall", "f1"):
        score = getattr(metrics, name + "_score")
        for average in ("micro", "macro", "weighted"):
            values[f"{name}_{average}"] = score(target, predicted, average=average, zero_division=0)
        values[f"{name}_per_class"] = score(
            target, predicted, average=None, labels=everything, zero_division=0
        ).tolist()
        if classes == 2:
            values[f"{name}_binary"] = score(target, predicted, zero_division=0)
    values["acc"] = metrics.accuracy_score(target, predicted)
    for normalize in (None, "true", "pred", "all"):
        matrix = metrics.confusion_matrix(target, predicted, labels=everything, normalize=normalize)
        values[f"confusion_{normalize or 'none'}"] = matrix.tolist()
    return values


def multiclass(random, classes, samples, case):
    # Steps of 1/4 make ties; argmax takes the first in both worlds.
    scores = random.integers(-8, 9, (samples, classes)) / 4
    target = random.integers(0, classes, samples)
    if case == "empty classes":
        target %= max(1, classes // 2)
        scores[:, classes // 2 + 1 :] = -9
    elif case == "all wrong":
        target = (scores.argmax(1) + 1) % classes
    elif case == "all right":
        target = scores.argmax(1)
    elif case == "all tied":
        scores[:] = 1
    elif case == "one class":
        target[:] = classes - 1
    values = averages(target, scores.argmax(1), classes)
    if classes > 2:
        # scikit-learn gives ties to the higher class: no ties here.
        distinct = random.permuted(np.tile(np.arange(classes), (samples, 1)), axis=1).astype(float)
        values["top2_acc"] = metrics.top_k_accuracy_score(target, distinct, k=2, labels=list(range(classes)))
        return {"kind": "multiclass", "case": case, "scores": scores.tolist(), "target": target.tolist(),
                "distinct": distinct.tolist(), "values": values}
    return {"kind": "multiclass", "case": case, "scores": scores.tolist(), "target": target.tolist(), "values": values}


def binary(random, samples, case):
    logits = random.integers(-8, 9, samples) / 4
    target = random.integers(0, 2, samples)
    if case == "all wrong":
        target = (logits <= 0).astype(int)
    elif case == "no positives":
        target[:] = 0
    elif case == "nothing predicted":
        logits = -abs(logits)
    return {"kind": "binary", "case": case, "scores": logits.tolist(), "target": target.tolist(),
            "values": averages(target, (logits > 0).astype(int), 2)}


def regression(random, samples, outputs, case):
    target = random.normal(3, 2, (samples, outputs))
    predicted = target + random.normal(0, 1, target.shape)
    if case == "far from zero":
        target += 1e6
        predicted += 1e6
    elif case == "constant":
        # Exact in binary: of 0.1 numpy finds a mean that is not 0.1, and so a variance.
        target[:] = 0.25
    elif case == "exact constant":
        target[:] = 0.5
        predicted[:] = 0.5
    elif case == "opposite":
        predicted = -target
    values = {"mae": metrics.mean_absolute_error(target, predicted), "mse": metrics.mean_squared_error(target, predicted)}
    values["rmse"] = float(np.sqrt(values["mse"]))
    if samples > 1:
        values["r2"] = metrics.r2_score(target, predicted)
    return {"kind": "regression", "case": case, "scores": predicted.tolist(), "target": target.tolist(), "values": values}


def main():
    random = np.random.default_rng(int(sys.argv[1]))
    problems = []
    for classes, samples in ((2, 1), (3, 1), (2, 40), (3, 17), (5, 64), (10, 33), (10, 500)):
        for case in ("random", "empty classes", "all wrong", "all right", "all tied", "one class"):
            problems.append(multiclass(random, classes, samples, case))
    for samples in (1, 2, 31, 200):
        for case in ("random", "all wrong", "no positives", "nothing predicted"):
            problems.append(binary(random, samples, case))
    for samples, outputs in ((1, 1), (2, 1), (50, 1), (33, 4)):
        for case in ("random", "far from zero", "constant", "exact constant", "opposite"):
            problems.append(regression(random, samples, outputs, case))
    json.dump(problems, sys.stdout)


if __name__ == "__main__":
    main()
