# SPDX-License-Identifier: Apache-2.0
"""The perceptron with PyTorch alone, after its beginners' tutorial: one line of progress each 100 batches, best weights kept."""

import torch
from perceptron import LEARNING_RATE, arguments, loaders, make_net, print_result
from torch.nn import functional

options = arguments()
train, test = loaders(options.data)
net = make_net()
optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
best = 0.0
for epoch in range(1, options.epochs + 1):
    net.train()
    train_loss, train_correct, seen = 0.0, 0, 0
    for step, (images, labels) in enumerate(train, start=1):
        output = net(images)
        loss = functional.cross_entropy(output, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        train_loss += loss.item() * len(labels)
        train_correct += (output.argmax(1) == labels).sum().item()
        seen += len(labels)
        if step % 100 == 0:
            print(f"epoch {epoch} step {step}/{len(train)} loss {train_loss / seen:.4f} acc {train_correct / seen:.4f}")
    net.eval()
    val_loss, val_correct = 0.0, 0
    with torch.no_grad():
        for images, labels in test:
            output = net(images)
            val_loss += functional.cross_entropy(output, labels).item() * len(labels)
            val_correct += (output.argmax(1) == labels).sum().item()
    val_acc = val_correct / len(test.dataset)
    print(f"epoch {epoch} val_loss {val_loss / len(test.dataset):.4f} val_acc {val_acc:.4f}")
    if val_acc > best:
        best = val_acc
        torch.save(net.state_dict(), "best.pt")
print_result(best)
