// SPDX-License-Identifier: Apache-2.0
// log.txt, and lines for a host's own log.
#include "athanor/track/log_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "athanor/core/error.hpp"
#include "athanor/train/listener_group.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing::log_file_test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(LogFile, HoldsEverythingWithTimeStampsAndIsAppended) {
  const TemporaryFolder folder;
  ScriptedRun(folder.path()).tell(*track::log_file());
  const std::vector<std::string> first = lines_of(text_of(folder.path() / "log.txt"));
  std::vector<std::string> lines;
  for (const std::string& line : first) {
    EXPECT_TRUE(std::regex_match(line, std::regex(R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} .*)"))) << line;
    lines.push_back(line.substr(24));
  }
  EXPECT_EQ(lines.front(), "training on cpu, 1 thread, seed 42, 100 parameters");
  EXPECT_THAT(lines, Contains("warning: größe, \"wow\" 1"));
  EXPECT_THAT(lines, Contains(StartsWith("epoch 2/2   1.5 s  train_loss 0.2500")));
  EXPECT_THAT(lines, Contains("stopped after 3.0 s: all epochs done"));
  EXPECT_THAT(lines, Contains("  train_loss 0.2500 (epoch 2), val_loss 0.3750 (epoch 2)"));
  ScriptedRun(folder.path(), 3, 3).tell(*track::log_file());
  const std::vector<std::string> both = lines_of(text_of(folder.path() / "log.txt"));
  ASSERT_GT(both.size(), first.size());
  EXPECT_TRUE(std::equal(first.begin(), first.end(), both.begin()));
  EXPECT_THAT(both[first.size()], HasSubstr(" training continued on cpu"));
}

TEST(LogFile, IsFlushedByLine) {
  const TemporaryFolder folder;
  const auto log = track::log_file();
  History history;
  log->on_run_begin({.device = "cpu", .folder = folder.path(), .history = &history});
  log->on_message({.text = "the user's own"});
  const auto shown = [&] { return text_of(folder.path() / "log.txt").find("the user's own\n") != std::string::npos; };
  for (int i = 0; i < 500 && !shown(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(shown()) << "before the run ends";
  log->on_run_end({.history = history});
}

struct Warnings : Listener {
  void on_message(const events::Message& message) override {
    if (message.text.find("switched off") != std::string::npos) texts.push_back(message.text);
  }
  std::vector<std::string> texts;
};

TEST(LogFile, AnUnwritableLogIsSwitchedOff) {
  for (const auto& [path, reason] :
       {std::pair("/dev/full", "No space left on device"), std::pair("/dev/null/log.txt", "Not a directory"),
        std::pair("/", "Is a directory")}) {
    const auto warnings = std::make_shared<Warnings>();
    ListenerGroup group({warnings, track::log_file(path)});
    ScriptedRun("/nowhere").tell(group);
    EXPECT_THAT(warnings->texts, ElementsAre(HasSubstr("the log file failed"))) << path;
    EXPECT_THAT(warnings->texts, ElementsAre(HasSubstr(reason)));
  }
}

TEST(LinesTo, GivesAHostEveryLine) {
  std::vector<std::string> info;
  std::vector<std::string> warnings;
  const auto listener = track::lines_to([&](events::Message::Level level, std::string_view line) {
    (level == events::Message::Level::warning ? warnings : info).emplace_back(line);
  });
  ScriptedRun("/runs/1").tell(*listener);
  EXPECT_THAT(warnings, ElementsAre("warning: größe, \"wow\" 1", "warning: größe, \"wow\" 2"));
  EXPECT_EQ(info.front(), "training on cpu, 1 thread, seed 42, 100 parameters");
  EXPECT_EQ(info.back(), "run folder: /runs/1");
  for (const std::string& line : info) EXPECT_EQ(line.find_first_of("\x1b\n\r"), std::string::npos) << line;
}

TEST(LinesTo, WhatTheHostThrowsSwitchesItOff) {
  const auto warnings = std::make_shared<Warnings>();
  int calls = 0;
  ListenerGroup group({warnings, track::lines_to([&](events::Message::Level, std::string_view) {
                         calls += 1;
                         throw std::runtime_error("the host's log is closed");
                       })});
  ScriptedRun("/nowhere").tell(group);
  EXPECT_EQ(calls, 1);
  EXPECT_THAT(warnings->texts, ElementsAre(HasSubstr("the host's log is closed")));
  EXPECT_THROW(static_cast<void>(track::lines_to({})), Error);
}

}  // namespace
}  // namespace athanor::testing::log_file_test
