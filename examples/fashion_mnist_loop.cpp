// SPDX-License-Identifier: Apache-2.0
// The same problem as a loop of one's own, out of the parts: nothing here calls back.
#include <torch/torch.h>

#include <athanor/athanor.hpp>
#include <iostream>

using namespace torch::nn;

int main() {
  const athanor::FashionMnist data = athanor::read_fashion_mnist();
  const athanor::Loader train(athanor::Dataset(data.train_images, data.train_labels),
                              {.batch_size = 64, .shuffle = true});
  const athanor::Loader test(athanor::Dataset(data.test_images, data.test_labels), {.batch_size = 64});

  Sequential net(Flatten(), Linear(784, 128), ReLU(), Linear(128, 10));
  const auto adam = athanor::optim::Adam({.lr = 1e-3}).on(net);

  for (int epoch = 1; epoch <= 5; ++epoch) {
    athanor::WeightedMean loss;
    net->train();
    for (const athanor::Batch& batch : train.epoch(epoch)) {
      const torch::Tensor value =
          athanor::loss::cross_entropy(net->forward(batch.input.tensor()), batch.target.tensor());
      adam->zero_grad();
      value.backward();
      adam->step();
      loss.update(value.detach(), static_cast<double>(batch.samples));
    }

    athanor::metrics::Accuracy accuracy;
    const torch::NoGradGuard no_grad;
    net->eval();
    for (const athanor::Batch& batch : test.epoch(epoch)) {
      accuracy.update(net->forward(batch.input.tensor()), batch.target.tensor());
    }
    std::cout << "epoch " << epoch << "  train_loss " << loss.compute() << "  test_acc " << accuracy.compute().real()
              << "\n";
  }
  athanor::save_weights({{"net", net.ptr()}}, "perceptron.safetensors");
}
