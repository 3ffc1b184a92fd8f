// SPDX-License-Identifier: Apache-2.0
// A watched value: which name, which way is better, what counts as better.
#pragma once

#include <optional>
#include <string>

#include "athanor/core/mode.hpp"
#include "athanor/core/state.hpp"
#include "athanor/train/trainer.hpp"

namespace athanor {

struct MonitorOptions {
  /// A value of the epoch. Empty: the loss of the validation data where there are such, else `train_loss`.
  std::string monitor = {};
  /// Unset: known for losses and metrics; asked for, as an Error, where it is not.
  std::optional<Mode> mode = {};
  /// A value must be better than the best by more than this.
  double min_change = 0;
  friend bool operator==(const MonitorOptions&, const MonitorOptions&) = default;
};

/// Remembers the best value that it was shown. NaN and infinity on the wrong side are never better; of equal values the
/// first stays.
class Monitor {
 public:
  explicit Monitor(MonitorOptions options = {}) : options_(std::move(options)) {}

  /// Resolves name and mode against the values of the run. Throws Error with the names that there are, the nearest
  /// first.
  void bind(const Trainer& trainer);
  /// True when `trainer.values()` improve on the best; then they are the best.
  bool improved(const Trainer& trainer);

  /// Known after `bind`.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] Mode mode() const noexcept { return mode_; }
  [[nodiscard]] const MonitorOptions& options() const noexcept { return options_; }
  [[nodiscard]] bool has_best() const noexcept { return best_epoch_ > 0; }
  [[nodiscard]] double best() const noexcept { return best_; }
  [[nodiscard]] int64_t best_epoch() const noexcept { return best_epoch_; }
  void state(State& state);

 private:
  MonitorOptions options_;
  std::string name_;
  Mode mode_ = Mode::min;
  double best_ = 0;
  int64_t best_epoch_ = 0;
};

}  // namespace athanor
