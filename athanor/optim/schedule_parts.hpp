// SPDX-License-Identifier: Apache-2.0
// Schedules that work side by side on one optimizer, for the sources of this room.
#pragma once

#include <vector>

#include "athanor/optim/schedule.hpp"

namespace athanor {

/// Each of them has base values and a state of its own.
struct ScheduleParts {
  std::vector<Schedule> all;
  bool by_group = false;  ///< One for each group of the optimizer.
};

}  // namespace athanor
