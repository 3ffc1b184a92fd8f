# SPDX-License-Identifier: Apache-2.0
"""Decisions about classes: multi-class, binary and multi-label."""

import numpy as np
import torch
from metrics_peer import DTYPES, problem
from peer import part
from sklearn import metrics as sk

tm = part("torchmetrics.functional.classification")

AVERAGES = {"micro": "micro", "macro": "macro", "weighted": "weighted", "per_class": None}
IGNORED = -1


def turns(scores):
    """Each call takes some milliseconds: a problem has two averages of each package, by turns."""
    pairs = ("micro", "per_class"), ("macro", "weighted")
    return pairs if int(np.abs(np.asarray(scores)).sum() * 4) % 2 else pairs[::-1]


def sklearn_averages(values, target, decided, names, **options):
    for name in names:
        average = AVERAGES[name]
        if name == "per_class":
            options["labels"] = options.get("everything")
        given = {key: value for key, value in options.items() if key != "everything" and value is not None}
        p, r, f, _ = sk.precision_recall_fscore_support(target, decided, average=average, zero_division=0, **given)
        values.update({f"sklearn:precision/{name}": p, f"sklearn:recall/{name}": r, f"sklearn:f1/{name}": f,
                       f"sklearn:dice/{name}": f})


def torchmetrics_averages(values, task, scores, target, names, more, **options):
    """`more` is num_classes or num_labels."""
    options["validate_args"] = False
    functions = {"precision": "precision", "recall": "recall", "specificity": "specificity", "jaccard": "jaccard_index",
                 "acc": "accuracy", "hamming": "hamming_distance"}
    if task == "binary":
        for ours, theirs in functions.items():
            values[f"torchmetrics:{ours}"] = getattr(tm, f"binary_{theirs}")(scores, target, **options)
        values["torchmetrics:f2"] = tm.binary_fbeta_score(scores, target, beta=2.0, **options)
        return
    for name in names:
        average = AVERAGES[name]
        for ours, theirs in functions.items():
            function = getattr(tm, f"{task}_{theirs}")
            values[f"torchmetrics:{ours}/{name}"] = function(scores, target, average=average or "none", **more, **options)
        function = getattr(tm, f"{task}_fbeta_score")
        values[f"torchmetrics:f2/{name}"] = function(scores, target, beta=2.0, average=average or "none", **more, **options)


def multiclass(random, classes, samples, case, dtype):
    # Steps of 1/4 make ties; argmax takes the first in all worlds.
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
    elif case == "ignored":
        target[random.random(samples) < 0.3] = IGNORED
        target[0] = 0
    options = {"ignore": IGNORED} if case == "ignored" else {}
    kept = target != IGNORED
    decided = scores.argmax(1)[kept]
    truth = target[kept]
    values = {}
    everything = list(range(classes))
    by_sklearn, by_torchmetrics = turns(scores)
    sklearn_averages(values, truth, decided, by_sklearn, everything=everything)
    values["sklearn:acc"] = sk.accuracy_score(truth, decided)
    values["sklearn:hamming"] = sk.hamming_loss(truth, decided)
    values["sklearn:balanced_acc"] = sk.balanced_accuracy_score(truth, decided)
    if len(set(truth)) > 1:
        values["sklearn:balanced_acc/adjusted"] = sk.balanced_accuracy_score(truth, decided, adjusted=True)
    for weights in ("none", "linear", "quadratic"):
        name = None if weights == "none" else weights
        values[f"sklearn:kappa/{weights}"] = sk.cohen_kappa_score(truth, decided, labels=everything, weights=name)
    values["sklearn:mcc"] = sk.matthews_corrcoef(truth, decided)
    for normalize in ("none", "true", "pred", "all"):
        values[f"sklearn:confusion/{normalize}"] = sk.confusion_matrix(
            truth, decided, labels=everything, normalize=None if normalize == "none" else normalize)
    torch_scores, torch_target = torch.tensor(scores), torch.tensor(target)
    torch_options = {"ignore_index": IGNORED} if case == "ignored" else {}
    torchmetrics_averages(values, "multiclass", torch_scores, torch_target, by_torchmetrics, {"num_classes": classes}, **torch_options)
    if case == "random" and samples > 1 and len(set(decided)) > 1 and len(set(truth)) > 1:
        values["torchmetrics:mcc"] = tm.multiclass_matthews_corrcoef(torch_scores, torch_target, classes)
        values["torchmetrics:kappa/quadratic"] = tm.multiclass_cohen_kappa(torch_scores, torch_target, classes,
                                                                           weights="quadratic")
    problems = [problem("decisions", f"multiclass, {case}", scores, target, values, dtype, kind="multiclass", **options)]
    if classes > 2 and case == "random":
        # Ties at the k-th place are decided differently: no ties here.
        distinct = random.permuted(np.tile(np.arange(classes), (samples, 1)), axis=1).astype(float)
        top = {"sklearn:acc/top2": sk.top_k_accuracy_score(target, distinct, k=2, labels=everything)}
        for name in ("micro", "weighted", "per_class"):
            for function in ("precision", "recall"):
                top[f"torchmetrics:{function}/top2/{name}"] = getattr(tm, f"multiclass_{function}")(
                    torch.tensor(distinct), torch_target, classes, average=AVERAGES[name] or "none", top_k=2)
        problems.append(problem("decisions", "multiclass, top 2", distinct, target, top, dtype, kind="multiclass"))
    return problems


def binary(random, samples, case, dtype):
    logits = random.integers(-8, 9, samples) / 4
    target = random.integers(0, 2, samples)
    threshold = 0.5
    if case == "all wrong":
        target = (logits <= 0).astype(int)
    elif case == "no positives":
        target[:] = 0
    elif case == "nothing predicted":
        logits = -abs(logits)
    elif case == "all tied":
        logits[:] = 0.25
    elif case == "ignored":
        target[1:][random.random(samples - 1) < 0.3] = IGNORED
        threshold = 0.3
    from_logits = case != "probabilities"
    scores = logits if from_logits else (logits + 2) / 4
    cut = float(np.log(threshold / (1 - threshold))) if from_logits else threshold
    kept = target != IGNORED
    decided, truth = (scores > cut).astype(int)[kept], target[kept]
    values = {}
    sklearn_averages(values, truth, decided, turns(scores)[0], everything=[0, 1])
    p, r, f, _ = sk.precision_recall_fscore_support(truth, decided, average="binary", zero_division=0)
    values.update({"sklearn:precision": p, "sklearn:recall": r, "sklearn:f1": f, "sklearn:dice": f})
    values["sklearn:acc"] = sk.accuracy_score(truth, decided)
    values["sklearn:balanced_acc"] = sk.balanced_accuracy_score(truth, decided)
    values["sklearn:mcc"] = sk.matthews_corrcoef(truth, decided)
    values["sklearn:kappa/none"] = sk.cohen_kappa_score(truth, decided, labels=[0, 1])
    values["sklearn:jaccard"] = sk.jaccard_score(truth, decided, zero_division=0)
    values["sklearn:confusion/none"] = sk.confusion_matrix(truth, decided, labels=[0, 1])
    probabilities = torch.sigmoid(torch.tensor(scores)) if from_logits else torch.tensor(scores)
    options = {"ignore_index": IGNORED} if case == "ignored" else {}
    torchmetrics_averages(values, "binary", probabilities, torch.tensor(target), (), {}, threshold=threshold, **options)
    shared = {"ignore": IGNORED} if case == "ignored" else {}
    return [problem("decisions", f"binary, {case}", scores, target, values, dtype, kind="binary", threshold=threshold,
                    from_logits=from_logits, **shared)]


def multilabel(random, labels, samples, case, dtype):
    logits = random.integers(-8, 9, (samples, labels)) / 4
    target = random.integers(0, 2, (samples, labels))
    if case == "empty labels":
        target[:, : (labels + 1) // 2] = 0
    elif case == "all wrong":
        target = (logits <= 0).astype(int)
    elif case == "all right":
        target = (logits > 0).astype(int)
    elif case == "all tied":
        logits[:] = -0.25
    elif case == "ignored":
        target[random.random((samples, labels)) < 0.3] = IGNORED
        target[0, :] = 1
    values = {}
    if case != "ignored" and labels > 1:
        sklearn_averages(values, target, (logits > 0).astype(int), turns(logits)[0])
        values["sklearn:hamming/micro"] = sk.hamming_loss(target, (logits > 0).astype(int))
        values["sklearn:confusion/none"] = sk.multilabel_confusion_matrix(target, (logits > 0).astype(int))
    options = {"ignore_index": IGNORED} if case == "ignored" else {}
    torchmetrics_averages(values, "multilabel", torch.sigmoid(torch.tensor(logits)), torch.tensor(target),
                          turns(logits)[1], {"num_labels": labels}, **options)
    if not (target == 1).any():
        # Nothing to weigh by: 0 here and in scikit-learn, NaN for this one of torchmetrics.
        values.pop("torchmetrics:jaccard/weighted", None)
    if case == "random" and samples > 1:
        values["torchmetrics:mcc"] = tm.multilabel_matthews_corrcoef(
            torch.sigmoid(torch.tensor(logits)), torch.tensor(target), labels)
    shared = {"ignore": IGNORED} if case == "ignored" else {}
    return [problem("decisions", f"multilabel, {case}", logits, target, values, dtype, kind="multilabel", **shared)]


def problems(random, few):
    made = []
    sizes = ((3, 1), (5, 12)) if few else ((2, 1), (3, 1), (2, 40), (3, 17), (6, 50))
    for size in sizes:
        for case in ("random", "empty classes", "all wrong", "all right", "all tied", "one class", "ignored"):
            made += multiclass(random, *size, case, DTYPES[len(made) % 3])
    for samples in (1, 10) if few else (1, 2, 31, 64, 100):
        for case in ("random", "all wrong", "no positives", "nothing predicted", "probabilities", "ignored"):
            made += binary(random, samples, case, DTYPES[len(made) % 3])
    for size in ((3, 1), (2, 8)) if few else ((2, 5), (3, 1), (2, 20), (4, 33), (6, 60)):
        for case in ("random", "empty labels", "all wrong", "all right", "all tied", "ignored"):
            made += multilabel(random, *size, case, DTYPES[len(made) % 3])
    return made
