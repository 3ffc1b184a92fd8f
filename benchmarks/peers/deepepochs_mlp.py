# SPDX-License-Identifier: Apache-2.0
"""The perceptron with DeepEpochs, after the examples in its README, with the checkpoint of the best."""

import torch
from deepepochs import CheckCallback, Trainer
from perceptron import LEARNING_RATE, arguments, loaders, make_net, print_result
from torch.nn import functional


def acc(predictions, targets):
    return (predictions.argmax(dim=1) == targets).float().mean()


options = arguments()
train, test = loaders(options.data)
net = make_net()
optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
best = CheckCallback("acc", on_stage="val", mode="max", ckpt_dir="./checkpoints")
trainer = Trainer(net, functional.cross_entropy, optimizer, epochs=options.epochs, device="cpu", callbacks=[best], metrics=[acc])
progress = trainer.fit(train, test)
print()
print_result(max(progress["val"]["acc"]))
