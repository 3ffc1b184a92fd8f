// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/schedule_progress.hpp"

#include <algorithm>
#include <cmath>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor::schedules::detail {

void check_length(const Duration& length, const char* where) {
  if (length.unit() != Duration::Unit::steps && length.unit() != Duration::Unit::epochs) {
    throw Error({.what = "a schedule counts in steps or epochs",
                 .where = where,
                 .got = length.describe(),
                 .todo = "convert it, as in 500_steps or 2_epochs"});
  }
  if (!(length.count() > 0)) {
    throw Error({.what = "a schedule has no length", .where = where, .got = length.describe(), .expected = "above 0"});
  }
}

void check_factor(double factor, const char* where) {
  if (factor >= 0 && std::isfinite(factor)) return;
  throw Error({.what = "a factor of a schedule is out of range",
               .where = where,
               .got = format_number(factor),
               .expected = "0 or more"});
}

void check_option(bool ok, const std::string& where, double got, const char* expected) {
  if (ok) return;
  throw Error(
      {.what = "an option of a schedule is out of range", .where = where, .got = shortest(got), .expected = expected});
}

void check_single(const Schedule& schedule, const char* where) {
  if (schedule.parts().empty()) return;
  throw Error({.what = "a schedule of several fields or groups can't be part of another",
               .where = where,
               .got = schedule.describe(),
               .todo = "make each of its parts a sequence or product first, and put these together"});
}

double elapsed(const ScheduleTime& time, const Duration& length) {
  return length.unit() == Duration::Unit::steps ? static_cast<double>(time.updates) : time.epochs;
}

double epochs_per_update(const ScheduleTime& time) {
  if (time.total_updates && time.total_epochs && *time.total_updates > 0) {
    return *time.total_epochs / static_cast<double>(*time.total_updates);
  }
  return time.updates > 0 ? time.epochs / static_cast<double>(time.updates) : 0;
}

double Progress::share() const {
  if (done <= 0) return 0;
  return total > 0 ? std::min(done / total, 1.0) : 1;
}

Progress progress(const ScheduleTime& time, const std::optional<Duration>& length) {
  if (length) {
    return {
        .done = elapsed(time, *length), .total = length->count(), .in_steps = length->unit() == Duration::Unit::steps};
  }
  if (time.total_updates) {
    return {.done = static_cast<double>(time.updates), .total = static_cast<double>(*time.total_updates)};
  }
  if (time.total_epochs) return {.done = time.epochs, .total = *time.total_epochs, .in_steps = false};
  return {.done = static_cast<double>(time.updates)};
}

double in_unit_of(const Progress& progress, const Duration& length, const ScheduleTime& time) {
  const bool in_steps = length.unit() == Duration::Unit::steps;
  if (in_steps == progress.in_steps) return length.count();
  const double ratio = epochs_per_update(time);
  if (in_steps) return length.count() * ratio;
  return ratio > 0 ? length.count() / ratio : 0;
}

}  // namespace athanor::schedules::detail
