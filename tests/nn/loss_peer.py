# SPDX-License-Identifier: Apache-2.0
"""The Python side of losses_python_test.cpp: losses of random problems by torch and by formulas that are written down here.

    loss_peer.py SEED [CASES]      prints CASES problems of each loss as JSON
    loss_peer.py --record FILE     writes the file that lies beside this script as loss_reference.json

A problem is the loss, its options, tensors, and what Python makes of it: the loss in float64, from inputs rounded to
their dtype, and the gradient of each tensor that has one; null where a gradient is not unique, as with ties. Exit code
77: torch is not there.
"""

import json
import math
import random
import sys

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    sys.exit(77)

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
IGNORED = -100


def focal(o, x, y):
    """Lin et al. (2017), one element after the other."""
    classes = x.shape[1]
    rows, labels = x.movedim(1, -1).reshape(-1, classes), y.reshape(-1)
    losses = []
    for row, label in zip(rows, labels):
        if label == o["ignore_index"]:
            continue
        p = torch.softmax(row, 0)[label]
        alpha = o["alpha"][int(label)] if o["alpha"] else 1.0
        losses.append(-alpha * (1 - p) ** o["gamma"] * torch.log_softmax(row, 0)[label])
    return torch.stack(losses).mean()


def binary_focal(o, x, y):
    """torchvision.ops.sigmoid_focal_loss, reduction='mean'."""
    p = torch.sigmoid(x)
    ce = F.binary_cross_entropy_with_logits(x, y.double(), reduction="none")
    p_t = p * y + (1 - p) * (1 - y)
    loss = ce * (1 - p_t) ** o["gamma"]
    if o["alpha"] is not None:
        loss = (o["alpha"] * y + (1 - o["alpha"]) * (1 - y)) * loss
    return loss.mean()


def smoothed(o, x, y):
    weight = torch.tensor(o["class_weight"], dtype=torch.float64) if o["class_weight"] else None
    y = y.double() if y.is_floating_point() else y
    return F.cross_entropy(x, y, weight=weight, ignore_index=o["ignore_index"], label_smoothing=o["smoothing"])


def tversky(o, x, y):
    """Class by class: probabilities p, truth t, sums over the places that count."""
    samples, classes = x.shape[:2]
    independent = o["classes"] == "independent"
    p = (torch.sigmoid(x) if independent else torch.softmax(x, 1)).reshape(samples, classes, -1)
    soft = independent or y.is_floating_point()
    parts = [[n] for n in range(samples)] if o["per_sample"] else [list(range(samples))]
    losses = []
    for part in parts:
        for c in range(classes):
            if soft:
                t, counts = y.reshape(samples, classes, -1)[part, c].double(), torch.ones(())
            else:
                labels = y.reshape(samples, -1)[part]
                t, counts = (labels == c).double(), (labels != o["ignore_index"]).double()
            q = p[part, c] * counts
            if o["left_out"] and t.sum() == 0:
                continue
            both = (q * t).sum()
            index = (both + o["smooth"]) / (both + o["false_positives"] * (q * (1 - t)).sum()
                                            + o["false_negatives"] * ((1 - q) * t).sum() + o["smooth"])
            losses.append((1 - index).clamp(min=1e-38) ** o["focus"])
    return torch.stack(losses).mean()


def dice(o, x, y):
    return tversky({**o, "false_positives": 0.5, "false_negatives": 0.5, "focus": 1.0, "smooth": o["smooth"] / 2}, x, y)


def lovasz_grad(truth):
    """As Berman et al. publish it."""
    total = truth.sum()
    intersection = total - truth.cumsum(0)
    union = total + (1 - truth).cumsum(0)
    jaccard = 1.0 - intersection / union
    if len(truth) > 1:
        jaccard[1:] = jaccard[1:] - jaccard[:-1].clone()
    return jaccard


def lovasz(o, x, y):
    samples, classes = x.shape[:2]
    parts = [[n] for n in range(samples)] if o["per_sample"] else [list(range(samples))]
    losses = []
    for part in parts:
        for c in range(classes):
            if o["classes"] == "independent":
                logits = x.reshape(samples, classes, -1)[part, c].reshape(-1)
                truth = y.reshape(samples, classes, -1)[part, c].reshape(-1).double()
                logits, truth = logits[truth != o["ignore_index"]], truth[truth != o["ignore_index"]]
                errors = 1 - logits * (2 * truth - 1)
                errors, order = torch.sort(errors, descending=True)
                losses.append(torch.dot(F.relu(errors), lovasz_grad(truth[order])))
                continue
            labels = y.reshape(samples, -1)[part].reshape(-1)
            p = torch.softmax(x, 1).reshape(samples, classes, -1)[part, c].reshape(-1)
            p, labels = p[labels != o["ignore_index"]], labels[labels != o["ignore_index"]]
            truth = (labels == c).double()
            if o["left_out"] and truth.sum() == 0:
                continue
            errors, order = torch.sort((truth - p).abs(), descending=True)
            losses.append(torch.dot(errors, lovasz_grad(truth[order])))
    return torch.stack(losses).mean()


def info_nce(o, queries, keys, negatives=None):
    """Sample by sample."""
    if o["normalize"]:
        queries, keys = F.normalize(queries, dim=1), F.normalize(keys, dim=1)
        negatives = F.normalize(negatives, dim=1) if negatives is not None else None
    n, losses = len(queries), []

    def find(one, others, own):
        scores = torch.stack([torch.dot(one, other) / o["temperature"] for other in others])
        losses.append(-torch.log_softmax(scores, 0)[own])

    if o["contrast"] == "all_views":
        everything = list(queries) + list(keys)
        for i, one in enumerate(everything):
            others = [j for j in range(2 * n) if j != i]
            find(one, [everything[j] for j in others], others.index((i + n) % (2 * n)))
        return torch.stack(losses).mean()
    for i in range(n):
        find(queries[i], list(keys) + (list(negatives) if negatives is not None else []), i)
        if o["contrast"] == "both_ways":
            find(keys[i], list(queries), i)
    return torch.stack(losses).mean()


def triplet(o, x, y):
    """Anchor by anchor. The distance of a point to itself is never used."""
    def distance(a, b):
        if o["distance"] == "cosine":
            return 1 - F.cosine_similarity(a, b, dim=0)
        square = ((a - b) ** 2).sum()
        if o["distance"] == "squared_euclidean":
            return square
        return square.sqrt() if square > 0 else (a - b).abs().sum() * 0

    n = len(x)
    d = [[distance(x[i], x[j]) for j in range(n)] for i in range(n)]

    def loss(positive, negative):
        return F.softplus(positive - negative) if o["soft_margin"] else F.relu(positive - negative + o["margin"])

    losses = []
    for a in range(n):
        positives = [d[a][i] for i in range(n) if i != a and y[i] == y[a]]
        negatives = [d[a][i] for i in range(n) if y[i] != y[a]]
        if not positives or not negatives:
            continue
        if o["mining"] == "batch_hard":
            losses.append(loss(max(positives), min(negatives)))
        for positive in positives:
            if o["mining"] == "batch_semi_hard":
                farther = [negative for negative in negatives if negative > positive]
                losses.append(loss(positive, min(farther) if farther else max(negatives)))
            if o["mining"] == "batch_all":
                losses += [each for each in (loss(positive, negative) for negative in negatives)]
    if o["mining"] == "batch_all":
        active = [each for each in losses if each > 0]
        return torch.stack(active).mean() if active else torch.stack(losses).sum()
    return torch.stack(losses).mean()


def quantile(o, x, y):
    total = 0
    for i, q in enumerate(o["quantiles"]):
        e = y.double() - (x if x.shape == y.shape else x[..., i])
        total = total + torch.where(e >= 0, q * e, (q - 1) * e).mean()
    return total / len(o["quantiles"])


def box_overlap(o, x, y):
    """Box by box, as torchvision's *_iou_loss."""
    def corners(b):
        if o["format"] == "xywh":
            return b[0], b[1], b[0] + b[2], b[1] + b[3]
        if o["format"] == "cxcywh":
            return b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2
        return b[0], b[1], b[2], b[3]

    eps, losses = 1e-7, []
    for p, t in zip(x.reshape(-1, 4), y.double().reshape(-1, 4)):
        (px, py, pX, pY), (tx, ty, tX, tY) = corners(p), corners(t)
        w, h = (pX - px).clamp(min=0), (pY - py).clamp(min=0)
        both = ((torch.min(pX, tX) - torch.max(px, tx)).clamp(min=0) *
                (torch.min(pY, tY) - torch.max(py, ty)).clamp(min=0))
        union = w * h + (tX - tx) * (tY - ty) - both
        iou = both / (union + eps)
        loss = 1 - iou
        width, height = torch.max(pX, tX) - torch.min(px, tx), torch.max(pY, tY) - torch.min(py, ty)
        if o["kind"] == "giou":
            loss = loss + (width * height - union) / (width * height + eps)
        if o["kind"] in ("diou", "ciou"):
            centres = ((px + pX - tx - tX) / 2) ** 2 + ((py + pY - ty - tY) / 2) ** 2
            loss = loss + centres / (width ** 2 + height ** 2 + eps)
        if o["kind"] == "ciou":
            v = 4 / math.pi ** 2 * (torch.atan((tX - tx) / (tY - ty).clamp(min=eps)) - torch.atan(w / h.clamp(min=eps))) ** 2
            alpha = (v / (1 - iou + v + eps)).detach()
            loss = loss + alpha * v
        losses.append(loss)
    return torch.stack(losses).mean()


def ctc(o, x, y, input_lengths=None, lengths=None):
    if input_lengths is None:
        input_lengths = torch.full((len(x),), x.shape[1])
    if lengths is None:
        lengths = (y >= 0).long().cumprod(1).sum(1)
    return F.ctc_loss(torch.log_softmax(x, 2).transpose(0, 1), y.clamp(min=0), input_lengths, lengths, blank=o["blank"])


def distillation(o, student, teacher, y):
    t = o["temperature"]
    apart = F.kl_div(torch.log_softmax(student / t, 1), torch.softmax(teacher.double() / t, 1), reduction="none").sum(1).mean()
    return o["teacher"] * t * t * apart + (1 - o["teacher"]) * F.cross_entropy(student, y)


def uncertainty(o, x, y, logits, labels, s):
    return (torch.exp(-s[0]) / 2 * F.mse_loss(x, y.double()) + s[0] / 2 +
            torch.exp(-s[1]) * F.cross_entropy(logits, labels) + s[1] / 2)


class Draw:
    """Random tensors from a seed; `tied` are multiples of a quarter, so that equal numbers are common."""

    def __init__(self, seed, number):
        self.r = random.Random(seed)
        self.generator = torch.Generator().manual_seed(self.r.getrandbits(40))
        self.dtype = ("float32", "float64", "bfloat16")[number % 3]
        self.tied = number % 5 == 4

    def floats(self, *shape, scale=1.0):
        x = torch.randn(shape, generator=self.generator, dtype=torch.float64) * scale
        return ((x * 4).round() / 4 if self.tied else x).to(DTYPES[self.dtype])

    def chances(self, *shape):
        return torch.rand(shape, generator=self.generator, dtype=torch.float64).to(DTYPES[self.dtype])

    def labels(self, classes, *shape):
        return torch.randint(0, max(classes, 1), shape, generator=self.generator)


def segmentation_case(d, number, soft):
    independent = number % 2 == 1
    n, c = d.r.randint(1, 3), d.r.randint(1 if independent else 2, 4)
    shape = d.r.choice([(), (5,), (3, 4), (1, 1)])
    x = d.floats(n, c, *shape, scale=2)
    if independent:
        y = d.labels(2, n, c, *shape).to(x.dtype)
        if number % 6 == 1:
            y[:] = 0  # an empty mask
    elif soft and number % 8 == 2:
        y = torch.softmax(d.floats(n, c, *shape).double(), 1).to(x.dtype)
    else:
        y = d.labels(c if number % 4 else 1, n, *shape)  # empty classes
        if y.numel() > 1 and number % 3 == 0:
            y.view(-1)[1:2] = IGNORED
    options = {"classes": "independent" if independent else "exclusive", "left_out": not independent and d.r.random() < 0.5,
               "per_sample": d.r.random() < 0.5 and (y != IGNORED).reshape(n, -1).any(1).all().item(), "ignore_index": IGNORED}
    return options, [x, y]


def draw_focal(d, number):
    c, shape = d.r.randint(2, 5), d.r.choice([(), (4,), (2, 3)])
    n = d.r.choice([1, 2, 6])
    x, y = d.floats(n, c, *shape, scale=3), d.labels(c if number % 4 else 1, n, *shape)
    if y.numel() > 1 and number % 3 == 0:
        y.view(-1)[:1] = IGNORED
    return {"gamma": d.r.choice([0.0, 1.0, 2.0, d.r.uniform(1, 4)]), "ignore_index": IGNORED,
            "alpha": [d.r.random() for _ in range(c)] if number % 2 else []}, [x, y]


def draw_binary_focal(d, number):
    shape = d.r.choice([(1,), (7,), (3, 2), (2, 1, 3)])
    x = d.floats(*shape, scale=3)
    y = d.chances(*shape) if number % 3 == 1 else d.labels(2, *shape)
    return {"gamma": d.r.choice([0.0, 2.0, d.r.uniform(1, 4)]), "alpha": d.r.choice([None, 0.25, d.r.random()])}, [x, y]


def draw_smoothed(d, number):
    c, shape, n = d.r.randint(2, 5), d.r.choice([(), (4,), (2, 3)]), d.r.choice([1, 2, 6])
    x = d.floats(n, c, *shape, scale=3)
    if number % 2:
        y = torch.softmax(d.floats(n, c, *shape).double(), 1).to(x.dtype)
    else:
        y = d.labels(c, n, *shape)
        if y.numel() > 1 and number % 4 == 0:
            y.view(-1)[:1] = IGNORED
    return {"smoothing": d.r.choice([0.0, 0.1, d.r.random()]), "ignore_index": IGNORED,
            "class_weight": [0.1 + d.r.random() for _ in range(c)] if number % 3 == 0 else []}, [x, y]


def draw_dice(d, number):
    options, tensors = segmentation_case(d, number, soft=True)
    return {**options, "smooth": d.r.choice([1.0, 1e-3, d.r.uniform(0.1, 2)])}, tensors


def draw_tversky(d, number):
    options, tensors = segmentation_case(d, number, soft=True)
    return {**options, "smooth": d.r.choice([1.0, d.r.uniform(0.1, 2)]), "false_positives": d.r.uniform(0.1, 1),
            "false_negatives": d.r.uniform(0.1, 1), "focus": d.r.choice([1.0, 0.75, 2.0])}, tensors


def draw_lovasz(d, number):
    options, tensors = segmentation_case(d, number, soft=False)
    if options["classes"] == "independent" and number % 6 == 5 and tensors[1].numel() > 1:
        tensors[1].view(-1)[:1] = IGNORED
        options["per_sample"] = False
        if tensors[1].shape[1] == tensors[1].numel():
            tensors[1].view(-1)[:1] = 1  # nothing would be left of the channel
    if not options["left_out"] and options["classes"] == "exclusive":
        tensors[1] = tensors[1].clamp(min=0)
    return options, tensors


def draw_info_nce(d, number):
    n, dim = d.r.choice([2, 3, 6]), d.r.choice([1, 2, 5])
    contrast = ("keys", "both_ways", "all_views")[number % 3]
    tensors = [d.floats(n, dim) + 0.1, d.floats(n, dim) + 0.1]
    if contrast == "keys" and number % 2:
        tensors.append(d.floats(d.r.randint(1, 4), dim) + 0.1)
    return {"temperature": d.r.choice([0.1, 0.5, 1.0]), "contrast": contrast, "normalize": d.r.random() < 0.7}, tensors


def draw_triplet(d, number):
    n, dim = d.r.choice([3, 5, 8]), d.r.choice([2, 4])
    y = d.labels(d.r.choice([2, 3]), n)
    y[0], y[1], y[2] = 0, 0, 1
    x = d.floats(n, dim)
    mining = ("batch_hard", "batch_semi_hard", "batch_all")[number % 3]
    distance = d.r.choice(["euclidean", "squared_euclidean", "cosine"])
    x = x + 0.125 if distance == "cosine" else x
    if number % 10 == 9:
        x[1] = x[0]
    return {"margin": d.r.choice([0.2, 0.0, d.r.random()]), "mining": mining, "distance": distance,
            "soft_margin": d.r.random() < 0.3}, [x, y]


def draw_quantile(d, number):
    shape, count = d.r.choice([(1,), (6,), (3, 2)]), d.r.choice([1, 2, 3])
    flat = count == 1 and number % 2 == 0
    x = d.floats(*shape) if flat else d.floats(*shape, count)
    return {"quantiles": [d.r.uniform(0.01, 0.99) for _ in range(count)]}, [x, d.floats(*shape)]


def draw_box_overlap(d, number):
    kind, form = ("iou", "giou", "diou", "ciou")[number % 4], ("xyxy", "xywh", "cxcywh")[number // 4 % 3]
    n = d.r.choice([1, 2, 5])

    def boxes(shift):
        place, size = d.floats(n, 2) * 2 + shift, d.floats(n, 2).abs() + 0.25
        return torch.cat([place, place + size if form == "xyxy" else size], 1)

    x, y = boxes(0), boxes(0 if number % 3 else 100)  # far apart: no overlap
    if number % 7 == 3:
        y = x.clone()
    if number % 7 == 5 and kind != "ciou":
        y[0, 2:] = y[0, :2] if form == "xyxy" else 0  # a point
    return {"kind": kind, "format": form}, [x, y]


def draw_ctc(d, number):
    n, steps, c = d.r.choice([1, 3]), d.r.randint(6, 9), d.r.randint(2, 5)
    blank = d.r.choice([0, c - 1])
    others = [i for i in range(c) if i != blank]
    counts = [d.r.randint(0 if number % 4 == 0 else 1, 3) for _ in range(n)]
    y = torch.full((n, 3), -1)
    for i, count in enumerate(counts):
        y[i, :count] = torch.tensor([d.r.choice(others) for _ in range(count)], dtype=torch.long)
    tensors = [d.floats(n, steps, c, scale=2), y]
    if number % 2:
        tensors += [torch.tensor([d.r.randint(6, steps) for _ in range(n)]), torch.tensor(counts)]
    return {"blank": blank}, tensors


def draw_distillation(d, number):
    n, c, shape = d.r.choice([1, 4]), d.r.randint(2, 5), d.r.choice([(), (3,)])
    return {"temperature": d.r.choice([1.0, 4.0, d.r.uniform(0.5, 8)]), "teacher": d.r.choice([0.0, 0.5, d.r.random()])}, [
        d.floats(n, c, *shape, scale=2), d.floats(n, c, *shape, scale=2), d.labels(c, n, *shape)]


def draw_uncertainty(d, number):
    n, c = d.r.choice([1, 4]), d.r.randint(2, 5)
    return {}, [d.floats(n, 2), d.floats(n, 2), d.floats(n, c), d.labels(c, n),
                torch.randn(2, generator=d.generator, dtype=torch.float64).float()]


# For each loss: how Python computes it, how a problem is drawn, and which of its tensors have a gradient.
LOSSES = {
    "focal": (focal, draw_focal, (0,)),
    "binary_focal": (binary_focal, draw_binary_focal, (0,)),
    "smoothed_cross_entropy": (smoothed, draw_smoothed, (0,)),
    "dice": (dice, draw_dice, (0,)),
    "tversky": (tversky, draw_tversky, (0,)),
    "lovasz": (lovasz, draw_lovasz, (0,)),
    "info_nce": (info_nce, draw_info_nce, (0, 1, 2)),
    "triplet": (triplet, draw_triplet, (0,)),
    "quantile": (quantile, draw_quantile, (0,)),
    "box_overlap": (box_overlap, draw_box_overlap, (0,)),
    "ctc": (ctc, draw_ctc, (0,)),
    "distillation": (distillation, draw_distillation, (0,)),
    "uncertainty": (uncertainty, draw_uncertainty, (0, 2, 4)),
}
NOT_UNIQUE = ("lovasz", "triplet", "quantile", "box_overlap")  # at ties, corners and empty boxes


def as_json(tensor):
    return {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape),
            "values": tensor.double().flatten().tolist() if tensor.is_floating_point() else tensor.flatten().tolist()}


def problem_of(name, seed, number):
    compute, draw, differentiable = LOSSES[name]
    d = Draw(f"{seed} {name} {number}", number)
    options, tensors = draw(d, number)
    leaves = [t.double().requires_grad_() if i in differentiable else t for i, t in enumerate(tensors)]
    value = compute(options, *leaves)
    wanted = [leaf for i, leaf in enumerate(leaves) if i in differentiable]
    unique = not (name in NOT_UNIQUE and (d.tied or d.dtype == "bfloat16" or number % 7 in (3, 5) or number % 10 == 9))
    gradients = torch.autograd.grad(value, wanted, allow_unused=True)
    return {"loss": name, "number": number, "options": options, "tensors": [as_json(t) for t in tensors],
            "value": value.item(),
            "gradients": [(g if g is not None else torch.zeros_like(w)).flatten().tolist() if unique else None
                          for g, w in zip(gradients, wanted)]}


def main():
    torch.set_num_threads(1)
    if sys.argv[1] == "--record":
        problems = [problem_of(name, "recorded", number) for name in LOSSES for number in range(5)]
        text = ",\n".join(json.dumps(problem, allow_nan=False) for problem in problems)
        with open(sys.argv[2], "w", encoding="utf-8") as file:
            file.write(f'{{"torch": "{torch.__version__}",\n"problems": [\n{text}\n]}}\n')
        return
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 36
    problems = [problem_of(name, sys.argv[1], number) for name in LOSSES for number in range(count)]
    json.dump({"torch": torch.__version__, "problems": problems}, sys.stdout, allow_nan=False)


if __name__ == "__main__":
    main()
