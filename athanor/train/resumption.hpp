// SPDX-License-Identifier: Apache-2.0
// Carries out TrainerOptions::resume before the first step of a call.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "athanor/train/run_checkpoints.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

/// Finds the checkpoint, verifies it, compares it with the program, and loads it. Nothing of the trainer has changed
/// when it throws, but that it may hold the lock of the run folder.
class Resumption {
 public:
  /// `loader` null: batches are the caller's own.
  Resumption(Trainer& trainer, const Loader* loader, int64_t batches)
      : trainer_(trainer), loader_(loader), batches_(batches) {}
  void run();
  /// Only what a data module remembers, before it is asked for its data; `run` comes after.
  void load_module(DataModule& module);

 private:
  struct Found {
    std::filesystem::path path;
    CheckpointFacts facts;
    Tree state;
  };

  [[nodiscard]] bool goes_on_already() const;
  /// In the run folder, or at the place that the options name; with the lock of the run folder when that is used.
  [[nodiscard]] std::optional<Found> locate(bool& in_run_folder);
  [[nodiscard]] std::filesystem::path lock_run_folder();
  [[nodiscard]] std::optional<Found> find(const std::vector<RunCheckpoint>& candidates);
  [[nodiscard]] std::optional<Found> find_in_run(const std::filesystem::path& run);
  [[nodiscard]] Found find_at_place();
  [[nodiscard]] std::vector<std::string> data_differences(const CheckpointFacts& facts) const;
  void load(Found found);
  void take_folder(const std::filesystem::path& run);
  void note(std::string text) { trainer_.resume_notes_.push_back(std::move(text)); }

  Trainer& trainer_;
  const Loader* loader_;
  int64_t batches_;
};

/// Puts changed settings and schedules of the program in the place of those of a saved state: `adapt` before it is
/// loaded, `apply` after. `changes` has a sentence for each.
class ChangedSettings {
 public:
  ChangedSettings(Trainer& trainer, const CheckpointFacts& facts) : trainer_(trainer), facts_(facts) {}
  void adapt(Tree& state);
  void apply();
  [[nodiscard]] const std::vector<std::string>& changes() const noexcept { return changes_; }

 private:
  struct Base {
    Optimizer* optimizer;
    OptimizerField field;
    std::vector<double> values;  // of each group
  };
  Trainer& trainer_;
  const CheckpointFacts& facts_;
  std::vector<Base> bases_;
  std::vector<std::string> changes_;
};

}  // namespace athanor
