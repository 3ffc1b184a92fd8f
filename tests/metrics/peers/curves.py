# SPDX-License-Identifier: Apache-2.0
"""What looks at scores: ROC and precision-recall curves, log loss, calibration."""

import numpy as np
import torch
from classification import IGNORED, tm
from metrics_peer import DTYPES, problem
from scipy import stats
from sklearn import metrics as sk

BINS = 10


def smirnov(scores, truth):
    return stats.ks_2samp(scores[truth == 1], scores[truth == 0], method="asymp").statistic


def curve_values(values, truth, scores):
    """Of a binary problem with both classes, from scikit-learn and scipy."""
    values["sklearn:auroc"] = sk.roc_auc_score(truth, scores)
    values["sklearn:average_precision"] = sk.average_precision_score(truth, scores)
    values["scipy:ks"] = smirnov(scores, truth)
    fpr, tpr, thresholds = sk.roc_curve(truth, scores, drop_intermediate=False)
    values["sklearn:roc/fpr"], values["sklearn:roc/tpr"], values["sklearn:roc/thresholds"] = fpr, tpr, thresholds
    precision, recall, thresholds = sk.precision_recall_curve(truth, scores)
    values["sklearn:precision_recall_curve/precision"] = precision
    values["sklearn:precision_recall_curve/recall"] = recall
    values["sklearn:precision_recall_curve/thresholds"] = thresholds


def binary(random, samples, case, dtype):
    """Scores in 64ths, which are exact in each dtype and tie; or logits without ties."""
    from_logits = case == "logits"
    scores = random.normal(size=samples) if from_logits else random.integers(1, 64, samples) / 64
    target = random.integers(0, 2, samples)
    if case == "all tied":
        scores[:] = 0.75
    elif case == "all wrong":
        scores = np.where(target == 1, scores / 4, 1 - scores / 4)
        scores = np.round(scores * 128) / 128
    elif case == "one class":
        target[:] = samples % 2
    elif case == "ignored":
        target[random.random(samples) < 0.3] = IGNORED
        target[0] = 1
    dtype = "float64" if from_logits else dtype
    kept = target != IGNORED
    truth, seen = target[kept], scores[kept]
    values = {}
    both = 0 < truth.sum() < len(truth)
    options = {"ignore_index": IGNORED} if case == "ignored" else {}
    probabilities = torch.sigmoid(torch.tensor(scores)) if from_logits else torch.tensor(scores)
    torch_target = torch.tensor(target)
    if both:
        curve_values(values, truth, seen)
        values["torchmetrics:auroc"] = tm.binary_auroc(probabilities, torch_target, **options)
        values["torchmetrics:average_precision"] = tm.binary_average_precision(probabilities, torch_target, **options)
        values["torchmetrics:auroc/bins"] = tm.binary_auroc(probabilities, torch_target, thresholds=BINS, **options)
        values["torchmetrics:average_precision/bins"] = tm.binary_average_precision(
            probabilities, torch_target, thresholds=BINS, **options)
        fpr, tpr, _ = tm.binary_roc(probabilities, torch_target, thresholds=BINS, **options)
        # Ours begins at (0, 0) above the first threshold, as the exact curve does.
        values["torchmetrics:roc/fpr/bins"] = [0.0, *fpr.tolist()]
        values["torchmetrics:roc/tpr/bins"] = [0.0, *tpr.tolist()]
        _, recall, _ = tm.binary_precision_recall_curve(probabilities, torch_target, thresholds=BINS, **options)
        values["torchmetrics:precision_recall_curve/recall/bins"] = recall
    values["sklearn:log_loss"] = sk.log_loss(truth, probabilities.numpy()[kept], labels=[0, 1])
    for norm in ("l1", "l2", "max"):
        values[f"torchmetrics:calibration_error/{norm}"] = tm.binary_calibration_error(
            probabilities, torch_target, norm=norm, **options)
    shared = {"ignore": IGNORED} if case == "ignored" else {}
    return problem("scores", f"binary, {case}", scores, target, values, dtype, kind="binary", from_logits=from_logits,
                   bins=BINS, **shared)


def multiclass(random, classes, samples, case):
    """Logits without ties, or probabilities in 64ths that sum to 1."""
    from_logits = case in ("logits", "empty classes", "ignored")
    target = random.integers(0, classes, samples)
    if from_logits:
        scores = random.normal(size=(samples, classes)) * 2
    else:
        cuts = np.sort(random.integers(1, 64, (samples, classes - 1)), axis=1)  # none is 1, where bins begin otherwise
        scores = np.diff(cuts, axis=1, prepend=0, append=64) / 64
    if case == "empty classes":
        target %= max(2, classes // 2)
    elif case == "all wrong":
        target = (scores.argmax(1) + 1) % classes
    elif case == "all tied":
        scores[:, 1:] = 1 / 8
        scores[:, 0] = 1 - (classes - 1) / 8
    elif case == "ignored":
        target[random.random(samples) < 0.3] = IGNORED
        target[0] = 0
    kept = target != IGNORED
    truth = target[kept]
    probabilities = torch.softmax(torch.tensor(scores), 1) if from_logits else torch.tensor(scores)
    options = {"ignore_index": IGNORED} if case == "ignored" else {}
    torch_target = torch.tensor(target)
    values = {}
    seen = probabilities.numpy()[kept]
    each = {name: [] for name in ("auroc", "average_precision", "ks")}
    for c in range(classes):
        positive = (truth == c).astype(int)
        some, others = positive.sum() > 0, positive.sum() < len(positive)
        each["auroc"].append(sk.roc_auc_score(positive, seen[:, c]) if some and others else np.nan)
        each["average_precision"].append(sk.average_precision_score(positive, seen[:, c]) if some else np.nan)
        each["ks"].append(smirnov(seen[:, c], positive) if some and others else np.nan)
    for name, of_class in each.items():
        source = "scipy" if name == "ks" else "sklearn"
        values[f"{source}:{name}/per_class"] = of_class
        values[f"{source}:{name}/macro"] = np.nanmean(of_class) if np.isfinite(of_class).any() else np.nan
    one_hot = np.eye(classes, dtype=int)[truth]
    values["sklearn:auroc/micro"] = sk.roc_auc_score(one_hot.ravel(), seen.ravel())
    values["sklearn:average_precision/micro"] = sk.average_precision_score(one_hot.ravel(), seen.ravel())
    if len(set(truth)) == classes:
        for average in ("macro", "weighted"):
            for name, function in (("auroc", tm.multiclass_auroc), ("average_precision", tm.multiclass_average_precision)):
                values[f"torchmetrics:{name}/{average}"] = function(probabilities, torch_target, classes, average=average,
                                                                    **options)
                values[f"torchmetrics:{name}/{average}/bins"] = function(
                    probabilities, torch_target, classes, average=average, thresholds=BINS, **options)
    values["sklearn:log_loss"] = sk.log_loss(truth, seen, labels=list(range(classes)))
    for norm in ("l1", "l2", "max"):
        values[f"torchmetrics:calibration_error/{norm}"] = tm.multiclass_calibration_error(
            probabilities, torch_target, classes, norm=norm, **options)
    shared = {"ignore": IGNORED} if case == "ignored" else {}
    return problem("scores", f"multiclass, {case}", scores, target, values, "float64", kind="multiclass",
                   from_logits=from_logits, bins=BINS, **shared)


def multilabel(random, labels, samples, case, dtype):
    scores = random.integers(1, 64, (samples, labels)) / 64
    target = random.integers(0, 2, (samples, labels))
    if case == "all tied":
        scores[:] = 0.5
    elif case == "all wrong":
        scores = np.where(target == 1, 0.25, 0.75)
    elif case == "empty labels":
        target[:, 0] = 0
    elif case == "ignored":
        target[random.random((samples, labels)) < 0.2] = IGNORED
    values = {}
    each = {"auroc": [], "average_precision": []}
    for column in range(labels):
        kept = target[:, column] != IGNORED
        truth, seen = target[kept, column], scores[kept, column]
        both = 0 < truth.sum() < len(truth)
        each["auroc"].append(sk.roc_auc_score(truth, seen) if both else np.nan)
        each["average_precision"].append(sk.average_precision_score(truth, seen) if truth.sum() > 0 else np.nan)
    for name, of_label in each.items():
        values[f"sklearn:{name}/per_class"] = of_label
        values[f"sklearn:{name}/macro"] = np.nanmean(of_label) if np.isfinite(of_label).any() else np.nan
    options = {"ignore_index": IGNORED} if case == "ignored" else {}
    if np.isfinite(each["auroc"]).all():
        for average in ("micro", "macro", "weighted"):
            for name, function in (("auroc", tm.multilabel_auroc), ("average_precision", tm.multilabel_average_precision)):
                values[f"torchmetrics:{name}/{average}"] = function(torch.tensor(scores), torch.tensor(target), labels,
                                                                    average=average, **options)
                values[f"torchmetrics:{name}/{average}/bins"] = function(
                    torch.tensor(scores), torch.tensor(target), labels, average=average, thresholds=BINS, **options)
    if case != "ignored":
        values["torch:log_loss"] = torch.nn.functional.binary_cross_entropy(torch.tensor(scores),
                                                                            torch.tensor(target, dtype=torch.float64))
    shared = {"ignore": IGNORED} if case == "ignored" else {}
    return problem("scores", f"multilabel, {case}", scores, target, values, dtype, kind="multilabel", from_logits=False,
                   bins=BINS, **shared)


def problems(random, few):
    made = []
    for samples in (1, 9) if few else (1, 2, 12, 20, 25, 33, 40, 64, 100):
        for case in ("random", "logits", "all tied", "all wrong", "one class", "ignored"):
            made.append(binary(random, samples, case, DTYPES[len(made) % 3]))
    for size in ((4, 6),) if few else ((3, 1), (3, 12), (4, 30), (3, 60), (3, 40)):
        for case in ("random", "logits", "all tied", "all wrong", "empty classes", "ignored"):
            made.append(multiclass(random, *size, case))
    for size in ((2, 7),) if few else ((2, 3), (3, 20), (4, 50), (5, 33), (2, 64), (3, 100)):
        for case in ("random", "all tied", "all wrong", "empty labels", "ignored"):
            made.append(multilabel(random, *size, case, DTYPES[len(made) % 3]))
    return made
