# SPDX-License-Identifier: Apache-2.0
"""Masks: overlap over all pixels and image by image."""

import numpy as np
import torch
from classification import tm as classification
from metrics_peer import DTYPES, problem
from peer import part

tm = part("torchmetrics.functional.segmentation")


def masks(random, images, classes, case, dtype):
    height, width = 4, 5
    scores = random.integers(-8, 9, (images, classes, height, width)) / 4
    target = random.integers(0, classes, (images, height, width))
    if case == "empty classes":
        target %= max(1, classes // 2)
        scores[:, classes // 2 + 1 :] = -9
    elif case == "all wrong":
        target = (scores.argmax(1) + 1) % classes
    elif case == "all right":
        target = scores.argmax(1)
    elif case == "background only":
        target[:] = 0
    p, t = torch.tensor(scores.argmax(1)), torch.tensor(target)
    values = {}
    given = {"num_classes": classes, "input_format": "index"}
    for background in (True, False):
        tail = "" if background else "/no_background"
        iou = tm.mean_iou(p, t, include_background=background, per_class=True, **given)
        iou = torch.where(iou < 0, torch.nan, iou)  # -1 says that a class does not occur
        per_image = iou.nanmean(1)
        values[f"torchmetrics:iou/image/macro{tail}"] = per_image.nanmean()
        values[f"torchmetrics:iou/image/per_class{tail}"] = iou.nanmean(0)
        for level, name in (("samplewise", "image"), ("global", "dataset")):
            for average in ("micro", "macro", "weighted"):
                values[f"torchmetrics:dice/{name}/{average}{tail}"] = tm.dice_score(
                    p, t, include_background=background, average=average, aggregation_level=level, **given).nanmean()
    values["torchmetrics:iou/dataset/macro"] = classification.multiclass_jaccard_index(p, t, classes)
    values["torchmetrics:iou/dataset/micro"] = classification.multiclass_jaccard_index(p, t, classes, average="micro")
    values = {name: value for name, value in values.items() if not torch.isnan(torch.as_tensor(value)).all()}
    return problem("segmentation", case, scores, target, values, dtype, kind="multiclass")


def problems(random, few):
    made = []
    for size in ((2, 3),) if few else ((1, 2), (1, 4), (3, 3), (5, 5), (8, 3), (4, 2)):
        for case in ("random", "empty classes", "all wrong", "all right", "background only"):
            made.append(masks(random, *size, case, DTYPES[len(made) % 3]))
    return made
