# SPDX-License-Identifier: Apache-2.0
"""Errors of regression and correlations."""

import numpy as np
import torch
from metrics_peer import DTYPES, problem
from peer import part
from scipy import stats
from sklearn import metrics as sk

tm = part("torchmetrics.functional.regression")


def concordance(predicted, target):
    """As torchmetrics calculates it, which needs more than a few samples and no constants."""
    covariance = np.cov(predicted, target)
    apart = predicted.mean() - target.mean()
    return 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + apart**2)


def over_outputs(function, predicted, target):
    return float(np.mean([function(predicted[:, i], target[:, i]) for i in range(predicted.shape[1])]))


def regression(random, samples, outputs, case, dtype):
    target = random.normal(3, 2, (samples, outputs))
    predicted = target + random.normal(0, 1, target.shape)
    if case == "ties":
        target, predicted = np.round(target), np.round(predicted)
    elif case == "far from zero":
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
    if case != "far from zero" and dtype != "float64":
        predicted = torch.tensor(predicted).to(getattr(torch, dtype)).double().numpy()
        target = torch.tensor(target).to(getattr(torch, dtype)).double().numpy()
    else:
        dtype = "float64"
    values = {"sklearn:mae": sk.mean_absolute_error(target, predicted),
              "sklearn:mse": sk.mean_squared_error(target, predicted),
              "sklearn:rmse": float(np.sqrt(sk.mean_squared_error(target, predicted))),
              "sklearn:mape": sk.mean_absolute_percentage_error(target, predicted),
              "sklearn:quantile_loss/0.9": sk.mean_pinball_loss(target, predicted, alpha=0.9),
              "sklearn:quantile_loss/0.5": sk.mean_pinball_loss(target, predicted, alpha=0.5)}
    p, t = torch.tensor(predicted), torch.tensor(target)
    values["torchmetrics:mae"] = tm.mean_absolute_error(p, t)
    values["torchmetrics:mse"] = tm.mean_squared_error(p, t)
    if (np.abs(predicted) + np.abs(target) > 1e-3).all():
        values["torchmetrics:smape"] = tm.symmetric_mean_absolute_percentage_error(p, t)
    if (np.abs(target) > 1e-3).all():
        values["torchmetrics:mape"] = tm.mean_absolute_percentage_error(p, t)
    values["torchmetrics:cosine_similarity"] = tm.cosine_similarity(p, t, reduction="mean")
    if samples > 1:
        values["sklearn:r2"] = sk.r2_score(target, predicted)
        values["sklearn:explained_variance"] = sk.explained_variance_score(target, predicted)
        values["numpy:concordance"] = over_outputs(concordance, predicted, target)
        constant = case in ("constant", "exact constant")
        same = ["pearson", "spearman", "kendall/b", "kendall/c"]
        functions = [lambda a, b: stats.pearsonr(a, b).statistic, lambda a, b: stats.spearmanr(a, b).statistic,
                     lambda a, b: stats.kendalltau(a, b, variant="b").statistic,
                     lambda a, b: stats.kendalltau(a, b, variant="c").statistic]
        for name, function in zip(same, functions, strict=True):
            values[f"scipy:{name}"] = np.nan if constant else over_outputs(function, predicted, target)
        if not constant and case not in ("ties", "far from zero") and samples > 5:
            flat = (lambda x: x[:, 0]) if outputs == 1 else (lambda x: x)
            values["torchmetrics:explained_variance"] = tm.explained_variance(p, t)
            values["torchmetrics:r2"] = tm.r2_score(p, t)
            values["torchmetrics:pearson"] = tm.pearson_corrcoef(flat(p), flat(t)).mean()
            values["torchmetrics:concordance"] = tm.concordance_corrcoef(flat(p), flat(t)).mean()
            values["torchmetrics:kendall/b"] = tm.kendall_rank_corrcoef(flat(p), flat(t)).mean()
    return problem("regression", case, predicted, target, values, dtype)


def problems(random, few):
    made = []
    sizes = ((1, 1), (9, 1), (5, 3)) if few else ((1, 1), (2, 1), (3, 1), (20, 1), (60, 1), (33, 4), (12, 2))
    for size in sizes:
        for case in ("random", "ties", "far from zero", "constant", "exact constant", "opposite"):
            made.append(regression(random, *size, case, DTYPES[len(made) % 3]))
    return made
