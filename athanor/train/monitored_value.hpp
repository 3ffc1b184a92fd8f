// SPDX-License-Identifier: Apache-2.0
// Which value of a run is meant by the name of a monitor, and handing it to the schedules that learn from one.
#pragma once

#include <string>

#include "athanor/train/trainer.hpp"

namespace athanor {

struct MonitoredValue {
  std::string name;
  Direction direction = Direction::unknown;
};

/// The value of that name among `trainer.value_names()`. Empty: the loss of the validation data where there are such,
/// else `train_loss`. Throws Error with the names that there are, the nearest first. The names must be known.
[[nodiscard]] MonitoredValue find_monitored(const Trainer& trainer, const std::string& wanted);

/// Throws Error when a schedule learns from a value that the run does not have, or takes for better what is worse. For
/// a run whose names are not known yet nothing is checked.
void check_schedule_monitors(Trainer& trainer);

/// After a check: each schedule that learns from a value gets it, when it was measured this time; a change of the field
/// is told by a message.
void give_value_to_schedules(Trainer& trainer);

}  // namespace athanor
