// SPDX-License-Identifier: Apache-2.0
// Which learning rate to begin with: the range test of Smith (2017).
//
//     athanor::LrCurve curve = athanor::find_lr(options, task, train);
//     std::cout << curve.suggestion();
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "athanor/train/trainer.hpp"

namespace athanor {

struct LrFinderOptions {
  /// The rate of the first step and of the last.
  double lowest = 1e-8;
  double highest = 1;
  /// Updates, at least 3. The rate grows by the same factor from each to the next.
  int64_t steps = 100;
  /// Share of the old mean in the running mean of the loss, corrected for its beginning; from 0 to below 1.
  double smoothing = 0.98;
  /// The sweep ends where the smoothed loss is more than so many times its least value; unset: only where it is not
  /// finite.
  std::optional<double> give_up_above = 4;
  /// The optimizer whose rate is swept, by name; the others keep theirs. May stay empty when there is only one.
  std::string optimizer = {};
};

/// What the sweep saw, a number for each step.
struct LrCurve {
  std::vector<double> lrs;
  std::vector<double> losses;    ///< Of the step with that rate; the last may be NaN or infinite.
  std::vector<double> smoothed;  ///< As long as the loss was finite.

  /// The rate at which the smoothed loss falls fastest per factor of the rate, without the first `skip_begin` and the
  /// last `skip_end` steps, as Lightning has it. Unset when fewer than three steps are left, or nothing falls.
  [[nodiscard]] std::optional<double> suggestion(size_t skip_begin = 10, size_t skip_end = 1) const;
};

/// Trains with a rate that grows from step to step, and puts the task back bit for bit (see Trial). Data, batch size,
/// precision, accumulation and whatever else belongs to a step are those of `options`; schedules, callbacks,
/// validation, display and run folder are left out. A trainer that is in the midst of a run with the task is not
/// disturbed: the sweep has a trainer of its own, for which `configure_optimizers` is called again. Groups keep the
/// ratio of their rates. Reads the loss of each step.
///
/// Throws Error for options out of range, an optimizer that is not there, and a first loss that is not finite.
[[nodiscard]] LrCurve find_lr(const TrainerOptions& options, Task& task, Data train,
                              const LrFinderOptions& finder = {});

}  // namespace athanor
