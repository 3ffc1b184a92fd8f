# SPDX-License-Identifier: Apache-2.0
"""AUROC of many scores by torchmetrics, the same scores as metric_costs.cpp, in as many rounds.

    metric_costs.py --threads N --epochs ROUNDS

The last line is a JSON object with the seconds of the rounds and the value.
"""

import argparse
import json
import time

import torch
from torchmetrics.classification import BinaryAUROC

SCORES = 10_000_000


def same_numbers_as_ours(count):
    """A multiplicative generator that both sides share, so that both see the same scores and ties."""
    index = torch.arange(count, dtype=torch.int64)
    mixed = (index * 2654435761 + 12345) % (1 << 32)
    scores = (mixed >> 8).to(torch.float32) / (1 << 24)
    noise = ((index * 40503 + 977) % 65536).to(torch.float32) / 65536
    return scores, (scores + noise > 1).to(torch.int64)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    scores, target = same_numbers_as_ours(SCORES)
    seconds = []
    for _ in range(options.epochs + 1):
        metric = BinaryAUROC(validate_args=False)
        start = time.perf_counter()
        metric.update(scores, target)
        value = float(metric.compute())
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds[1:], "total_seconds": min(seconds[1:]), "auroc": value}))


if __name__ == "__main__":
    main()
