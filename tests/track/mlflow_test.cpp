// SPDX-License-Identifier: Apache-2.0
// MLflow: over HTTP to a server that fails in every way, and into a folder, which the real one reads where it is
// installed (ATHANOR_MLFLOW_PYTHON names its Python).
#include "athanor/track/mlflow.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "athanor/track/flat_options.hpp"
#include "athanor/track/http.hpp"
#include "athanor/track/mlflow_records.hpp"
#include "athanor/train/listener_group.hpp"
#include "tests/core/error_of.hpp"
#include "tests/track/mlflow_reference.hpp"
#include "tests/track/small_server.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing::mlflow_test {
namespace {

namespace fs = std::filesystem;
using namespace track;
using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using PlainJson = nlohmann::json;

// As much of MLflow's server as a run needs. Faults come first, one for each request.
class SmallMlflow {
 public:
  explicit SmallMlflow(std::vector<std::string> faults = {}, int port = 0)
      : faults_(std::move(faults)), server_([this](const auto& request) { return answer(request); }, port) {}

  [[nodiscard]] std::string url() const { return server_.url(); }
  [[nodiscard]] int port() const { return server_.port(); }
  [[nodiscard]] size_t requests() const { return server_.requests().size(); }
  [[nodiscard]] std::vector<SmallServer::Request> all_requests() const { return server_.requests(); }

  std::mutex mutex;
  int runs = 0;
  std::string key;
  PlainJson run = PlainJson::object();
  std::map<std::string, std::string> params;
  std::map<std::string, std::string> tags;
  std::set<std::string> metrics;  // NAME STEP VALUE
  std::map<std::string, std::string> artifacts;
  std::vector<std::string> states;
  bool refuse_metrics = false;

 private:
  std::string fault(const std::string& kind) {
    if (kind == "gone") return "";
    if (kind == "garbage") return SmallServer::answer("200 OK", "<html>nothing of the kind</html>");
    if (kind == "half") return "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"run\":";
    if (kind == "noise") return "\x01\x02 this is no HTTP\r\n\r\n";
    if (kind == "429") return SmallServer::answer("429 Too Many Requests", "{}", "Retry-After: 0\r\n");
    if (kind == "slow") {
      for (int i = 0; i < 25 && !server_.stopping(); ++i) std::this_thread::sleep_for(10ms);
      return "";
    }
    return SmallServer::answer(kind + " Fault", R"({"error_code":"FAULT","message":"as the test says"})");
  }

  std::string answer(const SmallServer::Request& request) {
    const std::lock_guard lock(mutex);
    std::string kind = "fine";
    if (!faults_.empty()) {
      kind = faults_.front();
      faults_.erase(faults_.begin());
    }
    if (kind == "lost") static_cast<void>(take(request));
    return kind == "fine" ? take(request) : kind == "lost" ? "" : fault(kind);
  }

  std::string take(const SmallServer::Request& request) {
    const std::string api = "/api/2.0/mlflow/";
    if (request.path.starts_with("/api/2.0/mlflow-artifacts/artifacts/")) {
      artifacts[request.path.substr(36)] = request.body;
      return SmallServer::answer("200 OK", "");
    }
    const std::string call = request.path.substr(api.size(), request.path.find('?') - api.size());
    const PlainJson body = request.body.empty() ? PlainJson() : PlainJson::parse(request.body);
    PlainJson result = PlainJson::object();
    if (call == "experiments/get-by-name") {
      return SmallServer::answer("404 Not Found", R"({"error_code":"RESOURCE_DOES_NOT_EXIST"})");
    }
    if (call == "experiments/create") result["experiment_id"] = "7";
    if (call == "runs/search" && !key.empty() && body["filter"] == "tags.athanor_run = '" + key + "'") {
      result["runs"] = {run};
    }
    if (call == "runs/create") {
      runs += 1;
      key = body["tags"][0]["value"].get<std::string>();
      run = {{"info", {{"run_id", "r" + std::to_string(runs)}, {"artifact_uri", "mlflow-artifacts:/7/r1/artifacts"}}}};
      result["run"] = run;
    }
    if (call == "runs/get") {
      PlainJson list = PlainJson::array();
      for (const auto& [name, value] : params) list.push_back({{"key", name}, {"value", value}});
      result["run"] = {{"data", {{"params", list}}}};
    }
    if (call == "runs/update") states.push_back(body["status"].get<std::string>());
    if (call == "runs/log-batch") {
      if (body.contains("metrics") && refuse_metrics) {
        return SmallServer::answer("400 Bad Request", R"({"error_code":"INVALID_PARAMETER_VALUE","message":"odd"})");
      }
      for (const auto& each : body.value("params", PlainJson::array())) params[each["key"]] = each["value"];
      for (const auto& each : body.value("tags", PlainJson::array())) tags[each["key"]] = each["value"];
      const PlainJson list = body.value("metrics", PlainJson::array());
      if (list.size() > 1000) return SmallServer::answer("400 Bad Request", "{}");
      for (const auto& each : list) {
        metrics.insert(each["key"].get<std::string>() + " " + each["step"].dump() + " " + each["value"].dump());
      }
    }
    return SmallServer::answer("200 OK", result.dump());
  }

  std::vector<std::string> faults_;
  SmallServer server_;
};

MlflowOptions quick_options() {
  return {.experiment = "größe & co",
          .tags = {{"team", "a/b"}},
          .end_limit = 60s,
          .send_every = 10ms,
          .first_pause = 5ms,
          .silence = 10s};
}

const std::vector<std::string> all_metrics = {"best/val_loss 120 0.375",
                                              "clean_loss 120 \"NaN\"",
                                              "clean_loss 60 \"NaN\"",
                                              "lr 120 0.001",
                                              "lr 60 0.001",
                                              "odd 120 \"-Infinity\"",
                                              "odd 60 \"-Infinity\"",
                                              "step/gradient_norm 100 \"Infinity\"",
                                              "step/gradient_norm 50 \"Infinity\"",
                                              "step/loss 100 0.5",
                                              "step/loss 50 1.0",
                                              "step/lr 100 0.001",
                                              "step/lr 50 0.001",
                                              "train_loss 120 0.25",
                                              "train_loss 60 0.5",
                                              "train_top 1/gr____e_ _x_ 120 0.25",
                                              "train_top 1/gr____e_ _x_ 60 0.25",
                                              "val_loss 120 0.375",
                                              "val_loss 60 0.75"};

TEST(Mlflow, ARunReachesTheServer) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "history.csv") << "epoch,loss\n1,0.5\n";
  SmallMlflow server;
  EXPECT_THAT(tell(mlflow(server.url(), quick_options()), ScriptedRun(folder.path())), IsEmpty());
  EXPECT_EQ(server.runs, 1);
  EXPECT_THAT(server.metrics, ::testing::ElementsAreArray(all_metrics));
  EXPECT_THAT(server.params, Contains(std::pair<const std::string, std::string>("optimizer", "Adam")));
  EXPECT_THAT(server.params, Contains(std::pair<const std::string, std::string>("a_b", "1\n2")));
  EXPECT_THAT(server.params, Contains(std::pair<const std::string, std::string>("seed", "42")));
  EXPECT_EQ(server.tags["team"], "a/b");
  EXPECT_EQ(server.artifacts["7/r1/artifacts/history.csv"], "epoch,loss\n1,0.5\n");
  EXPECT_THAT(server.states, ElementsAre("FINISHED"));
  EXPECT_THAT(server.all_requests()[0].path,
              ::testing::EndsWith("experiments/get-by-name?experiment_name=gr%C3%B6%C3%9Fe%20%26%20co"));
  EXPECT_LT(server.requests(), 14u) << "values are sent in batches";
}

// Every other request meets the fault, so that each kind of request does.
TEST(Mlflow, EveryFaultAtEveryRequestIsSurvived) {
  for (const std::string kind : {"500", "503", "429", "gone", "garbage", "half", "noise", "lost", "slow"}) {
    std::vector<std::string> faults;
    for (int i = 0; i < (kind == "slow" ? 2 : 6); ++i) faults.insert(faults.end(), {kind, "fine"});
    const TemporaryFolder folder;
    SmallMlflow server(faults);
    MlflowOptions options = quick_options();
    if (kind == "slow" || kind == "noise") options.silence = 100ms;
    EXPECT_THAT(tell(mlflow(server.url(), options), ScriptedRun(folder.path())), IsEmpty()) << kind;
    EXPECT_EQ(server.runs, 1) << kind;
    EXPECT_THAT(server.metrics, ::testing::ElementsAreArray(all_metrics)) << kind;
    EXPECT_EQ(server.states.back(), "FINISHED") << kind;
  }
}

TEST(Mlflow, AServerThatIsAwayLeavesASpoolThatIsSentLater) {
  const TemporaryFolder folder;
  const int port = SmallMlflow().port();  // nobody listens there any more
  const std::string url = "http://127.0.0.1:" + std::to_string(port);
  MlflowOptions options = quick_options();
  options.end_limit = 200ms;
  const auto begin = std::chrono::steady_clock::now();
  const auto warnings = tell(mlflow(url, options), ScriptedRun(folder.path()));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
  ASSERT_THAT(warnings, SizeIs(1));
  EXPECT_THAT(warnings[0], HasSubstr("7 records could not be sent to " + url));
  EXPECT_THAT(warnings[0], HasSubstr("there is no connection"));
  EXPECT_THAT(warnings[0], HasSubstr("send_spool(\"" + (folder.path() / "mlflow").string()));

  EXPECT_EQ(send_spool(folder.path(), 100ms).waiting, 7);
  SmallMlflow server({}, port);
  const SpoolReport report = send_spool(folder.path(), 5s);
  EXPECT_EQ(report.sent, 7);
  EXPECT_EQ(report.waiting, 0);
  EXPECT_EQ(report.problem, "");
  EXPECT_THAT(server.metrics, ::testing::ElementsAreArray(all_metrics));
  EXPECT_THAT(server.states, ElementsAre("FINISHED"));
}

TEST(Mlflow, TheNextRunInTheFolderSendsTheRestOfAKilledProgram) {
  const TemporaryFolder folder;
  const int port = SmallMlflow().port();
  const std::string url = "http://127.0.0.1:" + std::to_string(port);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto tracker = mlflow(url, quick_options());
    History history;
    tracker->on_run_begin({.device = "cpu", .options = {{"lr", "0.1"}}, .folder = folder.path(), .history = &history});
    for (int64_t step = 1; step <= 90; ++step) {
      tracker->on_step({.epoch = 1, .step = step, .samples = step, .values = {{"train_loss", 1}}});
    }
    std::this_thread::sleep_for(400ms);  // what waits in memory is written after 100 ms
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  SmallMlflow server({}, port);
  const auto tracker = mlflow(url, quick_options());
  History history;
  history.add({.number = 1, .steps = 60, .values = {{"train_loss", 1}}});
  tracker->on_run_begin({.device = "cpu",
                         .options = {{"lr", "0.2"}},
                         .folder = folder.path(),
                         .resumed = true,
                         .step = 60,
                         .history = &history});
  tracker->on_step({.epoch = 2, .step = 61, .samples = 61, .values = {{"train_loss", 0.5}}});
  tracker->on_run_end({.history = history, .folder = folder.path()});
  EXPECT_EQ(server.runs, 1) << "it is the same run";
  EXPECT_EQ(server.tags["resumed_at_step"], "60");
  EXPECT_EQ(server.params["lr"], "0.1") << "a parameter can't be changed";
  EXPECT_EQ(server.tags["option.lr"], "0.2");
  EXPECT_THAT(server.metrics, Contains("step/loss 90 1.0")) << "points can't be deleted";
  EXPECT_THAT(server.metrics, Contains("step/loss 61 0.5"));
  EXPECT_THAT(server.states, ElementsAre("RUNNING", "FINISHED"));
  EXPECT_EQ(tracker->remark(), "");
}

TEST(Mlflow, WhatIsRefusedIsToldAndTheRestGoesOn) {
  const TemporaryFolder folder;
  SmallMlflow server;
  server.refuse_metrics = true;
  const auto warnings = tell(mlflow(server.url(), quick_options()), ScriptedRun(folder.path()));
  ASSERT_THAT(warnings, SizeIs(1));
  EXPECT_THAT(warnings[0], HasSubstr("refused 5 records (runs/log-batch: 400 INVALID_PARAMETER_VALUE: odd)"));
  EXPECT_THAT(server.states, ElementsAre("FINISHED"));
}

TEST(Mlflow, ARefusedLoginStopsItAndKeepsEverything) {
  const TemporaryFolder folder;
  SmallMlflow server(std::vector<std::string>(100, "401"));
  const auto begin = std::chrono::steady_clock::now();
  const auto warnings = tell(mlflow(server.url(), quick_options()), ScriptedRun(folder.path()));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
  ASSERT_THAT(warnings, SizeIs(1));
  EXPECT_THAT(warnings[0], HasSubstr("401 FAULT: as the test says"));
  EXPECT_EQ(server.requests(), 1u);
}

TEST(Mlflow, TheStepNeverWaitsForASlowServer) {
  const TemporaryFolder folder;
  SmallMlflow server(std::vector<std::string>(1000, "slow"));
  MlflowOptions options = quick_options();
  options.end_limit = 100ms;
  const auto tracker = mlflow(server.url(), options);
  History history;
  tracker->on_run_begin({.device = "cpu", .folder = folder.path(), .history = &history});
  const auto begin = std::chrono::steady_clock::now();
  for (int64_t step = 1; step <= 5000; ++step) {
    tracker->on_step({.epoch = 1, .step = step, .samples = step, .values = {{"train_loss", 1}, {"lr", 0.1}}});
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::cout << "microseconds a step: " << 1e6 * seconds / 5000 << "\n";
  EXPECT_LT(seconds, 1);
  const auto end = std::chrono::steady_clock::now();
  tracker->on_run_end({.history = history, .folder = folder.path()});
  EXPECT_LT(std::chrono::steady_clock::now() - end, 10s);
  EXPECT_THAT(tracker->remark(), HasSubstr("could not be sent"));
}

TEST(Mlflow, LongListsAreCutIntoBatches) {
  const TemporaryFolder folder;
  SmallMlflow server;
  const auto tracker = mlflow(server.url(), quick_options());
  History history;
  std::vector<std::pair<std::string, std::string>> many;
  for (int i = 0; i < 230; ++i) many.emplace_back("option" + std::to_string(i), std::string(700, 'x'));
  tracker->on_run_begin({.options = many, .folder = folder.path(), .history = &history});
  Values values;
  for (int i = 0; i < 2500; ++i) values.set("m" + std::to_string(i), i);
  tracker->on_step({.step = 1, .values = values});
  tracker->on_run_end({.history = history, .folder = folder.path()});
  EXPECT_EQ(server.params.size(), 230u);
  EXPECT_EQ(server.params["option7"], std::string(497, 'x') + "…");
  EXPECT_EQ(server.metrics.size(), 2500u);
  for (const auto& request : server.all_requests()) {
    const PlainJson body = request.body.empty() ? PlainJson::object() : PlainJson::parse(request.body);
    EXPECT_LE(body.value("params", PlainJson::array()).size(), 100u);
  }
}

TEST(Mlflow, AFullSpoolDropsStepsAndSaysSo) {
  const TemporaryFolder folder;
  MlflowOptions options = quick_options();
  options.end_limit = 50ms;
  options.spool_bytes = 8192;
  const auto tracker = mlflow("http://127.0.0.1:9", options);
  History history;
  tracker->on_run_begin({.device = "cpu", .folder = folder.path(), .history = &history});
  for (int64_t step = 1; step <= 500; ++step) tracker->on_step({.step = step, .values = {{"train_loss", 1}}});
  tracker->on_run_end({.history = history, .folder = folder.path()});
  EXPECT_THAT(tracker->remark(), HasSubstr("the spool was full and dropped"));
  EXPECT_THAT(tracker->remark(), ::testing::Not(HasSubstr("dropped 500")));
}

TEST(Mlflow, TheStatusSaysHowARunEnded) {
  const TemporaryFolder folder;
  SmallMlflow server;
  const auto tracker = mlflow(server.url(), quick_options());
  History history;
  tracker->on_run_begin({.folder = folder.path(), .history = &history});
  tracker->on_run_broken({.reason = "out of coffee"});
  tracker->on_run_begin({.folder = folder.path(), .history = &history});
  history.set_stop_reason("stopped by SIGTERM");
  tracker->on_run_end({.history = history, .folder = folder.path()});
  EXPECT_THAT(server.states, ElementsAre("FAILED", "KILLED"));
  EXPECT_EQ(server.runs, 2);
  tracker->on_evaluation({.step = 9, .values = {{"test_acc", 0.5}}, .folder = folder.path()});
  EXPECT_EQ(server.runs, 2) << "an evaluation belongs to the run before it";
  EXPECT_THAT(server.metrics, Contains("test_acc 9 0.5"));
}

TEST(Mlflow, NamesAreMadeToFit) {
  EXPECT_EQ(mlflow_name("val_loss"), "val_loss");
  EXPECT_EQ(mlflow_name("a b/c-d.e"), "a b/c-d.e");
  EXPECT_EQ(mlflow_name("größe"), "gr____e");
  EXPECT_EQ(mlflow_name("/x//y/"), "_/x/_/y/_");
  EXPECT_EQ(mlflow_name("../a/."), "_./a/_");
  EXPECT_EQ(mlflow_name(""), "_");
  EXPECT_EQ(mlflow_name(std::string(400, 'x')).size(), 250u);
}

TEST(FlatOptions, DescriptionsOfObjectsAreTakenApart) {
  const NamedTexts flat = flat_options({.options = {{"optimizer", "Adam(lr=0.001, betas=(0.9, 0.999)) by default"},
                                                    {"schedule", "Chain(first=Linear(steps=3), then=Constant)"},
                                                    {"text", "hello (world)"},
                                                    {"text", "again)"}}});
  EXPECT_EQ(flat, (NamedTexts{{"optimizer", "Adam"},
                              {"optimizer.lr", "0.001"},
                              {"optimizer.betas", "(0.9, 0.999)"},
                              {"schedule", "Chain"},
                              {"schedule.first", "Linear"},
                              {"schedule.first.steps", "3"},
                              {"schedule.then", "Constant"},
                              {"text", "again)"}}));
}

TEST(Mlflow, RefusesWhatIsNoAddress) {
  for (const char* url : {"", "localhost:5000", "http://", "http://a b", "ftp://x", "http://user@host", "file:"}) {
    EXPECT_THAT(error_of([&] { return mlflow(url); }).got, url);
  }
  const TemporaryFolder folder;
  EXPECT_EQ(error_of([&] { return send_spool(folder.path()); }).what, "there is no spool in this folder");
  const auto warnings = std::make_shared<Warnings>();
  ListenerGroup group({warnings, mlflow("http://127.0.0.1:9")});
  History history;
  group.on_run_begin({.history = &history});
  group.on_run_end({.history = history});
  ASSERT_THAT(warnings->texts, SizeIs(1));
  EXPECT_THAT(warnings->texts[0], HasSubstr("MlflowOptions::folder"));
}

std::vector<std::string> files_of(const fs::path& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(fs::relative(entry.path(), folder).string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(Mlflow, AFolderHasTheLayoutOfTheFileStore) {
  const TemporaryFolder folder;
  const fs::path runs = folder.path() / "mlruns";
  std::ofstream(folder.path() / "history.csv") << "epoch\n";
  EXPECT_THAT(tell(mlflow("file:" + runs.string(), {.experiment = "clouds"}), ScriptedRun(folder.path())), IsEmpty());
  fs::path run;
  for (const auto& entry : fs::recursive_directory_iterator(runs)) {
    if (entry.path().filename() == "metrics") run = entry.path().parent_path();
  }
  EXPECT_THAT(text_of(run.parent_path() / "meta.yaml"), HasSubstr("name: \"clouds\"\n"));
  EXPECT_THAT(text_of(run / "meta.yaml"), HasSubstr("status: 3\n"));
  EXPECT_THAT(text_of(run / "meta.yaml"), HasSubstr("run_id: \"" + run.filename().string() + "\"\n"));
  EXPECT_EQ(text_of(run / "params" / "lr"), "0.001");
  EXPECT_EQ(text_of(run / "artifacts" / "history.csv"), "epoch\n");
  EXPECT_THAT(files_of(run / "metrics"),
              ElementsAre("best/val_loss", "clean_loss", "lr", "odd", "step/gradient_norm", "step/loss", "step/lr",
                          "train_loss", "train_top 1/gr____e_ _x_", "val_loss"));
  const auto lines = lines_of(text_of(run / "metrics" / "odd"));
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_THAT(lines[0], ::testing::EndsWith(" -inf 60"));

  const PythonOutput output =
      run_python("mlflow_peer.py read " + runs.string() + " clouds", python_of("ATHANOR_MLFLOW_PYTHON"));
  if (output.status == package_is_missing) {
    std::cout << "the package mlflow is not there; only the layout was compared\n";
  } else {
    ASSERT_EQ(output.status, 0) << output.text;
    const auto read = lines_of(output.text);
    EXPECT_THAT(read, ::testing::IsSupersetOf(read_metrics));
    EXPECT_THAT(read, Contains("0 metric odd 60:-inf 120:-inf"));
    EXPECT_THAT(read, Contains("0 run " + folder.path().filename().string() + " FINISHED ended True"));
    EXPECT_THAT(read, Contains("0 artifact history.csv 6"));
  }

  // A session that goes on at step 60: what the first one logged after it is cut away.
  const auto tracker = mlflow("file:" + runs.string(), {.experiment = "clouds"});
  History history;
  tracker->on_run_begin({.folder = folder.path(), .resumed = true, .step = 60, .history = &history});
  tracker->on_step({.epoch = 2, .step = 61, .samples = 61, .values = {{"train_loss", 7}}});
  tracker->on_run_end({.history = history, .folder = folder.path()});
  EXPECT_THAT(lines_of(text_of(run / "metrics" / "step" / "loss")), SizeIs(2));
  EXPECT_THAT(lines_of(text_of(run / "metrics" / "val_loss")), SizeIs(1));
}

}  // namespace
}  // namespace athanor::testing::mlflow_test
