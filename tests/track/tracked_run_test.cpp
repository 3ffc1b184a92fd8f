// SPDX-License-Identifier: Apache-2.0
// Trackers on a real run: what reaches them, and that a run does not depend on them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "athanor/callbacks/layer_statistics.hpp"
#include "athanor/track/log_file.hpp"
#include "athanor/track/tables.hpp"
#include "athanor/track/tensorboard.hpp"
#include "tests/track/tracking.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::tracked_run_test {
namespace {

using namespace literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Recorder : Listener {
  void on_message(const events::Message& message) override { messages.push_back(message.text); }
  void on_media(const events::Media& media) override {
    if (media.name != "summary" && media.name != "graph") recorded.push_back(media);  // those of every run
  }
  void on_run_end(const events::RunEnd& end) override { directions = end.directions; }
  std::vector<std::string> messages;
  std::vector<events::Media> recorded;
  std::vector<std::pair<std::string, Direction>> directions;
};

struct Failing : Listener {
  void on_step(const events::Step&) override { throw std::runtime_error("the disk is full"); }
  std::string name() const override { return "my tracker"; }
};

TEST(TrackedRun, TrackersChangeNoBitAndAFailingOneDoesNotEndTheRun) {
  const TemporaryFolder folder;
  const auto data = clouds(24);
  Classifier plain;
  Trainer(quiet(3_epochs)).fit(plain, data_of(data), data_of(clouds(12, 2)));

  Classifier tracked;
  const auto recorder = std::make_shared<Recorder>();
  TrainerOptions options = quiet(3_epochs);
  options.run = folder.path() / "run";
  options.log_every = 1_steps;
  options.track = {recorder,     std::make_shared<Failing>(), track::tensorboard(),
                   track::csv(), track::json_lines(),         track::csv({.path = "/dev/full"})};
  const History history = Trainer(options).fit(tracked, data_of(data), data_of(clouds(12, 2)));
  expect_same(weights_of(plain), weights_of(tracked));
  EXPECT_EQ(history.epochs().size(), 3u);
  EXPECT_THAT(recorder->messages,
              Contains("my tracker failed and is switched off, training goes on: the disk is full"));
  EXPECT_THAT(recorder->messages, Contains(HasSubstr("No space left on device")));
  EXPECT_THAT(recorder->directions, Contains(std::pair<std::string, Direction>("val_acc", Direction::up)));
  // Three epochs of 6 steps with a loss each.
  const std::string rows = text_of(folder.path() / "run" / "scalars.csv");
  int losses = 0;
  for (const std::string& row : lines_of(rows))
    losses += row.find(",step,") != std::string::npos && row.find(",train_loss,") != std::string::npos;
  EXPECT_EQ(losses, 18);
  EXPECT_TRUE(std::filesystem::is_directory(folder.path() / "run" / "tensorboard" / "val"));
}

TEST(TrackedRun, TheFolderHoldsALogWithTheUsersOwnMessages) {
  const TemporaryFolder folder;
  Classifier task;
  TrainerOptions options = quiet(2_epochs, {Hooks{.epoch_end = [](Trainer& trainer) {
                                   trainer.message("the user's own, epoch " + std::to_string(trainer.position().epoch));
                                 }}});
  options.run = folder.path();
  Trainer trainer(options);
  trainer.fit(task, data_of(clouds(12)));
  trainer.fit(task, data_of(clouds(12)));
  const std::string log = text_of(folder.path() / "log.txt");
  for (const char* text : {"training on cpu", "the user's own, epoch 2", "epoch 2/2", "training continued on cpu",
                           "the user's own, epoch 4", "all 2 epochs done"}) {
    EXPECT_THAT(log, HasSubstr(text));
  }
}

TEST(TrackedRun, RecordsPicturesTextsAndHistogramsAtTheirStep) {
  const auto recorder = std::make_shared<Recorder>();
  Classifier task;
  torch::Tensor picture = torch::ones({2, 2});
  TrainerOptions options = quiet(1_epochs, {Hooks{.epoch_end = [&](Trainer& trainer) {
                                   trainer.record("samples", events::Image{picture});
                                   trainer.record("note", events::Text{"*hello*"});
                                   picture.zero_();
                                 }}});
  options.track = {recorder};
  Trainer(options).fit(task, data_of(clouds(12)));
  ASSERT_EQ(recorder->recorded.size(), 2u);
  EXPECT_EQ(recorder->recorded[0].name, "samples");
  EXPECT_EQ(recorder->recorded[0].step, 3);
  EXPECT_EQ(std::get<events::Image>(recorder->recorded[0].content).pixels.sum().item<double>(), 4) << "a copy";
  EXPECT_EQ(std::get<events::Text>(recorder->recorded[1].content).markdown, "*hello*");
}

TEST(TrackedRun, EvaluateOutsideOfFitIsToldToTheTrackers) {
  struct Evaluations : Listener {
    void on_run_begin(const events::RunBegin&) override { lines.emplace_back("run"); }
    void on_evaluation(const events::Evaluation& evaluation) override {
      lines.push_back(std::string(stage_name(evaluation.stage)) + " " + std::to_string(evaluation.step) + " " +
                      evaluation.values.names().front());
      folder = evaluation.folder;
    }
    std::vector<std::string> lines;
    std::optional<std::filesystem::path> folder;
  };
  const TemporaryFolder folder;
  const auto told = std::make_shared<Evaluations>();
  Classifier task;
  TrainerOptions options =
      quiet(1_epochs, {Hooks{.epoch_end = [&](Trainer& trainer) { trainer.evaluate(task, data_of(clouds(8, 3))); }}});
  options.run = folder.path() / "run";
  options.track = {told, track::csv()};
  Trainer trainer(options);
  trainer.evaluate(task, data_of(clouds(8)));
  EXPECT_EQ(told->folder, std::nullopt);
  trainer.fit(task, data_of(clouds(12)));
  const Values values = trainer.evaluate(task, data_of(clouds(8)));
  EXPECT_THAT(told->lines, ElementsAre("test 0 test_loss", "run", "test 3 test_loss", "test 3 test_loss"));
  EXPECT_EQ(told->folder, folder.path() / "run");
  int rows = 0;
  for (const std::string& row : lines_of(text_of(folder.path() / "run" / "scalars.csv"))) {
    rows += row.find(",evaluation,1,3,,test_loss,") != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(rows, 2);
  EXPECT_TRUE(values.find("test_loss").has_value());
}

TEST(TrackedRun, HistogramsOfLayersReachTheTrackers) {
  const auto recorder = std::make_shared<Recorder>();
  Classifier task;
  const auto statistics = std::make_shared<LayerStatistics>(
      LayerStatisticsOptions{.every = 3_steps, .layers = {"out"}, .histograms = true});
  TrainerOptions options = quiet(1_epochs, {statistics});
  options.track = {recorder};
  Trainer(options).fit(task, data_of(clouds(12)));
  std::vector<std::string> names;
  for (const events::Media& media : recorder->recorded) {
    names.push_back(media.name);
    const auto& histogram = std::get<events::Histogram>(media.content);
    ASSERT_EQ(histogram.edges.size(), histogram.counts.size() + 1) << media.name;
    EXPECT_TRUE(std::is_sorted(histogram.edges.begin(), histogram.edges.end()));
    EXPECT_EQ(std::accumulate(histogram.counts.begin(), histogram.counts.end(), 0.0), histogram.count);
    EXPECT_GE(histogram.minimum, histogram.edges.front());
    EXPECT_LE(histogram.maximum, histogram.edges.back());
  }
  EXPECT_THAT(names, ElementsAre("weights/out.weight", "gradients/out.weight", "weights/out.bias", "gradients/out.bias",
                                 "activations/out"));
  const auto& weights = std::get<events::Histogram>(recorder->recorded[0].content);
  EXPECT_EQ(weights.count, 24);
  const torch::Tensor numbers = task.net->out->weight.detach().to(torch::kDouble);
  EXPECT_NEAR(weights.sum, numbers.sum().item<double>(), 1e-12);
  EXPECT_NEAR(weights.sum_of_squares, numbers.square().sum().item<double>(), 1e-12);
}

TEST(TrackedRun, AHostTakesAllMessagesAndNothingIsPrinted) {
  std::vector<std::string> lines;
  Classifier task;
  TrainerOptions options = quiet(1_epochs);
  options.track = {track::lines_to([&](events::Message::Level, std::string_view line) { lines.emplace_back(line); })};
  ::testing::internal::CaptureStdout();
  Trainer(options).fit(task, data_of(clouds(12)));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  EXPECT_THAT(lines, Contains(HasSubstr("epoch 1/1")));
}

TEST(TrackedRun, ARunThatIsBrokenOffLeavesWholeFilesAndTheReason) {
  const TemporaryFolder folder;
  Classifier task;
  TrainerOptions options = quiet(3_epochs, {Hooks{.step_end = [](Trainer& trainer) {
                                   if (trainer.position().step == 5) throw std::runtime_error("out of coffee");
                                 }}});
  options.run = folder.path();
  options.log_every = 1_steps;
  options.track = {track::json_lines(), track::csv()};
  Trainer trainer(options);
  EXPECT_THROW(trainer.fit(task, data_of(clouds(12))), std::runtime_error);
  EXPECT_THAT(text_of(folder.path() / "log.txt"), HasSubstr("warning: the run was broken off: out of coffee\n"));
  EXPECT_THAT(lines_of(text_of(folder.path() / "events.jsonl")).back(), HasSubstr("\"reason\":\"out of coffee\""));
  EXPECT_THAT(text_of(folder.path() / "scalars.csv"), HasSubstr(",step,2,5,20,train_loss,"));
}

TEST(TrackedRun, LinesComeBeforeWhatTheHostPrintsNext) {
  Classifier task;
  TrainerOptions options =
      quiet(3_epochs,
            {Hooks{.epoch_begin = [](Trainer& trainer) { std::cout << "host " << trainer.position().epoch << "\n"; }}});
  options.verbosity = Verbosity::quiet;
  ::testing::internal::CaptureStdout();
  Trainer(options).fit(task, data_of(clouds(12)));
  std::vector<std::string> firsts;
  for (const std::string& line : lines_of(::testing::internal::GetCapturedStdout()))
    firsts.push_back(line.substr(0, 7));
  ASSERT_GE(firsts.size(), 6u);
  firsts.resize(6);
  EXPECT_THAT(firsts, ElementsAre("host 1", "epoch 1", "host 2", "epoch 2", "host 3", "epoch 3"));
}

}  // namespace
}  // namespace athanor::testing::tracked_run_test
