// SPDX-License-Identifier: Apache-2.0
// The queue in front of a listener, and what happens to a listener that fails.
#include "athanor/track/listener_thread.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/train/listener_group.hpp"

namespace athanor::testing::listener_thread_test {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using track::Keep;
using track::ListenerThread;

/// Writes down what it is told; waits at a gate before the first event when there is one.
struct Recorder : Listener {
  void on_run_begin(const events::RunBegin& run) override {
    note("begin " + std::to_string(run.history->epochs().size()));
    history = run.history;
  }
  void on_progress(const events::Progress& progress) override { note("batch " + std::to_string(progress.batch)); }
  void on_step(const events::Step& step) override { note("step " + std::to_string(step.step)); }
  void on_epoch_end(const events::EpochEnd& end) override {
    note("epoch " + std::to_string(end.epoch.number) + " of " + std::to_string(history->epochs().size()));
  }
  void on_message(const events::Message& message) override {
    if (message.text == "fail") throw std::runtime_error("no space left");
    note(message.text);
  }
  void on_run_end(const events::RunEnd& end) override { note("end " + end.history.stop_reason()); }
  std::string name() const override { return "recorder"; }

  void note(std::string line) {
    arrived = true;
    if (gate.valid()) gate.wait();
    threads.push_back(std::this_thread::get_id());
    lines.push_back(std::move(line));
    count += 1;
  }

  /// Until then the thread may still take what is pushed behind the first event together with it.
  void wait_until_it_stands_at_the_gate() const {
    while (!arrived) std::this_thread::yield();
  }

  std::shared_future<void> gate;
  std::atomic<bool> arrived = false;
  std::vector<std::string> lines;
  std::vector<std::thread::id> threads;
  std::atomic<int> count = 0;
  const History* history = nullptr;
};

events::Progress progress(int64_t batch) {
  return {.stage = Stage::train, .epoch = 1, .epochs = 2, .batch = batch, .batches = 9, .seconds = 0.1, .values = {}};
}
events::Step step(int64_t number) { return {.epoch = 1, .step = number, .samples = number, .values = {{"loss", 1.0}}}; }
events::Message message(std::string text) { return {.level = events::Message::Level::info, .text = std::move(text)}; }

TEST(ListenerThread, TellsEverythingInOrderOnAnotherThread) {
  const auto recorder = std::make_shared<Recorder>();
  ListenerThread thread(recorder, {});
  History history;
  thread.on_run_begin({.device = "cpu", .history = &history});
  for (int64_t i = 1; i <= 2000; ++i) thread.on_step(step(i));
  history.add({.number = 1, .steps = 2000, .values = {{"loss", 1.0}}});
  thread.on_epoch_end({.epoch = history.last(), .epochs = 1, .run_seconds = 1, .best = false});
  history.set_stop_reason("done");
  thread.on_run_end({.history = history, .seconds = 1});
  ASSERT_EQ(recorder->lines.size(), 2003u);
  EXPECT_EQ(recorder->lines[0], "begin 0");
  for (size_t i = 1; i <= 2000; ++i) ASSERT_EQ(recorder->lines[i], "step " + std::to_string(i));
  EXPECT_EQ(recorder->lines[2001], "epoch 1 of 1");
  EXPECT_EQ(recorder->lines[2002], "end done");
  for (const auto& id : recorder->threads) EXPECT_NE(id, std::this_thread::get_id());
  EXPECT_NE(recorder->history, &history) << "the trainer's history may change while the listener reads";
  EXPECT_EQ(thread.waits().count, 0);
}

TEST(ListenerThread, AFullQueueMakesTrainingWaitAndLosesNothing) {
  std::promise<void> gate;
  const auto recorder = std::make_shared<Recorder>();
  recorder->gate = gate.get_future().share();
  ListenerThread thread(recorder, {.bytes = 4096, .delay = 0ms});
  auto opened = std::async(std::launch::async, [&] {
    std::this_thread::sleep_for(200ms);
    gate.set_value();
  });
  for (int64_t i = 0; i < 500; ++i) thread.on_step(step(i));
  thread.flush();
  opened.get();
  ASSERT_EQ(recorder->lines.size(), 500u);
  EXPECT_EQ(recorder->lines.back(), "step 499");
  EXPECT_GE(thread.waits().count, 1);
  EXPECT_GT(thread.waits().seconds, 0.02);
  EXPECT_THAT(thread.remark(), HasSubstr("s for recorder, "));
}

TEST(ListenerThread, AnEventLargerThanTheQueueIsLetInAlone) {
  const auto recorder = std::make_shared<Recorder>();
  ListenerThread thread(recorder, {.bytes = 100, .delay = 0ms});
  for (int i = 0; i < 3; ++i) thread.on_message(message(std::string(10000, 'x')));
  thread.flush();
  EXPECT_EQ(recorder->lines.size(), 3u);
}

TEST(ListenerThread, AScreenDropsWhatIsOvertakenAndKeepsLines) {
  std::promise<void> gate;
  const auto recorder = std::make_shared<Recorder>();
  recorder->gate = gate.get_future().share();
  ListenerThread thread(recorder, {.keep = Keep::newest, .delay = 0ms});
  thread.on_message(message("first"));
  recorder->wait_until_it_stands_at_the_gate();
  thread.on_progress(progress(0));
  thread.on_message(message("line"));
  for (int64_t i = 1; i <= 1000; ++i) {
    thread.on_progress(progress(i));
    thread.on_step(step(i));
  }
  thread.on_message(message("second"));
  thread.on_progress(progress(1001));
  gate.set_value();
  thread.flush();
  EXPECT_THAT(recorder->lines,
              ElementsAre("first", "batch 0", "line", "batch 1000", "step 1000", "second", "batch 1001"));
  EXPECT_EQ(thread.waits().count, 0);
  EXPECT_EQ(thread.waits().dropped, 0);
}

TEST(ListenerThread, AScreenThatHangsCostsBoundedMemoryAndNoTime) {
  std::promise<void> gate;
  const auto recorder = std::make_shared<Recorder>();
  recorder->gate = gate.get_future().share();
  ListenerThread thread(recorder, {.keep = Keep::newest, .bytes = 4096, .delay = 0ms, .settle = 20ms});
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) thread.on_message(message("line " + std::to_string(i)));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s) << "only the first line is waited for";
  gate.set_value();
  thread.flush();
  EXPECT_EQ(recorder->lines.back(), "line 999");
  EXPECT_GT(thread.waits().dropped, 900);
  EXPECT_THAT(thread.remark(), HasSubstr("recorder did not show "));
}

TEST(ListenerThread, ALineThatSettlesIsShownBeforeTheCallReturns) {
  const auto recorder = std::make_shared<Recorder>();
  ListenerThread thread(recorder, {.keep = Keep::newest, .delay = 0ms, .settle = 10s});
  for (int i = 1; i <= 100; ++i) {
    thread.on_message(message("line"));
    ASSERT_EQ(recorder->count, i);
  }
}

TEST(ListenerThread, RunsWithoutAFolderCanBeLeftOut) {
  const auto recorder = std::make_shared<Recorder>();
  ListenerThread thread(recorder, {.only_with_folder = true});
  History history;
  thread.on_run_begin({.history = &history});
  thread.on_step(step(1));
  thread.on_run_end({.history = history});
  EXPECT_TRUE(recorder->lines.empty());
  thread.on_run_begin({.folder = "somewhere", .history = &history});
  thread.on_run_end({.history = history});
  EXPECT_EQ(recorder->lines.size(), 2u);
}

TEST(ListenerThread, AFailureComesOutOnceAndOnlyThatRunIsOver) {
  const auto recorder = std::make_shared<Recorder>();
  ListenerThread thread(recorder, {.delay = 0ms});
  thread.on_message(message("fail"));
  try {
    thread.flush();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "no space left");
  }
  EXPECT_NO_THROW(thread.on_message(message("not told")));
  EXPECT_NO_THROW(thread.flush());
  History history;
  thread.on_run_begin({.history = &history});
  thread.on_run_end({.history = history});
  EXPECT_THAT(recorder->lines, ElementsAre("begin 0", "end "));
}

TEST(ListenerThread, NullIsRefused) { EXPECT_THROW(static_cast<void>(track::on_thread(nullptr)), Error); }

TEST(ListenerGroup, AFailingListenerIsNamedOnceAndSwitchedOff) {
  const auto first = std::make_shared<Recorder>();
  struct Failing : Listener {
    void on_step(const events::Step&) override {
      calls += 1;
      throw std::runtime_error("the disk is full");
    }
    std::string name() const override { return "failing tracker"; }
    int calls = 0;
  };
  const auto failing = std::make_shared<Failing>();
  const auto last = std::make_shared<Recorder>();
  ListenerGroup group({first, nullptr, failing, last});
  for (int64_t i = 1; i <= 3; ++i) EXPECT_NO_THROW(group.on_step(step(i)));
  EXPECT_EQ(failing->calls, 1);
  const std::string warning = "failing tracker failed and is switched off, training goes on: the disk is full";
  EXPECT_THAT(first->lines, ElementsAre("step 1", warning, "step 2", "step 3"));
  EXPECT_THAT(last->lines, ElementsAre(warning, "step 1", "step 2", "step 3"));
}

TEST(ListenerGroup, AFailureOnAThreadIsNamedAtTheLatestAtTheEnd) {
  const auto screen = std::make_shared<Recorder>();
  struct Failing : Listener {
    void on_step(const events::Step&) override { throw 7; }
    std::string name() const override { return "failing tracker"; }
  };
  ListenerGroup group({screen, track::on_thread(std::make_shared<Failing>(), {.delay = 10s})});
  group.on_step(step(1));
  group.on_run_end({.history = {}});
  EXPECT_THAT(screen->lines.back(), HasSubstr("failing tracker failed and is switched off"));
}

}  // namespace
}  // namespace athanor::testing::listener_thread_test
