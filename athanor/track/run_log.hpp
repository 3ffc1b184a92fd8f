// SPDX-License-Identifier: Apache-2.0
// The display, history and trackers of the library for a loop that it knows nothing about: a hand-made model, XGBoost.
//
//     athanor::RunLog log({.epochs = 20, .monitor = "val_loss", .patience = 3, .run = "runs/trees"});
//     do {
//       for (auto& batch : train) log.step({{"train_loss", learn(batch)}}, batch.size());
//       for (auto& batch : validation) log.step({{"val_loss", judge(batch)}}, batch.size());
//     } while (log.epoch());
//     athanor::History history = log.end();
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "athanor/core/folder.hpp"
#include "athanor/core/owned.hpp"
#include "athanor/train/display.hpp"
#include "athanor/train/ticker.hpp"

namespace athanor {

struct RunLogOptions {
  /// How many there will be. Unset: not known; `epoch` says to go on until something else stops the run.
  std::optional<int64_t> epochs = {};
  /// The value that decides which epoch is best. Empty: none does.
  std::string monitor = {};
  /// Unset: a loss or an error goes down, an accuracy, AUC or F1 up; another name is an Error that asks.
  Direction direction = Direction::unknown;
  /// What counts as an improvement must exceed this.
  double min_change = 0;
  /// Stop after so many epochs without improvement. Unset: never.
  std::optional<int64_t> patience = {};
  /// Called at each new best, with the number of the epoch: save the model here. What it throws comes out of `epoch`.
  std::function<void(int64_t epoch)> save_best = {};
  /// Called when somebody asks for the model to be saved now, as a button of the live page does: within the next `step`
  /// or `epoch`, on the thread of the loop, with the training steps so far. What it throws comes out of that call.
  /// Unset: the page says that nobody saves.
  std::function<void(int64_t step)> save_now = {};
  /// Folder for history.csv, curves.svg, log.txt and run.json; a folder in use is never written over, the next free
  /// name is taken. Unset: nothing is written.
  std::optional<std::filesystem::path> run = {};
  Verbosity verbosity = Verbosity::normal;
  /// Values of single steps go to trackers at this interval of training steps.
  int64_t log_every = 1;
  Listeners track = {};
  /// Lines for the header, name and value: the hyperparameters of the trackers.
  std::vector<std::pair<std::string, std::string>> header{};
  /// Decimals of values on the console.
  int digits = 4;
  /// Where the console writes. Null: std::cout. It must live as long as the log.
  std::ostream* stream = nullptr;
};

/// Four calls: make it, `step`, `epoch`, `end`. For one thread; what the live page asks for arrives on it.
class RunLog {
 public:
  /// Throws Error for options out of range, a monitor whose direction is not known, and a folder that can't be written.
  explicit RunLog(RunLogOptions options = {});
  /// Ends the display, as `end` does with the reason that the log was given up.
  ~RunLog();
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  /// Values of one batch of `samples` samples. The stage is that of the names: `val_loss` is validation, `test_loss`
  /// test, everything else training, where the prefix `train_` may be left out. How many batches a pass has is learned
  /// in the first epoch; training and validation may alternate within one. A name that begins with `lr` is a setting:
  /// not averaged, not in the bar. Throws Error for values of two stages, for samples that are not above 0, and after
  /// `end`.
  void step(const Values& values, double samples = 1);
  /// Closes the epoch. Its row holds the means of the steps, weighted by their samples, and `values` over them. A value
  /// without a step may be given here alone. True when the next epoch is to come. Throws Error when the monitor is not
  /// among the values, and after `end`. A loop that
  /// never asks `should_stop` is stopped here.
  bool epoch(const Values& values = {});
  /// Whether the loop should end: somebody asked for it, as the live page does, or `epoch` said so. Costs one load; ask
  /// it in a long epoch.
  [[nodiscard]] bool should_stop() const noexcept;
  /// A sentence for the screen and the log.
  void message(std::string text, events::Message::Level level = events::Message::Level::info);
  /// Shows the trackers something that is not a number, at the training step where the loop stands. Tensors are copied.
  /// Throws Error after `end`.
  void record(std::string name, events::Media::Content content);
  /// The end of the run: summary, files. `reason`: why; empty: what stopped it. A second call changes nothing.
  History end(std::string reason = {});

  [[nodiscard]] const History& history() const noexcept { return history_; }
  /// Where this run keeps its files; unset when it keeps none.
  [[nodiscard]] const std::optional<std::filesystem::path>& folder() const noexcept { return folder_; }
  /// Whether the last epoch was the best so far.
  [[nodiscard]] bool improved() const noexcept { return improved_; }
  /// Why the run is to stop; empty: it is not.
  [[nodiscard]] const std::string& stop_reason() const noexcept { return stop_reason_; }

 private:
  class Control;
  struct Pass {
    Stage stage = Stage::train;
    int64_t batches = 0;  // of a whole pass; 0: not known
    int64_t batch = 0;    // of this epoch, over all parts of the pass
    std::chrono::steady_clock::time_point begun;
    std::chrono::steady_clock::duration spent{0};                         // in the parts before the running one
    std::vector<std::pair<std::string, std::pair<double, double>>> sums;  // with whole names: value x weight, weight
  };

  void begin_epoch();
  void record_end();
  void save_if_asked();
  Pass& pass_of(Stage stage);
  void finish_pass();
  void show(const Pass& pass, int64_t batches);
  void judge(const Values& values);
  void require_open(const char* call) const;
  [[nodiscard]] int64_t epoch_number() const noexcept;

  RunLogOptions options_;
  std::optional<std::filesystem::path> folder_;
  std::optional<FolderLock> lock_;
  History history_;
  Owned<Listener> listeners_;
  std::shared_ptr<Control> control_;
  std::vector<Pass> passes_;
  Pass* running_ = nullptr;
  Values settings_;
  std::vector<std::pair<std::string, Direction>> directions_;
  std::chrono::steady_clock::time_point begun_;
  std::chrono::steady_clock::time_point epoch_begun_;
  Ticker ticker_;
  int64_t epochs_ = 0;  // finished
  int64_t steps_ = 0;   // of training
  double samples_ = 0;
  int64_t waited_ = 0;
  bool in_epoch_ = false;
  bool improved_ = false;
  bool ended_ = false;
  std::string stop_reason_;
};

}  // namespace athanor
