// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/schedule_combinations.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/optim/schedule_parts.hpp"
#include "athanor/optim/schedule_progress.hpp"

namespace athanor {
namespace {

using PartList = std::vector<Schedule>;

Cadence finest(const PartList& parts) {
  Cadence found = Cadence::value;
  for (const Schedule& part : parts) found = std::min(found, part.cadence());
  return found;
}

bool any_needs_total(const PartList& parts) {
  return std::any_of(parts.begin(), parts.end(), [](const Schedule& part) { return part.needs_total(); });
}

bool any_takes_value(const PartList& parts) {
  return std::any_of(parts.begin(), parts.end(), [](const Schedule& part) { return part.takes_value(); });
}

const Schedule* first_learner(const PartList& parts) {
  const auto found = std::find_if(parts.begin(), parts.end(), [](const Schedule& part) { return part.takes_value(); });
  return found == parts.end() ? nullptr : &*found;
}

std::string monitor_of(const PartList& parts) {
  const Schedule* learner = first_learner(parts);
  return learner == nullptr ? std::string() : learner->monitor();
}

std::optional<Mode> mode_of(const PartList& parts) {
  const Schedule* learner = first_learner(parts);
  return learner == nullptr ? std::nullopt : learner->mode();
}

std::string describe_parts(const PartList& parts, const char* separator) {
  std::string text;
  for (const Schedule& part : parts) text += (text.empty() ? "" : separator) + part.describe();
  return text;
}

void check_parts(const PartList& parts, const char* where) {
  if (parts.empty()) throw Error({.what = "a combination of schedules is empty", .where = where});
  const Schedule* learner = first_learner(parts);
  for (const Schedule& part : parts) {
    if (!part.takes_value() || (part.monitor() == learner->monitor() && part.mode() == learner->mode())) continue;
    const auto name = [](const Schedule& each) { return each.monitor().empty() ? "the loss" : each.monitor(); };
    throw Error({.what = "two schedules learn from different values of the run",
                 .where = where,
                 .got = name(*learner) + " and " + name(part),
                 .expected = "one value and one mode for an optimizer"});
  }
}

void check_one_field(const PartList& parts, const char* where) {
  for (const Schedule& part : parts) {
    schedules::detail::check_single(part, where);
    if (part.field() == parts.front().field() && part.base() == parts.front().base()) continue;
    throw Error({.what = "the schedules of a combination are for different fields or bases",
                 .where = where,
                 .got = part.describe(),
                 .todo = "make it of one field, and put fields side by side with schedules::together"});
  }
}

/// For the field, and with the base, of another.
Schedule set_as(const Schedule& other, const Schedule& made) {
  return other.base() ? made.of(other.field(), *other.base()) : made.of(other.field());
}

}  // namespace

class SequenceSchedule {
 public:
  explicit SequenceSchedule(PartList parts) : cadence(finest(parts)), parts_(std::move(parts)) {}

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
  bool needs_total() const { return any_needs_total(parts_); }
  bool takes_value() const { return any_takes_value(parts_); }
  std::string monitor() const { return monitor_of(parts_); }
  std::optional<Mode> mode() const { return mode_of(parts_); }
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
  /// The part that is due, and the time within it.
  size_t find_part(const ScheduleTime& time, ScheduleTime& local) const {
    size_t part = 0;
    for (; part + 1 < parts_.size(); ++part) {
      const Duration length = *parts_[part].length();
      if (schedules::detail::elapsed(local, length) < length.count() - schedules::detail::rounding_margin) break;
      leave_behind(length, time, local);
    }
    return part;
  }

  /// Moves the beginning of the local time behind a part.
  static void leave_behind(const Duration& length, const ScheduleTime& time, ScheduleTime& local) {
    const double ratio = schedules::detail::epochs_per_update(time);
    double updates = length.count(), epochs = length.count();
    if (length.unit() == Duration::Unit::steps) {
      epochs = updates * ratio;
    } else {
      updates = ratio > 0 ? std::round(epochs / ratio) : 0;
    }
    local.updates = std::max<int64_t>(local.updates - static_cast<int64_t>(updates), 0);
    local.epochs = std::max(local.epochs - epochs, 0.0);
    if (local.total_updates) *local.total_updates -= static_cast<int64_t>(updates);
    if (local.total_epochs) *local.total_epochs -= epochs;
  }

  PartList parts_;
  mutable size_t running_ = 0;  // follows from the last time
};

class ChainedSchedule {
 public:
  explicit ChainedSchedule(PartList parts) : cadence(finest(parts)), parts_(std::move(parts)) {}

  double factor(const ScheduleTime& time) const {
    double product = 1;
    for (const Schedule& part : parts_) product *= part.evaluate(time);
    return product;
  }
  bool needs_total() const { return any_needs_total(parts_); }
  bool takes_value() const { return any_takes_value(parts_); }
  std::string monitor() const { return monitor_of(parts_); }
  std::optional<Mode> mode() const { return mode_of(parts_); }
  void on_value(double value) {
    for (Schedule& part : parts_) part.model_->on_value(value);
  }
  std::string describe() const {
    std::string text;
    for (const Schedule& part : parts_) text += (text.empty() ? "" : " and ") + part.model_->describe();
    return text;
  }
  void state(State& state) {
    struct Factor {
      Schedule& schedule;
      void state(State& state) { schedule.model_->state(state); }
    };
    for (size_t i = 0; i < parts_.size(); ++i) {
      Factor part{parts_[i]};
      state.child(std::to_string(i), part);
    }
  }

  Cadence cadence;

 private:
  PartList parts_;
};

class SeveralSchedules {
 public:
  SeveralSchedules(PartList parts, bool by_group) : cadence(finest(parts)), parts_{std::move(parts), by_group} {
    if (!by_group) return;
    for (size_t group = 0; group < parts_.all.size(); ++group) parts_.all[group] = parts_.all[group].only_group(group);
  }

  double factor(const ScheduleTime& time) const { return main().evaluate(time); }
  ScheduleParts& parts() { return parts_; }
  size_t parts_over(const ScheduleTime& time) const { return main().parts_over(time); }
  std::string describe_part(size_t part) const { return main().describe_part(part); }
  std::optional<Duration> length() const { return main().length(); }
  bool needs_total() const { return any_needs_total(parts_.all); }
  bool takes_value() const { return any_takes_value(parts_.all); }
  std::string monitor() const { return monitor_of(parts_.all); }
  std::optional<Mode> mode() const { return mode_of(parts_.all); }
  std::string describe() const { return describe_parts(parts_.all, "; "); }
  void state(State& state) {
    for (size_t i = 0; i < parts_.all.size(); ++i) state.child(std::to_string(i), parts_.all[i]);
  }
  [[nodiscard]] const Schedule& main() const {
    const auto rate = std::find_if(parts_.all.begin(), parts_.all.end(),
                                   [](const Schedule& part) { return part.field() == OptimizerField::lr; });
    return rate == parts_.all.end() ? parts_.all.front() : *rate;
  }
  /// Those that are several fields themselves in pieces.
  static PartList in_pieces(const PartList& parts) {
    PartList pieces;
    for (const Schedule& part : parts) {
      const ScheduleParts* inner = part.model_->parts();
      if (inner == nullptr || inner->by_group) {
        pieces.push_back(part);
      } else {
        pieces.insert(pieces.end(), inner->all.begin(), inner->all.end());
      }
    }
    return pieces;
  }
  static Schedule made(SeveralSchedules several) {
    const OptimizerField field = several.main().field();
    Schedule schedule(std::move(several));
    schedule.field_ = field;
    return schedule;
  }

  Cadence cadence;

 private:
  ScheduleParts parts_;
};

/// Another length, or another cadence, around a schedule.
class WrappedSchedule {
 public:
  WrappedSchedule(Schedule inner, std::optional<Duration> length, Cadence wanted)
      : cadence(wanted), inner_(std::move(inner)), length_(length) {}

  double factor(const ScheduleTime& time) const {
    if (cadence != Cadence::epoch || inner_.cadence() == Cadence::epoch) return inner_.evaluate(time);
    ScheduleTime whole = time;
    const double ratio = schedules::detail::epochs_per_update(time);
    if (ratio > 0) whole.updates = static_cast<int64_t>(std::llround(time.epochs / ratio));
    return inner_.evaluate(whole);
  }
  std::optional<Duration> length() const { return length_ ? length_ : inner_.length(); }
  bool needs_total() const { return inner_.needs_total(); }
  bool takes_value() const { return inner_.takes_value(); }
  std::string monitor() const { return inner_.monitor(); }
  std::optional<Mode> mode() const { return inner_.mode(); }
  void on_value(double value) { inner_.model_->on_value(value); }
  std::string describe() const {
    const std::string text = inner_.model_->describe();
    return length_ ? text + " for " + length_->describe() : text + ", by epochs";
  }
  void state(State& state) { inner_.model_->state(state); }

  Cadence cadence;

 private:
  Schedule inner_;
  std::optional<Duration> length_;
};

namespace schedules {

Schedule sequence(std::initializer_list<Schedule> parts) {
  const char* where = "schedules::sequence";
  if (parts.size() == 0) throw Error({.what = "a sequence of schedules is empty", .where = where});
  check_parts(parts, where);
  for (const Schedule& part : parts) {
    if (part.length() || &part == parts.end() - 1) continue;
    throw Error({.what = "a schedule that is not the last of a sequence has no length of its own",
                 .where = where,
                 .got = part.describe(),
                 .todo = "give it a length in steps or epochs, as by schedules::lasting, or put it last"});
  }
  check_one_field(parts, where);
  return set_as(*parts.begin(), SequenceSchedule(parts));
}

Schedule chained(std::initializer_list<Schedule> parts) {
  check_parts(parts, "schedules::chained");
  check_one_field(parts, "schedules::chained");
  return set_as(*parts.begin(), ChainedSchedule(parts));
}

Schedule together(std::initializer_list<Schedule> parts) {
  const char* where = "schedules::together";
  check_parts(parts, where);
  const PartList pieces = SeveralSchedules::in_pieces(parts);
  for (size_t i = 0; i < pieces.size(); ++i) {
    detail::check_single(pieces[i], where);
    for (size_t j = 0; j < i; ++j) {
      if (pieces[j].field() != pieces[i].field()) continue;
      throw Error(
          {.what = "two schedules set the same field",
           .where = where,
           .got = pieces[j].describe() + " and " + pieces[i].describe(),
           .todo = "multiply them with schedules::chained, or put one after the other with schedules::sequence"});
    }
  }
  return SeveralSchedules::made(SeveralSchedules(pieces, false));
}

Schedule by_group(std::vector<Schedule> parts) {
  check_parts(parts, "schedules::by_group");
  return SeveralSchedules::made(SeveralSchedules(std::move(parts), true));
}

Schedule lasting(Duration length, const Schedule& schedule) {
  detail::check_length(length, "schedules::lasting");
  detail::check_single(schedule, "schedules::lasting");
  return set_as(schedule, WrappedSchedule(schedule, length, schedule.cadence()));
}

Schedule per_epoch(const Schedule& schedule) {
  detail::check_single(schedule, "schedules::per_epoch");
  if (schedule.cadence() == Cadence::value) {
    throw Error({.what = "a schedule that learns from values has no epochs",
                 .where = "schedules::per_epoch",
                 .got = schedule.describe()});
  }
  return set_as(schedule, WrappedSchedule(schedule, {}, Cadence::epoch));
}

}  // namespace schedules
}  // namespace athanor
