// SPDX-License-Identifier: Apache-2.0
// The log of a loop that the library knows nothing about.
#include "athanor/track/run_log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <sstream>

#include "athanor/train/run_control.hpp"
#include "tests/core/error_of.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing::run_log_test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Recorder : Listener {
  void on_stage_begin(const events::StageBegin& stage) override {
    lines.push_back(std::string(stage_name(stage.stage)) + " " + std::to_string(stage.epoch) + " of " +
                    std::to_string(stage.batches));
  }
  void on_progress(const events::Progress& progress) override { last = progress; }
  void on_step(const events::Step& step) override {
    lines.push_back("step " + std::to_string(step.step) + " " + step.values.names().front());
  }
  void on_epoch_end(const events::EpochEnd& end) override {
    lines.push_back("end " + std::to_string(end.epoch.number) + (end.best ? " best" : ""));
  }
  void on_run_end(const events::RunEnd& end) override { lines.push_back(end.history.stop_reason()); }
  std::vector<std::string> lines;
  events::Progress last;
};

RunLogOptions silent(RunLogOptions options) {
  options.verbosity = Verbosity::silent;
  return options;
}

TEST(RunLog, KnowsStagesAndLearnsTheNumberOfBatches) {
  const auto recorder = std::make_shared<Recorder>();
  RunLog log(silent({.epochs = 2, .monitor = "val_loss", .track = {recorder}}));
  bool more = true;
  for (int epoch = 1; more; ++epoch) {
    log.step({{"loss", 1.0}, {"lr", 0.5}}, 3);
    log.step({{"train_loss", 5.0}, {"lr", 0.25}}, 1);
    log.step({{"val_loss", 0.5 * epoch}}, 7);
    more = log.epoch({{"val_auc", 0.75}});
  }
  const History history = log.end();
  EXPECT_THAT(recorder->lines, ElementsAre("train 1 of 0", "step 1 train_loss", "step 2 train_loss", "val 1 of 0",
                                           "end 1 best", "train 2 of 2", "step 3 train_loss", "step 4 train_loss",
                                           "val 2 of 1", "end 2", "all 2 epochs done"));
  ASSERT_EQ(history.epochs().size(), 2u);
  // (3 x 1 + 1 x 5) / 4
  EXPECT_EQ(history.last().values, (Values{{"train_loss", 2.0}, {"val_loss", 1.0}, {"val_auc", 0.75}}));
  EXPECT_EQ(history.last().settings, (Values{{"lr", 0.25}}));
  EXPECT_EQ(history.last().steps, 4);
  EXPECT_EQ(history.best(), (History::Best{.monitor = "val_loss", .epoch = 1, .value = 0.5}));
  EXPECT_EQ(recorder->last.batches, 1);
}

TEST(RunLog, ShowsWhatIsNotANumber) {
  struct Gallery : Listener {
    void on_media(const events::Media& media) override { shown.push_back(media); }
    std::vector<events::Media> shown;
  };
  const auto gallery = std::make_shared<Gallery>();
  RunLog log(silent({.epochs = 1, .track = {gallery}}));
  log.step({{"loss", 1.0}});
  const at::Tensor pixels = at::ones({2, 2});
  log.record("filters", events::Image{pixels});
  pixels.zero_();
  ASSERT_EQ(gallery->shown.size(), 1u);
  EXPECT_EQ(gallery->shown[0].name, "filters");
  EXPECT_EQ(gallery->shown[0].step, 1);
  EXPECT_EQ(std::get<events::Image>(gallery->shown[0].content).pixels.sum().item<double>(), 4.0);
  log.end();
  EXPECT_EQ(error_of([&] { return log.record("late", events::Text{}), 0; }).where, "RunLog::record");
}

TEST(RunLog, LearnsTheNumberOfBatchesWhenTrainingAndValidationAlternate) {
  const auto recorder = std::make_shared<Recorder>();
  RunLog log(silent({.epochs = 2, .track = {recorder}}));
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (int part = 0; part < 2; ++part) {
      log.step({{"loss", 1.0}});
      log.step({{"loss", 1.0}});
      log.step({{"val_loss", 1.0}});
    }
    log.epoch();
  }
  std::vector<std::string> passes;
  for (const std::string& line : recorder->lines) {
    if (line.starts_with("train ") || line.starts_with("val ")) passes.push_back(line);
  }
  EXPECT_THAT(passes, ElementsAre("train 1 of 0", "val 1 of 0", "train 1 of 0", "val 1 of 0", "train 2 of 4",
                                  "val 2 of 2", "train 2 of 4", "val 2 of 2"));
  EXPECT_EQ(recorder->last.batch, 2);
  EXPECT_EQ(recorder->last.batches, 2);
}

TEST(RunLog, StopsEarlyAndSavesTheBest) {
  std::vector<int64_t> saved;
  RunLog log(
      silent({.monitor = "val_acc", .patience = 2, .save_best = [&](int64_t epoch) { saved.push_back(epoch); }}));
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> values{nan, 0.5, 0.75, 0.75, nan, 0.9};
  size_t epochs = 0;
  while (log.epoch({{"val_acc", values.at(epochs++)}})) {
  }
  EXPECT_EQ(epochs, 5u) << "an equal value and a NaN are no improvement";
  EXPECT_THAT(saved, ElementsAre(2, 3));
  EXPECT_EQ(log.end().stop_reason(), "no improvement of val_acc for 2 epochs");
  EXPECT_EQ(log.history().epochs().size(), 5u) << "rounds without steps have rows of their own";
}

// As XGBoost calls back: a round, its values, nothing else.
TEST(RunLog, WritesTheFilesOfARunAroundAnyLoop) {
  const TemporaryFolder folder;
  RunLog log(
      silent({.epochs = 3, .monitor = "val_logloss", .run = folder.path() / "trees", .header = {{"eta", "0.3"}}}));
  for (int round = 0; round < 3; ++round) {
    if (round == 1) log.message("half way");
    log.epoch({{"train_logloss", 0.5}, {"val_logloss", 0.5 - 0.1 * round}});
  }
  log.end();
  EXPECT_EQ(log.folder(), folder.path() / "trees");
  EXPECT_EQ(lines_of(text_of(*log.folder() / "history.csv")).size(), 4u);
  EXPECT_THAT(text_of(*log.folder() / "curves.svg"), HasSubstr("logloss"));
  const std::string text = text_of(*log.folder() / "log.txt");
  for (const char* line : {" training\n", "   eta=0.3\n", " half way\n", " best val_logloss 0.3000 at epoch 3\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

/// Asks for something as soon as it may.
struct Impatient : Listener, Steering {
  void take_control(std::shared_ptr<RunControl> control) override {
    stops = control->request_stop("enough");
    saves = control->request_save();
  }
  bool stops = false;
  bool saves = false;
};

TEST(RunLog, DoesWhatIsAskedForFromOutside) {
  const auto first = std::make_shared<Impatient>();
  RunLog log(silent({.epochs = 9, .track = {first}}));
  EXPECT_TRUE(first->stops);
  EXPECT_FALSE(first->saves) << "nothing says how to save";
  EXPECT_TRUE(log.should_stop());
  EXPECT_FALSE(log.epoch({{"val_loss", 1}})) << "a loop that never asks is stopped by the end of its epoch";
  EXPECT_EQ(log.end().stop_reason(), "enough");

  int saved = 0;
  const auto second = std::make_shared<Impatient>();
  RunLog saving(silent({.epochs = 9, .save_now = [&](int64_t) { saved += 1; }, .track = {second}}));
  EXPECT_TRUE(second->saves);
  saving.step({{"loss", 1}});
  saving.step({{"loss", 1}});
  EXPECT_EQ(saved, 1) << "once for each request";
  EXPECT_EQ(saving.end("the loop broke off").stop_reason(), "enough");
  EXPECT_FALSE(RunLog(silent({})).should_stop());
}

TEST(RunLog, TheConsoleHasItsDigitsAndItsStream) {
  std::ostringstream screen;
  RunLog log({.epochs = 1, .monitor = "val_loss", .digits = 2, .stream = &screen});
  log.epoch({{"val_loss", 0.123456}});
  log.end();
  EXPECT_THAT(screen.str(), HasSubstr("0.12"));
  EXPECT_THAT(screen.str(), ::testing::Not(HasSubstr("0.123")));
  EXPECT_EQ(error_of([] { return RunLog({.digits = 18}).history(); }).where, "RunLogOptions::digits");
}

TEST(RunLog, ALogThatIsGivenUpEndsItself) {
  const auto recorder = std::make_shared<Recorder>();
  {
    RunLog log(silent({.track = {recorder}}));
    log.step({{"loss", 1.0}});
  }
  EXPECT_EQ(recorder->lines.back(), "the log was given up");
}

TEST(RunLog, RefusesWhatCannotBeMeant) {
  EXPECT_EQ(error_of([] { return RunLog(silent({.epochs = 0})).history(); }).where, "RunLogOptions::epochs");
  EXPECT_EQ(error_of([] { return RunLog(silent({.patience = 2})).history(); }).todo,
            "give a monitor, such as val_loss");
  EXPECT_THAT(error_of([] { return RunLog(silent({.monitor = "val_x"})).history(); }).todo, HasSubstr("Direction::up"));
  RunLog log(silent({.monitor = "val_loss"}));
  const Error::Parts mixed = error_of([&] { return log.step({{"train_loss", 1}, {"val_loss", 1}}), 0; });
  EXPECT_EQ(mixed.got, "train_loss, val_loss");
  for (const double samples : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(error_of([&] { return log.step({{"loss", 1}}, samples), 0; }).where, "RunLog::step");
  }
  EXPECT_THAT(error_of([&] { return log.epoch({{"val_acc", 1}}); }).expected, HasSubstr("val_acc"));
  log.end();
  EXPECT_EQ(error_of([&] { return log.epoch({{"val_loss", 1}}); }).what, "this run is over");
}

}  // namespace
}  // namespace athanor::testing::run_log_test
