// SPDX-License-Identifier: Apache-2.0
// A small problem to train, and comparisons to the last bit, for the tests of training.
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "athanor/metrics/accuracy.hpp"
#include "athanor/optim/adam.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor::testing {

struct Examples {
  torch::Tensor input;
  torch::Tensor target;
};

/// Three classes of points in four dimensions.
inline Examples clouds(int64_t samples, uint64_t seed = 1) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const torch::Tensor target = torch::arange(samples).remainder(3);
  return {torch::randn({samples, 4}, generator) + 2 * torch::one_hot(target, 4).to(torch::kFloat), target};
}

inline Data data_of(const Examples& examples) { return {examples.input, examples.target}; }

/// With dropout, which draws, and BatchNorm, which remembers.
struct Small : torch::nn::Module {
  explicit Small(uint64_t seed, double dropout = 0.3) {
    torch::manual_seed(seed);
    in = register_module("in", torch::nn::Linear(4, 8));
    norm = register_module("norm", torch::nn::BatchNorm1d(8));
    drop = register_module("drop", torch::nn::Dropout(dropout));
    out = register_module("out", torch::nn::Linear(8, 3));
  }
  torch::Tensor forward(const torch::Tensor& input) { return out(drop(torch::relu(norm(in(input))))); }

  torch::nn::Linear in = nullptr;
  torch::nn::BatchNorm1d norm = nullptr;
  torch::nn::Dropout drop = nullptr;
  torch::nn::Linear out = nullptr;
};

class Classifier : public Task {
 public:
  explicit Classifier(uint64_t seed = 1, optim::Recipe optimizer = optim::Adam({.lr = 0.02}), double dropout = 0.3)
      : net(register_net("net", std::make_shared<Small>(seed, dropout))), optimizer_(std::move(optimizer)) {}

  StepOutput training_step(const Batch& batch, StepContext& context) override {
    const torch::Tensor logits = net->forward(batch.input.tensor());
    context.log("spread", logits.max() - logits.min());
    return {torch::cross_entropy_loss(logits, batch.target.tensor()), logits};
  }
  Optimizers configure_optimizers() override { return optimizer_.on(parameters()); }
  Metrics configure_metrics(Stage) override { return {metrics::accuracy()}; }

  std::shared_ptr<Small> net;

 private:
  optim::Recipe optimizer_;
};

/// A task whose step and optimizers are given.
class Tailored : public Task {
 public:
  using Step = std::function<StepOutput(const Batch&, StepContext&)>;
  Tailored(Nets nets, Step step, std::function<Optimizers()> optimizers)
      : step_(std::move(step)), optimizers_(std::move(optimizers)) {
    for (auto& net : nets) register_net(net.name, net.module);
  }
  StepOutput training_step(const Batch& batch, StepContext& context) override { return step_(batch, context); }
  Optimizers configure_optimizers() override { return optimizers_(); }

 private:
  Step step_;
  std::function<Optimizers()> optimizers_;
};

/// A callback out of functions.
struct Hooks {
  static constexpr bool several = true;
  using Hook = std::function<void(Trainer&)>;
  Hook fit_begin = {}, epoch_begin = {}, step_end = {}, epoch_end = {}, fit_end = {};
  void on_fit_begin(Trainer& trainer) const { call(fit_begin, trainer); }
  void on_epoch_begin(Trainer& trainer) const { call(epoch_begin, trainer); }
  void on_step_end(Trainer& trainer) const { call(step_end, trainer); }
  void on_epoch_end(Trainer& trainer) const { call(epoch_end, trainer); }
  void on_fit_end(Trainer& trainer) const { call(fit_end, trainer); }
  static void call(const Hook& hook, Trainer& trainer) {
    if (hook) hook(trainer);
  }
};

inline TrainerOptions quiet(Duration duration, Callbacks callbacks = {}) {
  return {.max_duration = duration,
          .batch_size = 4,
          .callbacks = std::move(callbacks),
          .verbosity = Verbosity::silent,
          .device = "cpu",
          .host = HostOptions::untouched()};
}

/// Copies of parameters and buffers.
inline Tree weights_of(const Nets& nets) {
  NetsState state(nets);
  return save_state(state);
}
inline Tree weights_of(const Task& task) { return weights_of(task.nets()); }
inline Tree weights_of(const std::shared_ptr<torch::nn::Module>& module) { return weights_of(Nets{{"net", module}}); }

/// What differs in two states, wall times apart.
inline std::vector<std::string> differences(const Tree& left, const Tree& right) {
  std::vector<std::string> lines = compare_states(left, right);
  std::erase_if(lines, [](const std::string& line) { return line.find("seconds") != std::string::npos; });
  return lines;
}

inline void expect_same(const Tree& left, const Tree& right) {
  EXPECT_THAT(differences(left, right), ::testing::IsEmpty());
}
inline void expect_other(const Tree& left, const Tree& right) {
  EXPECT_THAT(differences(left, right), ::testing::Not(::testing::IsEmpty()));
}

inline void expect_same(const History& left, const History& right) {
  EXPECT_EQ(left.best(), right.best());
  EXPECT_EQ(left.stop_reason(), right.stop_reason());
  ASSERT_EQ(left.epochs().size(), right.epochs().size());
  for (size_t i = 0; i < left.epochs().size(); ++i) {
    EXPECT_EQ(left.epochs()[i].number, right.epochs()[i].number);
    EXPECT_EQ(left.epochs()[i].steps, right.epochs()[i].steps);
    EXPECT_EQ(left.epochs()[i].values, right.epochs()[i].values);
  }
}

}  // namespace athanor::testing
