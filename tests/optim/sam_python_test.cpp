// SPDX-License-Identifier: Apache-2.0
// SAM beside the textbook in Python (sam_peer.py), and in the engine.
#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "athanor/optim/adam.hpp"
#include "athanor/optim/sam.hpp"
#include "athanor/optim/schedules.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/optim/python_peer.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::sam_python_test {
namespace {

using namespace athanor::literals;
using optim::Adam;
using optim::AdamW;
using optim::SAM;
using optim::SGD;
using ::testing::HasSubstr;

struct Script {
  static constexpr const char* name = "sam_peer.py";
};
using SAMPython = PythonPeer<Script>;

struct PeerCase {
  std::string name;
  SAM recipe;
  GroupOptions second = {};
};

// As CASES in sam_peer.py.
std::vector<PeerCase> peer_cases() {
  return {
      {"sam_sgd", SAM(SGD({.lr = 0.1}))},
      {"sam_momentum", SAM(SGD({.lr = 0.05, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true}), {.rho = 0.2})},
      {"sam_adamw_groups", SAM(AdamW({.lr = 0.02}), {.rho = 0.1}), {.lr = 0.005, .weight_decay = 0}},
      {"asam_momentum", SAM(SGD({.lr = 0.05, .momentum = 0.9}), {.rho = 0.5, .adaptive = true})},
      {"asam_adam", SAM(Adam({.lr = 0.01}), {.rho = 1, .adaptive = true, .eta = 0})},
  };
}

torch::Tensor start(at::IntArrayRef shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return ((torch::arange(count) * 37).remainder(19) - 9).to(torch::kDouble).div(16).reshape(shape).requires_grad_();
}

struct Problem {
  Parameters all{{"w1", start({3, 6})}, {"b1", start({6})}, {"w2", start({6, 1})}, {"b2", start({1})}};
  int step = 0;
  int evaluations = 0;

  torch::Tensor loss() const {
    const torch::Tensor x = torch::sin(torch::arange(24).to(torch::kDouble) * (1 + step % 5)).reshape({8, 3});
    const torch::Tensor y = (x.sum(1, true) * 0.5 - 0.25).cos();
    const torch::Tensor hidden = torch::tanh(x.matmul(all[0].tensor) + all[1].tensor);
    return (hidden.matmul(all[2].tensor) + all[3].tensor - y).pow(2).mean();
  }
  torch::Tensor evaluate(Optimizer& optimizer) {
    ++evaluations;
    optimizer.zero_grad();
    torch::Tensor value = loss();
    value.backward();
    return value.detach();
  }
  std::shared_ptr<Optimizer> bind(const SAM& recipe, const GroupOptions& second = {}) const {
    return recipe.on({{{all[0], all[1]}, {}}, {{all[2], all[3]}, second}});
  }
};

// Both sides do the same sums in float64, in the order of the same library but for one product: errors of 1e-16 a step
// on weights of size 1, which the two evaluations and 50 steps of a smooth problem may multiply by some thousands. A
// wrong formula shows as 1e-4 and more.
TEST_F(SAMPython, FiftyStepsAreThoseOfTheTextbook) {
  for (const PeerCase& each : peer_cases()) {
    Problem problem;
    const auto optimizer = problem.bind(each.recipe, each.second);
    const std::vector<double> expected = read(each.name);
    ASSERT_EQ(expected.size(), 50u * (1 + 18 + 6 + 6 + 1));
    double largest = 0;
    size_t place = 0;
    for (problem.step = 0; problem.step < 50; ++problem.step) {
      const torch::Tensor loss = optimizer->step([&] { return problem.evaluate(*optimizer); });
      largest = std::max(largest, std::abs(loss.item<double>() - expected[place++]));
      for (const Parameter& parameter : problem.all) {
        const torch::Tensor values = parameter.tensor.detach().flatten();
        for (int64_t i = 0; i < values.numel(); ++i) {
          largest = std::max(largest, std::abs(values[i].item<double>() - expected[place++]));
        }
      }
    }
    EXPECT_LT(largest, 1e-12) << each.name;
    EXPECT_EQ(problem.evaluations, 100);
    const double first = expected[0];
    const double last = expected[expected.size() - 32];
    EXPECT_LT(last, first) << "the problem is not worth comparing";
  }
}

// With a base that steps by 0 the weights must come back to the last bit.
TEST(SAM, TheWeightsComeBackBitForBit) {
  for (const bool adaptive : {false, true}) {
    Problem problem;
    const auto optimizer = problem.bind(SAM(SGD({.lr = 0}), {.rho = 0.7, .adaptive = adaptive}));
    std::vector<torch::Tensor> before;
    for (const Parameter& parameter : problem.all) before.push_back(parameter.tensor.detach().clone());
    std::vector<double> losses;
    optimizer->step([&] {
      losses.push_back(problem.evaluate(*optimizer).item<double>());
      return torch::tensor(losses.back());
    });
    ASSERT_EQ(losses.size(), 2u);
    EXPECT_GT(losses[1], losses[0]) << "the second evaluation lies uphill";
    for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(torch::equal(before[i], problem.all[i].tensor));
  }
}

TEST(SAM, AnExceptionOfTheSecondEvaluationLeavesTheWeights) {
  Problem problem;
  const auto optimizer = problem.bind(SAM(SGD({.lr = 0.1})));
  const torch::Tensor before = problem.all[0].tensor.detach().clone();
  EXPECT_THROW(optimizer->step([&] {
    torch::Tensor loss = problem.evaluate(*optimizer);
    if (problem.evaluations == 2) throw std::runtime_error("second");
    return loss;
  }),
               std::runtime_error);
  EXPECT_TRUE(torch::equal(before, problem.all[0].tensor));
}

TEST(SAM, AStepThatIsNotFiniteIsLeftOut) {
  for (const int bad : {1, 2}) {
    Problem problem;
    const auto optimizer = problem.bind(SAM(Adam({.lr = 0.1})));
    optimizer->step([&] { return problem.evaluate(*optimizer); });
    const Tree before = save_state(*optimizer);
    const torch::Tensor weights = problem.all[0].tensor.detach().clone();
    problem.evaluations = 0;
    const torch::Tensor loss = optimizer->step([&] {
      torch::Tensor value = problem.evaluate(*optimizer);
      if (problem.evaluations == bad) problem.all[2].tensor.mutable_grad()[3] = INFINITY;
      return value;
    });
    EXPECT_TRUE(std::isnan(loss.item<double>()));
    EXPECT_TRUE(torch::equal(weights, problem.all[0].tensor));
    EXPECT_THAT(compare_states(before, save_state(*optimizer)), ::testing::IsEmpty());
  }
}

TEST(SAM, ItsStateIsThatOfTheBaseByTheNamesOfTheParameters) {
  Problem problem;
  const auto sam = problem.bind(SAM(Adam({.lr = 0.1})));
  sam->step([&] { return problem.evaluate(*sam); });
  const Tree saved = save_state(*sam);
  EXPECT_TRUE(saved["w2"]["exp_avg"].is_tensor());
  Problem other;
  const auto plain = Adam({.lr = 0.1}).on({{{other.all[0], other.all[1]}, {}}, {{other.all[2], other.all[3]}, {}}});
  load_state(*plain, saved);
  EXPECT_THAT(compare_states(saved, save_state(*plain)), ::testing::IsEmpty());
  EXPECT_EQ(sam->describe(), "SAM(rho 0.05, Adam(lr 0.1))");
  sam->set_lr(1, 0.25);
  EXPECT_EQ(sam->lr(1), 0.25);
  EXPECT_EQ(sam->groups(), 2u);
}

class Plain : public Classifier {
 public:
  using Classifier::Classifier;
  int evaluations = 0;
  StepOutput training_step(const Batch& batch, StepContext& context) override {
    ++evaluations;
    return Classifier::training_step(batch, context);
  }
};

// BatchNorm and the means see a batch once, the schedule moves, and dropout is that of the step.
TEST(SAM, InTheEngineABatchCountsOnceAndTheScheduleMoves) {
  struct Scheduled : Plain {
    using Plain::Plain;
    Optimizers configure_optimizers() override {
      return {NamedOptimizer{
          .name = "optimizer", .optimizer = SAM(SGD({.lr = 0.5})).on(parameters()), .schedule = schedules::cosine()}};
    }
  };
  Scheduled task;
  int ended = 0;
  Trainer trainer(quiet(1_epochs, {At(Moment::optimizer_end, [&](Trainer&, MomentInfo&) { ++ended; })}));
  trainer.fit(task, data_of(clouds(24)));
  EXPECT_EQ(task.evaluations, 1 + 12 - 1);
  EXPECT_EQ(ended, 6);
  EXPECT_LT(trainer.optimizers().front().optimizer->lr(), 0.05);
  EXPECT_EQ(task.net->norm->num_batches_tracked.item<int64_t>(), 6);

  // One update: the running mean is that of the first evaluation.
  Plain sam(1, SAM(SGD({.lr = 0.5})));
  Plain plain(1, SGD({.lr = 0.5}));
  const Examples examples = clouds(8);
  const Batch batch{.input = examples.input, .target = examples.target, .samples = 8};
  Trainer first(quiet(1_epochs));
  Trainer second(quiet(1_epochs));
  const UpdateResult with = first.update(sam, batch);
  const UpdateResult without = second.update(plain, batch);
  EXPECT_EQ(with.loss.item<float>(), without.loss.item<float>());
  EXPECT_TRUE(torch::equal(sam.net->norm->running_mean, plain.net->norm->running_mean));
  EXPECT_FALSE(torch::equal(sam.net->in->weight, plain.net->in->weight));
  EXPECT_EQ(first.end_epoch(sam)["train_acc"], second.end_epoch(plain)["train_acc"]);
}

TEST(SAM, ASecondEvaluationThatIsNotFiniteIsFoundByTheEngine) {
  struct Poisoned : Classifier {
    Poisoned() : Classifier(1, SAM(SGD({.lr = 0.5})), 0) {}
    StepOutput training_step(const Batch& batch, StepContext& context) override {
      StepOutput output = Classifier::training_step(batch, context);
      if (++evaluations == 2) output.loss = output.loss * INFINITY;
      return output;
    }
    int evaluations = 0;
  } task;
  const Examples examples = clouds(8);
  TrainerOptions options = quiet(1_epochs);
  options.non_finite.policy = NonFinite::skip;
  Trainer trainer(options);
  const Tree before = weights_of(task);
  EXPECT_FALSE(trainer.update(task, {.input = examples.input, .target = examples.target, .samples = 8}).finite);
  expect_same(before, weights_of(task));
}

TEST(SAM, ARunThatGoesOnElsewhereGivesTheSameBits) {
  std::vector<Tree> saved;
  const auto train = [&](const Tree* from) {
    Classifier task(from == nullptr ? 1 : 99, SAM(Adam({.lr = 0.02}), {.adaptive = true}));
    Trainer trainer(quiet(2_epochs, {Hooks{.step_end = [&, from](Trainer& running) {
                            if (from == nullptr) saved.push_back(running.save_state());
                          }}}));
    if (from != nullptr) trainer.load_state(task, *from);
    trainer.fit(task, data_of(clouds(22)));
    return trainer.save_state();
  };
  const Tree end = train(nullptr);
  for (const size_t step : {0u, 4u, 9u}) expect_same(end, train(&saved[step]));
}

TEST(SAM, WhatCanNotBeIsRefused) {
  EXPECT_THAT(error_of([] { return SAM(SGD({.lr = 0.1}), {.rho = 0}); }).where, HasSubstr("rho"));
  EXPECT_THAT(error_of([] { return SAM(SGD({.lr = 0.1}), {.eta = -1}); }).where, HasSubstr("eta"));
  EXPECT_THAT(error_of([] { return SAM(optim::Recipe()); }).what, HasSubstr("needs an optimizer"));
  Problem problem;
  EXPECT_THAT(error_of([&] { return problem.bind(SAM(optim::Recipe(SAM(SGD({.lr = 0.1}))))); }).what,
              HasSubstr("evaluates the loss itself"));
  const auto bound = problem.bind(SAM(SGD({.lr = 0.1})));
  EXPECT_EQ(error_of([&] {
              bound->step();
              return 0;
            }).expected,
            "step(closure)");
  Classifier task(1, SAM(SGD({.lr = 0.1})));
  TrainerOptions options = quiet(1_epochs);
  options.precision = Precision::f16;
  Trainer trainer(options);
  EXPECT_THAT(error_of([&] { return trainer.fit(task, data_of(clouds(8))); }).what, HasSubstr("loss scaler"));
}

}  // namespace
}  // namespace athanor::testing::sam_python_test
