// SPDX-License-Identifier: Apache-2.0
// CSV and JSON lines, read back as Python reads them.
#include "athanor/track/tables.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "athanor/train/listener_group.hpp"
#include "tests/core/error_of.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing::tables_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A row without its time, which differs from run to run.
std::string untimed(const std::string& row) { return row.substr(row.find(',') + 1); }

TEST(Csv, HasARowForEachValue) {
  const TemporaryFolder folder;
  const auto tracker = track::csv();
  ScriptedRun(folder.path()).tell(*tracker);
  const std::vector<std::string> rows = lines_of(text_of(folder.path() / "scalars.csv"));
  ASSERT_THAT(rows, SizeIs(1 + 2 * 9));
  EXPECT_EQ(rows[0], "time,kind,epoch,step,samples,name,value");
  EXPECT_NEAR(std::stod(rows[1]), static_cast<double>(std::time(nullptr)), 60);
  EXPECT_EQ(untimed(rows[1]), "step,1,50,1600,train_loss,1");
  EXPECT_EQ(untimed(rows[2]), "step,1,50,1600,lr,0.001");
  EXPECT_EQ(untimed(rows[3]), "step,1,50,1600,gradient_norm,inf");
  EXPECT_EQ(untimed(rows[4]), "epoch,1,60,,train_loss,0.5");
  EXPECT_EQ(untimed(rows[5]), "epoch,1,60,,\"train_top 1/größe, \"\"x\"\"\",0.25");
  EXPECT_EQ(untimed(rows[7]), "epoch,1,60,,clean_loss,nan");
  EXPECT_EQ(untimed(rows[8]), "epoch,1,60,,odd,-inf");
  EXPECT_EQ(untimed(rows[9]), "epoch,1,60,,lr,0.001");
}

TEST(Csv, ContinuesAFileAndATornLineStaysOne) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "deep" / "own.csv";
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << "time,kind,epoch,step,samples,name,value\n1,step,1,5";
  ScriptedRun(folder.path()).tell(*track::csv({.path = path}));
  const std::vector<std::string> rows = lines_of(text_of(path));
  ASSERT_THAT(rows, SizeIs(2 + 2 * 9));
  EXPECT_EQ(rows[1], "1,step,1,5");
  EXPECT_EQ(untimed(rows[2]), "step,1,50,1600,train_loss,1");
}

// A run of 2 epochs (steps 50, 60, 100, 120) was killed; its checkpoint is of step 60.
void go_on_from_60(Listener& tracker, const std::filesystem::path& folder) {
  History history;
  history.add({.number = 1, .steps = 60, .values = {{"train_loss", 0.5}}});
  tracker.on_run_begin({.device = "cpu", .folder = folder, .resumed = true, .step = 60, .history = &history});
  tracker.on_step({.epoch = 2, .step = 80, .samples = 1, .values = {{"train_loss", 8}}});
  tracker.on_run_end({.history = history, .folder = folder});
}

TEST(Csv, CutsGhostRowsOffWhereARunGoesOn) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "scalars.csv";
  ScriptedRun(folder.path()).tell(*track::csv());
  std::vector<std::string> before = lines_of(text_of(path));
  before.resize(1 + 9);
  std::ofstream(path, std::ios::app) << "1700000000.000,step,3,150,4800,train_lo";
  go_on_from_60(*track::csv(), folder.path());
  std::vector<std::string> after = lines_of(text_of(path));
  ASSERT_THAT(after, SizeIs(before.size() + 1));
  EXPECT_EQ(untimed(after.back()), "step,2,80,1,train_loss,8");
  after.pop_back();
  EXPECT_EQ(after, before);
}

TEST(Csv, AnEarlierRunInTheSameFileKeepsItsRows) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "all.csv";
  ScriptedRun(folder.path()).tell(*track::csv({.path = path}));
  ScriptedRun(folder.path()).tell(*track::csv({.path = path}));
  go_on_from_60(*track::csv({.path = path}), folder.path());
  EXPECT_THAT(lines_of(text_of(path)), SizeIs(1 + 18 + 9 + 1));
}

TEST(Csv, ALineEndInANameIsNoEndOfARow) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "scalars.csv";
  std::ofstream(path) << "time,kind,epoch,step,samples,name,value\n1,step,1,70,1,\"a\n1,2,3,4\",5\n";
  go_on_from_60(*track::csv(), folder.path());
  EXPECT_THAT(lines_of(text_of(path)), SizeIs(2));
}

TEST(JsonLines, CutsGhostsOffWhereARunGoesOn) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "events.jsonl";
  ScriptedRun(folder.path()).tell(*track::json_lines());
  std::ofstream(path, std::ios::app) << R"({"event":"step","ti)";
  go_on_from_60(*track::json_lines(), folder.path());
  std::vector<std::string> events;
  for (const std::string& line : lines_of(text_of(path))) {
    const auto object = nlohmann::json::parse(line);
    events.push_back(object["event"].get<std::string>() + (object.contains("step") ? object["step"].dump() : ""));
  }
  EXPECT_THAT(events, ElementsAre("run_begin0", "step50", "message", "epoch60", "run_begin60", "step80", "run_end"));
}

TEST(Tables, ARefusedCutIsToldWithTheFile) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "scalars.csv");
  const auto tracker = track::csv();
  History history;
  tracker->on_run_begin({.folder = folder.path(), .resumed = true, .step = 1, .history = &history});
  EXPECT_THAT(error_of([&] { return tracker->on_run_end({.history = history}), 0; }).where, HasSubstr("scalars.csv"));
}

TEST(Tables, AnEvaluationOutsideOfARunIsWrittenToo) {
  const TemporaryFolder folder;
  const events::Evaluation evaluation{
      .stage = Stage::test, .epoch = 2, .step = 120, .values = {{"test_acc", 0.75}}, .folder = folder.path()};
  const auto csv = track::csv();
  const auto json = track::json_lines();
  for (const auto& tracker : {csv, json}) {
    ScriptedRun(folder.path()).tell(*tracker);
    tracker->on_evaluation(evaluation);
  }
  EXPECT_EQ(untimed(lines_of(text_of(folder.path() / "scalars.csv")).back()), "evaluation,2,120,,test_acc,0.75");
  const auto last = nlohmann::json::parse(lines_of(text_of(folder.path() / "events.jsonl")).back());
  EXPECT_EQ(last["event"], "evaluation");
  EXPECT_EQ(last["values"]["test_acc"], 0.75);
  csv->on_evaluation({.values = {{"test_acc", 1}}});
}

TEST(JsonLines, HasAnObjectForEachEvent) {
  const TemporaryFolder folder;
  ScriptedRun(folder.path()).tell(*track::json_lines());
  std::vector<nlohmann::json> events;
  for (const std::string& line : lines_of(text_of(folder.path() / "events.jsonl"))) {
    events.push_back(nlohmann::json::parse(line));
  }
  ASSERT_THAT(events, SizeIs(1 + 2 * 3 + 1));
  EXPECT_EQ(events[0]["event"], "run_begin");
  EXPECT_EQ(events[0]["options"]["optimizer"], "Adam");
  EXPECT_EQ(events[0]["seed"], 42);
  EXPECT_EQ(events[1]["values"]["gradient_norm"], "Infinity");
  EXPECT_EQ(events[1]["samples"], 1600);
  EXPECT_EQ(events[2]["text"], "größe, \"wow\" 1");
  EXPECT_EQ(events[2]["level"], "warning");
  EXPECT_EQ(events[3]["values"]["train_top 1/größe, \"x\""], 0.25);
  EXPECT_EQ(events[3]["values"]["clean_loss"], "NaN");
  EXPECT_EQ(events[3]["values"]["odd"], "-Infinity");
  EXPECT_EQ(events[3]["settings"]["lr"], 0.001);
  EXPECT_EQ(events[7]["event"], "run_end");
  EXPECT_EQ(events[7]["best"]["epoch"], 2);
  EXPECT_EQ(events[7]["reason"], "all epochs done");
}

TEST(JsonLines, TextThatIsNotUtf8DoesNotEndTheFile) {
  const TemporaryFolder folder;
  const auto tracker = track::json_lines({.path = folder.path() / "x"});
  History history;
  tracker->on_run_begin({.history = &history});
  tracker->on_message({.text = "a\xff"});
  tracker->on_run_end({.history = history});
  EXPECT_EQ(nlohmann::json::parse(lines_of(text_of(folder.path() / "x"))[1])["text"], "a\uFFFD");
}

struct Warnings : Listener {
  void on_message(const events::Message& message) override {
    if (message.text.find("switched off") != std::string::npos) texts.push_back(message.text);
  }
  std::vector<std::string> texts;
};

TEST(Tables, AFullDiskSwitchesThemOff) {
  const auto warnings = std::make_shared<Warnings>();
  ListenerGroup group({warnings, track::csv({.path = "/dev/full"}), track::json_lines({.path = "/dev/full"})});
  ScriptedRun("/nowhere").tell(group);
  EXPECT_THAT(warnings->texts,
              ElementsAre(HasSubstr("the CSV tracker failed"), HasSubstr("the JSON lines tracker failed")));
  for (const std::string& text : warnings->texts) EXPECT_THAT(text, HasSubstr("No space left on device"));
}

TEST(Tables, ARunWithoutAFolderIsNamed) {
  const auto warnings = std::make_shared<Warnings>();
  ListenerGroup group({warnings, track::csv(), track::json_lines()});
  History history;
  group.on_run_begin({.history = &history});
  group.on_run_end({.history = history});
  EXPECT_THAT(warnings->texts, ElementsAre(HasSubstr("scalars.csv"), HasSubstr("events.jsonl")));
}

}  // namespace
}  // namespace athanor::testing::tables_test
