// SPDX-License-Identifier: Apache-2.0
// What a run came to: one row of values an epoch, the best epoch, and why it stopped.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "athanor/core/state.hpp"
#include "athanor/core/values.hpp"

namespace athanor {

/// The result of `fit`. A value; it grows when `fit` is called again.
///
///     std::cout << history;                       // a table
///     double last = history["val_acc"].back();
///     history.to_csv("history.csv");
class History {
 public:
  struct Epoch {
    int64_t number = 0;    ///< From 1 on, over all calls of `fit`.
    int64_t steps = 0;     ///< Optimizer steps since the beginning of the run, at the end of this epoch.
    double seconds = 0;    ///< Wall time of this epoch, validation included.
    Values values;         ///< `train_loss`, `train_acc`, `val_loss`, …
    Values settings = {};  ///< `lr`, `momentum`, `weight_decay` of every optimizer and group, as they were at its end.
    double part = 1;       ///< How much of the epoch is done: less than 1 for a validation within it.
    bool cut_short = false;  ///< The length of the call ended within this epoch.
    /// Epochs done: 2 at the end of the second, 1.5 in its middle.
    [[nodiscard]] double progress() const noexcept { return static_cast<double>(number) - 1 + part; }
  };
  struct Best {
    std::string monitor;  ///< The value that decides, such as `val_loss`.
    int64_t epoch = 0;    ///< Its best epoch; 0 while there is none (no finite value yet).
    double value = 0;
    friend bool operator==(const Best&, const Best&) = default;
  };

  [[nodiscard]] const std::vector<Epoch>& epochs() const noexcept { return epochs_; }
  [[nodiscard]] bool empty() const noexcept { return epochs_.empty(); }
  /// One value or setting over all epochs; NaN where an epoch has none. Throws Error for a name that no epoch has.
  [[nodiscard]] std::vector<double> operator[](std::string_view name) const;
  /// All names, in the order in which they first appeared; of the settings those that have changed.
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] const Epoch& last() const;
  /// Unset when nothing was monitored.
  [[nodiscard]] const std::optional<Best>& best() const noexcept { return best_; }
  /// `all 20 epochs done`, `no improvement of val_loss for 3 epochs`, …
  [[nodiscard]] const std::string& stop_reason() const noexcept { return stop_reason_; }

  /// A row takes the place of the last one when that stands at the same step, or is of the same epoch which was cut
  /// short by the end of a call and is now finished.
  void add(Epoch epoch);
  void set_best(Best best) { best_ = std::move(best); }
  void set_stop_reason(std::string reason) { stop_reason_ = std::move(reason); }

  /// One line an epoch: `epoch,steps,seconds,train_loss,…,lr,…`; written atomically. Numbers with all their digits. A
  /// validation within an epoch has its part: `1.5` is the middle of the second.
  void to_csv(const std::filesystem::path& path) const;
  /// The table as text, the best epoch marked with `*`.
  [[nodiscard]] std::string table() const;
  void state(State& state);

 private:
  std::vector<Epoch> epochs_;
  std::optional<Best> best_;
  std::string stop_reason_;
};

std::ostream& operator<<(std::ostream& stream, const History& history);

}  // namespace athanor
