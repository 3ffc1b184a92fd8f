# SPDX-License-Identifier: Apache-2.0
"""Random images from a seed, with what torchmetrics makes of them in float64, as JSON.

    image_quality_peer.py SEED             all problems of a seed, on the standard output
    image_quality_peer.py --record FILE    a few of seed 1, as references for a computer without torchmetrics

A problem: `metric`, `shape`, `predictions` and `target` as whole numbers of 1/256, which bfloat16 holds exactly; `dtype`;
`options` under our names; and `values`: "mean", "sum" and "none" (of each image), for PSNR also "dataset".
"""

import math
import sys
import warnings

import numpy as np
import peer

try:
    import torch

    tm = peer.part("torchmetrics.functional.image")
except ImportError:
    sys.exit(peer.NOT_THERE)

warnings.filterwarnings("ignore")
torch.set_num_threads(1)

DTYPES = ("float64", "float32", "bfloat16")


def plain(values):
    flat = torch.as_tensor(values).double().reshape(-1).tolist()
    return ["inf" if math.isinf(value) else None if math.isnan(value) else value for value in flat]


def pair(random, shape, case):
    target = random.integers(0, 257, shape)
    if case == "smooth":
        ramp = np.add.outer(np.arange(shape[2]), np.arange(shape[3]))
        target = np.broadcast_to(ramp % 257, shape).copy()
    elif case == "constant":
        target = np.full(shape, int(random.integers(0, 257)))
    if case == "unrelated":
        predictions = random.integers(0, 257, shape)
    elif case == "inverse":
        predictions = 256 - target
    elif case == "equal":
        predictions = target.copy()
    else:
        predictions = target + random.integers(-20, 21, shape)
    return predictions.clip(0, 256), target


def data_range(options):
    return tuple(options["clamp"]) if "clamp" in options else options["data_range"]


def psnr(p, t, options):
    given = {"data_range": data_range(options), "base": options.get("base", 10.0)}
    if "clamp" in options:
        low, high = options["clamp"]
        p, t, given["data_range"] = p.clamp(low, high), t.clamp(low, high), high - low
    of_images = {name: tm.peak_signal_noise_ratio(p, t, dim=(1, 2, 3), reduction=reduction, **given)
                 for name, reduction in (("mean", "elementwise_mean"), ("sum", "sum"), ("none", "none"))}
    return {"dataset": tm.peak_signal_noise_ratio(p, t, **given), **of_images}


def similarity(function, p, t, options, **more):
    given = {"data_range": data_range(options), **more}
    for name in ("gaussian_kernel", "sigma", "kernel_size", "k1", "k2"):
        if name in options:
            given[name] = options[name]
    return {name: function(p, t, reduction=reduction, **given)
            for name, reduction in (("mean", "elementwise_mean"), ("sum", "sum"), ("none", "none"))}


def made(random, metric, shape, case, dtype, options):
    predictions, target = pair(random, shape, case)
    p, t = torch.tensor(predictions, dtype=torch.float64) / 256, torch.tensor(target, dtype=torch.float64) / 256
    if metric == "psnr":
        values = psnr(p, t, options)
    elif metric == "ssim":
        values = similarity(tm.structural_similarity_index_measure, p, t, options)
    else:
        # torchmetrics halves what is not clamped and clamps each scale; given clamped images, it does what it says.
        if "clamp" in options:
            p, t = p.clamp(*options["clamp"]), t.clamp(*options["clamp"])
        more = {"normalize": {"none": None}.get(options.get("normalize"), options.get("normalize", "relu"))}
        if "betas" in options:
            more["betas"] = tuple(options["betas"])
        values = similarity(tm.multiscale_structural_similarity_index_measure, p, t, options, **more)
    return {"metric": metric, "case": case, "dtype": dtype, "shape": list(shape), "options": options,
            "predictions": predictions.ravel().tolist(), "target": target.ravel().tolist(),
            "values": {name: plain(value) for name, value in values.items()}}


CASES = ("near", "smooth", "constant", "unrelated", "inverse", "equal")
PSNR = ({"data_range": 1.0}, {"data_range": 1.5, "base": 2.718281828459045}, {"data_range": 2.0, "base": 2.0}, {"clamp": [0.25, 0.75]}, {"data_range": 0.5})
SSIM = ({"data_range": 1.0}, {"data_range": 1.0, "sigma": [0.8, 2.0]}, {"clamp": [0.25, 0.75]},
        {"data_range": 2.0, "gaussian_kernel": False, "kernel_size": [5, 9]}, {"data_range": 1.0, "k1": 0.05, "k2": 0.1})
SMALL = {"sigma": [0.5, 0.5], "kernel_size": [5, 5]}
MS_SSIM = ({"data_range": 1.0, **SMALL, "betas": [0.5, 0.3, 0.2]}, {"data_range": 1.0, **SMALL, "betas": [0.7, 0.3], "normalize": "simple"},
           {"clamp": [0.1, 0.9], **SMALL, "betas": [0.25, 0.75]}, {"data_range": 1.0, **SMALL, "betas": [1.0], "normalize": "none"},
           {"data_range": 1.0, "gaussian_kernel": False, "kernel_size": [3, 7], "betas": [0.5, 0.5]})


def problems(random, few):
    all_made = []
    for metric, options in (("psnr", PSNR), ("ssim", SSIM), ("ms_ssim", MS_SSIM)):
        shapes = [(2, 1, 9, 14), (1, 3, 17, 8), (3, 2, 12, 12)] if metric != "ms_ssim" else [(2, 1, 20, 24), (1, 2, 23, 20), (3, 1, 20, 21)]
        if metric == "ssim":
            shapes = [(2, 1, 9, 14), (1, 3, 17, 9), (3, 2, 12, 12)]
        for i, case in enumerate(CASES):
            for chosen in options if not few else [options[i % len(options)]]:
                number = len(all_made)
                all_made.append(made(random, metric, shapes[number % 3], case, DTYPES[number % 3], dict(chosen)))
    if not few:
        all_made.append(made(random, "ms_ssim", (1, 1, 80, 83), "near", "float32", {"data_range": 1.0, **SMALL}))
        all_made.append(made(random, "ms_ssim", (1, 1, 176, 177), "smooth", "float64", {"data_range": 1.0}))
    return all_made


if __name__ == "__main__":
    peer.main(("torchmetrics",), lambda seed, few: problems(np.random.default_rng(seed), few))
