// SPDX-License-Identifier: Apache-2.0
//
// The task of the comparisons, options that show nothing, and a run that is stepped from outside, so that two of them
// can take turns.
#pragma once

#include <athanor/athanor.hpp>
#include <utility>

#include "common.hpp"

namespace benchmarks {

inline torch::nn::Sequential perceptron() {
  torch::manual_seed(1);
  return torch::nn::Sequential(torch::nn::Flatten(), torch::nn::Linear(784, 128), torch::nn::ReLU(),
                               torch::nn::Linear(128, 10));
}

class Classifier : public athanor::Task {
 public:
  explicit Classifier(torch::nn::Sequential module) : net(register_net("net", std::move(module))) {}
  athanor::StepOutput training_step(const athanor::Batch& batch, athanor::StepContext&) override {
    torch::Tensor logits = net->forward(batch.input.tensor());
    torch::Tensor loss = torch::cross_entropy_loss(logits, batch.target.tensor());
    return {std::move(loss), std::move(logits)};
  }
  athanor::Optimizers configure_optimizers() override { return athanor::optim::Adam().on(parameters()); }
  torch::nn::Sequential net;
};

inline athanor::TrainerOptions quiet_options(int64_t batch_size) {
  athanor::TrainerOptions options;
  options.max_duration = athanor::Duration::epochs(100000);
  options.batch_size = batch_size;
  options.verbosity = athanor::Verbosity::silent;
  options.device = "cpu";
  return options;
}

class Stepped {
 public:
  Stepped(torch::nn::Sequential net, athanor::TrainerOptions options, const athanor::Data& data)
      : task_(std::move(net)), trainer_(std::move(options)), loop_(trainer_, task_, {.train = athanor::Feed(data)}) {
    loop_.begin_epoch();
  }
  void run(int64_t steps) {
    for (int64_t step = 0; step < steps; ++step) {
      while (!loop_.next()) {
        loop_.end_epoch();
        loop_.begin_epoch();
      }
      loop_.update();
    }
  }

 private:
  Classifier task_;
  athanor::Trainer trainer_;
  athanor::Loop loop_;
};

}  // namespace benchmarks
