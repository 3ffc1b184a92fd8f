// SPDX-License-Identifier: Apache-2.0
// MLflow's own server, started by the test, takes a run. Its Python is named by ATHANOR_MLFLOW_PYTHON, which ctest sets
// where scripts/bootstrap.sh has installed the trackers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iostream>

#include "athanor/track/http.hpp"
#include "athanor/track/mlflow.hpp"
#include "tests/track/mlflow_reference.hpp"
#include "tests/track/small_server.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing::mlflow_server_test {
namespace {

namespace fs = std::filesystem;
using namespace track;
using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::IsEmpty;

/// A port that nobody uses at the moment.
int free_port() {
  return SmallServer([](const auto&) { return std::string(); }).port();
}

// A program that runs until it is no longer needed.
class Process {
 public:
  explicit Process(const std::vector<std::string>& words) {
    id_ = ::fork();
    if (id_ != 0) return;
    ::setpgid(0, 0);
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    static_cast<void>(::freopen("/dev/null", "w", stdout));
    static_cast<void>(::freopen("/dev/null", "w", stderr));
    ::execvp(arguments[0], arguments.data());
    ::_exit(126);
  }
  ~Process() {
    ::kill(-id_, SIGKILL);
    ::waitpid(id_, nullptr, 0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  [[nodiscard]] bool ended() const { return ::waitpid(id_, nullptr, WNOHANG) != 0; }

 private:
  pid_t id_;
};

TEST(MlflowServer, TakesARunAndItsContinuation) {
  const std::string python = python_of("ATHANOR_MLFLOW_PYTHON");
  const TemporaryFolder folder;
  const std::string port = std::to_string(free_port());
  const Process process(
      {python, ATHANOR_SOURCE_DIR "/tests/track/mlflow_peer.py", "server", port, folder.path().string()});
  const std::string url = "http://127.0.0.1:" + port;
  // Where it has been installed for the tests, it has to work.
  const bool is_expected = std::getenv("ATHANOR_MLFLOW_PYTHON") != nullptr;
  const auto begin = std::chrono::steady_clock::now();
  bool up = false;
  for (int i = 0; i < 4000 && !up; ++i) {
    if (process.ended()) {
      ASSERT_FALSE(is_expected) << "the server of MLflow ended; see " << folder.path();
      GTEST_SKIP() << "a server of MLflow is not there; mlflow_test asked a hand-made one";
    }
    std::this_thread::sleep_for(100ms);
    try {
      up = HttpClient(url).get("/health").status == 200;
    } catch (const std::exception&) {
      up = false;
    }
  }
  ASSERT_TRUE(up) << "the server of MLflow did not come up in seven minutes";
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - begin;
  std::cout << "the server of MLflow came up in " << waited.count() << " s\n";
  std::ofstream(folder.path() / "history.csv") << "epoch\n";
  MlflowOptions options{.experiment = "größe", .tags = {{"team", "a/b"}}, .end_limit = 60s, .send_every = 10ms};
  EXPECT_THAT(tell(mlflow(url, options), ScriptedRun(folder.path())), IsEmpty());
  const auto tracker = mlflow(url, options);
  History history;
  tracker->on_run_begin(
      {.options = {{"lr", "0.5"}}, .folder = folder.path(), .resumed = true, .step = 60, .history = &history});
  tracker->on_step({.epoch = 2, .step = 61, .samples = 61, .values = {{"train_loss", 7}}});
  history.set_stop_reason("stopped by SIGINT");
  tracker->on_run_end({.history = history, .folder = folder.path()});
  EXPECT_EQ(tracker->remark(), "");

  const PythonOutput output = run_python("mlflow_peer.py read " + url + " größe", python);
  ASSERT_EQ(output.status, 0) << output.text;
  const auto read = lines_of(output.text);
  auto expected = read_metrics;
  std::erase(expected, "0 metric step/loss 50:1 100:0.5");
  EXPECT_THAT(read, ::testing::IsSupersetOf(expected));
  EXPECT_THAT(read, Contains("0 metric step/loss 50:1 61:7 100:0.5"));
  EXPECT_THAT(read, Contains("0 run " + folder.path().filename().string() + " KILLED ended True"));
  EXPECT_THAT(read, Contains("0 param lr 0.001"));
  EXPECT_THAT(read, Contains("0 tag option.lr 0.5"));
  EXPECT_THAT(read, Contains("0 tag resumed_at_step 60"));
  EXPECT_THAT(read, Contains("0 tag team a/b"));
  EXPECT_THAT(read, Contains("0 artifact history.csv 6"));
  EXPECT_FALSE(HasFailure()) << output.text;
}

}  // namespace
}  // namespace athanor::testing::mlflow_server_test
