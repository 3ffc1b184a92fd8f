// SPDX-License-Identifier: Apache-2.0
// The engine: trains a task, evaluates it, predicts with it.
//
//     using namespace athanor::literals;
//     athanor::Trainer trainer({.max_duration = 20_epochs, .batch_size = 64, .run = "runs/autoencoder"});
//     athanor::History history = trainer.fit(task, train, validation);
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "athanor/core/duration.hpp"
#include "athanor/core/host.hpp"
#include "athanor/data/data.hpp"
#include "athanor/train/callback.hpp"
#include "athanor/train/display.hpp"
#include "athanor/train/task.hpp"
#include "athanor/train/update.hpp"

namespace athanor {

struct TrainerOptions {
  // ---- behaviour
  /// How long one call of `fit` trains.
  Duration max_duration = Duration::epochs(10);
  /// For data that are given as tensors or data sets; a Loader keeps its own options.
  int64_t batch_size = 32;
  bool shuffle = true;
  /// Everything random is a function of this number: order, augmentation, dropout.
  uint64_t seed = 0;
  /// Passes are cut off after so many batches.
  std::optional<int64_t> train_batches = {};
  std::optional<int64_t> validation_batches = {};
  Callbacks callbacks = {};

  // ---- what is kept and shown
  /// Folder of the run: history.csv, curves.svg, best.safetensors. Made when missing; a folder that holds something is
  /// never written over, the next free name is taken (`fashion-2`). Unset: nothing is written.
  std::optional<std::filesystem::path> run = {};
  Verbosity verbosity = Verbosity::normal;
  /// Further listeners, behind the standard ones.
  Listeners track = {};
  /// Lines for the header, name and value.
  std::vector<std::pair<std::string, std::string>> header = {};

  // ---- performance
  /// `auto` (CUDA where there is any, else the CPU), `cpu`, `cuda`, `cuda:1`.
  std::string device = "auto";
  /// Background threads that prepare training batches.
  int workers = 0;
  HostOptions host = {};
};

/// Where a run stands; part of its state. Checkpoints lie between updates.
struct Position {
  int64_t epoch = 0;    ///< The running epoch, from 1 on; 0 before the first.
  int64_t batch = 0;    ///< The next batch of that epoch; 0 with `epoch_done`.
  int64_t batches = 0;  ///< Batches of that epoch.
  int64_t step = 0;     ///< Finished passes of the loop.
  int64_t samples = 0;  ///< Samples trained on.
  double seconds = 0;   ///< Wall time in training.
  bool epoch_done = true;

  /// The same in the terms of Duration.
  [[nodiscard]] Elapsed elapsed() const noexcept;
  void state(State& state);
};

/// Trains one task after another, usually one. Not thread-safe but for `request_stop`; everything runs on the calling
/// thread. It borrows the task: keep it alive.
class Trainer {
 public:
  explicit Trainer(TrainerOptions options = {});
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Options for the calls from now on. Throws Error for a device other than the one that the task is on.
  void set_options(TrainerOptions options);

  /// Trains for `max_duration` and returns the history of all calls. A second call continues: optimizers, epoch numbers
  /// and history go on. After `load_state` it finishes the call that was interrupted. Throws Error before the first
  /// step for whatever can be checked then.
  History fit(Task& task, Data train, Data validation = {});

  /// One pass in eval mode without gradients: `loss` and metrics under the name of the data (`test` when it has none).
  Values evaluate(Task& task, const Data& data);

  /// The predictions for all samples in the order of the data, on the CPU, leaf by leaf along dimension 0.
  Tree predict(Task& task, const Data& data);

  /// Level 3: one update in a loop of one's own, with the same state as `fit`. The batch is moved to the device.
  UpdateResult update(Task& task, const Batch& batch);
  /// Level 3: closes the epoch that `update` was called in: its means, with `validation` when given, become a row of
  /// the history. Returns the values of that row.
  Values end_epoch(Task& task, const Data& validation = {});

  /// Ends `fit` after the running update. From any thread and from callbacks; the first reason counts.
  void request_stop(std::string reason) noexcept;

  /// Everything that can change the future of the run, in memory. Call it between updates: from a callback, or outside
  /// of `fit`. `into` is written over in place when it holds an earlier state.
  void save_state(Tree& into);
  [[nodiscard]] Tree save_state();
  /// Puts a state back that a trainer with the same options saved for the same kind of task. `fit` then goes on where
  /// it was, bit for bit. Throws Error that names each difference, and then nothing has changed.
  void load_state(Task& task, const Tree& saved);

  // ---- for callbacks
  [[nodiscard]] const TrainerOptions& options() const noexcept { return options_; }
  [[nodiscard]] const Position& position() const noexcept { return position_; }
  /// Epochs that the running `fit` will make, when it was told in epochs.
  [[nodiscard]] std::optional<int64_t> epochs() const noexcept;
  /// The values of the epoch that just ended, or the running ones.
  [[nodiscard]] const Values& values() const noexcept { return values_; }
  /// The names that the values of an epoch will have, as the rehearsal showed them, and the direction of each.
  [[nodiscard]] const std::vector<std::pair<std::string, Direction>>& value_names() const noexcept { return names_; }
  [[nodiscard]] History& history() noexcept { return history_; }
  [[nodiscard]] Task& task();
  [[nodiscard]] Optimizers& optimizers() noexcept { return optimizers_; }
  [[nodiscard]] at::Device device() const noexcept { return device_; }
  [[nodiscard]] const std::optional<std::filesystem::path>& folder() const noexcept { return folder_; }
  void message(std::string text, events::Message::Level level = events::Message::Level::info);
  /// Marks the epoch that just ended as the best so far, for the display.
  void mark_best() noexcept { best_ = true; }

 private:
  friend class Loop;
  friend class Rehearsal;

  void attach(Task& task);
  Values run_evaluation(const Loader& loader, Stage stage, const std::string& prefix, Tree* predictions);
  void close_epoch(double seconds, const Data& validation);
  void state(State& state);
  void tell(const auto& event, auto&& hook) {
    for (const auto& listener : listeners_) (listener.get()->*hook)(event);
  }

  TrainerOptions options_;
  at::Device device_ = at::kCPU;
  Task* task_ = nullptr;
  Optimizers optimizers_;
  Meter train_meter_;
  Position position_;
  std::chrono::steady_clock::time_point epoch_begun_;  // level 3
  Elapsed call_begin_;                                 // where the running or last call of fit began
  bool call_done_ = true;                              // the last call of fit reached its end
  History history_;
  Values values_;
  std::vector<std::pair<std::string, Direction>> names_;
  Listeners listeners_;
  std::optional<std::filesystem::path> folder_;
  std::optional<std::filesystem::path> folder_wanted_;
  bool best_ = false;
  std::atomic<bool> stop_requested_ = false;
  std::mutex stop_mutex_;
  std::string stop_reason_;
};

}  // namespace athanor
