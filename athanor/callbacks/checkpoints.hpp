// SPDX-License-Identifier: Apache-2.0
// Checkpoints of the whole run, written in the background, with retention.
//
//     .callbacks = {Checkpoints()}                                                 // every epoch; the last 3 and the
//     best .callbacks = {Checkpoints({.every = 10_minutes, .keep_last = 2, .keep_best = 0}),
//                   Checkpoints({.folder = "best", .every = {}, .keep_last = 0, .weights_only = true})}
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "athanor/callbacks/monitor.hpp"
#include "athanor/train/run_checkpoints.hpp"

namespace athanor {

class Background;

struct CheckpointsOptions {
  /// Folder in the run folder; each Checkpoints of a run has one of its own. An absolute path is taken as it is.
  std::filesystem::path folder = "checkpoints";
  /// How often: `1_epochs`, `500_steps`, `0.25_epochs`, `10_minutes`. Unset: only when there is a new best, at the end,
  /// and on demand.
  std::optional<Duration> every = Duration::epochs(1);
  /// The newest so many are kept. 0: none for being new.
  int64_t keep_last = 3;
  /// The best so many by `monitor` are kept; a new one of these is saved when it is measured, whatever `every` says. 0:
  /// nothing is monitored.
  int64_t keep_best = 1;
  MonitorOptions monitor = {};
  /// The first after each multiple of this is kept for ever.
  std::optional<Duration> keep_every = {};
  /// Saves when the call ends, in whatever way but an exception: also when a signal or a callback ends it.
  bool at_end = true;
  /// Weights without optimizer and state, as the check has judged them (averages, where they are validated). They can
  /// be started from, not continued.
  bool weights_only = false;
  /// False: training waits until the checkpoint is on the disk.
  bool in_background = true;
  /// A checkpoint that can't be written (a full disk) is a warning, and the next one is tried; true: it ends the run.
  bool stop_on_failure = false;
};

/// Saves the run into folders such as `checkpoints/000007-epoch-3-step-18` (checkpoint/checkpoint_folder.hpp). Training
/// stands still for one copy of the state in memory, which is used again; a thread of its own writes it. The next save
/// waits for the last one. On a GPU the copy lies there too.
///
/// Old ones are removed only after a new one is whole on the disk, so a failure never costs the last good one. Stands
/// behind the callbacks whose state it saves. Without a run folder and with a relative `folder` it does nothing. A run
/// with a folder that has none gets one when it is to be gone on with: with `resume`, or with `host.signals`.
class Checkpoints {
 public:
  /// Throws Error for options that would keep nothing.
  explicit Checkpoints(CheckpointsOptions options = {});

  /// Saves after the running update. From any thread, and from signal handlers.
  void request() noexcept { requested_->store(true, std::memory_order_relaxed); }
  /// The newest that is on the disk; unset before the first. Waits for the one that is being written.
  [[nodiscard]] const std::optional<std::filesystem::path>& newest();

  void on_fit_begin(Trainer& trainer);
  void on_step_end(Trainer& trainer);
  void on_check(Trainer& trainer);
  void on_check_end(Trainer& trainer);
  void on_epoch_end(Trainer& trainer);
  void on_fit_closing(Trainer& trainer);
  void on_fit_end(Trainer& trainer);
  void on_exception(Trainer& trainer);
  void state(State& state);
  [[nodiscard]] std::string key() const { return std::string(checkpoints_key) + options_.folder.string(); }

 private:
  struct Writing;

  [[nodiscard]] bool is_due(const Trainer& trainer) const;
  void save(Trainer& trainer);
  void save_once(Trainer& trainer);
  /// Waits for the writer and tells what became of it.
  void finish(Trainer& trainer);

  CheckpointsOptions options_;
  Monitor monitor_;
  std::optional<std::filesystem::path> folder_;
  std::shared_ptr<Writing> writing_;
  std::shared_ptr<Background> writer_;  // after what it writes, so that it ends before
  std::shared_ptr<std::atomic<bool>> requested_;
  std::optional<double> judged_;  // the monitored value of this very step
  bool is_new_best_ = false;
  bool due_at_epoch_end_ = false;
  Elapsed saved_;                    // where the last milestone was looked for
  std::pair<int64_t, bool> last_{};  // step and whether its epoch was done, of the last save
  std::optional<std::filesystem::path> newest_;
};

}  // namespace athanor
