// SPDX-License-Identifier: Apache-2.0
#include "athanor/optim/cyclic_schedules.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/optim/schedule_combinations.hpp"
#include "athanor/optim/schedule_progress.hpp"

namespace athanor::schedules {
namespace {

using namespace detail;

void check_momentum(const std::optional<MomentumRange>& momentum, const std::string& where) {
  if (!momentum) return;
  check_option(momentum->low >= 0 && momentum->low < 1, where + ", momentum.low", momentum->low, "from 0 to below 1");
  check_option(momentum->high >= momentum->low && momentum->high < 1, where + ", momentum.high", momentum->high,
               "from momentum.low to below 1");
}

struct CosineRestarts {
  static constexpr Cadence cadence = Cadence::step;
  Duration first;
  int64_t multiplier;
  double min_factor;
  double factor(const ScheduleTime& time) const {
    double left = elapsed(time, first);
    double length = first.count();
    if (multiplier == 1) {
      left -= length * std::floor(left / length + rounding_margin);
    } else {
      while (left >= length - rounding_margin) {
        left -= length;
        length *= static_cast<double>(multiplier);
      }
    }
    const double share = std::max(left, 0.0) / length;
    return min_factor + (1 - min_factor) * (1 + std::cos(std::numbers::pi * share)) / 2;
  }
  std::string describe() const {
    return "cosine to " + shortest(min_factor) + " with restarts after " + first.describe() +
           (multiplier != 1 ? ", each " + std::to_string(multiplier) + " times as long" : "");
  }
};

struct Cycles {
  static constexpr Cadence cadence = Cadence::step;
  CyclicOptions options;
  double low;
  double high;
  double factor(const ScheduleTime& time) const {
    const double up = options.up.count();
    const double size = up + (options.down ? options.down->count() : up);
    const double done = elapsed(time, options.up);
    const double cycle = std::floor(1 + done / size + rounding_margin);
    const double x = std::max(1 + done / size - cycle, 0.0);
    const double rise = up / size;
    const double triangle = x <= rise ? x / rise : (x - 1) / (rise - 1);
    return low + (high - low) * triangle * height(cycle, done);
  }
  double height(double cycle, double done) const {
    if (options.scale) return options.scale(cycle);
    switch (options.height) {
      case CycleHeight::constant:
        return 1;
      case CycleHeight::halved:
        return std::exp2(1 - cycle);
      case CycleHeight::exponential:
        return std::pow(options.gamma, done);
    }
    return 1;
  }
  std::string describe() const {
    return "cycles from " + shortest(low) + " to " + shortest(high) + " in " + options.up.describe() + " and back" +
           (options.down ? " in " + options.down->describe() : "");
  }
};

struct OneCycle {
  static constexpr Cadence cadence = Cadence::step;
  OneCycleOptions options;
  double start;
  double top;
  double end;
  double factor(const ScheduleTime& time) const {
    const Progress whole = progress(time, options.length);
    if (whole.total <= 0) return options.rise > 0 ? start : top;
    // In torch a phase ends with its last update, so that one stands for the end of the last update.
    const double last = whole.in_steps ? 1 : 0;
    const double peak = options.rise * whole.total - last;
    const double finish = whole.total - last;
    if (whole.done <= peak) return between(start, top, part(whole.done, 0, peak));
    if (!options.three_phases) return between(top, end, part(whole.done, peak, finish));
    const double back = 2 * options.rise * whole.total - 2 * last;
    if (whole.done <= back) return between(top, start, part(whole.done, peak, back));
    return between(start, end, part(whole.done, back, finish));
  }
  static double part(double done, double begin, double finish) {
    return finish > begin ? std::clamp((done - begin) / (finish - begin), 0.0, 1.0) : 1;
  }
  double between(double from, double to, double share) const {
    if (options.anneal == Anneal::linear) return (to - from) * share + from;
    return to + (from - to) / 2 * (std::cos(std::numbers::pi * share) + 1);
  }
  std::optional<Duration> length() const { return options.length; }
  bool needs_total() const { return !options.length; }
  std::string describe() const {
    return "one cycle from " + shortest(start) + " to " + shortest(top) + " to " + shortest(end) +
           (options.length ? " over " + options.length->describe() : "");
  }
};

}  // namespace

Schedule cosine_restarts(Duration first, int64_t multiplier, double min_factor) {
  check_length(first, "schedules::cosine_restarts");
  check_factor(min_factor, "schedules::cosine_restarts");
  check_option(multiplier >= 1, "schedules::cosine_restarts, multiplier", static_cast<double>(multiplier), "1 or more");
  return CosineRestarts{first, multiplier, min_factor};
}

Schedule cyclic(const CyclicOptions& options) {
  const std::string where = "schedules::cyclic";
  check_length(options.up, "schedules::cyclic, up");
  if (options.down) {
    check_length(*options.down, "schedules::cyclic, down");
    if (options.down->unit() != options.up.unit()) {
      throw Error({.what = "up and down of a cycle are in two units",
                   .where = where,
                   .got = options.up.describe() + " and " + options.down->describe(),
                   .expected = "both in steps or both in epochs"});
    }
  }
  check_factor(options.max_factor, "schedules::cyclic, max_factor");
  check_option(options.gamma > 0 && std::isfinite(options.gamma), where + ", gamma", options.gamma, "above 0");
  check_momentum(options.momentum, where);
  Schedule rate = Cycles{options, 1, options.max_factor};
  if (!options.momentum) return rate;
  const Schedule momentum = Cycles{options, options.momentum->high, options.momentum->low};
  return together({std::move(rate), momentum.of(OptimizerField::momentum, 1)});
}

Schedule one_cycle(const OneCycleOptions& options) {
  const std::string where = "schedules::one_cycle";
  if (options.length) check_length(*options.length, "schedules::one_cycle");
  const double most = options.three_phases ? 0.5 : 1;
  check_option(options.rise >= 0 && options.rise <= most, where + ", rise", options.rise,
               options.three_phases ? "from 0 to 0.5 with three phases" : "from 0 to 1");
  check_option(options.start_divisor >= 1, where + ", start_divisor", options.start_divisor, "1 or more");
  check_option(options.end_divisor > 0, where + ", end_divisor", options.end_divisor, "above 0");
  check_momentum(options.momentum, where);
  const double start = 1 / options.start_divisor;
  Schedule rate = OneCycle{options, start, 1, start / options.end_divisor};
  if (!options.momentum) return rate;
  const Schedule momentum = OneCycle{options, options.momentum->high, options.momentum->low, options.momentum->high};
  return together({std::move(rate), momentum.of(OptimizerField::momentum, 1)});
}

}  // namespace athanor::schedules
