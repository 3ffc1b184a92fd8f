// SPDX-License-Identifier: Apache-2.0
// Whether optimizers and nets of a task belong together.
#pragma once

#include <string>

#include "athanor/optim/optimizer.hpp"
#include "athanor/train/task.hpp"

namespace athanor {

/// Throws Error when there is no optimizer, two have one name, one is due every 0 steps, or one trains a tensor that is
/// no parameter of the task's nets: it would be in no checkpoint.
void check_optimizers(const Task& task, const Optimizers& optimizers);

/// A sentence about parameters that require a gradient and are in no optimizer; empty when there are none.
[[nodiscard]] std::string describe_untrained(const Task& task, const Optimizers& optimizers);

}  // namespace athanor
