// SPDX-License-Identifier: Apache-2.0
// Runs with checkpoints that are interrupted and started again, for the tests of checkpoints.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "athanor/callbacks/checkpoints.hpp"
#include "athanor/callbacks/keep_best.hpp"
#include "athanor/train/resume.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing {

/// A folder for one test, removed at its end.
class RunTest : public ::testing::Test {
 protected:
  RunTest()
      : root(std::filesystem::temp_directory_path() /
             ("athanor-run-" + std::to_string(::getpid()) + "-" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name())),
        run(root / "run") {
    std::filesystem::remove_all(root);
    std::filesystem::create_directories(root);
  }
  ~RunTest() override { std::filesystem::remove_all(root); }

  /// The names of the checkpoints in a folder of the run, the oldest first.
  [[nodiscard]] std::vector<std::string> saved(const std::string& folder = "checkpoints") const {
    std::vector<std::string> names;
    for (const RunCheckpoint& each : list_checkpoints_in(run / folder)) names.push_back(each.path.filename().string());
    return names;
  }
  static std::string content(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::filesystem::path root, run;
};

/// What a run said.
struct Messages : Listener {
  std::vector<std::string> texts, warnings;
  void on_message(const events::Message& event) override {
    (event.level == events::Message::Level::warning ? warnings : texts).push_back(event.text);
  }
};

inline TrainerOptions with_checkpoints(const std::filesystem::path& run, CheckpointsOptions checkpoints = {},
                                       int64_t epochs = 3) {
  TrainerOptions options = quiet(Duration::epochs(static_cast<double>(epochs)),
                                 {KeepBest({.monitor = {.monitor = "val_loss"}}), Checkpoints(std::move(checkpoints))});
  options.run = run;
  options.resume = Resume::automatic();
  options.seed = 5;
  return options;
}

/// A callback that throws after so many steps, as a killed process would end; at the end of the list.
struct Fall {
  int64_t step = 0;
  void on_step_end(Trainer& trainer) const {
    if (trainer.position().step == step) throw std::runtime_error("fallen");
  }
};

}  // namespace athanor::testing
