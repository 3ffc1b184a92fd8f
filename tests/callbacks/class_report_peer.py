# SPDX-License-Identifier: Apache-2.0
"""The Python side of class_report_test.cpp: what scikit-learn makes of the same targets and predictions.

    class_report_peer.py FOLDER

writes `report`, little-endian float64: precision, recall, F1 and support of each class, of the macro mean (over the
classes that occur) and of the weighted mean, the accuracy, and the confusion matrix row by row.
"""

import pathlib
import sys

import numpy as np
from sklearn import metrics

SAMPLES, CLASSES = 97, 5


def main(folder):
    number = np.arange(SAMPLES)
    target = number * 7 % 11 % 4  # class 4 has no targets
    predicted = np.where(number % 3 == 0, target, number * 5 % 13 % CLASSES)
    predicted[predicted == 3] = 2  # class 3 is never predicted
    labels = list(range(CLASSES))
    each = metrics.precision_recall_fscore_support(target, predicted, labels=labels, zero_division=0)
    macro = metrics.precision_recall_fscore_support(target, predicted, average="macro", zero_division=0)
    weighted = metrics.precision_recall_fscore_support(target, predicted, average="weighted", zero_division=0)
    numbers = np.concatenate([
        np.stack(each, axis=1).ravel(),
        [*macro[:3], SAMPLES],
        [*weighted[:3], SAMPLES],
        [metrics.accuracy_score(target, predicted)],
        metrics.confusion_matrix(target, predicted, labels=labels).ravel(),
    ])
    (folder / "report").write_bytes(numbers.astype("<f8").tobytes())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
