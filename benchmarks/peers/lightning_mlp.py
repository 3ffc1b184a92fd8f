# SPDX-License-Identifier: Apache-2.0
"""The perceptron with Lightning: its own bar, logger and model summary as they are by default, and the checkpoint of the best."""

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from perceptron import LEARNING_RATE, arguments, loaders, make_net, print_result
from torch.nn import functional
from torchmetrics import Accuracy


class Perceptron(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = make_net()
        self.train_acc = Accuracy(task="multiclass", num_classes=10)
        self.val_acc = Accuracy(task="multiclass", num_classes=10)

    def forward(self, images):
        return self.net(images)

    def training_step(self, batch, batch_index):
        images, labels = batch
        output = self(images)
        loss = functional.cross_entropy(output, labels)
        self.train_acc(output, labels)
        self.log("train_loss", loss, prog_bar=True)
        self.log("train_acc", self.train_acc, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_index):
        images, labels = batch
        output = self(images)
        self.val_acc(output, labels)
        self.log("val_loss", functional.cross_entropy(output, labels))
        self.log("val_acc", self.val_acc, prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)


options = arguments()
train, test = loaders(options.data)
best = ModelCheckpoint(monitor="val_acc", mode="max")
trainer = lightning.Trainer(max_epochs=options.epochs, accelerator="cpu", callbacks=[best])
trainer.fit(Perceptron(), train, test)
print_result(best.best_model_score)
