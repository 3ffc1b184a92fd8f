# SPDX-License-Identifier: Apache-2.0
"""AUROC of many scores by torchmetrics, or the mean average precision of boxes by pycocotools, of the same numbers as in
metric_costs.cpp, in as many rounds.

    metric_costs.py --only auroc|detection --threads N --epochs ROUNDS

The last line is a JSON object with the seconds of the rounds and the value.
"""

import argparse
import contextlib
import io
import json
import math
import time

SCORES = 10_000_000
IMAGES = 5000
NUMBERS_OF_IMAGE = 2048


def same_numbers_as_ours(count):
    """A multiplicative generator that both sides share, so that both see the same scores and ties."""
    import torch

    index = torch.arange(count, dtype=torch.int64)
    mixed = (index * 2654435761 + 12345) % (1 << 32)
    scores = (mixed >> 8).to(torch.float32) / (1 << 24)
    noise = ((index * 40503 + 977) % 65536).to(torch.float32) / 65536
    return scores, (scores + noise > 1).to(torch.int64)


def auroc(threads, rounds):
    import torch
    from torchmetrics.classification import BinaryAUROC

    torch.set_num_threads(threads)
    scores, target = same_numbers_as_ours(SCORES)
    seconds = []
    for _ in range(rounds + 1):
        metric = BinaryAUROC(validate_args=False)
        start = time.perf_counter()
        metric.update(scores, target)
        value = float(metric.compute())
        seconds.append(time.perf_counter() - start)
    return seconds[1:], {"auroc": value}


def mixed(index):
    """A hash of the index, from 0 to 1."""
    value = (index * 2654435761 + 12345) & 0xFFFFFFFF
    value = ((value ^ value >> 15) * 2246822519) & 0xFFFFFFFF
    return (value ^ value >> 13) / 4294967296.0


def quarters(value):
    return math.floor(4 * value) / 4


def random_box(number):
    x, y = quarters(500 * number()), quarters(400 * number())
    return [x, y, x + quarters(8 + 250 * number() ** 3), y + quarters(8 + 250 * number() ** 3)]


def detection_images():
    """Targets and detections as annotations of COCO; metric_costs.cpp says what they are."""
    truth, found = [], []
    for image in range(IMAGES):
        index = iter(range(image * NUMBERS_OF_IMAGE, (image + 1) * NUMBERS_OF_IMAGE))
        number = lambda: mixed(next(index))  # noqa: B023, E731
        targets, detections = 1 + int(13 * number()), 20 + int(81 * number())
        boxes, labels = [], []
        for _ in range(targets):
            boxes.append(random_box(number))
            labels.append(int(80 * number()))
        for box, label in zip(boxes, labels, strict=True):
            truth.append({"image_id": image, "category_id": label, "box": box, "iscrowd": 0})
        for i in range(detections):
            near, close = boxes[i % targets], i < 2 * targets
            if close:
                sizes = near[2] - near[0], near[3] - near[1]
                box = [near[side] + quarters(0.25 * sizes[side % 2] * (number() - 0.5)) for side in range(4)]
            else:
                box = random_box(number)
            label = labels[i % targets] if close else int(80 * number())
            score = math.floor((1 if close else 0.7) * number() * 65536) / 65536
            found.append({"image_id": image, "category_id": label, "box": box, "score": score})
    for annotations in (truth, found):
        for i, one in enumerate(annotations, 1):
            left, top, right, bottom = one.pop("box")
            one |= {"id": i, "bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}
    return truth, found


def detection(rounds):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = detection_images()
    seconds = []
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"info": {}, "images": [{"id": i} for i in range(IMAGES)],
                        "categories": [{"id": i} for i in range(80)], "annotations": truth}
        coco.createIndex()
        results = coco.loadRes(found)
        for _ in range(rounds):
            evaluation = COCOeval(coco, results, "bbox")
            start = time.perf_counter()
            evaluation.evaluate()
            evaluation.accumulate()
            seconds.append(time.perf_counter() - start)
        evaluation.summarize()
    stats = [float(value) for value in evaluation.stats]
    return seconds, {"map": stats[0], "map_small": stats[3], "mar_100": stats[8]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=("auroc", "detection"), default="auroc")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    if options.only == "auroc":
        seconds, values = auroc(options.threads, options.epochs)
    else:
        seconds, values = detection(options.epochs)
    print(json.dumps({"seconds": seconds, "total_seconds": min(seconds), **values}))


if __name__ == "__main__":
    main()
