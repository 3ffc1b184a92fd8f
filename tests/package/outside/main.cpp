// SPDX-License-Identifier: Apache-2.0
// A program of somebody else: trains a line through points with the package as it is found.
#include <torch/nn/modules/linear.h>

#include <athanor/athanor.hpp>
#include <iostream>

int main() {
  const torch::Tensor x = torch::linspace(-1, 1, 64).unsqueeze(1);
  athanor::Model model(torch::nn::Linear(1, 1), {.loss = athanor::loss::mse,
                                                 .optimizer = athanor::optim::SGD({.lr = 0.1}),
                                                 .metrics = {athanor::metrics::mae()}});
  const athanor::History history = model.fit({x, 3 * x + 1}, {.epochs = 50, .verbosity = athanor::Verbosity::silent});
  const bool learnt = history.last().values["train_mae"] < 0.01;
  std::cout << (learnt ? "the package works\n" : "the package does not learn\n");
  return learnt ? 0 : 1;
}
