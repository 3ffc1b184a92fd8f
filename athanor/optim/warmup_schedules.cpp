// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/warmup_schedules.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/optim/schedule_combinations.hpp"
#include "athanor/optim/schedule_progress.hpp"
#include "athanor/optim/schedules.hpp"

namespace athanor::schedules {
namespace {

using namespace detail;

void check_warmup(const Duration& length, double start_factor, const char* where) {
  check_length(length, where);
  check_factor(start_factor, where);
  if (start_factor <= 1) return;
  throw Error({.what = "a warm-up starts above the base rate",
               .where = where,
               .got = shortest(start_factor) + " times the base rate",
               .expected = "a start_factor from 0 to 1",
               .todo = "give the optimizer the highest rate as its lr"});
}

std::string describe_start(double start_factor) { return start_factor != 0 ? " from " + shortest(start_factor) : ""; }

struct LinearWarmup {
  static constexpr Cadence cadence = Cadence::step;
  Duration duration;
  double start_factor;
  double factor(const ScheduleTime& time) const {
    return start_factor + (1 - start_factor) * progress(time, duration).share();
  }
  std::optional<Duration> length() const { return duration; }
  std::string describe() const { return "linear warm-up over " + duration.describe() + describe_start(start_factor); }
};

struct ExponentialWarmup {
  static constexpr Cadence cadence = Cadence::step;
  Duration duration;
  double start_factor;
  double factor(const ScheduleTime& time) const { return std::pow(start_factor, 1 - progress(time, duration).share()); }
  std::optional<Duration> length() const { return duration; }
  std::string describe() const {
    return "exponential warm-up over " + duration.describe() + describe_start(start_factor);
  }
};

struct ConstantWarmup {
  static constexpr Cadence cadence = Cadence::step;
  Duration duration;
  double start_factor;
  double factor(const ScheduleTime& time) const {
    return elapsed(time, duration) >= duration.count() - rounding_margin ? 1 : start_factor;
  }
  std::optional<Duration> length() const { return duration; }
  std::string describe() const { return "constant warm-up over " + duration.describe() + describe_start(start_factor); }
};

struct InverseSquareRoot {
  static constexpr Cadence cadence = Cadence::step;
  LinearWarmup warmup;
  double factor(const ScheduleTime& time) const {
    const double done = elapsed(time, warmup.duration);
    return done < warmup.duration.count() ? warmup.factor(time) : std::sqrt(warmup.duration.count() / done);
  }
  std::string describe() const { return warmup.describe() + ", then inverse square root"; }
};

struct WarmupStableDecay {
  static constexpr Cadence cadence = Cadence::step;
  WarmupStableDecayOptions options;
  double factor(const ScheduleTime& time) const {
    const LinearWarmup warmup{options.warmup, options.start_factor};
    const Progress whole = progress(time, options.length);
    const double decay = in_unit_of(whole, options.decay, time);
    double down = 0;
    if (whole.total > 0 && decay > 0) down = std::clamp((whole.done - (whole.total - decay)) / decay, 0.0, 1.0);
    const double fallen = options.min_factor + (1 - options.min_factor) * left(down);
    return std::min(warmup.factor(time), fallen);
  }
  double left(double p) const {
    switch (options.shape) {
      case DecayShape::linear:
        return 1 - p;
      case DecayShape::cosine:
        return (1 + std::cos(std::numbers::pi * p)) / 2;
      case DecayShape::one_minus_sqrt:
        return 1 - std::sqrt(p);
    }
    return 1;
  }
  std::optional<Duration> length() const { return options.length; }
  bool needs_total() const { return !options.length; }
  std::string describe() const {
    static constexpr const char* names[] = {"linear", "cosine", "1 - sqrt"};
    return "linear warm-up over " + options.warmup.describe() + describe_start(options.start_factor) +
           ", stable, then a " + names[static_cast<size_t>(options.shape)] + " decay to " +
           shortest(options.min_factor) + " over the last " + options.decay.describe();
  }
};

}  // namespace

Schedule linear_warmup(Duration length, double start_factor) {
  check_warmup(length, start_factor, "schedules::linear_warmup");
  return LinearWarmup{length, start_factor};
}

Schedule exponential_warmup(Duration length, double start_factor) {
  check_warmup(length, start_factor, "schedules::exponential_warmup");
  check_option(start_factor > 0, "schedules::exponential_warmup, start_factor", start_factor, "above 0, up to 1");
  return ExponentialWarmup{length, start_factor};
}

Schedule constant_warmup(Duration length, double start_factor) {
  check_warmup(length, start_factor, "schedules::constant_warmup");
  return ConstantWarmup{length, start_factor};
}

Schedule inverse_square_root(Duration warmup, double start_factor) {
  check_warmup(warmup, start_factor, "schedules::inverse_square_root");
  return InverseSquareRoot{{warmup, start_factor}};
}

Schedule linear_then_cosine(Duration warmup, const LinearThenCosineOptions& options) {
  const char* where = "schedules::linear_then_cosine";
  check_warmup(warmup, options.start_factor, where);
  std::optional<Duration> rest;
  if (options.length) {
    check_length(*options.length, where);
    const bool fits = options.length->unit() == warmup.unit() && options.length->count() > warmup.count();
    if (!fits) {
      throw Error({.what = "the length of a schedule leaves nothing after its warm-up",
                   .where = where,
                   .got = options.length->describe() + " with a warm-up of " + warmup.describe(),
                   .expected = "a longer one, in the unit of the warm-up"});
    }
    const double count = options.length->count() - warmup.count();
    rest =
        warmup.unit() == Duration::Unit::steps ? Duration::steps(static_cast<int64_t>(count)) : Duration::epochs(count);
  }
  return sequence({linear_warmup(warmup, options.start_factor), cosine(options.min_factor, rest)});
}

Schedule warmup_stable_decay(const WarmupStableDecayOptions& options) {
  const char* where = "schedules::warmup_stable_decay";
  check_warmup(options.warmup, options.start_factor, where);
  check_length(options.decay, where);
  if (options.length) check_length(*options.length, where);
  check_factor(options.min_factor, where);
  return WarmupStableDecay{options};
}

}  // namespace athanor::schedules
