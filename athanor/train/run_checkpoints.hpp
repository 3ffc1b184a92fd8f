// SPDX-License-Identifier: Apache-2.0
// The checkpoints in a run folder: what their manifests say, how they are named, which there are.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/checkpoint/checkpoint_folder.hpp"
#include "athanor/core/state.hpp"
#include "athanor/core/values.hpp"
#include "athanor/train/callback.hpp"

namespace athanor {

class Loader;
class Trainer;

/// The facts of a manifest.
struct CheckpointFacts {
  int64_t sequence = 0;  ///< Counts the checkpoints of a run folder; the newest has the largest, whatever clocks say.
  int64_t epoch = 0;     ///< Running or last.
  bool epoch_done = true;
  int64_t batch = 0;  ///< The next batch of the epoch.
  int64_t step = 0;
  int64_t samples = 0;
  double seconds = 0;        ///< Wall time in training.
  bool complete = true;      ///< Can be continued; false: weights only.
  bool milestone = false;    ///< Kept for ever.
  std::string monitor = {};  ///< The watched value, when it was measured at this very step.
  bool higher_is_better = false;
  double value = 0;
  std::string written = {};  ///< Date and time in UTC, for people.
  std::string libtorch = {};
  std::string processor = {};  ///< The kind of vector instructions.
  std::string device = {};
  int64_t threads = 0;
  Tree options = Tree::Dictionary{};    ///< Of the trainer, name and text.
  Tree settings = Tree::Dictionary{};   ///< Learning rates and the like as the program gave them.
  Tree schedules = Tree::Dictionary{};  ///< By optimizer: field and description.
  Tree data = Tree::Dictionary{};       ///< Samples, batches, batch size, order, checksum of targets.
  Tree values = Tree::Dictionary{};     ///< Of the last check.

  void state(State& state);
  /// `epoch 3, step 18`; `epoch 3, batch 2, step 14`.
  [[nodiscard]] std::string describe() const;
  /// `000007-epoch-3-step-18`
  [[nodiscard]] std::string folder_name() const;
};

/// What the manifest of a checkpoint of this moment says; sequence and monitor are the caller's.
[[nodiscard]] CheckpointFacts facts_of(const Trainer& trainer);
/// The part of the facts that tells one data set from another.
[[nodiscard]] Tree data_facts(const Loader& loader, int64_t batches, uint64_t seed);

/// Which tensors of a trainer's state go to which file.
[[nodiscard]] std::vector<TensorFile> trainer_tensor_files();

/// A callback `Checkpoints` (of the room `callbacks`) with its options as they come.
[[nodiscard]] Callback make_checkpoints();
/// What the keys of all `Checkpoints` begin with.
inline constexpr std::string_view checkpoints_key = "Checkpoints in ";

struct RunCheckpoint {
  std::filesystem::path path;
  int64_t sequence = 0;
  std::optional<CheckpointFacts> facts = {};  ///< Unset: the manifest is damaged.
  std::string damage = {};                    ///< Why.
};

/// All checkpoints in the subfolders of a run folder, or in one subfolder, the oldest first. What is not called like a
/// checkpoint is left out; damaged ones are in. Reads manifests only.
[[nodiscard]] std::vector<RunCheckpoint> list_checkpoints(const std::filesystem::path& run);
[[nodiscard]] std::vector<RunCheckpoint> list_checkpoints_in(const std::filesystem::path& folder);

/// One more than the largest number of a checkpoint in `folder` and in the subfolders of `run`. Looks at names only.
[[nodiscard]] int64_t next_sequence(const std::filesystem::path& folder,
                                    const std::optional<std::filesystem::path>& run);

/// Manifest of one checkpoint. Throws Error when it is damaged.
[[nodiscard]] CheckpointFacts read_facts(const std::filesystem::path& checkpoint);

/// The one with the best value, complete ones only when asked; null when none has a value.
[[nodiscard]] const RunCheckpoint* best_of(const std::vector<RunCheckpoint>& all, bool complete);

}  // namespace athanor
