# SPDX-License-Identifier: Apache-2.0
"""What all Python sides share: the data, the loaders and the net.

The data fits in memory, so it is a `TensorDataset`, read by a `DataLoader` without worker processes: workers would have to be
started every epoch and would send each batch through shared memory, which costs more than collating 32 rows. This is the
fastest `DataLoader` for this job, and what the documentation of each library shows for tensors in memory.
"""

import argparse
import gzip
import json
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

EPOCHS = 5
BATCH = 32
LEARNING_RATE = 1e-3


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=1)
    parsed = parser.parse_args()
    torch.manual_seed(parsed.seed)
    return parsed


def read_idx(path: Path) -> torch.Tensor:
    with gzip.open(path) as file:
        content = bytearray(file.read())
    sizes = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(content[3])]
    return torch.frombuffer(content, dtype=torch.uint8, offset=4 + 4 * len(sizes)).reshape(sizes)


def split(folder: Path, prefix: str) -> TensorDataset:
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz").flatten(1).float().div_(255)
    return TensorDataset(images, read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz").long())


def loaders(folder: Path) -> tuple[DataLoader, DataLoader]:
    train = DataLoader(split(folder, "train"), batch_size=BATCH, shuffle=True)
    return train, DataLoader(split(folder, "t10k"), batch_size=BATCH)


def make_net() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def print_result(val_acc: float) -> None:
    """The last line: the best validation accuracy, so that run.py sees that every side has learned."""
    print(json.dumps({"val_acc": round(float(val_acc), 4)}), flush=True)
