// SPDX-License-Identifier: Apache-2.0
// The one loop of the library: it says when. `Trainer::fit` is this loop in its plainest use; whoever wants another
// order uses the parts.
#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "athanor/core/host.hpp"
#include "athanor/core/signals.hpp"
#include "athanor/train/ticker.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

class LayerSight;

/// One call of `fit`, in pieces. Callbacks, history, display and resume are those of `fit`:
///
///     athanor::Loop loop(trainer, task, {.train = train, .validation = {validation}});
///     while (loop.begin_epoch()) {
///       loop.train();
///       loop.end_epoch();
///     }
///     athanor::History history = loop.end();
///
/// Not thread-safe. Trainer, task and data must outlive it. One loop of a trainer at a time.
class Loop {
 public:
  /// Checks everything that can be checked before the first step, and tells `on_fit_begin`. Without training data,
  /// batches are given to `update` one by one.
  Loop(Trainer& trainer, Task& task, Feeds feeds);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Begins the next epoch, or goes on with one that was interrupted. False when the run is over.
  bool begin_epoch();
  /// The training pass of the epoch: `Task::training_epoch`.
  void train();
  /// Fetches the batches of the next update. False at the end of the epoch, and when the run is to end.
  bool next();
  /// The micro-batches that `next` fetched, on the device; they may be changed.
  [[nodiscard]] std::span<Batch> window() noexcept;
  /// Leaves the window that `next` fetched out.
  void skip();
  /// One update with the window that `next` fetched. Validates after it when that is due within the epoch.
  UpdateResult update();
  /// One update with a batch of one's own.
  UpdateResult update(const Batch& batch);
  /// Validates now; the values become those of the check, and a row of the history.
  Values validate();
  /// Closes the epoch: validation when it is due, history, callbacks, display. Returns the values of the epoch. An
  /// epoch in which a stop was requested stays open.
  Values end_epoch();
  /// The end of the run: callbacks, display. Returns the history of all calls.
  History end();
  /// The end by an exception, which callbacks are told as `on_exception`. The state stays that of the last update.
  void abandon(std::exception_ptr exception) noexcept;

  [[nodiscard]] bool in_epoch() const noexcept { return in_epoch_; }

  [[nodiscard]] bool has_validation() const noexcept { return !validation_.empty(); }
  /// Other validation data from now on.
  void set_validation(std::vector<Feed> validation) { validation_ = std::move(validation); }

 private:
  static SignalGuard listen(Trainer& trainer);
  void measure_training();
  void begin_call();
  void record_begin();
  void record_end(bool finished, const std::string& reason);
  void begin();
  void start_pass();
  [[nodiscard]] bool finished() const;
  [[nodiscard]] bool stopping() const;
  [[nodiscard]] bool reached(const Duration& duration) const;
  [[nodiscard]] Elapsed elapsed_in_call() const;
  void check();
  void give_check_up();
  [[nodiscard]] bool check_is_due() const;
  bool measure_validation();
  void add_row(bool cut_short);
  void tell_row();
  void add_names(const Meter& meter, const std::string& prefix);
  void show_progress(bool at_once);
  void show_step(const UpdateResult& result);
  void show_layers();
  void tell_schedules();

  /// Deterministic algorithms for as long as it lives.
  class DeterministicGuard {
   public:
    explicit DeterministicGuard(bool wanted);
    ~DeterministicGuard();
    DeterministicGuard(const DeterministicGuard&) = delete;
    DeterministicGuard& operator=(const DeterministicGuard&) = delete;

   private:
    bool wanted_;
    bool before_;
  };

  Trainer& trainer_;
  Task& task_;
  HostGuard host_;
  SignalGuard signals_;
  DeterministicGuard deterministic_;
  std::optional<Loader> train_;
  Feed train_feed_;
  std::vector<Feed> validation_;
  int64_t batches_ = 0;
  std::optional<Pass> pass_;
  std::vector<Batch> window_;
  std::vector<Tree> kept_;
  std::vector<std::string> parts_;     // names of the parts of a combined loader
  std::unique_ptr<LayerSight> sight_;  // until the layers of the nets were shown to trackers
  Ticker ticker_;
  std::chrono::steady_clock::time_point begun_;
  std::chrono::steady_clock::time_point epoch_begun_;
  double seconds_before_ = 0;
  int64_t first_step_ = 0;
  bool resumed_ = false;
  bool open_ = false;  // an epoch of the saved state is still to be closed
  bool in_epoch_ = false;
  bool validated_ = false;  // and checked, since the last update
  bool ended_ = false;
};

}  // namespace athanor
