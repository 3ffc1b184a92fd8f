// SPDX-License-Identifier: Apache-2.0
// A smaller learning rate when a value of the run has stopped improving.
//
//     .schedule = schedules::reduce_on_plateau({.monitor = "val_acc", .mode = Mode::max, .factor = 0.5})
//     .schedule = schedules::sequence({schedules::linear_warmup(500_steps), schedules::reduce_on_plateau()})
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "athanor/core/mode.hpp"
#include "athanor/optim/schedule.hpp"

namespace athanor {

/// Counts what was no improvement, with patience and cooldown, as torch's ReduceLROnPlateau does.
class PlateauCounter {
 public:
  PlateauCounter(int64_t patience, int64_t cooldown) noexcept : patience_(patience), cooldown_(cooldown) {}

  /// One more check. How many there were without improvement, when these are more than the patience; then the counting
  /// begins again and the cooldown too.
  std::optional<int64_t> count(bool improved) noexcept;
  void state(State& state);

 private:
  int64_t patience_;
  int64_t cooldown_;
  int64_t waited_ = 0;
  int64_t cooling_ = 0;
};

namespace schedules {

struct PlateauOptions {
  /// A value of the run, a metric or a loss; empty: the loss of the validation data where there are such, else
  /// `train_loss`.
  std::string monitor = {};
  /// Whether it should become small or large. A trainer refuses what it knows to be the wrong way.
  Mode mode = Mode::min;
  double factor = 0.1;       ///< What the rate is multiplied by; from 0 to below 1.
  int64_t patience = 10;     ///< Checks without improvement that are put up with.
  double min_change = 1e-4;  ///< A value must be better than the best by more than this …
  bool relative = true;      ///< … times the size of the best, else by itself.
  int64_t cooldown = 0;      ///< Checks after a reduction that do not count.
  double min_factor = 0;     ///< The rate does not fall below this part of the base rate.
};

/// `ReduceLROnPlateau`, on a value: a trainer hands it over after each validation, and says by a message what was done;
/// a loop of your own calls `Schedule::on_value`. NaN is never better. Unlike torch's, it can stand behind a warm-up,
/// and `relative` is relative to the size of the best, so that it works for negative values too.
///
/// The callback ReduceOnPlateau does the same and can go back to the best weights. Throws Error for options out of
/// range.
[[nodiscard]] Schedule reduce_on_plateau(PlateauOptions options = {});

}  // namespace schedules
}  // namespace athanor
