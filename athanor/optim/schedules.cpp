// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/schedules.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {
namespace {

/// A fraction of an epoch is a sum of 1/batches.
constexpr double rounding_margin = 1e-9;

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

/// What has passed, in the unit of `length`.
double elapsed(const ScheduleTime& time, const Duration& length) {
  return length.unit() == Duration::Unit::steps ? static_cast<double>(time.updates) : time.epochs;
}

/// From 0 to 1 over `length`, or over the whole run. The total may be unknown at time 0 only.
double progress(const ScheduleTime& time, const std::optional<Duration>& length) {
  double done = 0, total = 0;
  if (length) {
    done = elapsed(time, *length);
    total = length->count();
  } else if (time.total_updates) {
    done = static_cast<double>(time.updates);
    total = static_cast<double>(*time.total_updates);
  } else if (time.total_epochs) {
    done = time.epochs;
    total = *time.total_epochs;
  }
  if (done <= 0) return 0;
  return total > 0 ? std::min(done / total, 1.0) : 1;
}

struct Lambda {
  std::function<double(int64_t)> function;
  Cadence cadence;
  double factor(const ScheduleTime& time) const {
    return function(cadence == Cadence::step ? time.updates : static_cast<int64_t>(time.epochs));
  }
  static std::string describe() { return "lambda"; }
};

struct LinearWarmup {
  static constexpr Cadence cadence = Cadence::step;
  Duration duration;
  double start_factor;
  double factor(const ScheduleTime& time) const { return start_factor + (1 - start_factor) * progress(time, duration); }
  std::optional<Duration> length() const { return duration; }
  std::string describe() const {
    return "linear warm-up over " + duration.describe() +
           (start_factor != 0 ? " from " + shortest(start_factor) : std::string());
  }
};

struct Cosine {
  static constexpr Cadence cadence = Cadence::step;
  double min_factor;
  std::optional<Duration> duration;
  double factor(const ScheduleTime& time) const {
    return min_factor + (1 - min_factor) * (1 + std::cos(std::numbers::pi * progress(time, duration))) / 2;
  }
  std::optional<Duration> length() const { return duration; }
  bool needs_total() const { return !duration; }
  std::string describe() const {
    return "cosine to " + shortest(min_factor) + (duration ? " over " + duration->describe() : std::string());
  }
};

struct Step {
  static constexpr Cadence cadence = Cadence::step;
  Duration size;
  double gamma;
  double factor(const ScheduleTime& time) const {
    return std::pow(gamma, std::floor(elapsed(time, size) / size.count() + rounding_margin));
  }
  std::string describe() const { return "times " + shortest(gamma) + " every " + size.describe(); }
};

}  // namespace

class SequenceSchedule {
 public:
  explicit SequenceSchedule(std::vector<Schedule> parts) : cadence(finest(parts)), parts_(std::move(parts)) {}

  double factor(const ScheduleTime& time) const {
    ScheduleTime local = time;
    running_ = find_part(time, local);
    return parts_[running_].evaluate(local);
  }
  size_t parts_over(const ScheduleTime& time) const {
    ScheduleTime local = time;
    const size_t part = find_part(time, local);
    return part + (parts_[part].parts_over(local) > 0 ? 1 : 0);
  }
  std::string describe_part(size_t part) const { return parts_[part].model_->describe(); }
  std::optional<Duration> length() const {
    std::optional<Duration> sum = parts_.front().length();
    for (size_t i = 1; i < parts_.size() && sum; ++i) {
      const std::optional<Duration> length = parts_[i].length();
      if (!length || length->unit() != sum->unit()) return std::nullopt;
      const double count = sum->count() + length->count();
      sum =
          sum->unit() == Duration::Unit::steps ? Duration::steps(static_cast<int64_t>(count)) : Duration::epochs(count);
    }
    return sum;
  }
  bool needs_total() const {
    return std::any_of(parts_.begin(), parts_.end(), [](const Schedule& part) { return part.needs_total(); });
  }
  bool takes_value() const {
    return std::any_of(parts_.begin(), parts_.end(), [](const Schedule& part) { return part.takes_value(); });
  }
  void on_value(double value) { parts_[running_].model_->on_value(value); }
  std::string describe() const {
    std::string text;
    for (const Schedule& part : parts_) text += (text.empty() ? "" : ", then ") + part.model_->describe();
    return text;
  }
  void state(State& state) {
    struct Part {
      Schedule& schedule;
      void state(State& state) { schedule.model_->state(state); }
    };
    for (size_t i = 0; i < parts_.size(); ++i) {
      Part part{parts_[i]};
      state.child(std::to_string(i), part);
    }
  }

  Cadence cadence;

 private:
  static Cadence finest(const std::vector<Schedule>& parts) {
    Cadence found = Cadence::value;
    for (const Schedule& part : parts) found = std::min(found, part.cadence());
    return found;
  }

  /// The part that is due, and the time within it.
  size_t find_part(const ScheduleTime& time, ScheduleTime& local) const {
    size_t part = 0;
    for (; part + 1 < parts_.size(); ++part) {
      const Duration length = *parts_[part].length();
      if (elapsed(local, length) < length.count() - rounding_margin) break;
      leave_behind(length, time, local);
    }
    return part;
  }

  /// Moves the beginning of the local time behind a part.
  static void leave_behind(const Duration& length, const ScheduleTime& time, ScheduleTime& local) {
    double epochs_per_update = 0;
    if (time.total_updates && time.total_epochs && *time.total_updates > 0) {
      epochs_per_update = *time.total_epochs / static_cast<double>(*time.total_updates);
    } else if (time.updates > 0) {
      epochs_per_update = time.epochs / static_cast<double>(time.updates);
    }
    double updates = length.count(), epochs = length.count();
    if (length.unit() == Duration::Unit::steps) {
      epochs = updates * epochs_per_update;
    } else {
      updates = epochs_per_update > 0 ? std::round(epochs / epochs_per_update) : 0;
    }
    local.updates = std::max<int64_t>(local.updates - static_cast<int64_t>(updates), 0);
    local.epochs = std::max(local.epochs - epochs, 0.0);
    if (local.total_updates) *local.total_updates -= static_cast<int64_t>(updates);
    if (local.total_epochs) *local.total_epochs -= epochs;
  }

  std::vector<Schedule> parts_;
  mutable size_t running_ = 0;  // follows from the last time
};

namespace schedules {

Schedule lambda(std::function<double(int64_t)> function, Cadence cadence) {
  if (cadence == Cadence::value || function == nullptr) {
    throw Error({.what = "a lambda schedule needs a function of steps or epochs",
                 .where = "schedules::lambda",
                 .got = function == nullptr ? "no function" : "Cadence::value",
                 .todo = "for a schedule that learns from values, write a type with on_value"});
  }
  return Lambda{std::move(function), cadence};
}

Schedule linear_warmup(Duration length, double start_factor) {
  check_length(length, "schedules::linear_warmup");
  check_factor(start_factor, "schedules::linear_warmup");
  return LinearWarmup{length, start_factor};
}

Schedule cosine(double min_factor, std::optional<Duration> length) {
  if (length) check_length(*length, "schedules::cosine");
  check_factor(min_factor, "schedules::cosine");
  return Cosine{min_factor, length};
}

Schedule step(Duration size, double gamma) {
  check_length(size, "schedules::step");
  check_factor(gamma, "schedules::step");
  return Step{size, gamma};
}

Schedule sequence(std::initializer_list<Schedule> parts) {
  if (parts.size() == 0) throw Error({.what = "a sequence of schedules is empty", .where = "schedules::sequence"});
  for (const Schedule& part : parts) {
    if (!part.length() && &part != parts.end() - 1) {
      throw Error({.what = "a schedule that is not the last of a sequence has no length of its own",
                   .where = "schedules::sequence",
                   .got = part.describe(),
                   .todo = "give it a length in steps or epochs, or put it last"});
    }
    if (part.field() != parts.begin()->field()) {
      throw Error({.what = "the schedules of a sequence are for different fields",
                   .where = "schedules::sequence",
                   .got = part.describe(),
                   .todo = "make the sequence of one field"});
    }
  }
  return Schedule(SequenceSchedule(parts)).of(parts.begin()->field());
}

}  // namespace schedules
}  // namespace athanor
