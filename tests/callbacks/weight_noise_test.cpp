// SPDX-License-Identifier: Apache-2.0
// Noise that is there in forward and backward, and gone without a trace before the step.
#include "athanor/callbacks/weight_noise.hpp"

#include <cmath>

#include "athanor/optim/sam.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::weight_noise_test {
namespace {

using namespace athanor::literals;
using ::testing::HasSubstr;

/// A linear net that tells what its weights were in each forward pass.
class Line : public Task {
 public:
  explicit Line(optim::Recipe recipe, int64_t size = 4)
      : net(register_net("net", torch::nn::Linear(size, 1))), recipe_(std::move(recipe)) {}
  StepOutput training_step(const Batch& batch, StepContext&) override {
    seen.push_back(net->weight.detach().clone());
    if (fail) throw std::runtime_error("the step failed");
    return {net(batch.input.tensor()).square().mean() * factor};
  }
  Optimizers configure_optimizers() override { return recipe_.on(parameters()); }

  torch::nn::Linear net;
  std::vector<torch::Tensor> seen;
  double factor = 1;
  bool fail = false;

 private:
  optim::Recipe recipe_;
};

Data inputs(int64_t samples = 24) { return Data(clouds(samples).input, Tree()); }

TEST(WeightNoise, TheGradientIsThatOfTheNoisyWeightsAndTheStepThatOfTheCleanOnes) {
  Line task(optim::SGD({.lr = 0.125}));
  const Examples examples = clouds(6);
  const torch::Tensor before = task.net->weight.detach().clone();
  const torch::Tensor bias = task.net->bias.detach().clone();
  torch::Tensor gradient, at_step;
  Trainer trainer(quiet(1_epochs, {WeightNoise({.stddev = 0.5, .pattern = "weight"}),
                                   At(Moment::optimizer_begin, [&](Trainer&, MomentInfo&) {
                                     gradient = task.net->weight.grad().clone();
                                     at_step = task.net->weight.detach().clone();
                                   })}));
  trainer.update(task, {.input = examples.input, .samples = 6});
  ASSERT_EQ(task.seen.size(), 1u);
  EXPECT_FALSE(torch::equal(task.seen[0], before));
  EXPECT_TRUE(torch::equal(at_step, before));
  // d/dw mean((x w + b)²) = 2 mean((x w + b) x); float32 sums of six terms.
  const torch::Tensor output = examples.input.matmul(task.seen[0].t()) + bias;
  EXPECT_TRUE(torch::allclose(gradient, (2 * output * examples.input).mean(0, true), 1e-5, 1e-6));
  EXPECT_TRUE(torch::equal(task.net->weight.detach(), before - 0.125 * gradient));
}

// With learning rates of 0 every weight must keep its bits, whatever evaluates the loss.
TEST(WeightNoise, IsTakenAwayBitForBit) {
  for (const optim::Recipe& recipe : {optim::Recipe(optim::SGD({.lr = 0})), optim::Recipe(optim::Adam({.lr = 0})),
                                      optim::Recipe(optim::SAM(optim::SGD({.lr = 0}), {.rho = 0.3}))}) {
    Line task(recipe);
    const Tree before = weights_of(task);
    TrainerOptions options = quiet(2_epochs, {WeightNoise({.stddev = 3})});
    options.accumulate = 2;
    Trainer(options).fit(task, inputs());
    expect_same(before, weights_of(task));
  }
}

TEST(WeightNoise, IsGaussianOfTheSizeThatIsAskedFor) {
  const auto noise_of = [](WeightNoiseOptions options, double scale) {
    Line task(optim::SGD({.lr = 0}), 20000);
    {
      torch::NoGradGuard no_grad;
      task.net->weight.fill_(scale);
    }
    Trainer trainer(quiet(1_epochs, {WeightNoise(options)}));
    trainer.update(task, {.input = torch::zeros({1, 20000}), .samples = 1});
    return (task.seen[0] - scale).to(torch::kDouble);
  };
  for (const double scale : {1.0, 4.0}) {
    for (const bool relative : {false, true}) {
      const torch::Tensor noise = noise_of({.stddev = 0.25, .relative = relative}, scale);
      const double expected = relative ? 0.25 * scale : 0.25;
      // Five standard errors of 20,000 draws: 0.035 of the deviation for the mean, 0.025 for the deviation; and the
      // fourth moment, which tells a Gaussian (3) from a uniform distribution (1.8).
      EXPECT_NEAR(noise.mean().item<double>(), 0, 0.035 * expected);
      EXPECT_NEAR(noise.std().item<double>(), expected, 0.025 * expected);
      EXPECT_NEAR((noise / expected).pow(4).mean().item<double>(), 3, 5 * std::sqrt(96.0 / 20000));
    }
  }
}

TEST(WeightNoise, AllPassesOfAnUpdateSeeTheSameAndEachUpdateItsOwn) {
  Line task(optim::SGD({.lr = 0}));
  TrainerOptions options = quiet(1_epochs, {WeightNoise({.stddev = 1})});
  options.accumulate = 3;
  Trainer(options).fit(task, inputs());
  ASSERT_EQ(task.seen.size(), 6u);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(torch::equal(task.seen[0], task.seen[i]), i < 3);
  EXPECT_TRUE(torch::equal(task.seen[3], task.seen[5]));
}

TEST(WeightNoise, DrawsNothingFromTheStep) {
  const auto end_of = [](Callbacks callbacks) {
    Classifier task;  // with dropout
    Trainer(quiet(2_epochs, std::move(callbacks))).fit(task, data_of(clouds(22)));
    return weights_of(task);
  };
  expect_same(end_of({}), end_of({WeightNoise({.stddev = 1e-30})}));
  expect_other(end_of({}), end_of({WeightNoise({.stddev = 1e-2})}));
}

TEST(WeightNoise, ARunThatGoesOnElsewhereAndOtherThreadsGiveTheSameBits) {
  std::vector<Tree> saved;
  const auto train = [&](const Tree* from, int threads) {
    Classifier task(from == nullptr ? 1 : 99);
    TrainerOptions options = quiet(2_epochs, {WeightNoise({.stddev = 0.1}), Hooks{.step_end = [&](Trainer& running) {
                                                if (from == nullptr) saved.push_back(running.save_state());
                                              }}});
    options.host.threads = threads;
    Trainer trainer(options);
    if (from != nullptr) trainer.load_state(task, *from);
    trainer.fit(task, data_of(clouds(22)));
    return trainer.save_state();
  };
  const Tree end = train(nullptr, 1);
  for (const size_t step : {0u, 3u, 7u}) expect_same(end, train(&saved[step], 1));
  std::vector<torch::Tensor> noise[2];
  for (const int threads : {1, 2}) {
    Line task(optim::SGD({.lr = 0}), 50000);
    {
      torch::NoGradGuard no_grad;
      task.net->weight.zero_();
    }
    TrainerOptions options = quiet(1_epochs, {WeightNoise({.stddev = 1})});
    options.host.threads = threads;
    Trainer(options).fit(task, Data(torch::zeros({1, 50000}), Tree()));
    noise[threads - 1] = task.seen;
  }
  EXPECT_TRUE(torch::equal(noise[0].back(), noise[1].back()));
}

TEST(WeightNoise, AStepThatFailsLeavesTheWeights) {
  for (const bool throws : {false, true}) {
    Line task(optim::SGD({.lr = 0.1}));
    const Tree before = weights_of(task);
    task.fail = throws;
    task.factor = throws ? 1 : INFINITY;
    TrainerOptions options = quiet(1_epochs, {WeightNoise({.stddev = 1})});
    options.non_finite.policy = NonFinite::skip;
    Trainer trainer(options);
    try {
      trainer.fit(task, inputs(4));
    } catch (const std::exception&) {
    }
    EXPECT_GE(task.seen.size(), 1u);
    expect_same(before, weights_of(task));
  }
}

TEST(WeightNoise, WhatCanNotBeIsRefused) {
  EXPECT_EQ(error_of([] { return WeightNoise({.stddev = 0}); }).where, "WeightNoiseOptions::stddev");
  Line task(optim::SGD({.lr = 0.1}));
  Trainer trainer(quiet(1_epochs, {WeightNoise({.pattern = "encoder.*"})}));
  EXPECT_THAT(error_of([&] { return trainer.fit(task, inputs()); }).got, HasSubstr("encoder.*"));
  struct Manual : Line {
    using Line::Line;
    bool manual_optimization() const override { return true; }
  } manual(optim::SGD({.lr = 0.1}));
  Trainer other(quiet(1_epochs, {WeightNoise()}));
  EXPECT_THAT(error_of([&] { return other.fit(manual, inputs()); }).what, HasSubstr("manual optimization"));
}

}  // namespace
}  // namespace athanor::testing::weight_noise_test
