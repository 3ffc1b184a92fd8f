# SPDX-License-Identifier: Apache-2.0
"""The perceptron with torchkeras. It keeps the best weights by default; `plot=False` gives its text progress."""

import torch
from perceptron import LEARNING_RATE, arguments, loaders, make_net, print_result
from torch import nn
from torchkeras import KerasModel
from torchmetrics import Accuracy

options = arguments()
train, test = loaders(options.data)
net = make_net()
model = KerasModel(
    net,
    loss_fn=nn.CrossEntropyLoss(),
    metrics_dict={"acc": Accuracy(task="multiclass", num_classes=10)},
    optimizer=torch.optim.Adam(net.parameters(), lr=LEARNING_RATE),
)
history = model.fit(
    train_data=train,
    val_data=test,
    epochs=options.epochs,
    ckpt_path="checkpoint.pt",
    patience=options.epochs,
    monitor="val_acc",
    mode="max",
    plot=False,
    cpu=True,
)
print_result(history["val_acc"].max())
