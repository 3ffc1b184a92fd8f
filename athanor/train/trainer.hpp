// SPDX-License-Identifier: Apache-2.0
// The engine: trains a task, evaluates it, predicts with it.
//
//     using namespace athanor::literals;
//     athanor::Trainer trainer({.max_duration = 20_epochs, .batch_size = 64, .run = "runs/autoencoder"});
//     athanor::History history = trainer.fit(task, train, validation);
//
// In a loop of one's own, with the same callbacks, history and display:
//
//     athanor::Loop loop(trainer, task, {.train = train, .validation = {validation}});
//     while (loop.begin_epoch()) {
//       loop.train();                              // or: while (loop.next()) loop.update();
//       loop.end_epoch();                          // or loop.validate() before it, at a moment of one's own
//     }
//     athanor::History history = loop.end();
#pragma once

#include <array>
#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "athanor/core/folder.hpp"
#include "athanor/core/owned.hpp"
#include "athanor/data/data_module.hpp"
#include "athanor/train/meter.hpp"
#include "athanor/train/prediction.hpp"
#include "athanor/train/step_times.hpp"
#include "athanor/train/task.hpp"
#include "athanor/train/trainer_options.hpp"
#include "athanor/train/update_result.hpp"

namespace athanor {

class Diagnosis;
class Evaluation;
class Loop;
class NonFiniteGuard;
class Rehearsal;
class Update;

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
  /// step for whatever can be checked then. Without data the task's own are used.
  History fit(Task& task, Data train, Data validation = {});
  History fit(Task& task, Feeds feeds);
  History fit(Task& task, DataModule& data);
  History fit(Task& task);

  /// One pass in eval mode without gradients: `loss` and metrics under the name of the data (`val` for
  /// Stage::validation and `test` otherwise when it has none). The trackers of the options are told the values.
  Values evaluate(Task& task, const Feed& feed, Stage stage = Stage::test);
  Values evaluate(Task& task, const Data& data, Stage stage = Stage::test) { return evaluate(task, Feed(data), stage); }
  /// The test data of a module; its validation data for Stage::validation.
  Values evaluate(Task& task, DataModule& data, Stage stage = Stage::test);

  /// The predictions for all samples in the order of the data, batch by batch as they are asked for:
  ///
  ///     for (const athanor::Tree& batch : trainer.predict(task, data)) write(batch);
  ///     athanor::Tree all = trainer.predict(task, data).all();
  ///
  /// Task, data and trainer must outlive the stream; modules are in eval mode as long as it lives.
  PredictionStream predict(Task& task, const Data& data);

  /// Level 3: one update in a loop of one's own over batches of one's own, with the same state, callbacks and display
  /// as `fit`. The batch is moved to the device.
  UpdateResult update(Task& task, const Batch& batch);
  /// Level 3: closes the epoch that `update` was called in: its means, with `validation` when given, become a row of
  /// the history. Returns the values of that row.
  Values end_epoch(Task& task, const Data& validation = {});
  /// Level 3: the run is over: callbacks and display are told.
  History end();

  /// What would be found before the first step and more, without training and without throwing: names of values and
  /// monitors, devices, labels, gradients that reach every parameter, length of schedules, two batches of each loader.
  [[nodiscard]] Diagnosis diagnose(Task& task, Feeds feeds);

  /// Ends `fit` after the running update. From any thread and from callbacks; the first reason counts.
  void request_stop(std::string reason) noexcept;

  /// Ends `fit` as a signal does: after the running step, also within a validation and before `min_duration`. Callbacks
  /// save then. Async-signal-safe, for a host program that keeps its own handlers; from any thread.
  void interrupt(int signal) noexcept;
  /// The signal that ended the last `fit`, or is ending the running one; 0 when there was none.
  [[nodiscard]] int interrupted() const noexcept { return interrupted_.load(std::memory_order_relaxed); }

  /// Everything that can change the future of the run, in memory. Call it between updates: from a callback, or outside
  /// of `fit`. `into` is written over in place when it holds an earlier state.
  void save_state(Tree& into);
  [[nodiscard]] Tree save_state();
  /// Puts a state back that a trainer with the same options saved for the same kind of task. `fit` then goes on where
  /// it was, bit for bit. Throws Error that names each difference, and then nothing has changed.
  void load_state(Task& task, const Tree& saved);
  /// The walk behind both.
  void state(State& state);

  // ---- for callbacks
  [[nodiscard]] const TrainerOptions& options() const noexcept { return options_; }
  [[nodiscard]] const Position& position() const noexcept { return position_; }
  /// Where the run stood before the last update.
  [[nodiscard]] const Elapsed& elapsed_before_update() const noexcept { return before_update_; }
  /// Epochs that the running `fit` will make, when it was told in epochs.
  [[nodiscard]] std::optional<int64_t> epochs() const noexcept;
  /// The values of the last check: an epoch that just ended, or a validation within it.
  [[nodiscard]] const Values& values() const noexcept { return values_; }
  /// The names that the values of an epoch will have, as the rehearsal showed them, and the direction of each.
  [[nodiscard]] const std::vector<std::pair<std::string, Direction>>& value_names() const noexcept { return names_; }
  [[nodiscard]] History& history() noexcept { return history_; }
  [[nodiscard]] Task& task();
  [[nodiscard]] Optimizers& optimizers() noexcept { return optimizers_; }
  /// The training data of the running fit; null outside of it, and where batches are given to `update`.
  [[nodiscard]] const Loader* training_loader() const noexcept { return training_loader_; }
  /// How many samples the data of a stage have, the smallest of them where there are several: of training and
  /// validation from `fit_begin` on, of the others from the begin of their pass on. Unset where nobody knows. Limits on
  /// batches don't count.
  [[nodiscard]] std::optional<int64_t> samples(Stage stage) const noexcept {
    return samples_[static_cast<size_t>(stage)];
  }
  /// A batch as a step gets it: on the device, with the dtype and memory format of the options.
  [[nodiscard]] Batch prepare(const Batch& batch) const;
  /// The result of the last update.
  [[nodiscard]] const UpdateResult& last_update() const noexcept { return last_update_; }
  [[nodiscard]] at::Device device() const noexcept { return device_; }
  [[nodiscard]] const std::optional<std::filesystem::path>& folder() const noexcept { return folder_; }
  [[nodiscard]] bool stop_requested() const noexcept { return stop_requested_.load(std::memory_order_relaxed); }
  /// The checkpoint that the running or last call goes on from; unset when it began afresh.
  [[nodiscard]] const std::optional<std::filesystem::path>& resumed_from() const noexcept { return resumed_from_; }
  /// Numbers of the optimizers as the program gave them, before schedules, callbacks and checkpoints changed them:
  /// `lr`, `lr_generator`, …
  [[nodiscard]] const Values& configured() const noexcept { return configured_; }
  void message(std::string text, events::Message::Level level = events::Message::Level::info);
  /// Asks the listeners to hand to the system what they were told, before a state is written that a run goes on from.
  /// Does not wait: all of them have when the last copy of `hold` is gone.
  void flush_listeners(std::shared_ptr<const void> hold);
  /// Shows the trackers something that is not a number, at the step where the run stands. Tensors are copied, which
  /// waits for their device.
  void record(std::string name, events::Media::Content content);
  /// Where the time of the steps of all calls of `fit` went; always on. Callbacks that save give their time to
  /// StepPhase::saving by a StepTimes::Scope.
  [[nodiscard]] StepTimes& step_times() noexcept { return step_times_; }
  /// Records a value of the running update under `train_NAME`, as StepContext::log does; each call counts as one sample
  /// unless the options say otherwise. From `train_batch_begin` to `train_batch_end`.
  void log(std::string_view name, double value, const LogOptions& options = {});
  /// What the loss is multiplied by before backward, and the gradients with it: 1 except with Precision::f16. Waits for
  /// the device there.
  [[nodiscard]] double loss_scale() const;
  /// Marks the check that was just made as the best so far, for the display.
  void mark_best() noexcept { best_ = true; }

 private:
  friend class Diagnosis;
  friend class Evaluation;
  friend class Loop;
  friend class NonFiniteGuard;
  friend class Rehearsal;
  friend class Resumption;

  void attach(Task& task);
  History train(Task& task, Feeds feeds);
  void exit_if_interrupted() const;
  [[nodiscard]] struct UpdateOptions update_options() const;
  [[nodiscard]] Loader loader_of(const Data& data, Stage stage) const;
  Values run_evaluation(const Feed& feed, Stage stage, const std::string& name, Meter& meter);
  Meter meter_of(const Feed& feed, Stage stage);
  void reset_stop();
  void add_name(const std::string& name, Direction direction);
  void tell(const auto& event, auto&& hook) {
    for (const auto& listener : listeners_) (listener.get()->*hook)(event);
  }

  TrainerOptions options_;
  at::Device device_ = at::kCPU;
  Task* task_ = nullptr;
  Optimizers optimizers_;
  Meter train_meter_;
  Owned<Update> update_;
  UpdateResult last_update_;
  Owned<NonFiniteGuard> non_finite_;
  Moments moments_;
  Position position_;
  StepTimes step_times_;
  Elapsed before_update_;
  Elapsed validated_;      // where the last validation was
  Elapsed call_begin_;     // where the running or last call of fit began
  bool call_done_ = true;  // the last call of fit reached its end
  DataModule* module_ = nullptr;
  const Loader* training_loader_ = nullptr;
  std::array<std::optional<int64_t>, 4> samples_;  // of each stage
  History history_;
  Values values_;
  std::vector<std::pair<std::string, Direction>> names_;
  Listeners listeners_;
  std::optional<std::filesystem::path> folder_;
  std::optional<std::filesystem::path> folder_wanted_;
  std::optional<FolderLock> folder_lock_;
  std::optional<std::filesystem::path> resumed_from_;
  std::vector<std::string> resume_notes_;  // to be told when somebody listens
  Values configured_;
  Owned<Loop> open_;  // level 3
  bool best_ = false;
  std::atomic<bool> stop_requested_ = false;
  std::atomic<int> interrupted_ = 0;
  std::mutex stop_mutex_;
  std::string stop_reason_;
};

}  // namespace athanor
