// SPDX-License-Identifier: Apache-2.0
// Monitor, KeepBest and EarlyStopping: what is best, what is kept and put back, and when a run stops.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "athanor/callbacks/early_stopping.hpp"
#include "athanor/callbacks/keep_best.hpp"
#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/optim/sgd.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::callbacks_test {
namespace {

using namespace athanor::literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

/// A net of one weight, which is the number of steps so far; its `val_score` in epoch n is the n-th of the numbers.
struct Scripted : Task {
  explicit Scripted(std::vector<double> scores) : scores(std::move(scores)) {
    torch::NoGradGuard no_grad;
    net->weight.zero_();
  }
  StepOutput training_step(const Batch& batch, StepContext& context) override {
    if (context.stage() == Stage::validation) {
      const auto epoch = static_cast<size_t>(std::max<int64_t>(context.epoch(), 1));
      context.log("score", scores.at(epoch - 1));
    }
    return -net->weight.sum() + 0 * batch.input.tensor().sum();
  }
  Optimizers configure_optimizers() override { return optim::SGD({.lr = 1}).on(net); }
  [[nodiscard]] double weight() const { return net->weight.item<double>(); }

  std::vector<double> scores;
  torch::nn::Linear net = register_net("net", torch::nn::Linear(torch::nn::LinearOptions(1, 1).bias(false)));
};

// One step an epoch.
History run(Scripted& task, Callbacks callbacks, std::optional<std::filesystem::path> folder = {}) {
  TrainerOptions options = quiet(Duration::epochs(static_cast<double>(task.scores.size())), std::move(callbacks));
  options.run = std::move(folder);
  return Trainer(options).fit(task, Data(torch::zeros({4, 1})), Data(torch::zeros({4, 1})));
}

MonitorOptions score(Mode mode, double min_change = 0) {
  return {.monitor = "val_score", .mode = mode, .min_change = min_change};
}

struct Course {
  const char* name;
  std::vector<double> scores;
  Mode mode;
  int64_t best_epoch;  // 0: none
  double min_change = 0;
};
class Best : public ::testing::TestWithParam<Course> {};

TEST_P(Best, IsFoundKeptAndPutBack) {
  const Course& course = GetParam();
  Scripted task(course.scores);
  const History history = run(task, {KeepBest({.monitor = score(course.mode, course.min_change)})});
  ASSERT_TRUE(history.best().has_value());
  EXPECT_EQ(history.best()->monitor, "val_score");
  EXPECT_EQ(history.best()->epoch, course.best_epoch);
  const int64_t expected = course.best_epoch > 0 ? course.best_epoch : static_cast<int64_t>(course.scores.size());
  EXPECT_EQ(task.weight(), static_cast<double>(expected));
  if (course.best_epoch > 0) {
    EXPECT_EQ(history.best()->value, course.scores[static_cast<size_t>(course.best_epoch - 1)]);
  } else {
    EXPECT_THAT(history.table(), HasSubstr("no best epoch: val_score was never finite"));
  }
}

INSTANTIATE_TEST_SUITE_P(KeepBest, Best,
                         ::testing::Values(Course{"Smallest", {3, 1, 2}, Mode::min, 2},
                                           Course{"Largest", {1, 5, 2, 4}, Mode::max, 2},
                                           Course{"NaNIsNeverBestUnlikeTorchkeras", {2, nan, 1, nan}, Mode::min, 3},
                                           Course{"NaNFirstDoesNotBlock", {nan, 2, 3}, Mode::min, 2},
                                           Course{"NaNWithMax", {nan, 2, nan, 3, nan}, Mode::max, 4},
                                           Course{"OnlyNaN", {nan, nan}, Mode::min, 0},
                                           Course{"InfinityOnTheWrongSide", {inf, inf}, Mode::min, 0},
                                           Course{"MinusInfinityWithMax", {-inf, 1, -inf}, Mode::max, 2},
                                           Course{"InfinityOnTheRightSide", {1, -inf, -inf, 0}, Mode::min, 2},
                                           Course{"TiesKeepTheFirst", {2, 1, 1, 1}, Mode::min, 2},
                                           Course{"MinChange", {1, 0.95, 0.85, 0.8}, Mode::min, 3, 0.1},
                                           Course{"MinChangeIsToBeExceeded", {1, 1.5, 2}, Mode::max, 3, 0.5}),
                         [](const auto& info) { return info.param.name; });

TEST(KeepBest, NeverAndEachEpoch) {
  Scripted never({3, 1, 2, 4});
  run(never, {KeepBest({.monitor = score(Mode::min), .restore = RestoreBest::never})});
  EXPECT_EQ(never.weight(), 4);
  // The weight after each epoch: 1 (best), 2 (best), 3 and back to 2, 3 and back to 2.
  Scripted each({3, 1, 2, 4});
  std::vector<double> weights;
  run(each, {KeepBest({.monitor = score(Mode::min), .restore = RestoreBest::each_epoch}),
             Hooks{.epoch_end = [&](Trainer&) { weights.push_back(each.weight()); }}});
  EXPECT_THAT(weights, ::testing::ElementsAre(1, 2, 2, 2));
}

TEST(KeepBest, ABestOfAnUnfinishedEpochIsPutBackWhenItsEndIsWorse) {
  Scripted task({3, 1, 2});
  TrainerOptions options = quiet(3_steps, {KeepBest({.monitor = score(Mode::min)})});
  Trainer trainer(options);
  const Data two_batches(torch::zeros({8, 1}));
  trainer.fit(task, two_batches, Data(torch::zeros({4, 1})));
  EXPECT_EQ(task.weight(), 3);  // the middle of epoch 2, with 1
  task.scores[1] = 5;
  trainer.set_options({.max_duration = 1_steps,
                       .batch_size = 4,
                       .callbacks = trainer.options().callbacks,
                       .verbosity = Verbosity::silent,
                       .device = "cpu"});
  trainer.fit(task, two_batches, Data(torch::zeros({4, 1})));
  EXPECT_EQ(trainer.position().step, 4);
  EXPECT_EQ(task.weight(), 3);
}

TEST(KeepBest, WritesTheBestAsSafetensorsThatPythonOpens) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "athanor_keep_best";
  std::filesystem::remove_all(folder);
  Classifier task;
  std::vector<Tree> weights;
  TrainerOptions options = quiet(4_epochs, {Hooks{.epoch_end = [&](Trainer&) { weights.push_back(weights_of(task)); }},
                                            KeepBest({.restore = RestoreBest::never})});
  options.run = folder;
  Trainer trainer(options);
  const History history = trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
  const Tree& best = weights.at(static_cast<size_t>(history.best()->epoch - 1));

  const SafetensorsFile file(folder / "best.safetensors");
  Classifier other(77);
  copy_into(file, named_tensors(other.nets()), {});
  expect_same(best, weights_of(other));

  const std::string script =
      "import sys; from safetensors.torch import load_file; t = load_file(sys.argv[1]); "
      "assert len(t) == int(sys.argv[2]); assert str(t['norm.num_batches_tracked'].dtype) == 'torch.int64'; "
      "assert t['in.weight'].double().sum().item() == float(sys.argv[3])";
  char sum[64];
  std::snprintf(sum, sizeof sum, "%.17g", best["in.weight"].tensor().to(torch::kDouble).sum().item<double>());
  const std::string command = std::string(ATHANOR_TEST_PYTHON) + " -c \"" + script + "\" '" +
                              (folder / "best.safetensors").string() + "' " + std::to_string(best.size()) + " " + sum;
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  std::filesystem::remove_all(folder);
}

struct Patience {
  std::vector<double> scores;
  int64_t patience;
  size_t epochs;
};
class Stopping : public ::testing::TestWithParam<Patience> {};

TEST_P(Stopping, ComesAfterExactlySoManyEpochsWithoutImprovement) {
  Scripted task(GetParam().scores);
  const int64_t patience = GetParam().patience;
  const History history = run(task, {EarlyStopping({.monitor = score(Mode::min), .patience = patience})});
  EXPECT_EQ(history.epochs().size(), GetParam().epochs);
  if (GetParam().epochs < GetParam().scores.size()) {
    EXPECT_EQ(history.stop_reason(),
              "no improvement of val_score for " + std::to_string(patience) + (patience == 1 ? " epoch" : " epochs"));
  } else {
    EXPECT_THAT(history.stop_reason(), HasSubstr("all"));
  }
}
INSTANTIATE_TEST_SUITE_P(EarlyStopping, Stopping,
                         ::testing::Values(Patience{{5, 4, 4, 4, 4, 4, 4}, 3, 5}, Patience{{5, 6, 1, 1}, 1, 2},
                                           Patience{{5, 6, 4, 6, 6, 0}, 2, 5}, Patience{{nan, nan, nan, 1}, 2, 2},
                                           Patience{{5, 4, 3, 2}, 1, 4}, Patience{{5, nan, 4, inf, 3}, 2, 5}));

TEST(EarlyStopping, CountsOverCallsOfFitAndAnewAfterItStopped) {
  Scripted task({1, 2, 3, 4, 5, 6, 7, 8});
  TrainerOptions options = quiet(1_epochs, {EarlyStopping({.monitor = score(Mode::min), .patience = 2})});
  Trainer trainer(options);
  auto fit = [&] { return trainer.fit(task, Data(torch::zeros({4, 1})), Data(torch::zeros({4, 1}))); };
  EXPECT_EQ(fit().stop_reason(), "all 1 epoch done");
  EXPECT_EQ(fit().stop_reason(), "all 1 epoch done");
  EXPECT_EQ(fit().stop_reason(), "no improvement of val_score for 2 epochs");
  EXPECT_EQ(fit().stop_reason(), "all 1 epoch done");
  EXPECT_EQ(fit().stop_reason(), "no improvement of val_score for 2 epochs");
}

TEST(EarlyStopping, APatienceBelowOneIsRefused) {
  EXPECT_EQ(error_of([] { EarlyStopping({.patience = 0}); }).what, "the patience is too small");
}

Error::Parts refusal(const MonitorOptions& monitor, bool validated) {
  Classifier task;
  const Tree before = weights_of(task);
  Trainer trainer(quiet(2_epochs, {KeepBest({.monitor = monitor})}));
  const Error::Parts parts =
      error_of([&] { trainer.fit(task, data_of(clouds(8)), validated ? data_of(clouds(4)) : Data()); });
  expect_same(before, weights_of(task));
  EXPECT_EQ(trainer.position().step, 0);
  return parts;
}

TEST(Monitor, AnUnknownNameIsToldWithTheNearestBeforeAnyStep) {
  const Error::Parts parts = refusal({.monitor = "val_ac"}, true);
  EXPECT_EQ(parts.what, "the monitor 'val_ac' is not among the values of this run");
  EXPECT_EQ(parts.where, "before the first step");
  EXPECT_THAT(parts.expected, AllOf(HasSubstr("train_loss"), HasSubstr("val_acc"), HasSubstr("val_spread")));
  EXPECT_EQ(parts.todo, "did you mean val_acc?");
}

TEST(Monitor, AValueOfValidationWithoutValidationData) {
  EXPECT_EQ(refusal({.monitor = "val_loss"}, false).todo, "give validation data, or monitor one of these");
}

TEST(Monitor, TheModeIsAskedForWhereTheValueDoesNotKnowIt) {
  const Error::Parts parts = refusal({.monitor = "val_spread"}, true);
  EXPECT_EQ(parts.what, "it is not known whether 'val_spread' should become large or small");
  EXPECT_EQ(parts.todo, "set mode to Mode::min or Mode::max");
}

TEST(Monitor, TakesTheModeFromTheMetricAndTheLoss) {
  for (const auto& [name, up] : {std::pair{"val_acc", true}, std::pair{"train_loss", false}}) {
    Classifier task;
    const History history = Trainer(quiet(5_epochs, {KeepBest({.monitor = {.monitor = name}})}))
                                .fit(task, data_of(clouds(22)), data_of(clouds(10, 2)));
    const auto values = history[name];
    const double best =
        up ? *std::max_element(values.begin(), values.end()) : *std::min_element(values.begin(), values.end());
    EXPECT_EQ(history.best()->value, best) << name;
  }
}

TEST(Monitor, ByDefaultIsTheLossOfTheValidationDataWhateverTheirName) {
  auto watched = [](const Data& validation) {
    Classifier task;
    return Trainer(quiet(1_epochs, {KeepBest()})).fit(task, data_of(clouds(8)), validation).best()->monitor;
  };
  EXPECT_EQ(watched({}), "train_loss");
  EXPECT_EQ(watched(data_of(clouds(4))), "val_loss");
  EXPECT_EQ(watched(data_of(clouds(4)).named("clean")), "clean_loss");
}

TEST(Monitor, ADefaultFollowsTheDataFromFitToFit) {
  Classifier task;
  Trainer trainer(quiet(1_epochs, {KeepBest()}));
  EXPECT_EQ(trainer.fit(task, data_of(clouds(8)), data_of(clouds(4))).best()->monitor, "val_loss");
  const History history = trainer.fit(task, data_of(clouds(8)));
  EXPECT_EQ(history.best()->monitor, "train_loss");
  EXPECT_EQ(history.best()->epoch, 2);
}

}  // namespace
}  // namespace athanor::testing::callbacks_test
