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

/// A checkpoint at every step, all of them kept.
inline const CheckpointsOptions every_step = {.every = Duration::steps(1), .keep_last = 100, .keep_best = 1};

class ResumeFromDisk : public RunTest {
 protected:
  struct Ended {
    History history;
    Tree state;
    std::shared_ptr<Messages> messages = std::make_shared<Messages>();
    std::optional<std::filesystem::path> from;
  };
  static Ended train(TrainerOptions options, Task& task, int64_t samples = 22) {
    Ended ended;
    options.track.push_back(ended.messages);
    Trainer trainer(options);
    ended.history = trainer.fit(task, data_of(clouds(samples)), data_of(clouds(10, 2)));
    ended.from = trainer.resumed_from();
    ended.state = trainer.save_state();
    return ended;
  }
  static Ended train(const TrainerOptions& options, uint64_t net = 1) {
    Classifier task(net);
    return train(options, task);
  }
  /// As a process that is killed after a step; what is being written is still written.
  void fall_after(int64_t step, TrainerOptions options) const {
    options.callbacks.emplace_back(Fall{step});
    Classifier task(1);
    Trainer trainer(options);
    EXPECT_THROW(trainer.fit(task, data_of(clouds(22)), data_of(clouds(10, 2))), std::runtime_error);
  }
  /// The options with one more callback without state, so that states compare.
  static TrainerOptions and_fall(TrainerOptions options) {
    options.callbacks.emplace_back(Fall{-1});
    return options;
  }
};

}  // namespace athanor::testing
