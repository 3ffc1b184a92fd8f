// SPDX-License-Identifier: Apache-2.0
// Schedules made of schedules: one after the other, multiplied, side by side for several fields or groups, cut off, by
// epochs.
#pragma once

#include <initializer_list>
#include <vector>

#include "athanor/core/duration.hpp"
#include "athanor/optim/schedule.hpp"

namespace athanor::schedules {

/// One after the other, as `SequentialLR`: each begins where the one before it ends, at time 0 of its own. The last one
/// gets the rest of the run. Steps and epochs may be mixed: an epoch is taken to have as many updates as the others.
/// Throws Error when it is empty, when a part that is not the last has no length of its own, when a part is for another
/// field than the first or for several, and when two parts learn from different values of the run.
[[nodiscard]] Schedule sequence(std::initializer_list<Schedule> parts);

/// The product of the factors, as `ChainedScheduler` has it for what torch calls chainable. Throws Error when it is
/// empty, and as `sequence` for fields and values.
[[nodiscard]] Schedule chained(std::initializer_list<Schedule> parts);

/// Several fields of one optimizer, each with a schedule of its own:
///
///     schedules::together({schedules::cosine(), schedules::linear(1, 10).of(OptimizerField::weight_decay)})
///
/// A part that is several fields itself, as `one_cycle`, is taken in pieces. Throws Error when it is empty, when two
/// parts set the same field, when a part is by groups, and when two learn from different values.
[[nodiscard]] Schedule together(std::initializer_list<Schedule> parts);

/// A schedule for each group of the optimizer, in their order, as a list of lambdas or rates in torch. Throws Error
/// when it is empty or two learn from different values; at the beginning of a run when there are more or fewer groups.
[[nodiscard]] Schedule by_group(std::vector<Schedule> parts);

/// The schedule for so long, when it has no length of its own, or another: for a place in a sequence. Throws Error for
/// a length that is not above 0 or not in steps or epochs, and for a schedule of several fields.
[[nodiscard]] Schedule lasting(Duration length, const Schedule& schedule);

/// The schedule at the beginnings of epochs, and no change within them, as a scheduler that is stepped once an epoch.
/// Throws Error for a schedule of several fields or one that learns from values alone.
[[nodiscard]] Schedule per_epoch(const Schedule& schedule);

}  // namespace athanor::schedules
