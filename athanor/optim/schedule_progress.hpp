// SPDX-License-Identifier: Apache-2.0
// How far a schedule has come, and the checks of its options, for the sources of this room.
#pragma once

#include <optional>
#include <string>

#include "athanor/optim/schedule.hpp"

namespace athanor::schedules::detail {

/// A fraction of an epoch is a sum of 1/batches.
inline constexpr double rounding_margin = 1e-9;

/// Throws Error unless the length counts steps or epochs and is above 0.
void check_length(const Duration& length, const char* where);
/// Throws Error unless the factor is finite and 0 or more.
void check_factor(double factor, const char* where);
/// Throws Error with the name of the option unless `ok`.
void check_option(bool ok, const std::string& where, double got, const char* expected);
/// Throws Error for a schedule of several fields or groups.
void check_single(const Schedule& schedule, const char* where);

/// What has passed, in the unit of `length`.
[[nodiscard]] double elapsed(const ScheduleTime& time, const Duration& length);
/// How many epochs an update takes, 0 while nobody knows: each is taken to be as long as the others.
[[nodiscard]] double epochs_per_update(const ScheduleTime& time);

/// Where a schedule stands within its length, in one unit.
struct Progress {
  double done = 0;
  double total = 0;      ///< 0 when nobody knows.
  bool in_steps = true;  ///< Else epochs.
  /// From 0 to 1; what has no length is over at once, but for its beginning.
  [[nodiscard]] double share() const;
};

/// Over `length`, or over the whole run, which may be unknown at time 0 only.
[[nodiscard]] Progress progress(const ScheduleTime& time, const std::optional<Duration>& length);

/// `length` in the unit of a progress.
[[nodiscard]] double in_unit_of(const Progress& progress, const Duration& length, const ScheduleTime& time);

}  // namespace athanor::schedules::detail
