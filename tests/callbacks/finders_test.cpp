// SPDX-License-Identifier: Apache-2.0
// The learning-rate finder and the batch-size finder: what they find, and that they leave no trace.
#include <c10/util/Exception.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "athanor/callbacks/batch_size_finder.hpp"
#include "athanor/callbacks/lr_finder.hpp"
#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/optim/schedules.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::finders_test {
namespace {

using namespace athanor::literals;
using ::testing::HasSubstr;

optim::Recipe momentum() { return optim::SGD({.lr = 0.1, .momentum = 0.9}); }

TEST(LrFinderTest, TheCurveIsThatOfPythonOnTheSameBatches) {
  constexpr int64_t steps = 30, batch = 8;
  Classifier task(1, momentum(), 0);
  const Examples examples = clouds(steps * batch);
  std::string name = (std::filesystem::temp_directory_path() / "athanor-finder-XXXXXX").string();
  const std::filesystem::path folder = ::mkdtemp(name.data());
  NamedTensors start = named_tensors(task.nets());
  start.emplace_back("inputs", examples.input);
  start.emplace_back("targets", examples.target);
  start.emplace_back("sweep", torch::tensor({1e-4, 2.0, double{steps}, 0.9, double{batch}}, torch::kDouble));
  write_safetensors(folder / "start.safetensors", start);
  const std::string command =
      std::string(ATHANOR_TEST_PYTHON) + " " ATHANOR_SOURCE_DIR "/tests/callbacks/lr_finder_peer.py " + folder.string();
  if (std::system(command.c_str()) != 0) {
    std::filesystem::remove_all(folder);
    GTEST_SKIP() << "Python with torch and safetensors is not there";
  }
  TrainerOptions options = quiet(1_epochs);
  options.batch_size = batch;
  options.shuffle = false;
  const LrCurve curve =
      find_lr(options, task, data_of(examples),
              {.lowest = 1e-4, .highest = 2, .steps = steps, .smoothing = 0.9, .give_up_above = std::nullopt});
  const SafetensorsFile theirs(folder / "curve.safetensors");
  ASSERT_EQ(curve.losses.size(), steps);
  EXPECT_DOUBLE_EQ(curve.lrs.front(), 1e-4);
  EXPECT_NEAR(curve.lrs.back(), 2, 1e-14);
  // The same kernels on the same numbers; rates differ by the rounding of pow, 2^-53, which a float32 does not see but
  // where it lies on an edge: one unit in the last place of a weight, 6e-8, grown by the steps at high rates.
  const auto largest = [&](const char* key, const std::vector<double>& ours) {
    return (theirs.tensor(key) - torch::tensor(ours, torch::kDouble)).abs().max().item<double>();
  };
  EXPECT_LE(largest("losses", curve.losses), 1e-5);
  EXPECT_LE(largest("smoothed", curve.smoothed), 1e-5);
  std::filesystem::remove_all(folder);
}

TEST(LrFinderTest, TheSuggestionIsWhereTheSmoothedLossFallsFastest) {
  LrCurve curve;
  for (int i = 0; i < 40; ++i) {
    curve.lrs.push_back(std::pow(10, -4 + 0.1 * i));
    curve.smoothed.push_back(1 / (1 + std::exp((i - 25) * 0.5)));  // steepest at 25
  }
  EXPECT_EQ(curve.suggestion(), curve.lrs[25]);
  EXPECT_EQ(curve.suggestion(30), curve.lrs[30]);
  EXPECT_EQ(curve.suggestion(38), std::nullopt);
  std::fill(curve.smoothed.begin(), curve.smoothed.end(), 1.0);
  EXPECT_EQ(curve.suggestion(), std::nullopt);
}

/// With memories of every kind.
struct Remembering : Classifier {
  using Classifier::Classifier;
  int64_t steps = 0;
  StepOutput training_step(const Batch& batch, StepContext& context) override {
    steps += 1;
    return Classifier::training_step(batch, context);
  }
  void state(State& state) override { state.value("steps", steps); }
};

// torchkeras' finder leaves the trained weights behind, Lightning's writes a file and forgets the modes.
TEST(LrFinderTest, NothingIsLeftBehindBitForBit) {
  Remembering task(1, momentum());
  task.net->norm->eval();
  task.net->out->bias.mutable_grad() = torch::ones({3});
  const Tree weights = weights_of(task);
  torch::manual_seed(12);
  const torch::Tensor drawn = torch::rand({4});
  torch::manual_seed(12);
  static_cast<void>(find_lr(quiet(1_epochs), task, data_of(clouds(40)), {.lowest = 1e-3, .highest = 10, .steps = 20}));
  EXPECT_TRUE(torch::rand({4}).equal(drawn));
  expect_same(weights, weights_of(task));
  EXPECT_EQ(task.steps, 0);
  EXPECT_TRUE(task.net->is_training());
  EXPECT_FALSE(task.net->norm->is_training());
  EXPECT_TRUE(task.net->out->is_training());
  EXPECT_TRUE(task.net->out->bias.grad().equal(torch::ones({3})));
  EXPECT_FALSE(task.net->out->weight.grad().defined());
}

TEST(LrFinderTest, ARunInItsMidstIsNotDisturbed) {
  const auto train = [](bool sweep) {
    Classifier task(1, momentum());
    Trainer trainer(quiet(3_epochs, {Hooks{.epoch_end = [&](Trainer& running) {
                            if (!sweep || running.position().epoch != 2) return;
                            static_cast<void>(
                                find_lr(running.options(), task, data_of(clouds(22)), {.lowest = 1e-3, .steps = 12}));
                          }}}));
    trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
    return trainer.save_state();
  };
  expect_same(train(false), train(true));
}

TEST(LrFinderTest, SweepsOneOfSeveralOptimizersAndLeavesSchedulesOut) {
  struct Two : Task {
    torch::nn::Linear a = register_net("a", torch::nn::Linear(4, 3)), b = register_net("b", torch::nn::Linear(4, 3));
    std::vector<std::pair<double, double>> rates;
    std::shared_ptr<Optimizer> first, second;
    StepOutput training_step(const Batch& batch, StepContext& context) override {
      if (context.optimizer() == "second") rates.emplace_back(first->lr(), second->lr());
      return torch::cross_entropy_loss((context.optimizer() == "first" ? a : b)(batch.input.tensor()),
                                       batch.target.tensor());
    }
    Optimizers configure_optimizers() override {
      first = optim::SGD({.lr = 0.25}).on(a);
      second = optim::SGD({.lr = 0.5}).on(b);
      return {{.name = "first", .optimizer = first, .schedule = schedules::linear_warmup(5_steps)},
              {.name = "second", .optimizer = second, .schedule = schedules::cosine()}};
    }
  };
  Two task;
  const LrFinderOptions finder{.lowest = 1e-3, .highest = 1e-1, .steps = 11, .give_up_above = std::nullopt};
  EXPECT_THAT(error_of([&] { return find_lr(quiet(1_epochs), task, data_of(clouds(40)), finder); }).expected,
              HasSubstr("one of first, second"));
  LrFinderOptions of_second = finder;
  of_second.optimizer = "second";
  const LrCurve curve = find_lr(quiet(1_epochs), task, data_of(clouds(40)), of_second);
  ASSERT_EQ(curve.losses.size(), 11);
  ASSERT_EQ(task.rates.size(), 11);
  for (size_t i = 0; i < 11; ++i) {
    EXPECT_EQ(task.rates[i].first, 0.25);
    EXPECT_EQ(task.rates[i].second, curve.lrs[i]);
  }
}

TEST(LrFinderTest, EndsWhereTheLossGrowsOrIsNotFinite) {
  Classifier task(1, momentum());
  const LrCurve grown = find_lr(quiet(1_epochs), task, data_of(clouds(400)),
                                {.lowest = 1e-3, .highest = 1e3, .steps = 60, .smoothing = 0.5});
  EXPECT_LT(grown.losses.size(), 60);
  const LrCurve broken =
      find_lr(quiet(1_epochs), task, data_of(clouds(400)),
              {.lowest = 1e-3, .highest = 1e30, .steps = 60, .smoothing = 0.5, .give_up_above = std::nullopt});
  EXPECT_LT(broken.losses.size(), 60);
  EXPECT_FALSE(std::isfinite(broken.losses.back()));
  EXPECT_EQ(broken.smoothed.size() + 1, broken.losses.size());

  Examples bad = clouds(8);
  bad.input.fill_(std::numeric_limits<float>::infinity());
  const Error::Parts parts = error_of([&] { return find_lr(quiet(1_epochs), task, data_of(bad)); });
  EXPECT_THAT(parts.what, HasSubstr("not finite before the learning rate was raised"));
  EXPECT_THAT(parts.where, HasSubstr("step 1"));
}

TEST(LrFinderTest, WrongOptionsAreRefused) {
  Classifier task;
  const auto where = [&](const LrFinderOptions& options) {
    return error_of([&] { return find_lr(quiet(1_epochs), task, data_of(clouds(8)), options); }).where;
  };
  EXPECT_EQ(where({.lowest = 0}), "LrFinderOptions::lowest");
  EXPECT_EQ(where({.lowest = 1, .highest = 1}), "LrFinderOptions::highest");
  EXPECT_EQ(where({.steps = 2}), "LrFinderOptions::steps");
  EXPECT_EQ(where({.smoothing = 1}), "LrFinderOptions::smoothing");
  EXPECT_EQ(where({.give_up_above = 1}), "LrFinderOptions::give_up_above");
}

/// Has memory for so many samples.
struct Tight : Remembering {
  explicit Tight(int64_t room) : room(room) {}
  StepOutput training_step(const Batch& batch, StepContext& context) override {
    tried.push_back(batch.samples);
    if (batch.samples > room) throw c10::OutOfMemoryError(c10::SourceLocation{"", "", 0}, "out of memory");
    return Remembering::training_step(batch, context);
  }
  int64_t room;
  std::vector<int64_t> tried;
};

TEST(BatchSizeFinderTest, FindsTheLargestThatFitsWithRealSteps) {
  Tight task(11);
  const Tree weights = weights_of(task);
  EXPECT_EQ(find_batch_size(quiet(1_epochs), task, data_of(clouds(100))), 8);
  EXPECT_EQ(task.tried, (std::vector<int64_t>{2, 2, 2, 4, 4, 4, 8, 8, 8, 16}));
  EXPECT_EQ(find_batch_size(quiet(1_epochs), task, data_of(clouds(100)), {.refine = true}), 11);
  expect_same(weights, weights_of(task));
  EXPECT_EQ(task.steps, 0);
}

TEST(BatchSizeFinderTest, TheDataSetAndTheLimitAreTheOtherEnds) {
  Tight task(1000);
  EXPECT_EQ(find_batch_size(quiet(1_epochs), task, data_of(clouds(50))), 50);
  EXPECT_EQ(find_batch_size(quiet(1_epochs), task, data_of(clouds(50)), {.most = 20}), 20);
}

TEST(BatchSizeFinderTest, WhatItCannotDoIsSaid) {
  Tight task(1);
  EXPECT_THAT(error_of([&] { return find_batch_size(quiet(1_epochs), task, data_of(clouds(50))); }).what,
              HasSubstr("not even the first batch"));
  EXPECT_THAT(
      error_of([&] { return find_batch_size(quiet(1_epochs), task, data_of(clouds(5)), {.first = 6}); }).expected,
      HasSubstr("at most the 5 samples"));
  EXPECT_THAT(error_of([&] {
                return find_batch_size(quiet(1_epochs), task, Data(data_of(clouds(50)).loader({.batch_size = 4})));
              }).what,
              HasSubstr("a loader has a batch size of its own"));
  EXPECT_EQ(error_of([&] { return find_batch_size(quiet(1_epochs), task, data_of(clouds(50)), {.steps = 0}); }).where,
            "BatchSizeFinderOptions::steps");
  struct Broken : Classifier {
    StepOutput training_step(const Batch&, StepContext&) override { throw std::runtime_error("another fault"); }
  } broken;
  EXPECT_THROW(static_cast<void>(find_batch_size(quiet(1_epochs), broken, data_of(clouds(50)))), std::runtime_error);
}

}  // namespace
}  // namespace athanor::testing::finders_test
