// SPDX-License-Identifier: Apache-2.0
// What a checkpoint knows was logged before it: a run that is killed and goes on lacks no point and has none twice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "athanor/track/listener_thread.hpp"
#include "athanor/track/points_file.hpp"
#include "athanor/track/stored_run.hpp"
#include "athanor/track/tables.hpp"
#include "athanor/track/tensorboard.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing::saving_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

/// Asks a listener to let go, and waits until it has.
bool lets_go(Listener& listener) {
  auto* gone = new std::promise<void>;
  std::future<void> done = gone->get_future();
  listener.on_saving({.step = 1, .hold = std::shared_ptr<const void>(gone, [](std::promise<void>* last) {
                                   last->set_value();
                                   delete last;
                                 })});
  return done.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
}

class TrackerFiles : public ::testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] std::shared_ptr<Listener> tracker() const {
    constexpr auto hour = std::chrono::hours(1);
    const std::string kind = GetParam();
    if (kind == "scalars.csv") return track::csv({.flush_every = hour});
    if (kind == "events.jsonl") return track::json_lines({.flush_every = hour});
    if (kind == "tensorboard") return track::tensorboard({.flush_every = hour});
    return track::points();
  }
  [[nodiscard]] std::string written() const {
    const auto place = folder_.path() / GetParam();
    if (!std::filesystem::is_directory(place)) return text_of(place);
    std::string all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(place)) {
      if (entry.is_regular_file()) all += text_of(entry.path());
    }
    return all;
  }
  TemporaryFolder folder_;
};

TEST_P(TrackerFiles, HoldEverythingOnceTheyHaveLetGo) {
  const auto listener = tracker();
  const History history;
  listener->on_run_begin({.device = "cpu", .folder = folder_.path(), .history = &history});
  listener->on_step({.epoch = 1, .step = 1, .samples = 8, .values = {{"a_value", 0.5}}});
  ASSERT_TRUE(lets_go(*listener));
  EXPECT_THAT(written(), HasSubstr("a_value")) << "nobody has flushed it otherwise";
  listener->on_run_broken({.reason = "over"});
}

INSTANTIATE_TEST_SUITE_P(Of, TrackerFiles,
                         ::testing::Values("scalars.csv", "events.jsonl", "tensorboard", "points.bin"),
                         [](const auto& info) {
                           const std::string name = info.param;
                           return name.substr(0, name.find('.'));
                         });

class Thrower : public Listener {
 public:
  void on_step(const events::Step&) override { throw std::runtime_error("no room"); }
};

TEST(ListenerThreads, ThatFailedDoNotHoldASaveUp) {
  track::ListenerThread listener(std::make_shared<Thrower>(), {.delay = std::chrono::hours(1)});
  const History history;
  listener.on_run_begin({.history = &history});
  listener.on_step({.step = 1});
  EXPECT_TRUE(lets_go(listener)) << "an hour is not waited for";
  EXPECT_THROW(listener.flush(), std::runtime_error);
  listener.on_step({.step = 2});
  EXPECT_TRUE(lets_go(listener)) << "nor one who is told nothing any more";
  EXPECT_TRUE(lets_go(*track::csv())) << "nor one without a run";
}

/// A run was saved at step 10 before the validation that is due there, and killed after it.
void go_on_before_the_validation(const std::shared_ptr<Listener>& tracker, const std::filesystem::path& folder) {
  History history;
  const History::Epoch row{.number = 1, .steps = 10, .values = {{"val_loss", 0.5}}};
  tracker->on_run_begin({.folder = folder, .history = &history});
  tracker->on_step({.epoch = 1, .step = 10, .values = {{"train_loss", 1}}});
  history.add(row);
  tracker->on_epoch_end({.epoch = history.last()});
  tracker->on_run_broken({.reason = "killed"});
  History before;
  tracker->on_run_begin({.folder = folder, .resumed = true, .step = 10, .history = &before});
  before.add(row);
  tracker->on_epoch_end({.epoch = before.last()});
  tracker->on_run_end({.history = before, .folder = folder});
}

TEST(Ghosts, OfAValidationThatIsMadeAgainAreCutOff) {
  const TemporaryFolder folder;
  go_on_before_the_validation(track::csv(), folder.path());
  const std::vector<std::string> rows = lines_of(text_of(folder.path() / "scalars.csv"));
  ASSERT_THAT(rows, SizeIs(3));
  EXPECT_THAT(rows[1], HasSubstr("train_loss")) << "the step before it stays";
  EXPECT_THAT(rows[2], HasSubstr("val_loss"));

  go_on_before_the_validation(track::json_lines(), folder.path());
  const std::string lines = text_of(folder.path() / "events.jsonl");
  EXPECT_THAT(lines, HasSubstr("\"step\":10,\"samples\""));
  EXPECT_EQ(lines.find("\"event\":\"epoch\""), lines.rfind("\"event\":\"epoch\"")) << lines;

  go_on_before_the_validation(track::points(), folder.path());
  track::StoredRun run("run", folder.path());
  ASSERT_TRUE(run.refresh());
  EXPECT_THAT(run.epoch_curves.at("val_loss").values, ElementsAre(0.5));
  EXPECT_THAT(run.step_curves.at("train_loss").values, ElementsAre(1.0));
  EXPECT_THAT(run.epoch_marks, SizeIs(1));
}

TEST(Ghosts, OfARunThatBeginsAgainWithoutACheckpointAreCutOff) {
  const TemporaryFolder folder;
  for (const auto& tracker : {track::csv(), track::json_lines()}) {
    for (const double value : {1.0, 2.0}) {
      const History history;
      tracker->on_run_begin({.folder = folder.path(), .history = &history});
      tracker->on_step({.epoch = 1, .step = 5, .values = {{"train_loss", value}}});
      tracker->on_run_broken({.reason = "killed"});
    }
  }
  const std::vector<std::string> rows = lines_of(text_of(folder.path() / "scalars.csv"));
  ASSERT_THAT(rows, SizeIs(2));
  EXPECT_THAT(rows[1], HasSubstr("train_loss,2"));
  const std::string lines = text_of(folder.path() / "events.jsonl");
  EXPECT_THAT(lines, Not(HasSubstr("\"train_loss\":1")));
  EXPECT_THAT(lines, HasSubstr("\"train_loss\":2"));
}

}  // namespace
}  // namespace athanor::testing::saving_test
