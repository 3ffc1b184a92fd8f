// SPDX-License-Identifier: Apache-2.0
// Profiles: the trace as Python reads it, the table beside sums of the trace, and what a run pays.
#include "athanor/callbacks/profile.hpp"

#include <ATen/record_function.h>
#include <gmock/gmock.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <sstream>

#include "tests/core/error_of.hpp"
#include "tests/track/tracking.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::profile_test {
namespace {

using namespace athanor::literals;
using ::testing::Contains;
using ::testing::HasSubstr;

struct Told : Listener {
  void on_media(const events::Media& media) override {
    if (const auto* text = std::get_if<events::Text>(&media.content)) texts[media.name] = text->markdown;
  }
  void on_message(const events::Message& message) override { messages.push_back(message.text); }
  std::map<std::string, std::string> texts;
  std::vector<std::string> messages;
};

struct Profiled {
  std::shared_ptr<Profile> profile;
  std::shared_ptr<Told> told = std::make_shared<Told>();
  Tree weights = {};
};

Profiled train(const ProfileOptions& profile_options, Duration duration = 2_epochs,
               const std::optional<std::filesystem::path>& run = {}, int64_t accumulate = 1) {
  Profiled result{.profile = std::make_shared<Profile>(profile_options)};
  TrainerOptions options = quiet(duration, {result.profile});
  options.track = {result.told};
  options.run = run;
  options.accumulate = accumulate;
  Classifier task;
  Trainer trainer(options);
  trainer.fit(task, data_of(clouds(40)), data_of(clouds(8, 2)));
  result.weights = weights_of(task);
  return result;
}

/// The numbers behind the words of each line.
std::map<std::string, std::vector<int64_t>> numbers_of(const std::string& text) {
  std::map<std::string, std::vector<int64_t>> lines;
  for (const std::string& line : lines_of(text)) {
    std::istringstream words(line);
    std::string name;
    std::vector<int64_t> numbers;
    for (std::string word; words >> word;) {
      if (word.find_first_not_of("-0123456789") == std::string::npos) {
        numbers.push_back(std::stoll(word));
      } else {
        name += (name.empty() ? "" : " ") + word;
      }
    }
    lines[name] = numbers;
  }
  return lines;
}

/// What profile_peer.py prints.
std::map<std::string, std::vector<int64_t>> read_trace(const std::filesystem::path& trace) {
  const PythonOutput output = run_python("../callbacks/profile_peer.py " + trace.string());
  EXPECT_EQ(output.status, 0) << output.text;
  return numbers_of(output.text);
}

class ProfileOf : public ::testing::TestWithParam<ProfileSource> {};

TEST_P(ProfileOf, TheTraceIsNestedAndAddsUpToTheTable) {
  const TemporaryFolder folder;
  const Profiled run =
      train({.steps = 6, .skip = 3, .folder = folder.path() / "profile", .source = GetParam()}, 2_epochs);
  const ProfileReport& report = run.profile->report();
  auto trace = read_trace(folder.path() / "profile" / "trace.json");
  EXPECT_EQ(report.steps(), 6);
  EXPECT_EQ(trace["step"].at(0), 6);
  for (const char* phase : {"phase forward", "phase backward", "phase optimizer"}) EXPECT_EQ(trace[phase].at(0), 6);
  EXPECT_GE(trace["phase data"].at(0), 6);
  // Two linear layers, in each forward pass; backward multiplies by aten::mm.
  EXPECT_EQ(trace["addmm in forward"].at(0), 12);
  EXPECT_FALSE(trace.contains("addmm in backward"));
  EXPECT_FALSE(trace.contains("addmm in optimizer"));
  int64_t own = 0;
  for (const OperatorTime& each : report.operators()) {
    std::string name = each.name;
    std::replace(name.begin(), name.end(), ' ', '_');
    const auto& line = trace["operator " + name];
    ASSERT_EQ(line.size(), 3u) << name;
    EXPECT_EQ(each.calls, line[0]) << name;
    // Whole nanoseconds; sums of float64 are exact far below one.
    EXPECT_NEAR(each.self_seconds * 1e9, static_cast<double>(line[1]), 0.1) << name;
    EXPECT_NEAR(each.total_seconds * 1e9, static_cast<double>(line[2]), 0.1) << name;
    EXPECT_LE(each.self_seconds, each.total_seconds * (1 + 1e-9)) << name;
    own += line[1];
  }
  EXPECT_EQ(own, trace["top"].at(0)) << "self times are the time of what no other one called";
  double phases = 0;
  for (const PhaseTime& phase : report.phases()) {
    if (phase.name != "rest") {
      EXPECT_NEAR(phase.seconds * 1e9, static_cast<double>(trace["phase " + phase.name].at(1)), 0.1);
    }
    phases += phase.seconds;
  }
  EXPECT_NEAR(phases, report.seconds(), 1e-9);
  const auto names = [&] {
    std::vector<std::string> found;
    for (const OperatorTime& each : report.operators()) found.push_back(each.name);
    return found;
  }();
  EXPECT_THAT(names, Contains("aten::addmm"));  // what a Linear of LibTorch calls
  EXPECT_THAT(names, Contains("AddmmBackward0"));
}

INSTANTIATE_TEST_SUITE_P(Sources, ProfileOf, ::testing::Values(ProfileSource::operators, ProfileSource::kineto),
                         [](const auto& each) { return each.param == ProfileSource::kineto ? "Kineto" : "Operators"; });

// The page itself, in a browser: its own count of the slices, and nothing that it complains of.
TEST(Profile, PerfettoOpensTheTrace) {
  const TemporaryFolder folder;
  const Profiled run = train({.steps = 6, .skip = 3, .folder = folder.path(), .shapes = true}, 2_epochs);
  const char* installed = std::getenv("ATHANOR_PERFETTO");
  const PythonOutput output = run_python("../callbacks/perfetto_peer.mjs " + (folder.path() / "trace.json").string() +
                                             " " + (installed != nullptr ? installed : "nowhere nowhere"),
                                         "node");
  constexpr int no_such_command = 127;
  if (installed == nullptr || output.status == package_is_missing || output.status == no_such_command) {
    std::cout << "Perfetto or a browser is not there: " << output.text;
    return;
  }
  ASSERT_EQ(output.status, 0) << output.text;
  auto found = numbers_of(output.text);
  auto trace = read_trace(folder.path() / "trace.json");
  EXPECT_THAT(output.text, ::testing::Not(HasSubstr("problem")));
  EXPECT_EQ(found["unfinished"].at(0), 0);
  EXPECT_GE(found["depth"].at(0), 3) << "step, phase, operator, and what that one calls";
  EXPECT_GT(found["argument"].at(0), 0) << "shapes";
  for (const char* phase : {"forward", "backward", "optimizer", "data"}) {
    EXPECT_EQ(found[std::string("slices phase ") + phase], trace[std::string("phase ") + phase]) << phase;
  }
  for (const OperatorTime& each : run.profile->report().operators()) {
    std::string name = each.name;
    std::replace(name.begin(), name.end(), ' ', '_');
    auto numbers = found["slices operator " + name];
    if (numbers.empty()) numbers = found["slices backward " + name];
    const auto& line = trace["operator " + name];
    ASSERT_EQ(numbers.size(), 2u) << name << "\n" << output.text;
    EXPECT_EQ(numbers[0], line[0]) << name;
  }
}

TEST(Profile, ChangesNoBitAndLeavesNoObserverBehind) {
  const Profiled run = train({.steps = 4, .skip = 2});
  EXPECT_FALSE(at::hasCallbacks());
  TrainerOptions options = quiet(2_epochs);
  Classifier task;
  Trainer trainer(options);
  trainer.fit(task, data_of(clouds(40)), data_of(clouds(8, 2)));
  expect_same(run.weights, weights_of(task));
}

TEST(Profile, GoesIntoTheFolderOfTheRunAndToTheTrackers) {
  const TemporaryFolder folder;
  const Profiled run = train({.steps = 3, .skip = 0, .shapes = true, .rows = 5}, 1_epochs, folder.path() / "run");
  EXPECT_EQ(run.profile->report().steps(), 3);
  EXPECT_THAT(run.told->texts["profile"], HasSubstr("| operator | calls | self ms |"));
  EXPECT_THAT(run.told->texts["profile"], HasSubstr("**3 steps in "));
  const std::string table = text_of(folder.path() / "run" / "profile" / "operators.txt");
  EXPECT_THAT(table, HasSubstr("forward"));
  EXPECT_THAT(table, HasSubstr(" more with "));
  EXPECT_THAT(text_of(folder.path() / "run" / "profile" / "trace.json"), HasSubstr("\"shapes\": \"(8) (4, 4) (4, 8)\""))
      << "addmm of bias, batch of four and transposed weight";
  EXPECT_THAT(run.told->messages, Contains(HasSubstr("ui.perfetto.dev")));
  bool told_apart = false;
  for (const OperatorTime& each : run.profile->report().operators()) {
    told_apart = told_apart || (each.name == "aten::addmm" && each.shapes == "(8) (4, 4) (4, 8)" && each.calls == 3);
  }
  EXPECT_TRUE(told_apart);
}

TEST(Profile, WithAccumulationAStepHasSeveralForwardPasses) {
  const TemporaryFolder folder;
  train({.steps = 2, .skip = 1, .folder = folder.path()}, 2_epochs, {}, 2);
  auto trace = read_trace(folder.path() / "trace.json");
  EXPECT_EQ(trace["step"].at(0), 2);
  EXPECT_EQ(trace["phase forward"].at(0), 4);
  EXPECT_EQ(trace["phase optimizer"].at(0), 2);
}

TEST(Profile, OfAShortRunIsWhatThereWas) {
  const Profiled few = train({.steps = 20, .skip = 7}, 1_epochs);
  EXPECT_EQ(few.profile->report().steps(), 3);
  EXPECT_THAT(few.told->messages, Contains(HasSubstr("3 steps were recorded instead of 20: the run had 10")));
  const Profiled none = train({.steps = 20, .skip = 50}, 1_epochs);
  EXPECT_FALSE(none.profile->has_report());
  EXPECT_THAT(error_of([&] { return none.profile->report().steps(); }).expected, HasSubstr("more than 50 steps"));
  EXPECT_FALSE(at::hasCallbacks());
}

TEST(Profile, ThrownOutOfIsOver) {
  struct Thrower {
    void on_step_end(Trainer& trainer) const {
      if (trainer.position().step == 4) throw std::runtime_error("fallen");
    }
  };
  auto profile = std::make_shared<Profile>(ProfileOptions{.steps = 10, .skip = 1});
  Classifier task;
  Trainer trainer(quiet(1_epochs, {profile, Thrower{}}));
  EXPECT_THROW(trainer.fit(task, data_of(clouds(40))), std::runtime_error);
  EXPECT_FALSE(at::hasCallbacks());
  EXPECT_EQ(train({.steps = 2, .skip = 1}).profile->report().steps(), 2) << "another one can begin";
}

TEST(Profile, RefusesOptionsAndASecondRecorder) {
  EXPECT_EQ(error_of([] { return Profile({.steps = 0}).has_report(); }).got, ".steps = 0, .skip = 5");
  EXPECT_EQ(error_of([] { return Profile({.skip = -1}).has_report(); }).expected, "1 step or more, after 0 or more");
  const SpanRecorder first({});
  EXPECT_EQ(error_of([] { return SpanRecorder({}).depth(); }).what, "another profile is being recorded");
}

TEST(ProfileReport, CountsRecursionOnce) {
  using Kind = ProfileSpan::Kind;
  const ProfileReport report({{.kind = Kind::step, .name = "step 1", .begin_ns = 0, .end_ns = 100},
                              {.kind = Kind::phase, .name = "forward", .begin_ns = 0, .end_ns = 90},
                              {.kind = Kind::op, .name = "a", .begin_ns = 10, .end_ns = 60},
                              {.kind = Kind::op, .name = "a", .begin_ns = 20, .end_ns = 50},
                              {.kind = Kind::op, .name = "b \"quoted\"", .begin_ns = 25, .end_ns = 35},
                              {.kind = Kind::op, .name = "a", .thread = 7, .begin_ns = 30, .end_ns = 40},
                              {.kind = Kind::device, .name = "kernel", .thread = 3, .begin_ns = 30, .end_ns = 45}});
  ASSERT_EQ(report.operators().size(), 2u);
  const OperatorTime& a = report.operators()[0];
  EXPECT_EQ(a.calls, 3);
  EXPECT_NEAR(a.self_seconds * 1e9, 20 + 20 + 10, 1e-6);
  EXPECT_NEAR(a.total_seconds * 1e9, 50 + 10, 1e-6);
  EXPECT_NEAR(report.operators()[1].self_seconds * 1e9, 10, 1e-6);
  ASSERT_EQ(report.kernels().size(), 1u);
  EXPECT_NEAR(report.phases().back().seconds * 1e9, 10, 1e-6) << "rest";
  EXPECT_THAT(report.trace_json(), HasSubstr("\"name\": \"b \\\"quoted\\\"\""));
  EXPECT_THAT(report.trace_json(), HasSubstr("\"ts\": 0.025, \"dur\": 0.010"));
  EXPECT_THAT(report.text(1), HasSubstr("and 1 more with 0.000 ms"));
}

TEST(ProfileOption, MakesTheCallback) {
  const TemporaryFolder folder;
  TrainerOptions options = quiet(Duration::epochs(1));
  options.run = folder.path() / "run";
  options.profile = steps(2);
  Classifier task;
  Trainer trainer(options);
  trainer.fit(task, data_of(clouds(320)));
  auto trace = read_trace(folder.path() / "run" / "profile" / "trace.json");
  EXPECT_EQ(trace["step"].at(0), 2);

  // A profile of the caller's own counts, here of 3 steps.
  const auto own = std::make_shared<Profile>(ProfileOptions{.steps = 3, .skip = 0});
  options.run = folder.path() / "own";
  options.callbacks = {own};
  Trainer another(options);
  another.fit(task, data_of(clouds(320)));
  EXPECT_EQ(own->report().steps(), 3);
}

TEST(ProfileOption, IsANumberOfSteps) {
  EXPECT_FALSE(ProfileSteps());
  EXPECT_EQ(ProfileSteps(Duration::steps(20)).count(), 20);
  for (const char* text : {"none", "20 steps", "1 step"}) EXPECT_EQ(ProfileSteps::parse(text).describe(), text);
  const std::vector<Duration> wrong = {Duration::epochs(1), Duration::steps(0), Duration::steps(-3),
                                       Duration::steps(int64_t{1} << 40)};
  for (const Duration& each : wrong) {
    EXPECT_THAT(error_of([&] { return ProfileSteps(each).count(); }).expected, HasSubstr("steps(20)"));
  }
}

}  // namespace
}  // namespace athanor::testing::profile_test
