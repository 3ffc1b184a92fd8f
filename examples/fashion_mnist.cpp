// SPDX-License-Identifier: Apache-2.0
// Fashion-MNIST in one call: a small CNN, 0.90 test accuracy.
#include <torch/torch.h>

#include <athanor/athanor.hpp>
#include <iomanip>
#include <iostream>

using namespace torch::nn;

int main() {
  const athanor::FashionMnist data = athanor::read_fashion_mnist();

  Sequential net(Conv2d(Conv2dOptions(1, 32, 3).padding(1)), ReLU(), MaxPool2d(2),
                 Conv2d(Conv2dOptions(32, 64, 3).padding(1)), ReLU(), MaxPool2d(2), Flatten(), Linear(64 * 7 * 7, 128),
                 ReLU(), Linear(128, 10));

  athanor::Model model(net, {.loss = athanor::loss::cross_entropy,
                             .optimizer = athanor::optim::Adam({.lr = 1e-3}),
                             .metrics = {athanor::metrics::accuracy()}});

  const athanor::History history = model.fit({data.train_images, data.train_labels}, {.validation_split = 0.1,
                                                                                      .epochs = 6,
                                                                                      .monitor = "val_acc",
                                                                                      .patience = 3,
                                                                                      .run = "runs/fashion_mnist",
                                                                                      .batch_size = 128});

  std::cout << history << "curves: " << (*model.run_folder() / "curves.svg").string() << "\n";
  std::cout << std::fixed << std::setprecision(4)
            << "test_acc=" << model.evaluate({data.test_images, data.test_labels})["test_acc"] << "\n";
}
