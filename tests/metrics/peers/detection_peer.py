# SPDX-License-Identifier: Apache-2.0
"""Random detections from a seed, with what pycocotools makes of them, as JSON.

    detection_peer.py SEED             all problems of a seed, on the standard output
    detection_peer.py --record FILE    a few of seed 1, as references for a computer without pycocotools

A problem: `images`, each with an id, predictions and target; the format of the boxes, the dtype that boxes and scores are
exact in; the options; and `values`, null for what COCOeval writes as -1. Masks are COCO's compressed texts.
"""

import contextlib
import io
import sys

import numpy as np
import peer

try:
    from pycocotools import mask as mask_utils
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
except ImportError:
    sys.exit(peer.NOT_THERE)

DTYPES = ("float64", "float32", "bfloat16")
FORMATS = ("xyxy", "xywh", "cxcywh")
MASK_AREAS = [["all", 0, 1e10], ["small", 0, 20], ["medium", 20, 60], ["large", 60, 1e10]]


def exact(values, dtype):
    if dtype == "float64":
        return [float(value) for value in values]
    narrow = np.asarray(values, dtype=np.float32)
    if dtype == "bfloat16":  # the upper half of a float32, to the nearest, ties to even
        bits = narrow.view(np.uint32)
        narrow = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)
    return narrow.astype(np.float64).tolist()


def to_format(box, form):
    x, y, w, h = box
    if form == "xyxy":
        return [x, y, x + w, y + h]
    return [x, y, w, h] if form == "xywh" else [x + w / 2, y + h / 2, w, h]


def to_coco(box, form):
    """In float64, as pycocotools wants it."""
    a, b, c, d = box
    if form == "xyxy":
        return [a, b, c - a, d - b]
    return [a, b, c, d] if form == "xywh" else [a - c / 2, b - d / 2, c, d]


def random_box(random, case):
    if case == "areas at limits":
        w, h = [(32, 32), (96, 96), (64, 16), (31, 33), (97, 95), (128, 72)][random.integers(6)]
        return [int(random.integers(0, 40)), int(random.integers(0, 40)), w, h]
    if case == "thresholds met":  # overlaps of exactly 0.5, 0.75, 0.6, …
        return [0, 0, 20, int(random.choice([10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]))]
    x, y = random.uniform(0, 200, 2)
    w, h = np.exp(random.uniform(np.log(4), np.log(180), 2))
    if case == "empty boxes" and random.random() < 0.4:
        w = 0.0
    return [float(x), float(y), float(w), float(h)]


def near(random, box, spread):
    x, y, w, h = box
    shift = random.normal(0, spread, 4)
    return [x + shift[0] * w, y + shift[1] * h, w * float(np.exp(shift[2])), h * float(np.exp(shift[3]))]


def random_score(random, case):
    if case in ("ties", "areas at limits"):
        return float(random.integers(1, 4)) / 4
    return float(random.uniform(0.05, 1))


def random_mask(random, height, width):
    mask = np.zeros((height, width), dtype=np.uint8)
    if random.random() < 0.2:
        mask[:] = random.random((height, width)) < 0.3
    elif random.random() > 0.1:  # else empty
        top, left = random.integers(0, height - 2), random.integers(0, width - 2)
        mask[top : top + random.integers(1, height), left : left + random.integers(1, width)] = 1
    return mask


def near_mask(random, mask):
    mask = np.roll(mask, (int(random.integers(-1, 2)), int(random.integers(-1, 2))), (0, 1))
    return np.where(random.random(mask.shape) < 0.05, 1 - mask, mask).astype(np.uint8)


def text_of(mask):
    return mask_utils.encode(np.asfortranarray(mask))["counts"].decode()


def made_image(random, case, number, classes, masks, form, dtype):
    """Targets, and detections near some of them, near none, and of other classes."""
    height, width = 9 + number % 3, 12
    targets = 0 if case == "no targets" else int(random.integers(0 if case != "one image" else 2, 7))
    target = {"labels": [], "shapes": []}
    prediction = {"labels": [], "shapes": [], "scores": []}
    make = (lambda: random_mask(random, height, width)) if masks else (lambda: random_box(random, case))
    for _ in range(targets):
        target["labels"].append(int(random.integers(0, classes if case != "class without targets" else classes - 1)))
        target["shapes"].append(make())
    for label, shape in zip(target["labels"], target["shapes"]):
        for _ in range(int(random.integers(0, 4))):
            if case == "no detections":
                continue
            if case in ("all right", "thresholds met", "areas at limits") and random.random() < 0.7:
                moved = shape if case != "thresholds met" else [0, 0, 20, 20]
            else:
                moved = near_mask(random, shape) if masks else near(random, shape, random.choice([0.02, 0.1, 0.3]))
            prediction["labels"].append((label + 1) % classes if case == "all wrong" else label)
            prediction["shapes"].append(moved)
    noise = 0 if case in ("no detections", "all right") else int(random.integers(0, 6))
    if case == "many" and number == 0:
        noise = 140
    for _ in range(noise):
        prediction["labels"].append(int(random.integers(0, 1 if case == "many" else classes)))
        prediction["shapes"].append(make())
    prediction["scores"] = exact([random_score(random, case) for _ in prediction["labels"]], dtype)
    order = random.permutation(len(prediction["labels"]))
    for name in prediction:
        prediction[name] = [prediction[name][i] for i in order]
    for side in (prediction, target):
        shapes = side.pop("shapes")
        if masks:
            side["masks"] = [text_of(shape) for shape in shapes]
        else:
            # A box that is rounded may not turn inside out.
            boxes = [exact(to_format(shape, form), dtype) for shape in shapes]
            side["boxes"] = [box if form != "xyxy" else box[:2] + [max(box[0], box[2]), max(box[1], box[3])] for box in boxes]
    if case == "crowds" or random.random() < 0.2:
        target["iscrowd"] = [int(random.random() < (0.5 if case == "crowds" else 0.1)) for _ in target["labels"]]
    if case == "areas at limits":
        target["area"] = [float(random.choice([1024, 1023.75, 1024.25, 9216, 9215.5, 9217, 500])) for _ in target["labels"]]
    elif random.random() < 0.3:
        target["area"] = [float(random.integers(0, 90 if masks else 20000)) for _ in target["labels"]]
    return {"id": None, "size": [height, width], "predictions": prediction, "target": target}


def quiet(function, *arguments):
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*arguments)


def annotations(images, side, masks, form):
    """In the order in which they were made, from id 1 on."""
    made = []
    for image in images:
        objects = image[side]
        for i, label in enumerate(objects["labels"]):
            one = {"id": len(made) + 1, "image_id": image["id"], "category_id": label, "iscrowd": 0}
            if masks:
                one["segmentation"] = {"size": image["size"], "counts": objects["masks"][i]}
                one["area"] = float(mask_utils.area(one["segmentation"]))
            else:
                one["bbox"] = to_coco(objects["boxes"][i], form)
                one["area"] = one["bbox"][2] * one["bbox"][3]
            if side == "predictions":
                one["score"] = objects["scores"][i]
            else:
                one["iscrowd"] = objects.get("iscrowd", [0] * (i + 1))[i]
                one["area"] = objects["area"][i] if "area" in objects else one["area"]
            made.append(one)
    return made


def coco_of(images, labels, made):
    coco = COCO()
    coco.dataset = {"info": {}, "images": [{"id": image["id"], "height": image["size"][0], "width": image["size"][1]} for image in images],
                    "categories": [{"id": label} for label in labels], "annotations": made}
    coco.createIndex()
    return coco


def present_mean(values):
    values = values[values > -1]
    return float(np.mean(values)) if values.size else None


def evaluated(problem):
    images, options = problem["images"], problem["options"]
    masks, form = problem["of"] == "masks", problem["format"]
    labels = sorted({label for image in images for side in ("predictions", "target") for label in image[side]["labels"]})
    truth = coco_of(images, labels, annotations(images, "target", masks, form))
    found = annotations(images, "predictions", masks, form)
    results = truth.loadRes(found) if found else coco_of(images, labels, [])
    run = COCOeval(truth, results, "segm" if masks else "bbox")
    if "iou_thresholds" in options:
        run.params.iouThrs = np.array(options["iou_thresholds"])
    if "recall_thresholds" in options:
        run.params.recThrs = np.array(options["recall_thresholds"])
    if "max_detections" in options:
        run.params.maxDets = options["max_detections"]
    if "areas" in options:
        run.params.areaRng = [area[1:] for area in options["areas"]]
        run.params.areaRngLbl = [area[0] for area in options["areas"]]
    run.params.useCats = int(options.get("by_class", True))
    run.evaluate()
    if not labels:  # COCOeval can't accumulate over no class
        by_area = [f"{kind}_{area}" for kind in ("map", "mar") for area in run.params.areaRngLbl[1:]]
        return dict.fromkeys(["map", "map_50", "map_75", *by_area, *(f"mar_{number}" for number in run.params.maxDets)])
    run.accumulate()
    precision, recall = run.eval["precision"], run.eval["recall"]  # [T, R, K, A, M], [T, K, A, M]
    thresholds = list(run.params.iouThrs)
    values = {"map": present_mean(precision[:, :, :, 0, -1])}
    for threshold, name in ((0.5, "map_50"), (0.75, "map_75")):
        values[name] = present_mean(precision[thresholds.index(threshold), :, :, 0, -1]) if threshold in thresholds else None
    for area, name in enumerate(run.params.areaRngLbl[1:], 1):
        values[f"map_{name}"] = present_mean(precision[:, :, :, area, -1])
        values[f"mar_{name}"] = present_mean(recall[:, :, area, -1])
    for limit, number in enumerate(run.params.maxDets):
        values[f"mar_{number}"] = present_mean(recall[:, :, 0, limit])
    for k, label in enumerate(labels if run.params.useCats else [0]):
        values[f"map_class_{label}"] = present_mean(precision[:, :, k, 0, -1])
        values[f"mar_class_{label}"] = present_mean(recall[:, k, 0, -1])
    if set(options) <= {"by_class"}:  # the twelve, as COCOeval itself tells them
        run.summarize()
        names = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_1", "mar_10", "mar_100",
                 "mar_small", "mar_medium", "mar_large")
        values |= {name: None if value == -1 else float(value) for name, value in zip(names, run.stats, strict=True)}
    return values


def run_lengths(image):
    """Area, box and overlaps of all masks of an image."""
    sides = [[{"size": image["size"], "counts": text} for text in image[side]["masks"]] for side in ("predictions", "target")]
    found, wanted = sides
    crowd = image["target"].get("iscrowd", [0] * len(wanted))
    overlaps = mask_utils.iou(found, wanted, crowd)
    return {"areas": [int(mask_utils.area(one)) for side in sides for one in side],
            "boxes": [mask_utils.toBbox(one).tolist() for side in sides for one in side],
            "counts": [run_counts(one) for side in sides for one in side],
            "overlaps": np.asarray(overlaps).ravel().tolist()}


def run_counts(one):
    """The runs, from the pixels."""
    flat = mask_utils.decode(one).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return counts if flat[0] == 0 else [0, *counts]


CASES = ("random", "ties", "no detections", "no targets", "class without targets", "one image", "all wrong", "all right",
         "crowds", "areas at limits", "thresholds met", "empty boxes", "many")
OPTIONS = ({}, {"by_class": False}, {"max_detections": [2, 5]}, {"iou_thresholds": [0.3, 0.75]},
           {"recall_thresholds": [0.1, 0.5, 1.0], "max_detections": [100]},
           {"areas": [["all", 0, 1e10], ["tiny", 0, 400]], "iou_thresholds": [round(0.03 * i, 2) for i in range(1, 34)]})


def problems(random, few):
    made = []
    for masks in (False, True):
        for case in CASES:
            if masks and case in ("areas at limits", "thresholds met", "empty boxes"):
                continue
            for variant in range(1 if few else 3):
                number = len(made)
                dtype, form = DTYPES[number % 3], FORMATS[number // 2 % 3]
                images = 1 if case == "one image" else 3 if few else int(random.integers(2, 9))
                classes = int(random.integers(2, 5))
                problem = {"case": case, "of": "masks" if masks else "boxes", "format": form, "dtype": dtype,
                           "options": dict(OPTIONS[(number if variant else 0) % len(OPTIONS)]),
                           "images": [made_image(random, case, i, classes, masks, form, dtype) for i in range(images)]}
                if masks and "areas" not in problem["options"]:
                    problem["options"]["areas"] = MASK_AREAS
                for image, number in zip(problem["images"], random.permutation(100)):
                    image["id"] = int(number)
                problem["values"] = quiet(evaluated, problem)
                if masks:
                    for image in problem["images"]:
                        image["run_lengths"] = run_lengths(image)
                made.append(problem)
    return made


if __name__ == "__main__":
    peer.main(("pycocotools",), lambda seed, few: problems(np.random.default_rng(seed), few))
