// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/schedules.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/optim/schedule_progress.hpp"

namespace athanor::schedules {
namespace {

using namespace detail;

std::string describe_span(const std::optional<Duration>& length) { return length ? " over " + length->describe() : ""; }

int64_t count_of(const ScheduleTime& time, Cadence cadence) {
  return cadence == Cadence::step ? time.updates : static_cast<int64_t>(time.epochs);
}

void check_function(const std::function<double(int64_t)>& function, Cadence cadence, const char* where) {
  if (cadence != Cadence::value && function != nullptr) return;
  throw Error({.what = "this schedule needs a function of steps or epochs",
               .where = where,
               .got = function == nullptr ? "no function" : "Cadence::value",
               .todo = "for a schedule that learns from values, write a type with on_value"});
}

struct LambdaSchedule {
  std::function<double(int64_t)> function;
  Cadence cadence;
  double factor(const ScheduleTime& time) const { return function(count_of(time, cadence)); }
  static std::string describe() { return "lambda"; }
};

class MultiplicativeSchedule {
 public:
  MultiplicativeSchedule(std::function<double(int64_t)> function, Cadence wanted)
      : cadence(wanted), function_(std::move(function)) {}

  double factor(const ScheduleTime& time) const {
    const int64_t count = count_of(time, cadence);
    if (count < known_) {
      known_ = 0;
      product_ = 1;
    }
    while (known_ < count) product_ *= function_(++known_);
    return product_;
  }
  static std::string describe() { return "product of lambdas"; }

  Cadence cadence;

 private:
  std::function<double(int64_t)> function_;
  mutable int64_t known_ = 0;
  mutable double product_ = 1;
};

struct StepSchedule {
  static constexpr Cadence cadence = Cadence::step;
  Duration size;
  double gamma;
  double factor(const ScheduleTime& time) const {
    return std::pow(gamma, std::floor(elapsed(time, size) / size.count() + rounding_margin));
  }
  std::string describe() const { return "times " + shortest(gamma) + " every " + size.describe(); }
};

struct MultiStepSchedule {
  static constexpr Cadence cadence = Cadence::step;
  std::vector<Duration> milestones;
  double gamma;
  double factor(const ScheduleTime& time) const {
    const auto passed = std::count_if(milestones.begin(), milestones.end(), [&](const Duration& milestone) {
      return elapsed(time, milestone) >= milestone.count() - rounding_margin;
    });
    return std::pow(gamma, static_cast<double>(passed));
  }
  std::string describe() const {
    std::vector<std::string> names;
    for (const Duration& milestone : milestones) names.push_back(milestone.describe());
    return "times " + shortest(gamma) + " at " + join(names, ", ");
  }
};

struct ConstantSchedule {
  static constexpr Cadence cadence = Cadence::step;
  double low;
  Duration duration;
  double factor(const ScheduleTime& time) const {
    return elapsed(time, duration) >= duration.count() - rounding_margin ? 1 : low;
  }
  std::optional<Duration> length() const { return duration; }
  std::string describe() const { return shortest(low) + " for " + duration.describe(); }
};

struct LinearSchedule {
  static constexpr Cadence cadence = Cadence::step;
  double start;
  double end;
  std::optional<Duration> duration;
  double factor(const ScheduleTime& time) const { return start + (end - start) * progress(time, duration).share(); }
  std::optional<Duration> length() const { return duration; }
  bool needs_total() const { return !duration; }
  std::string describe() const {
    return "linear from " + shortest(start) + " to " + shortest(end) + describe_span(duration);
  }
};

struct ExponentialSchedule {
  static constexpr Cadence cadence = Cadence::step;
  double gamma;
  Duration per;
  double factor(const ScheduleTime& time) const { return std::pow(gamma, elapsed(time, per) / per.count()); }
  std::string describe() const { return "exponential, " + shortest(gamma) + " every " + per.describe(); }
};

struct CosineSchedule {
  static constexpr Cadence cadence = Cadence::step;
  double min_factor;
  std::optional<Duration> duration;
  double factor(const ScheduleTime& time) const {
    return min_factor + (1 - min_factor) * (1 + std::cos(std::numbers::pi * progress(time, duration).share())) / 2;
  }
  std::optional<Duration> length() const { return duration; }
  bool needs_total() const { return !duration; }
  std::string describe() const { return "cosine to " + shortest(min_factor) + describe_span(duration); }
};

struct PolynomialSchedule {
  static constexpr Cadence cadence = Cadence::step;
  double power;
  std::optional<Duration> duration;
  double end;
  double factor(const ScheduleTime& time) const {
    return end + (1 - end) * std::pow(1 - progress(time, duration).share(), power);
  }
  std::optional<Duration> length() const { return duration; }
  bool needs_total() const { return !duration; }
  std::string describe() const {
    return "polynomial of power " + shortest(power) + " to " + shortest(end) + describe_span(duration);
  }
};

}  // namespace

Schedule lambda(std::function<double(int64_t)> function, Cadence cadence) {
  check_function(function, cadence, "schedules::lambda");
  return LambdaSchedule{std::move(function), cadence};
}

Schedule multiplicative(std::function<double(int64_t)> function, Cadence cadence) {
  check_function(function, cadence, "schedules::multiplicative");
  return MultiplicativeSchedule(std::move(function), cadence);
}

Schedule step(Duration size, double gamma) {
  check_length(size, "schedules::step");
  check_factor(gamma, "schedules::step");
  return StepSchedule{size, gamma};
}

Schedule multi_step(std::vector<Duration> milestones, double gamma) {
  for (const Duration& milestone : milestones) check_length(milestone, "schedules::multi_step");
  check_factor(gamma, "schedules::multi_step");
  if (milestones.empty()) {
    throw Error({.what = "a schedule has no milestone",
                 .where = "schedules::multi_step",
                 .expected = "at least one, as in {30_epochs, 60_epochs}"});
  }
  return MultiStepSchedule{std::move(milestones), gamma};
}

Schedule constant(double factor, Duration length) {
  check_length(length, "schedules::constant");
  check_factor(factor, "schedules::constant");
  return ConstantSchedule{factor, length};
}

Schedule linear(double start_factor, double end_factor, std::optional<Duration> length) {
  if (length) check_length(*length, "schedules::linear");
  check_factor(start_factor, "schedules::linear");
  check_factor(end_factor, "schedules::linear");
  return LinearSchedule{start_factor, end_factor, length};
}

Schedule exponential(double gamma, Duration per) {
  check_length(per, "schedules::exponential");
  check_factor(gamma, "schedules::exponential");
  return ExponentialSchedule{gamma, per};
}

Schedule cosine(double min_factor, std::optional<Duration> length) {
  if (length) check_length(*length, "schedules::cosine");
  check_factor(min_factor, "schedules::cosine");
  return CosineSchedule{min_factor, length};
}

Schedule polynomial(double power, std::optional<Duration> length, double end_factor) {
  if (length) check_length(*length, "schedules::polynomial");
  check_factor(end_factor, "schedules::polynomial");
  check_option(power > 0 && std::isfinite(power), "schedules::polynomial, power", power, "above 0");
  return PolynomialSchedule{power, length, end_factor};
}

}  // namespace athanor::schedules
